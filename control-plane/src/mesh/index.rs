//! Who does what, by service, so that no session looks through all sidecars and all deployments.
//!
//! Made anew when the mesh's version has grown, which whatever is in it does.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use routing::{DeploymentId, Incarnation, ServiceName};

use super::MeshState;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Index {
    serving: HashMap<ServiceName, Vec<Incarnation>>,
    naming: HashMap<ServiceName, Vec<DeploymentId>>,
    neighbours: HashMap<ServiceName, Neighbours>,
}

/// Whom a service's tasks exchange tokens with directly, in whatever deployment.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// They get tokens from it.
    pub(super) after: BTreeSet<ServiceName>,
    /// They send tokens to it.
    pub(super) before: BTreeSet<ServiceName>,
}

impl Index {
    /// The sidecars that serve it, those that are away included, by incarnation.
    pub(super) fn serving(&self, service: &ServiceName) -> &[Incarnation] {
        self.serving.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    /// The deployments with a task that it does, by id.
    pub(super) fn naming(&self, service: &ServiceName) -> &[DeploymentId] {
        self.naming.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whom it exchanges tokens with, if anybody.
    pub(super) fn neighbours(&self, service: &ServiceName) -> Option<&Neighbours> {
        self.neighbours.get(service)
    }

    fn of(state: &MeshState) -> Self {
        let mut index = Self::default();
        for (incarnation, sidecar) in &state.sidecars {
            for service in sidecar.serves.keys() {
                index.serving.entry(service.clone()).or_default().push(*incarnation);
            }
        }
        for (id, deployment) in &state.deployments {
            let tasks = &deployment.definition.tasks;
            for task in tasks.values() {
                let naming = index.naming.entry(task.service.clone()).or_default();
                if naming.last() != Some(id) {
                    naming.push(id.clone());
                }
                for next in task.successors.iter().filter_map(|it| tasks.get(it)) {
                    index.neighbours.entry(task.service.clone()).or_default().after.insert(next.service.clone());
                    index.neighbours.entry(next.service.clone()).or_default().before.insert(task.service.clone());
                }
            }
        }
        index
    }
}

impl MeshState {
    /// As of now.
    pub(super) fn index(&self) -> Arc<Index> {
        let mut kept = self.index.borrow_mut();
        if kept.0 != self.news.version() {
            *kept = (self.news.version(), Arc::new(Index::of(self)));
        }
        kept.1.clone()
    }
}
