//! An open instance goes on with another version of its process. Its tokens, its version and who asked for it are stored in one group.

use routing::{DeploymentId, Digest, ProcessId, Timestamp};

use super::{Answer, InstanceId, Ledger, Operator, Output};

/// A version that an instance is to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The process.
    pub process: ProcessId,
    /// The version of it.
    pub deployment: DeploymentId,
    /// The tables' digest.
    pub definition: Digest,
}

impl Ledger {
    pub(super) fn migrate(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        by: Operator,
        to: Target,
        names: &[(String, String)],
        out: &mut Vec<Output>,
    ) -> Answer {
        let Some(open) = self.instances.get(instance) else { return Answer::NotFound };
        let from = open.base.definition;
        if open.base.process != to.process {
            let (own, other) = (&open.base.process, &to.process);
            return Answer::WrongState(format!("{instance} is an instance of {own} and cannot migrate to {other}"));
        }
        let mut what = format!("migrate to {}", to.deployment);
        names.iter().enumerate().for_each(|(index, (from, to))| {
            what += &format!("{} {from}={to}", if index == 0 { ":" } else { "," });
        });
        if let Err(refused) = self.attempt(now, instance, &what, |run| run.migrate(from, to.definition, names)) {
            return refused;
        }
        if let Some(open) = self.instances.get_mut(instance) {
            open.deployment = to.deployment.clone();
            (open.base.deployment, open.base.definition) = (to.deployment, to.definition);
        }
        self.record_operation(now, instance, by, &what, out);
        self.run(now, instance, out, |run| {
            // as on the copy
            let _ = run.migrate(from, to.definition, names);
        });
        self.index_all_times(instance);
        Answer::Done
    }
}
