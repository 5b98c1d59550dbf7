//! How deployments fare by what their sidecars say, and which sidecars are forgotten.

use std::collections::BTreeSet;

use routing::{DeploymentId, Incarnation, Timestamp};

use super::{Mesh, MeshState};
use crate::definitions::state::{self, Health, TaskView};
use crate::definitions::{Deployment, record};
use crate::sidecars::{REMEMBERED, Remembered, Sidecar};
use crate::store::Write;

/// What an evaluation came to.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    /// What makes it durable.
    pub(crate) writes: Vec<Write>,
    /// When to look again though nothing has happened.
    pub(crate) again: Option<Timestamp>,
}

/// Deployments that something may have happened to since they were looked at.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    all: bool,
    of: BTreeSet<DeploymentId>,
    /// When they were looked at last.
    looked: Timestamp,
}

impl Unseen {
    /// To any of them.
    pub(super) fn all(&mut self) {
        self.all = true;
    }

    /// To these.
    pub(super) fn of<'a>(&mut self, ids: impl IntoIterator<Item = &'a DeploymentId>) {
        if !self.all {
            self.of.extend(ids.into_iter().cloned());
        }
    }

    /// All that there is to be seen now.
    fn take(&mut self, now: Timestamp) -> Self {
        let seen = std::mem::replace(self, Self { looked: now, ..Self::default() });
        // a clock that was set back says nothing of what is due
        Self { all: seen.all || now < seen.looked, ..seen }
    }

    fn has(&self, id: &DeploymentId, deployment: &Deployment, now: Timestamp) -> bool {
        self.all || self.of.contains(id) || look(deployment, self.looked).is_some_and(|due| due <= now)
    }
}

impl Mesh {
    /// Brings the states of deployments up to date.
    pub(crate) fn evaluate(&self, now: Timestamp) -> Evaluated {
        let (evaluated, changed) = self.lock().evaluate(now);
        if changed {
            self.change_of(|_| ());
        }
        evaluated
    }
}

impl MeshState {
    fn evaluate(&mut self, now: Timestamp) -> (Evaluated, bool) {
        let mut evaluated = Evaluated::default();
        let mut changed = self.forget(now, &mut evaluated);
        let unseen = self.unseen.take(now);
        let next: Vec<_> = (self.deployments.iter())
            .filter(|(id, it)| unseen.has(id, it, now))
            .filter_map(|(id, it)| {
                let tasks = self.tasks(it);
                let (state, message) = state::next(it.state, it.since, now, it.definition.timeout, &tasks)?;
                ((state, &message) != (it.state, &it.message)).then(|| (id.clone(), state, message))
            })
            .collect();
        for (id, to, message) in next {
            let Some(deployment) = self.deployments.get_mut(&id) else { continue };
            if deployment.state != to {
                tracing::info!(deployment = %id, from = %deployment.state, %to, message, "deployment changed state");
                deployment.since = now;
            }
            self.news.of_state(deployment, to);
            (deployment.state, deployment.message) = (to, message);
            evaluated.writes.push(record::put_state(deployment));
            changed = true;
        }
        let looks = self.deployments.values().filter_map(|it| look(it, now));
        evaluated.again = looks.chain(evaluated.again).min();
        (evaluated, changed)
    }

    /// Drops sidecars that have been away for long; writes down the addresses of those that came or changed.
    fn forget(&mut self, now: Timestamp, evaluated: &mut Evaluated) -> bool {
        let gone = |it: &Sidecar| !it.is_connected() && now.saturating_sub(it.seen) >= REMEMBERED;
        let forgotten: Vec<Incarnation> = self.sidecars.iter().filter(|(_, it)| gone(it)).map(|(i, _)| *i).collect();
        for incarnation in &forgotten {
            if let Some(sidecar) = self.sidecars.remove(incarnation) {
                self.news.of(sidecar.serves.keys());
            }
            evaluated.writes.push(Write::delete(Remembered::key(*incarnation)));
            tracing::warn!(sidecar = %incarnation, "forgot a sidecar that has been away for long");
        }
        let away = self.sidecars.values().filter(|it| !it.is_connected());
        evaluated.again = away.map(|it| it.seen + REMEMBERED).min();
        !forgotten.is_empty()
    }

    /// A deployment's tasks as its sidecars see them.
    pub(super) fn tasks(&self, deployment: &Deployment) -> Vec<TaskView> {
        let (definition, index) = (&deployment.definition, self.index());
        let view = |(element, task): (&routing::ElementId, &crate::definitions::Task)| {
            let mut view = TaskView {
                element: element.as_str().to_owned(),
                service: task.service.as_str().to_owned(),
                drift: self.drifts.get(&task.service).cloned().unwrap_or_default(),
                ..TaskView::default()
            };
            let mut down = String::new();
            let shares = self.splits.backends(&task.service).filter(|(_, weight)| *weight > 0);
            let services = std::iter::once(&task.service).chain(shares.map(|(backend, _)| backend));
            let serving = services.flat_map(|service| index.serving(service).iter().map(move |it| (service, it)));
            let serving = serving.filter_map(|(service, it)| Some((service, self.sidecars.get(it)?)));
            for (service, sidecar) in serving.filter(|(_, it)| it.is_connected()) {
                view.replicas += 1;
                view.ready += u32::from(sidecar.has_acked(definition.digest) && sidecar.unproven.is_none());
                if let Some(lacks) = sidecar.unproven.as_ref().filter(|it| !it.is_empty()) {
                    view.reason = format!("the mesh is not proven to stand before its hop port: {lacks}");
                }
                if let Some(reason) = sidecar.refusal(definition.digest) {
                    view.reason = reason.to_owned();
                }
                match sidecar.health.get(service) {
                    Some(probe) if probe.health == Health::Up => view.health = Health::Up,
                    Some(probe) if probe.health == Health::Down => down.clone_from(&probe.reason),
                    _ => {}
                }
            }
            if view.health == Health::Unknown && !down.is_empty() {
                (view.health, view.reason) = (Health::Down, down);
            }
            if definition.workloads.is_some() && view.health != Health::Up {
                // what the cluster says is nearer to the cause than a refused connection
                match self.hindered.get(&task.service) {
                    Some(hindered) => view.reason.clone_from(hindered),
                    None if view.replicas == 0 => "its pod is starting".clone_into(&mut view.reason),
                    None => {}
                }
            }
            view
        };
        definition.tasks.iter().map(view).collect()
    }
}

fn look(deployment: &Deployment, now: Timestamp) -> Option<Timestamp> {
    let Deployment { state, since, definition, .. } = deployment;
    let first = state::next_look(*state, *since, definition.timeout)?;
    let last = since + definition.timeout;
    [first, last].into_iter().find(|at| *at > now)
}
