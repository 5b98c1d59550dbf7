//! Repointing a service at once, and what a forced probe waits for.

use std::collections::{BTreeMap, BTreeSet};

use routing::{Incarnation, ServiceName};

use super::{Mesh, MeshState};
use crate::store::Write;

/// URLs that `swap` set lie below it in the store.
pub(crate) const STORED: &str = "d/u/";

/// A sidecar that a swap concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) incarnation: Incarnation,
    pub(crate) address: String,
    pub(crate) service: ServiceName,
    /// Where the service is now; empty: as the sidecar was started.
    pub(crate) url: String,
    pub(crate) force: InForce,
}

/// Whether a sidecar's bindings are what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InForce {
    /// Sent and acknowledged.
    Yes,
    /// Connected, not acknowledged yet.
    NotYet,
    /// Not connected.
    Away,
}

impl Mesh {
    /// The services that `task` names: those of the element of that id, or the service itself.
    pub(crate) fn services_named(&self, task: &str, deployment: Option<&str>) -> BTreeSet<ServiceName> {
        let state = self.lock();
        let within = |id: &str| deployment.is_none_or(|only| only == id);
        let definitions = state.deployments.iter().filter(|(id, _)| within(id.as_str())).map(|(_, it)| &it.definition);
        let mut services = BTreeSet::new();
        for definition in definitions {
            let tasks = definition.tasks.iter();
            let named = tasks.filter(|(element, it)| element.as_str() == task || it.service.as_str() == task);
            services.extend(named.map(|(_, it)| it.service.clone()));
        }
        if deployment.is_none() {
            let served = state.sidecars.values().filter_map(|it| it.serves.get_key_value(task));
            services.extend(served.map(|(name, _)| name.clone()));
        }
        services
    }

    /// Where the services are, unless `url` is none: then as before any swap. Gives what makes it durable.
    pub(crate) fn repoint(&self, services: &BTreeSet<ServiceName>, url: Option<&str>) -> Vec<Write> {
        self.change(|state| {
            state.news.of(services);
            let repoint = |service: &ServiceName| {
                let key = format!("{STORED}{service}");
                match url {
                    Some(url) => {
                        state.overrides.insert(service.clone(), url.to_owned());
                        Write::put(key, url.as_bytes().to_vec())
                    }
                    None => {
                        state.overrides.remove(service);
                        Write::delete(key)
                    }
                }
            };
            services.iter().map(repoint).collect()
        })
    }

    /// The sidecars that serve any of `services`, and whether what they should know is in force there.
    pub(crate) fn targets(&self, services: &BTreeSet<ServiceName>) -> Vec<Target> {
        let state = self.lock();
        let mut targets = Vec::new();
        for (incarnation, sidecar) in &state.sidecars {
            for service in services.iter().filter(|it| sidecar.serves.contains_key(*it)) {
                targets.push(Target {
                    incarnation: *incarnation,
                    address: sidecar.address.clone(),
                    service: service.clone(),
                    url: state.overrides.get(service).cloned().unwrap_or_default(),
                    force: state.in_force(*incarnation),
                });
            }
        }
        targets
    }

    /// The URL that a swap gave a service.
    pub(crate) fn swapped(&self) -> BTreeMap<ServiceName, String> {
        self.lock().overrides.clone()
    }

    /// How often each connected sidecar that serves any of `services` has reported their health.
    pub(crate) fn probes(&self, services: &BTreeSet<ServiceName>) -> BTreeMap<(Incarnation, ServiceName), u64> {
        let state = self.lock();
        let mut probes = BTreeMap::new();
        for (incarnation, sidecar) in state.sidecars.iter().filter(|(_, it)| it.is_connected()) {
            for service in services.iter().filter(|it| sidecar.serves.contains_key(*it)) {
                let count = sidecar.health.get(service).map_or(0, |it| it.count);
                probes.insert((*incarnation, service.clone()), count);
            }
        }
        probes
    }
}

impl MeshState {
    pub(super) fn in_force(&self, incarnation: Incarnation) -> InForce {
        let Some(sidecar) = self.sidecars.get(&incarnation).filter(|it| it.is_connected()) else {
            return InForce::Away;
        };
        match &sidecar.sent {
            // whoever was told of the newest version has what it should have: nothing is to be put together and compared
            Some((version, sent)) if sidecar.acked >= *version => {
                let all = sidecar.told == self.news.version() || *sent == self.bindings(incarnation);
                if all { InForce::Yes } else { InForce::NotYet }
            }
            _ => InForce::NotYet,
        }
    }
}
