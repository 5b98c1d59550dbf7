//! Deployments: list, start, stop, delete, probe.

use std::collections::BTreeSet;
use std::time::Duration;

use routing::{DeploymentId, ServiceName};

use super::{Error, Operations};
use crate::definitions::state::TaskView;
use crate::definitions::{Deployment, State, record};
use crate::steward;
use crate::store::Write;

/// How long a forced stop may take until the deployment can be deleted.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// How long sidecars have for a forced probe.
const PROBED_WITHIN: Duration = Duration::from_secs(10);

/// A deployment's tasks after a probe.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    pub(crate) id: String,
    pub(crate) tasks: Vec<TaskView>,
    /// Why there is nothing to see, or why it may be stale.
    pub(crate) error: String,
}

impl Operations {
    /// The deployments that `ids` mean, all of them if there are none; newest first.
    pub(crate) fn deployments(&self, ids: &[String]) -> Result<Vec<(Deployment, Vec<TaskView>)>, Error> {
        if ids.is_empty() {
            return Ok(self.mesh.deployments());
        }
        let mut unknown = Vec::new();
        let mut found = Vec::new();
        for id in ids {
            let resolved = self.mesh.resolve(id).ok();
            match resolved.and_then(|it| self.mesh.described(it.definition.deployment.as_str())) {
                Some(deployment) => found.push(deployment),
                None => unknown.push(id.as_str()),
            }
        }
        match unknown.as_slice() {
            [] => Ok(found),
            unknown => Err(Error::NotFound(format!("there is no deployment {}", unknown.join(", ")))),
        }
    }

    /// From STOPPED to STARTING.
    pub(crate) async fn start_deployment(&self, text: &str) -> Result<DeploymentId, Error> {
        let _one = self.deploying.lock().await;
        let deployment = self.mesh.resolve(text)?;
        let id = deployment.definition.deployment.clone();
        if deployment.state != State::Stopped {
            return Err(Error::WrongState(format!("Error: {id} is not in a startable state")));
        }
        self.set_state(&id, State::Starting, "waits for its sidecars").await?;
        Ok(id)
    }

    /// To STOPPING, from where it becomes STOPPED when no instance is open; refused while some are, without force.
    pub(crate) async fn stop_deployment(&self, text: &str, force: bool) -> Result<DeploymentId, Error> {
        let _one = self.deploying.lock().await;
        let deployment = self.mesh.resolve(text)?;
        self.stop(&deployment, force).await?;
        Ok(deployment.definition.deployment.clone())
    }

    async fn stop(&self, deployment: &Deployment, force: bool) -> Result<(), Error> {
        let id = &deployment.definition.deployment;
        match deployment.state {
            State::Starting | State::Running | State::Degraded | State::Error => {}
            // once more with force: what is still open is cancelled
            State::Stopping if force => {}
            State::Stopping | State::Stopped => {
                return Err(Error::WrongState(format!("Error: {id} is not in a stoppable state")));
            }
        }
        if let (Some(route), false) = (deployment.ingress.first(), force) {
            return Err(Error::WrongState(format!(
                "WF {id} still has exposed Ingress. It is {}{}: clear_ingress it with `flowctl update`, or give --force",
                route.host, route.path
            )));
        }
        let open = self.ledger.open_on(id).await?;
        if open > 0 && !force {
            return Err(Error::WrongState(format!(
                "WF has running instances. {open} of {id} are open: let them end, stop them with `flowctl stop -i`, or \
                 give --force to cancel them"
            )));
        }
        self.set_state(id, State::Stopping, "waits for its instances to end").await?;
        if open > 0 {
            let own = id.clone();
            let open = self.ledger.open(Box::new(move |it| it.deployment == own)).await?;
            for instance in open {
                self.ledger.cancel(&instance.id, "its deployment was stopped with --force".into()).await?;
            }
        }
        Ok(())
    }

    /// Forgets a deployment; its instances stay as history.
    pub(crate) async fn delete_deployment(&self, text: &str, force: bool) -> Result<DeploymentId, Error> {
        let _one = self.deploying.lock().await;
        let deployment = self.mesh.resolve(text)?;
        if let (Some(claim), false) = (&deployment.claim, force) {
            let (id, whole) = (&deployment.definition.deployment, claim.workflow.as_str());
            let (namespace, name) = whole.split_once('/').unwrap_or(("", whole));
            return Err(Error::WrongState(format!(
                "{id} is of Workflow {whole}, which would bring it again: `kubectl -n {namespace} delete workflow {name}`"
            )));
        }
        self.forget(deployment, force).await
    }

