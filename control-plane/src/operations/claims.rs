//! What a `Workflow` of the cluster's asks for: a model is applied as by flowctl, in the name of a Workflow and within what that may.
//!
//! A deployment is of the Workflow that brought it; what a Workflow may is `permit`'s to say. An earlier version is retired once a later one takes instances: it takes none
//! any more, and is forgotten when the last of its own has ended.

mod permit;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bpmn::ProcessDefinition;
use routing::{DeploymentId, ServiceName};

pub(crate) use permit::Reach;

use self::permit::{free, reachable, services, within};
use super::{Applied, Apply, Error, Operations, Swap, SwapTo};
use crate::definitions::{Claim, Definition, Deployment, State};

/// What a Workflow asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// `NAMESPACE/NAME`.
    pub(crate) workflow: String,
    pub(crate) reach: Reach,
    pub(crate) apply: Apply,
    /// By element id or service, what does it instead of what the model says.
    pub(crate) swaps: BTreeMap<String, SwapTo>,
}

impl Operations {
    /// Applies a Workflow's model; a version that was retired is taken up again. What it swaps is for [`settle`](Self::settle), but images of new
    /// containers.
    pub(crate) async fn declare(&self, wish: &Wish) -> Result<Applied, Error> {
        let (definitions, diagnostics) = match self.judged(&wish.apply).await? {
            Err(diagnostics) => return Ok(Applied::refused(diagnostics)),
            Ok(accepted) => accepted,
        };
        let _one = self.deploying.lock().await;
        self.permitted(wish, &definitions)?;
        let mut brought = Vec::new();
        for (checked, definition) in definitions {
            let claim = match self.mesh.deployment(checked.deployment.as_str()) {
                Some(there) => self.take_up(there, wish).await?,
                None => self.imaged(wish, &definition).await?,
            };
            brought.push((checked, definition, Some(claim)));
        }
        self.bring(brought, diagnostics, &wish.apply).await
    }

    /// Whether the Workflow may all of it.
    fn permitted(&self, wish: &Wish, definitions: &[(ProcessDefinition, Definition)]) -> Result<(), Error> {
        for (_, definition) in definitions {
            free(wish, definition, &self.mesh.of_process(&definition.process))?;
            within(wish, definition)?;
        }
        let definitions: Vec<&Definition> = definitions.iter().map(|(_, it)| it).collect();
        wish.swaps.iter().try_for_each(|(task, to)| reachable(&wish.reach, task, to, &definitions))
    }

    /// Whose a deployment is that is there already; one that was retired runs again.
    async fn take_up(&self, there: Deployment, wish: &Wish) -> Result<Claim, Error> {
        let id = &there.definition.deployment;
        let mut claim = there.claim.clone().unwrap_or_default();
        let again = claim.retired;
        (claim.workflow, claim.retired) = (wish.workflow.clone(), false);
        if there.claim.as_ref() != Some(&claim) {
            self.commit(self.mesh.claim(id, claim.clone()).into_iter().collect()).await?;
        }
        if again && matches!(there.state, State::Stopping | State::Stopped) {
            self.set_state(id, State::Starting, "waits for its sidecars").await?;
        }
        Ok(claim)
    }

    /// Gives the tasks of a deployment that is to be their images, before any container is made.
    async fn imaged(&self, wish: &Wish, definition: &Definition) -> Result<Claim, Error> {
        let mut claim = Claim { workflow: wish.workflow.clone(), ..Claim::default() };
        for (task, to) in &wish.swaps {
            let SwapTo::Image(image) = to else { continue };
            let services = services(definition, task);
            if services.is_empty() {
                continue;
            }
            let mut writes = self.mesh.record_swap(&services, &to.to_string(), self.now());
            writes.extend(self.mesh.reimage(&services, Some(image), self.now()));
            self.commit(writes).await?;
            claim.swaps.insert(task.clone(), to.to_string());
        }
        Ok(claim)
    }

