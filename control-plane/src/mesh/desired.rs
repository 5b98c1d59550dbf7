//! What a sidecar should hold: tables of its elements and of their successors, and its bindings.

use std::collections::BTreeSet;

use proto::convert::{digest_bytes, incarnation_bytes};
use proto::v1;
use routing::{DeploymentId, Digest, ElementId, Incarnation, ServiceName};

use super::MeshState;
use super::index::Index;
use crate::definitions::{Definition, Deployment};
use crate::sidecars::Sidecar;

impl MeshState {
    /// The deployments of which `sidecar` does a task.
    pub(super) fn served_by<'a>(&'a self, sidecar: &Sidecar) -> impl Iterator<Item = &'a Deployment> {
        let index = self.index();
        let ids: BTreeSet<DeploymentId> =
            self.does(sidecar).into_iter().flat_map(|service| index.naming(service)).cloned().collect();
        ids.into_iter().filter_map(|id| self.deployments.get(&id))
    }

    /// Whether anything has changed of what a sidecar is told since it was told last.
    pub(super) fn concerns(&self, incarnation: Incarnation) -> bool {
        let Some(sidecar) = self.sidecars.get(&incarnation) else { return false };
        sidecar.told != self.news.version() && {
            let index = self.index();
            let (_, known) = self.around(sidecar, &index);
            self.news.since(sidecar.told, known)
        }
    }

    /// The services that a sidecar sends to or does itself, and all that it exchanges tokens with; with whoever may do their work.
    fn around<'a>(
        &'a self,
        sidecar: &'a Sidecar,
        index: &'a Index,
    ) -> (BTreeSet<&'a ServiceName>, BTreeSet<&'a ServiceName>) {
        let does = self.does(sidecar);
        let (mut services, mut known) = (does.clone(), does.clone());
        for neighbours in does.into_iter().filter_map(|it| index.neighbours(it)) {
            services.extend(&neighbours.after);
            known.extend(&neighbours.before);
        }
        let services = self.with_backends(services);
        known.extend(&services);
        (services, self.with_backends(known))
    }

    /// The bindings of a sidecar, without a version.
    pub(super) fn bindings(&self, incarnation: Incarnation) -> v1::Bindings {
        let Some(sidecar) = self.sidecars.get(&incarnation) else { return v1::Bindings::default() };
        let index = self.index();
        let (services, known) = self.around(sidecar, &index);
        let endpoints = services.into_iter().map(|service| v1::Endpoints {
            service: service.as_str().to_owned(),
            replicas: self.replicas(service),
            name: self.name_of(service),
        });
        let ids = |set: &BTreeSet<Incarnation>| set.iter().map(|it| incarnation_bytes(*it)).collect();
        v1::Bindings {
            version: 0,
            endpoints: endpoints.collect(),
            urls: sidecar.serves.iter().map(|(service, own)| self.url(service, own)).collect(),
            left: ids(&self.left),
            settled: ids(&self.settled),
            callbacks: self.callbacks.clone(),
            quiesce: self.is_quiesced(sidecar),
            splits: known.iter().flat_map(|service| self.split_of(service)).collect(),
            accounts: self.accounts_of(known),
        }
    }

    fn split_of(&self, service: &ServiceName) -> impl Iterator<Item = v1::Split> {
        self.splits.backends(service).map(|(backend, weight)| v1::Split {
            service: service.as_str().to_owned(),
            backend: backend.as_str().to_owned(),
            weight: weight.into(),
        })
    }

    fn replicas(&self, service: &ServiceName) -> Vec<v1::Endpoint> {
        let index = self.index();
        let serving = index.serving(service).iter().filter_map(|it| self.sidecars.get_key_value(it));
        let endpoint = |(incarnation, sidecar): (&Incarnation, &Sidecar)| v1::Endpoint {
            incarnation: incarnation_bytes(*incarnation),
            address: sidecar.address.clone(),
            draining: self.is_spared(service, sidecar),
        };
        serving.map(endpoint).collect()
    }

    /// Where a sidecar's service is: where a swap says, else where it was started with, else where apply said.
    fn url(&self, service: &ServiceName, own: &str) -> v1::Service {
        let swapped = self.overrides.get(service).cloned();
        let url = swapped.or_else(|| own.is_empty().then(|| self.bound(service)).flatten()).unwrap_or_default();
        v1::Service { name: service.as_str().to_owned(), url }
    }

    fn bound(&self, service: &ServiceName) -> Option<String> {
        let index = self.index();
        let mut naming = index.naming(service).iter().filter_map(|id| self.deployments.get(id));
        naming.find_map(|deployment| {
            let mut tasks = deployment.definition.tasks.iter().filter(|(_, task)| task.service == *service);
            tasks.find_map(|(element, _)| deployment.bound(element, service))
        })
    }
}

/// The tables that a sidecar is sent of a definition, and which of them it does.
pub(super) fn bundle(definition: &Definition, does: &BTreeSet<&ServiceName>, nonce: u64) -> v1::TablePush {
    let own: Vec<&ElementId> = (definition.tasks.iter())
        .filter(|(_, task)| does.contains(&task.service))
        .map(|(element, _)| element)
        .collect();
    let next = own.iter().filter_map(|element| definition.tasks.get(*element)).flat_map(|task| &task.successors);
    let all: BTreeSet<&ElementId> = own.iter().copied().chain(next).collect();
    let tables = all.into_iter().filter_map(|element| {
        let task = definition.tasks.get(element)?;
        Some(v1::Table { element: element.as_str().to_owned(), bytes: task.table.clone() })
    });
    v1::TablePush {
        nonce,
        bundle: Some(v1::TableBundle {
            definition: digest_bytes(definition.digest),
            manifest: definition.manifest.clone(),
            tables: tables.collect(),
        }),
        elements: own.into_iter().map(|element| element.as_str().to_owned()).collect(),
    }
}

/// About how many bytes a push takes on the wire.
pub(super) fn size(push: &v1::TablePush) -> usize {
    let bundle = push.bundle.as_ref();
    bundle.map_or(0, |it| it.manifest.len() + it.tables.iter().map(|table| table.bytes.len() + 64).sum::<usize>())
}

/// The definitions of `held` that may be dropped.
pub(super) fn retired(state: &MeshState, held: &BTreeSet<Digest>) -> Vec<Digest> {
    held.intersection(&state.retired).copied().collect()
}
