//! Swaps the image of running pods, one after the other: nothing of a pod is made anew but its task's container.
//!
//! `spec.containers[*].image` is one of the few fields of a pod that may change; the kubelet then ends that container and starts it with the new
//! image. The pod keeps its name, its address, its sidecar and the sidecar's journal; the sidecar calls nobody meanwhile. The Deployment is not told:
//! what it would make a pod of is told as a drift.

mod adopt;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use routing::ServiceName;
use runtime::clock::Clock;
use serde_json::{Value, json};

use self::turn::{Seen, Turn, Word};
use super::objects::{Kind, Object};
use super::{FIELD_MANAGER, watch};
use crate::mesh::{InPlace, Mesh, Stage, Standing, Work};
use crate::store::{AnyStore, Batch, Store as _, Write};

/// See the module's documentation.
pub(super) struct InPlaces {
    client: Client,
    store: AnyStore,
    clock: Arc<dyn Clock>,
    /// Whose tasks are asked whether they answer, by their pods' UIDs.
    asked: HashMap<String, Asked>,
}

/// A probe that a sidecar was asked for.
struct Asked {
    container: String,
    /// In which it was asked.
    session: u64,
    /// How many there had been before.
    probes: u64,
}

/// A Deployment and what belongs to it.
pub(super) struct Workload<'a> {
    pub(super) object: &'a Object,
    /// As it is in the cluster.
    pub(super) live: &'a Value,
    /// The image of its template.
    pub(super) image: &'a str,
    /// Its pods are being replaced, which is no drift.
    pub(super) rolls: bool,
}

impl InPlaces {
    pub(super) fn new(client: Client, store: AnyStore, clock: Arc<dyn Clock>) -> Self {
        Self { client, store, clock, asked: HashMap::new() }
    }

