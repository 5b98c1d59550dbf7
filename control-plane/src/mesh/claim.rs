//! Which deployments are of which Workflow.

use routing::{DeploymentId, ProcessId, ServiceName};

use super::Mesh;
use crate::definitions::state::TaskView;
use crate::definitions::{Claim, Deployment, record};
use crate::store::Write;

impl Mesh {
    /// The versions of a process, whoever has brought them.
    pub(crate) fn of_process(&self, process: &ProcessId) -> Vec<Deployment> {
        let state = self.lock();
        state.deployments.values().filter(|it| it.definition.process == *process).cloned().collect()
    }

    /// The deployments of a Workflow with their tasks, the oldest first.
    pub(crate) fn claimed(&self, workflow: &str) -> Vec<(Deployment, Vec<TaskView>)> {
        let state = self.lock();
        let own = |it: &&Deployment| it.claim.as_ref().is_some_and(|claim| claim.workflow == workflow);
        let mut all: Vec<_> = state.deployments.values().filter(own).map(|it| (it.clone(), state.tasks(it))).collect();
        all.sort_by_key(|(it, _)| it.applied);
        all
    }

    /// Changes whose a deployment is; gives what makes it durable.
    pub(crate) fn claim(&self, id: &DeploymentId, claim: Claim) -> Option<Write> {
        self.change(|state| {
            let deployment = state.deployments.get_mut(id)?;
            deployment.claim = Some(claim);
            Some(record::put_state(deployment))
        })
    }

    /// What keeps a service from being there, as the orchestrator sees it.
    pub(crate) fn hindrance(&self, service: &ServiceName) -> Option<String> {
        self.lock().hindered.get(service).cloned()
    }
}