    /// The same, whosever it is; to be called by one at a time.
    pub(super) async fn forget(&self, mut deployment: Deployment, force: bool) -> Result<DeploymentId, Error> {
        let id = deployment.definition.deployment.clone();
        if force && deployment.state != State::Stopped {
            self.stop(&deployment, true).await?;
            deployment = self.stopped(&id).await?;
        }
        if !matches!(deployment.state, State::Stopped | State::Error) {
            return Err(Error::WrongState(format!(
                "{id} is {}: `flowctl stop -d {id}` it first, or give --force",
                deployment.state
            )));
        }
        let open = self.ledger.open_on(&id).await?;
        if open > 0 {
            return Err(Error::WrongState(format!("{open} instances of {id} are open: give --force to cancel them")));
        }
        let digest = deployment.definition.digest;
        let mut writes = record::delete(&id);
        writes.push(Write::put(steward::retired_key(digest), ""));
        self.commit(writes).await?;
        self.mesh.remove(&id);
        self.ledger.retired(digest).await?;
        tracing::info!(deployment = %id, "deleted");
        Ok(id)
    }

    async fn stopped(&self, id: &DeploymentId) -> Result<Deployment, Error> {
        let mut changes = self.mesh.changes();
        let stopped = async {
            loop {
                changes.mark_unchanged();
                match self.mesh.deployment(id.as_str()) {
                    Some(it) if it.state == State::Stopped => return Ok(it),
                    Some(_) => {}
                    None => return Err(Error::NotFound(format!("{id} is gone"))),
                }
                if changes.changed().await.is_err() {
                    return Err(Error::Unavailable("flowd is going".to_owned()));
                }
            }
        };
        let late = |_| Error::WrongState(format!("{id} is STOPPING still; delete it once it is STOPPED"));
        tokio::time::timeout(STOPPED_WITHIN, stopped).await.map_err(late)?
    }

    pub(super) async fn set_state(&self, id: &DeploymentId, to: State, message: &str) -> Result<(), Error> {
        tracing::info!(deployment = %id, %to, "deployment changed state");
        let write = self.mesh.set_state(id, to, message, self.now());
        self.commit(write.into_iter().collect()).await
    }

    /// Makes sidecars probe the tasks of deployments now, and shows what they find.
    pub(crate) async fn probe(&self, ids: &[String]) -> Vec<Probed> {
        let all: Vec<String> = match ids {
            [] => self.mesh.deployments().iter().map(|(it, _)| it.definition.deployment.to_string()).collect(),
            ids => ids.to_vec(),
        };
        let resolved: Vec<_> = all.iter().map(|id| (id, self.mesh.resolve(id))).collect();
        let services: BTreeSet<ServiceName> = (resolved.iter())
            .filter_map(|(_, it)| it.as_ref().ok())
            .flat_map(|it| it.definition.services().into_iter().cloned().collect::<Vec<_>>())
            .collect();
        let late = !self.probe_services(&services).await;
        let view = |(text, resolved): (&String, Result<Deployment, _>)| match resolved {
            Err(error) => Probed { id: text.clone(), tasks: Vec::new(), error: format!("{error}") },
            Ok(it) => {
                let id = it.definition.deployment.to_string();
                let tasks = self.mesh.described(&id).map(|(_, tasks)| tasks).unwrap_or_default();
                let error =
                    if late { "some sidecars did not answer in time; what they said last is shown" } else { "" };
                Probed { id, tasks, error: error.to_owned() }
            }
        };
        let resolved: Vec<(&String, Result<Deployment, super::Unresolved>)> = resolved;
        resolved.into_iter().map(view).collect()
    }

    async fn probe_services(&self, services: &BTreeSet<ServiceName>) -> bool {
        let before = self.mesh.probes(services);
        let sidecars: BTreeSet<_> = before.keys().map(|(incarnation, _)| *incarnation).collect();
        for mailbox in sidecars.into_iter().filter_map(|it| self.mesh.mailbox(it)) {
            mailbox.post(|letters| letters.probe = true);
        }
        let all = || {
            let now = self.mesh.probes(services);
            before.iter().all(|(key, count)| now.get(key).is_none_or(|it| it > count))
        };
        self.until(PROBED_WITHIN, all).await
    }
}