    /// One step of each swap; all that is written makes for the next look.
    pub(super) async fn step(
        &mut self,
        mesh: &Mesh,
        workloads: &[Workload<'_>],
        pods: &[DynamicObject],
    ) -> Result<(), kube::Error> {
        let swaps = mesh.in_places();
        let mut drifts = BTreeMap::new();
        for workload in workloads {
            let seen = seen(workload.object, pods);
            let swap = workload.object.services.iter().find_map(|it| swaps.get_key_value(it));
            if swap.is_some() || !workload.rolls {
                let drift = turn::drift(swap.map(|(_, it)| it), workload.image, &seen);
                let all = workload.object.services.iter();
                drifts.extend(all.filter_map(|it| Some((it.clone(), drift.clone()?))));
            }
            if let Some((service, swap)) = swap {
                self.turn(mesh, workload, (service, swap), &seen).await?;
            }
        }
        let gone = swaps.keys().filter(|it| !workloads.iter().any(|workload| workload.object.services.contains(*it)));
        for service in gone {
            self.put(mesh, (service, &swaps[service]), None).await;
        }
        mesh.drifted(drifts);
        Ok(())
    }

    async fn turn(
        &mut self,
        mesh: &Mesh,
        workload: &Workload<'_>,
        (service, swap): (&ServiceName, &InPlace),
        pods: &[Seen],
    ) -> Result<(), kube::Error> {
        let at_work = swap.work.as_ref();
        let word = at_work.and_then(|work| self.word(mesh, work, pods.iter().find(|it| it.uid == work.pod)?));
        let now = self.clock.now().as_millis();
        match turn::next(swap, workload.image, pods, |_| word, now) {
            Turn::Wait => {}
            Turn::Put(to) => self.put(mesh, (service, swap), to.as_ref()).await,
            Turn::Adopt => {
                adopt::adopt(&self.client, &workload.object.key, workload.live, &swap.image).await?;
                if let Some(mut writes) = mesh.put_in_place_if(service, swap, None) {
                    // from now on it is a swap like any other
                    writes.extend(mesh.reimage(&BTreeSet::from([service.clone()]), Some(&swap.image), now));
                    self.commit(writes).await;
                }
            }
            Turn::Patch(pod, image) => {
                let place = (workload.object.key.namespace.as_str(), pod.as_str());
                if let Err(why) = self.patch(place, &workload.object.key.name, &image).await? {
                    let why = format!("the image of pod {pod} cannot be changed: {why}");
                    let failed = InPlace { stage: Stage::Failed(why), work: None, ..swap.clone() };
                    self.put(mesh, (service, swap), Some(&failed)).await;
                }
            }
        }
        Ok(())
    }

    /// What the sidecar of the pod says whose turn it is; it is asked to probe once the container runs that is to.
    fn word(&mut self, mesh: &Mesh, work: &Work, pod: &Seen) -> Option<Word> {
        let standing = mesh.standing(&pod.uid)?;
        let mut word = Word { quiet: standing.quiet, answers: false };
        if !pod.has_restarted(work) {
            return Some(word);
        }
        let Standing { quiet: _, up, probes, session } = standing;
        let asked = self.asked.get(&pod.uid).filter(|it| it.container == pod.container && it.session == session);
        match asked {
            Some(asked) if probes > asked.probes && up => word.answers = true,
            Some(asked) if probes == asked.probes => {}
            Some(_) | None => {
                self.asked.insert(pod.uid.clone(), Asked { container: pod.container.clone(), session, probes });
                mesh.probe_in(&pod.uid);
            }
        }
        Some(word)
    }

    /// Durable, unless somebody has said something else meanwhile.
    async fn put(&mut self, mesh: &Mesh, (service, from): (&ServiceName, &InPlace), to: Option<&InPlace>) {
        let Some(writes) = mesh.put_in_place_if(service, from, to) else { return };
        if let Some(work) = from.work.as_ref().filter(|_| to.is_none_or(|it| it.work.is_none())) {
            self.asked.remove(&work.pod);
        }
        tracing::info!(%service, ?to, "swap in place");
        self.commit(writes).await;
    }

    async fn commit(&self, writes: Vec<Write>) {
        if let Err(error) = self.store.commit(Batch::one(writes)).await {
            // a flowd whose store does not work leads no longer; the next one finds how far it was before
            tracing::warn!(%error, "how far a swap in place is could not be stored");
        }
    }

    /// Gives a pod's container another image; `Err` says why the API server does not want that.
    async fn patch(
        &self,
        (namespace, pod): (&str, &str),
        container: &str,
        image: &str,
    ) -> Result<Result<(), String>, kube::Error> {
        let pods: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &watch::resource("", "v1", "Pod"));
        let body = json!({"spec": {"containers": [{"name": container, "image": image}]}});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match pods.patch(pod, &parameters, &Patch::Strategic(&body)).await {
            Ok(_) => {
                tracing::info!(pod = format!("{namespace}/{pod}"), image, "its task's container gets another image");
                Ok(Ok(()))
            }
            // gone meanwhile: nobody's turn any more
            Err(error) if watch::is_status(&error, 404) => Ok(Ok(())),
            Err(error @ kube::Error::Api(_)) if ![409, 429].iter().any(|it| watch::is_status(&error, *it)) => {
                Ok(Err(watch::reason(&error)))
            }
            Err(error) => Err(error),
        }
    }
}

/// The pods of a Deployment.
fn seen(object: &Object, pods: &[DynamicObject]) -> Vec<Seen> {
    let own = |pod: &&DynamicObject| {
        let app = pod.metadata.labels.as_ref().and_then(|it| it.get("app"));
        object.key.kind == Kind::Deployment
            && pod.metadata.namespace.as_deref() == Some(&object.key.namespace)
            && app == Some(&object.key.name)
    };
    let seen = |pod: &DynamicObject| {
        let metadata = serde_json::to_value(&pod.metadata).unwrap_or(Value::Null);
        Seen::of(&metadata, &pod.data, &object.key.name)
    };
    pods.iter().filter(own).filter_map(seen).collect()
}
