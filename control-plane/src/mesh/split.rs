//! Services that do a share of another one's work, as swaps have set them.
//!
//! Whoever has had a share once stays in the split, with weight 0, and its sidecars keep the tables: what they were given, they finish, and an offer that is
//! on its way to them when the share is taken back is taken like any other.

use std::collections::BTreeSet;

use hop::{Backends, Splits};
use routing::{Incarnation, ServiceName};

use super::swap::InForce;
use super::{Mesh, MeshState};
use crate::sidecars::Sidecar;
use crate::store::Write;

/// Splits lie below it in the store, by service: the weights of others.
pub(crate) const STORED: &str = "d/w/";

/// How much of a service's work another one does, and how far that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) service: ServiceName,
    pub(crate) backend: ServiceName,
    /// Of 100 activations.
    pub(crate) weight: u8,
    /// Connected sidecars of the backend.
    pub(crate) replicas: usize,
    /// Hop addresses of connected sidecars that have not taken it into force yet.
    pub(crate) behind: Vec<String>,
}

impl Mesh {
    /// From now on `share` is how much of the services' work another one does; `None`: nobody else does any. Gives what makes it durable.
    pub(crate) fn split(&self, services: &BTreeSet<ServiceName>, share: Option<(&ServiceName, u8)>) -> Vec<Write> {
        self.change(|state| {
            state.news.for_all();
            services.iter().for_each(|it| state.splits.give(it, share));
            services.iter().filter_map(|it| state.stored_split(it)).collect()
        })
    }

    /// `backend` may do the services' work, and gets their tables, but does none yet. Gives what makes it durable.
    pub(crate) fn admit_backend(&self, services: &BTreeSet<ServiceName>, backend: &ServiceName) -> Vec<Write> {
        self.change(|state| {
            state.news.for_all();
            services.iter().for_each(|it| state.splits.admit(it, backend));
            state.send_tables_of(services, backend);
            services.iter().filter_map(|it| state.stored_split(it)).collect()
        })
    }

    /// All of them.
    pub(crate) fn splits(&self) -> Splits {
        self.lock().splits.clone()
    }

    /// What is split of these services, those included that have no share any more.
    pub(crate) fn shares(&self, services: &BTreeSet<ServiceName>) -> Vec<Share> {
        let state = self.lock();
        let mut shares = Vec::new();
        for service in services {
            for (backend, weight) in state.splits.backends(service) {
                let serving = state.index().serving(backend).to_vec();
                let connected = serving.iter().filter_map(|it| state.sidecars.get(it)).filter(|it| it.is_connected());
                shares.push(Share {
                    service: service.clone(),
                    backend: backend.clone(),
                    weight,
                    replicas: connected.count(),
                    behind: state.behind(service),
                });
            }
        }
        shares
    }
}

impl MeshState {
    /// The services whose work a sidecar does: its own, and others' by a split.
    pub(super) fn does<'a>(&'a self, sidecar: &'a Sidecar) -> BTreeSet<&'a ServiceName> {
        let serves = sidecar.serves.keys();
        serves.flat_map(|own| std::iter::once(own).chain(self.splits.stands_for(own))).collect()
    }

    /// Those services, and whoever may do their work.
    pub(super) fn with_backends<'a>(
        &'a self,
        services: impl IntoIterator<Item = &'a ServiceName>,
    ) -> BTreeSet<&'a ServiceName> {
        let and = |it: &'a ServiceName| std::iter::once(it).chain(self.splits.backends(it).map(|(backend, _)| backend));
        services.into_iter().flat_map(and).collect()
    }

    /// A sidecar that holds a definition's tables already lacks those of the work that it is to do from now on.
    fn send_tables_of(&self, services: &BTreeSet<ServiceName>, backend: &ServiceName) {
        let index = self.index();
        let named = services.iter().flat_map(|it| index.naming(it)).filter_map(|it| self.deployments.get(it));
        let digests: BTreeSet<_> = named.map(|it| it.definition.digest).collect();
        for sidecar in index.serving(backend).iter().filter_map(|it| self.sidecars.get(it)) {
            sidecar.mailbox.post(|letters| letters.wanted.extend(&digests));
        }
    }

    fn stored_split(&self, service: &ServiceName) -> Option<Write> {
        let backends: Backends = self.splits.backends(service).map(|(it, weight)| (it.clone(), weight)).collect();
        let stored = serde_json::to_vec(&backends).expect("a record of strings and numbers");
        (!backends.is_empty()).then(|| Write::put(format!("{STORED}{service}"), stored))
    }

    /// The connected sidecars that do the work of `service`, send to those who do or are sent from them, and do not know its split yet.
    fn behind(&self, service: &ServiceName) -> Vec<String> {
        let connected = self.sidecars.iter().filter(|(_, it)| it.is_connected());
        let told = |it: Incarnation| self.bindings(it).splits.iter().any(|split| split.service == service.as_str());
        let behind = connected.filter(|(it, _)| self.in_force(**it) == InForce::NotYet && told(**it));
        behind.map(|(_, it)| it.address.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::Stored;
    use crate::mesh::session::tests::hello;

    #[test]
    fn a_share_that_is_taken_back_stays_known_with_no_weight() {
        let mesh = Mesh::new(Stored::default(), 0);
        let (pay, next) = (ServiceName::from("pay"), ServiceName::from("pay-next"));
        let pays = BTreeSet::from([pay.clone()]);
        mesh.attach(&hello(1, "pay"), 0);
        mesh.attach(&hello(2, "pay-next"), 0);
        assert_eq!(mesh.admit_backend(&pays, &next).len(), 1);
        assert_eq!(mesh.shares(&pays)[0].weight, 0);
        let writes = mesh.split(&pays, Some((&next, 10)));
        assert_eq!(writes.len(), 1);
        let share = mesh.shares(&pays).remove(0);
        assert_eq!((share.weight, share.replicas), (10, 1));
        assert_eq!(share.behind, ["10.0.0.1:7001", "10.0.0.2:7001"]);
        assert_eq!(mesh.split(&pays, None).len(), 1);
        assert_eq!(mesh.shares(&pays)[0].weight, 0);
        assert!(mesh.split(&BTreeSet::from([next]), None).is_empty(), "nobody has ever done its work");
    }
}
