//! Another image for the pods that there are, without new pods: what was asked for, how far it is, and which pod stands still for it now.
//!
//! Whoever changes it gets the write that makes it durable: a flowd that comes after goes on where this one was. While a pod's container is made
//! anew its sidecar starts no call of the task; tokens that come go to other replicas, if there are any, and else wait there.

use std::collections::{BTreeMap, BTreeSet};

use routing::{ServiceName, Timestamp};

use super::{Mesh, MeshState};
use crate::sidecars::Sidecar;
use crate::store::Write;

/// What was asked for lies below it in the store, by service.
pub(crate) const STORED: &str = "d/x/";

/// A swap in place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct InPlace {
    /// What the pods' containers are to be made of.
    pub(crate) image: String,
    /// Pods have until then, milliseconds since 1970.
    pub(crate) until: Timestamp,
    pub(crate) stage: Stage,
    /// The pod whose turn it is.
    pub(crate) work: Option<Work>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Stage {
    /// Pods get the image.
    Swapping,
    /// They have it; pods that are made from now on do not.
    Swapped,
    /// Those that lack it get it, then the Deployment does.
    Committing,
    /// They get the Deployment's back.
    Undoing,
    /// Why it has ended before all had it.
    Failed(String),
}

/// A pod that stands still.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Work {
    /// Its UID.
    pub(crate) pod: String,
    pub(crate) name: String,
    /// The image that it had.
    pub(crate) image: String,
    /// The id of its task's container before it gets another image.
    pub(crate) container: String,
    /// What that container is made of, by digest.
    pub(crate) made_of: String,
    /// It gets that image back, since it did not do with the other one.
    pub(crate) back: bool,
}

/// Swaps in place by service.
pub(crate) type InPlaces = BTreeMap<ServiceName, InPlace>;

impl InPlace {
    /// Whether pods are still to get an image, or one of them stands still.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Swapping | Stage::Committing | Stage::Undoing) || self.work.is_some()
    }
}

/// How the sidecar of a pod that stands still is.
#[cfg(feature = "kubernetes")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// It calls the task no more.
    pub(crate) quiet: bool,
    /// The last probe of all of its tasks has succeeded.
    pub(crate) up: bool,
    /// How often the one that was probed least has been probed in this session.
    pub(crate) probes: u64,
    /// What was asked of it in an earlier one is forgotten.
    pub(crate) session: u64,
}

impl Mesh {
    /// All of them.
    pub(crate) fn in_places(&self) -> InPlaces {
        self.lock().in_places.clone()
    }

    /// The swap in place of these services is `to` from now on, or there is none. Gives what makes it durable.
    pub(crate) fn put_in_place(&self, services: &BTreeSet<ServiceName>, to: Option<&InPlace>) -> Vec<Write> {
        self.change(|state| state.put_in_place(services, to))
    }

    /// The same, if it is still `from`: whoever has said something else meanwhile is right.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn put_in_place_if(
        &self,
        service: &ServiceName,
        from: &InPlace,
        to: Option<&InPlace>,
    ) -> Option<Vec<Write>> {
        self.change(|state| {
            let is_as_before = state.in_places.get(service) == Some(from);
            is_as_before.then(|| state.put_in_place(&BTreeSet::from([service.clone()]), to))
        })
    }

    /// The sidecar in the pod with this UID; `None` while it is away.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn standing(&self, pod: &str) -> Option<Standing> {
        let state = self.lock();
        let sidecar = state.sidecar_in(pod)?;
        let since = state.quiesced.get(pod);
        let up = |it: &ServiceName| {
            sidecar.health.get(it).is_some_and(|it| it.health == crate::definitions::state::Health::Up)
        };
        let probes = sidecar.serves.keys().map(|it| sidecar.health.get(it).map_or(0, |it| it.count));
        Some(Standing {
            quiet: since.is_some_and(|since| sidecar.quiet >= *since),
            up: sidecar.serves.keys().all(up),
            probes: probes.min().unwrap_or_default(),
            session: sidecar.session.unwrap_or_default(),
        })
    }

    /// Has the sidecar in the pod with this UID probe its tasks now.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn probe_in(&self, pod: &str) {
        if let Some(sidecar) = self.lock().sidecar_in(pod) {
            sidecar.mailbox.post(|letters| letters.probe = true);
        }
    }

    /// Services whose pods run another image than their Deployments have, and which, for people.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn drifted(&self, drifts: BTreeMap<ServiceName, String>) {
        if self.lock().drifts != drifts {
            self.change(|state| state.drifts = drifts);
        }
    }
}

impl MeshState {
    fn put_in_place(&mut self, services: &BTreeSet<ServiceName>, to: Option<&InPlace>) -> Vec<Write> {
        let put = |service: &ServiceName| {
            let key = format!("{STORED}{service}");
            match to {
                Some(to) => {
                    self.in_places.insert(service.clone(), to.clone());
                    let stored = serde_json::to_vec(to).expect("a record of strings and numbers");
                    Some(Write::put(key, stored))
                }
                None => self.in_places.remove(service).map(|_| Write::delete(key)),
            }
        };
        let writes = services.iter().filter_map(put).collect();
        self.quiesce();
        writes
    }

