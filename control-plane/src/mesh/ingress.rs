//! Which deployment a request from outside means, by host and path.

use routing::DeploymentId;

use super::{Mesh, MeshState};
use crate::definitions::record;
use crate::ingress::{Lead, Route, Way};
use crate::store::Write;

/// A request's route, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub(crate) deployment: DeploymentId,
    pub(crate) route: Route,
    pub(crate) way: Way,
}

impl Mesh {
    /// Adds a route, or moves it here from an older deployment of the same process; gives what makes it durable.
    pub(crate) fn expose(&self, id: &DeploymentId, route: Route) -> Result<Vec<Write>, String> {
        self.change(|state| {
            let Some(process) = state.deployments.get(id).map(|it| it.definition.process.clone()) else {
                return Err(format!("{id} is gone"));
            };
            let same = |it: &Route| it.host == route.host && it.path == route.path;
            let owner = state.deployments.values().find(|it| it.ingress.iter().any(same));
            if let Some(owner) = owner.filter(|it| it.definition.process != process) {
                let other = &owner.definition.deployment;
                return Err(format!("{}{} leads to {other}: clear_ingress it there first", route.host, route.path));
            }
            let mut writes = Vec::new();
            for deployment in state.deployments.values_mut() {
                let before = deployment.ingress.clone();
                deployment.ingress.retain(|it| !same(it));
                if deployment.definition.deployment == *id {
                    deployment.ingress.push(route.clone());
                }
                if deployment.ingress != before {
                    writes.push(record::put_state(deployment));
                }
            }
            state.index_routes();
            Ok(writes)
        })
    }

    /// Takes away the routes of `host` (all of its paths unless one is named) that lead to `id`, or to any deployment.
    /// Gives how many there were, and what makes it durable.
    pub(crate) fn clear(&self, host: &str, path: Option<&str>, id: Option<&DeploymentId>) -> (usize, Vec<Write>) {
        self.change(|state| {
            let (mut cleared, mut writes) = (0, Vec::new());
            let meant = |it: &Route| it.host == host && path.is_none_or(|path| path == it.path);
            for deployment in state.deployments.values_mut() {
                if id.is_some_and(|id| *id != deployment.definition.deployment) {
                    continue;
                }
                let before = deployment.ingress.len();
                deployment.ingress.retain(|it| !meant(it));
                if deployment.ingress.len() < before {
                    cleared += before - deployment.ingress.len();
                    writes.push(record::put_state(deployment));
                }
            }
            state.index_routes();
            (cleared, writes)
        })
    }

    /// How requests come to the routes, as the orchestrator sees it.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn led(&self, leads: crate::ingress::Leads) {
        if self.lock().leads != leads {
            self.change(|state| state.leads = leads);
        }
    }

    /// How requests come to this route; nothing is known of it without an orchestrator.
    pub(crate) fn lead(&self, route: &Route) -> Lead {
        self.lock().leads.get(&route.place()).cloned().unwrap_or_default()
    }

    /// Whether any route names this host.
    pub(crate) fn exposes(&self, host: &str) -> bool {
        self.lock().routes.contains_key(host)
    }

    /// The route that a request means.
    pub(crate) fn routed(&self, host: &str, path: &str) -> Option<Routed> {
        let state = self.lock();
        let routes = state.routes.get(host)?;
        routes.iter().find_map(|(deployment, route)| {
            let way = route.way(path)?;
            Some(Routed { deployment: deployment.clone(), route: route.clone(), way })
        })
    }
}

impl MeshState {
    /// Makes the index agree with the deployments.
    pub(super) fn index_routes(&mut self) {
        self.routes.clear();
        for (id, deployment) in &self.deployments {
            for route in &deployment.ingress {
                self.routes.entry(route.host.clone()).or_default().push((id.clone(), route.clone()));
            }
        }
    }
}