    /// Brings the swaps of a Workflow to what it says now. What an operator has swapped since stays until the Workflow says something else.
    pub(crate) async fn settle(&self, id: &DeploymentId, wanted: &BTreeMap<String, SwapTo>) -> Result<(), Error> {
        let Some(deployment) = self.mesh.deployment(id.as_str()) else { return Ok(()) };
        let Some(claim) = deployment.claim else { return Ok(()) };
        for (task, said) in &claim.swaps {
            if wanted.get(task).is_some_and(|to| to.to_string() == *said) {
                continue;
            }
            let services = services(&deployment.definition, task);
            let last = self.mesh.past_swaps(&services);
            if last.first().is_some_and(|(_, past)| past.to == *said) {
                self.swap_all(id, services, &SwapTo::Undone).await?;
            }
            self.note(id, |claim| claim.swaps.remove(task)).await?;
        }
        for (task, to) in wanted {
            let said = to.to_string();
            let services = services(&deployment.definition, task);
            if claim.swaps.get(task) == Some(&said) || services.is_empty() {
                continue;
            }
            self.swap_all(id, services, to).await?;
            self.note(id, |claim| claim.swaps.insert(task.clone(), said)).await?;
        }
        Ok(())
    }

    async fn swap_all(&self, id: &DeploymentId, services: BTreeSet<ServiceName>, to: &SwapTo) -> Result<(), Error> {
        for service in services {
            let deployment = Some(id.to_string());
            self.swap(Swap { task: service.to_string(), to: to.clone(), deployment, within: Duration::ZERO }).await?;
        }
        Ok(())
    }

    /// An earlier version, or one whose Workflow goes: takes no instances any more, and is STOPPED when its own have ended.
    pub(crate) async fn retire(&self, id: &DeploymentId) -> Result<(), Error> {
        let _one = self.deploying.lock().await;
        self.note(id, |claim| claim.retired = true).await?;
        match self.mesh.deployment(id.as_str()).map(|it| it.state) {
            Some(State::Starting | State::Running | State::Degraded | State::Error) => {
                self.set_state(id, State::Stopping, "waits for its instances to end").await
            }
            Some(State::Stopping | State::Stopped) | None => Ok(()),
        }
    }

    /// What leads to an earlier version from outside, or from a topic, leads to a later one from now on, if that has the same start event.
    pub(crate) async fn hand_over(&self, from: &DeploymentId, to: &DeploymentId) -> Result<(), Error> {
        let _one = self.deploying.lock().await;
        let [old, new] = [from, to].map(|it| self.mesh.deployment(it.as_str()));
        let (Some(old), Some(new)) = (old, new) else { return Ok(()) };
        let starts = &new.definition.start_events;
        for route in old.ingress.into_iter().filter(|it| starts.contains(&it.start_event)) {
            self.commit(self.mesh.expose(to, route).map_err(Error::WrongState)?).await?;
        }
        for listening in old.topics.into_iter().filter(|it| starts.contains(&it.start_event)) {
            let mut writes = self.mesh.subscribe(to, listening.clone()).map_err(Error::WrongState)?;
            writes.extend(self.mesh.unsubscribe(&listening.topic, Some(from)).1);
            self.commit(writes).await?;
        }
        self.told.tell(&self.mesh, &self.ledger).await
    }

    /// Forgets a Workflow's deployment, and takes back what was swapped of it; with force its open instances are cancelled.
    pub(crate) async fn renounce(&self, id: &DeploymentId, force: bool) -> Result<(), Error> {
        self.settle(id, &BTreeMap::new()).await?;
        let _one = self.deploying.lock().await;
        match self.mesh.deployment(id.as_str()) {
            Some(deployment) => self.forget(deployment, force).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Changes what is known of a claim.
    async fn note<T>(&self, id: &DeploymentId, what: impl FnOnce(&mut Claim) -> T) -> Result<(), Error> {
        let Some(mut claim) = self.mesh.deployment(id.as_str()).and_then(|it| it.claim) else { return Ok(()) };
        what(&mut claim);
        self.commit(self.mesh.claim(id, claim).into_iter().collect()).await
    }
}