    /// Which pods stand still, and since which version of the bindings.
    pub(super) fn quiesce(&mut self) {
        let working = self.in_places.values().filter_map(|it| it.work.as_ref());
        let pods: BTreeSet<String> = working.map(|it| it.pod.clone()).collect();
        if pods.iter().eq(self.quiesced.keys()) {
            return;
        }
        let other = |pod: &String| pods.contains(pod) != self.quiesced.contains_key(pod);
        let concerned = self.sidecars.values().filter(|it| it.pod.as_ref().is_some_and(|it| other(&it.uid)));
        self.news.of(concerned.flat_map(|it| it.serves.keys()));
        let version = self.news.version();
        self.quiesced.retain(|pod, _| pods.contains(pod));
        pods.into_iter().for_each(|pod| {
            self.quiesced.entry(pod).or_insert(version);
        });
    }

    #[cfg(feature = "kubernetes")]
    fn sidecar_in(&self, pod: &str) -> Option<&Sidecar> {
        let mut connected = self.sidecars.values().filter(|it| it.is_connected());
        connected.find(|it| it.pod.as_ref().is_some_and(|it| it.uid == pod))
    }

    /// Whether a sidecar is to start no call.
    pub(super) fn is_quiesced(&self, sidecar: &Sidecar) -> bool {
        !self.quiesced.is_empty() && sidecar.pod.as_ref().is_some_and(|it| self.quiesced.contains_key(&it.uid))
    }

    /// Whether what is new goes to others: its pod is on its way out, or stands still while others of the service do not.
    pub(super) fn is_spared(&self, service: &ServiceName, sidecar: &Sidecar) -> bool {
        let others = || {
            let index = self.index();
            let serving = index.serving(service).iter().filter_map(|it| self.sidecars.get(it));
            serving.into_iter().any(|it| it.is_connected() && !it.draining && !self.is_quiesced(it))
        };
        sidecar.draining || (self.is_quiesced(sidecar) && others())
    }
}

#[cfg(all(test, feature = "kubernetes"))]
mod tests {
    use proto::v1;
    use routing::Incarnation;

    use super::*;
    use crate::mesh::session::tests::hello;
    use crate::mesh::{Hello, Stored};
    use crate::sidecars::Pod;

    fn at_work(pod: &str) -> InPlace {
        let work = Work {
            pod: pod.to_owned(),
            name: String::new(),
            image: String::new(),
            container: String::new(),
            made_of: String::new(),
            back: false,
        };
        InPlace { image: "pay:2".to_owned(), until: 9, stage: Stage::Swapping, work: Some(work) }
    }

    fn in_pod(number: u128, uid: &str) -> Hello {
        let pod = Pod { namespace: "shop".to_owned(), name: format!("pay-{uid}"), uid: uid.to_owned() };
        Hello { pod: Some(pod), ..hello(number, "pay") }
    }

    #[test]
    fn a_pod_that_stands_still_is_told_so_and_is_quiet_only_by_those_bindings() {
        let pay = ServiceName::from("pay");
        let stored = Stored { in_places: BTreeMap::from([(pay.clone(), at_work("a"))]), ..Stored::default() };
        let mesh = Mesh::new(stored, 0);
        let (session, ..) = mesh.attach(&in_pod(1, "a"), 0);
        let bindings = |number| mesh.lock().bindings(Incarnation(number));
        assert!(bindings(1).quiesce, "also when another flowd had said so");
        let quiet = |version| {
            let message = v1::SidecarMessage { quiet: version, ..v1::SidecarMessage::default() };
            mesh.heard(Incarnation(1), session, &message, 1);
            mesh.standing("a").unwrap().quiet
        };
        assert!(!quiet(1), "by bindings of before");
        let version = mesh.lock().news.version();
        assert!(quiet(version));
        assert_eq!(mesh.standing("b"), None);
        let (before, again) = (mesh.standing("a").unwrap(), mesh.attach(&in_pod(1, "a"), 0).0);
        let after = mesh.standing("a").unwrap();
        assert!(after.session == again && again != before.session, "what it was asked before it has not heard");
        assert!(!after.quiet, "nor is what it said then still so");
        assert!(!bindings(1).endpoints.iter().any(|it| it.replicas[0].draining), "there is no other");
        mesh.attach(&in_pod(2, "b"), 0);
        assert!(!bindings(2).quiesce);
        let draining: Vec<bool> = mesh.endpoints()["pay"].iter().map(|it| it.draining).collect();
        assert_eq!(draining, [true, false], "what is new goes to the other");
        let pays = BTreeSet::from([pay.clone()]);
        assert_eq!(mesh.put_in_place_if(&pay, &at_work("c"), None), None, "somebody has said something else");
        assert_eq!(mesh.put_in_place_if(&pay, &at_work("a"), Some(&at_work("b"))).unwrap().len(), 1);
        assert!(!bindings(1).quiesce && bindings(2).quiesce);
        assert!(!mesh.standing("b").unwrap().quiet);
        mesh.put_in_place(&pays, None);
        assert!(!bindings(2).quiesce);
    }

    #[test]
    fn drift_is_a_condition_of_the_tasks_of_the_service() {
        let mesh = Mesh::new(Stored::default(), 0);
        let before = mesh.changed();
        let drifts = BTreeMap::from([(ServiceName::from("pay"), "1 of 1 pods".to_owned())]);
        mesh.drifted(drifts.clone());
        assert!(mesh.changed() > before);
        let before = mesh.changed();
        mesh.drifted(drifts);
        assert_eq!(mesh.changed(), before, "nothing has changed");
    }
}
