//! What the cluster says of the pods that sidecars are in: which are on their way out, and which are gone for good.
//!
//! A pod that goes is offered nothing new, also before its sidecar has heard of it. One that is gone has taken its sidecar's journal along: what that
//! had been offered and has not answered goes to others, as if it had left.

use std::collections::{BTreeMap, BTreeSet};

use routing::Incarnation;

use super::{Mesh, MeshState};
use crate::sidecars::Pod;

impl Mesh {
    /// The pods with these UIDs are on their way out; no others are.
    pub(crate) fn pods_going(&self, going: &BTreeSet<String>) {
        let mut state = self.lock();
        let goes = |pod: &Option<Pod>| pod.as_ref().is_some_and(|it| going.contains(&it.uid));
        let MeshState { sidecars, news, .. } = &mut *state;
        let mut changed = false;
        for sidecar in sidecars.values_mut().filter(|it| it.draining != goes(&it.pod)) {
            sidecar.draining = !sidecar.draining;
            news.of(sidecar.serves.keys());
            changed = true;
        }
        if changed {
            drop(state);
            self.change(|_| ());
        }
    }

    /// Sidecars that are away, with their pods.
    pub(crate) fn away(&self) -> BTreeMap<Incarnation, Pod> {
        let state = self.lock();
        let away = state.sidecars.iter().filter(|(_, it)| !it.is_connected());
        away.filter_map(|(incarnation, it)| Some((*incarnation, it.pod.clone()?))).collect()
    }

    /// A pod that a sidecar was away from is gone for good. One that is back, from another pod, is not.
    pub(crate) fn pod_gone(&self, incarnation: Incarnation, pod: &Pod) {
        self.change(|state| {
            let away = state.sidecars.get_mut(&incarnation).filter(|it| !it.is_connected());
            if let Some(sidecar) = away.filter(|it| it.pod.as_ref() == Some(pod)) {
                sidecar.gone = true;
            }
        });
    }

    /// Sidecars whose pods are gone, to be declared lost.
    pub(crate) fn gone(&self) -> Vec<(Incarnation, String)> {
        let state = self.lock();
        let gone = state.sidecars.iter().filter(|(_, it)| it.gone && !it.is_connected());
        let named = |pod: &Pod| format!("{}/{}", pod.namespace, pod.name);
        gone.map(|(incarnation, it)| (*incarnation, it.pod.as_ref().map(named).unwrap_or_default())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::{Hello, Stored};

    fn pod(uid: &str) -> Pod {
        Pod { namespace: "shop".to_owned(), name: "pay-1".to_owned(), uid: uid.to_owned() }
    }

    fn hello(uid: &str) -> Hello {
        Hello {
            incarnation: Incarnation(1),
            boot: 1,
            address: "10.0.0.1:7001".to_owned(),
            serves: BTreeMap::from([("pay.shop".into(), String::new())]),
            version: String::new(),
            holds: BTreeSet::new(),
            identity: None,
            pod: Some(pod(uid)),
            unproven: false,
        }
    }

    #[test]
    fn a_pod_on_its_way_out_is_offered_nothing_new_and_one_that_stays_is() {
        let mesh = Mesh::new(Stored::default(), 0);
        mesh.attach(&hello("a"), 0);
        let draining = || mesh.endpoints()["pay.shop"][0].draining;
        let before = mesh.changed();
        mesh.pods_going(&BTreeSet::from(["other".to_owned()]));
        assert_eq!((draining(), mesh.changed()), (false, before), "nothing has changed");
        mesh.pods_going(&BTreeSet::from(["a".to_owned()]));
        assert!(draining() && mesh.changed() > before);
        mesh.pods_going(&BTreeSet::new());
        assert!(!draining());
    }

    #[test]
    fn only_a_sidecar_that_is_away_and_whose_pod_is_gone_is_lost() {
        let mesh = Mesh::new(Stored::default(), 0);
        let (session, ..) = mesh.attach(&hello("a"), 0);
        assert!(mesh.away().is_empty());
        mesh.pod_gone(Incarnation(1), &pod("a"));
        assert!(mesh.gone().is_empty(), "it is connected: whoever says that its pod is gone is late");
        mesh.detach(Incarnation(1), session, 1);
        assert_eq!(mesh.away(), BTreeMap::from([(Incarnation(1), pod("a"))]));
        mesh.pod_gone(Incarnation(1), &pod("b"));
        assert!(mesh.gone().is_empty(), "another pod");
        mesh.pod_gone(Incarnation(1), &pod("a"));
        assert_eq!(mesh.gone(), [(Incarnation(1), "shop/pay-1".to_owned())]);
        mesh.attach(&hello("b"), 2);
        assert!(mesh.gone().is_empty(), "it is back");
    }
}
