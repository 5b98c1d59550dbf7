//! Another image for a service's container, and how far the cluster is with it.

use std::collections::{BTreeMap, BTreeSet};

use routing::{ServiceName, Timestamp};

use super::Mesh;
use crate::kubernetes::objects::{Images, Rollout, Swapped};
use crate::store::Write;

/// Images that `swap` set lie below it in the store.
pub(crate) const STORED: &str = "d/i/";

impl Mesh {
    /// The image of services from now on, unless it is none: then as before any swap. Gives what makes it durable.
    pub(crate) fn reimage(&self, services: &BTreeSet<ServiceName>, image: Option<&str>, now: Timestamp) -> Vec<Write> {
        self.change(|state| {
            let reimage = |service: &ServiceName| {
                let key = format!("{STORED}{service}");
                let Some(image) = image else {
                    state.images.remove(service);
                    return Write::delete(key);
                };
                let swapped = Swapped { image: image.to_owned(), at: now };
                let stored = serde_json::to_vec(&swapped).expect("a record of a string and a number");
                state.images.insert(service.clone(), swapped);
                Write::put(key, stored)
            };
            services.iter().map(reimage).collect()
        })
    }

    /// Images by swap.
    pub(crate) fn images(&self) -> Images {
        self.lock().images.clone()
    }

    /// How far the cluster is.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn rolled(&self, rollouts: BTreeMap<ServiceName, Rollout>) {
        if self.lock().rollouts != rollouts {
            self.change(|state| state.rollouts = rollouts);
        }
    }

    /// Of these services: how far they are with the image that they are to have, and what hinders them.
    pub(crate) fn rollouts(&self, services: &BTreeSet<ServiceName>) -> Vec<(ServiceName, Rollout)> {
        let state = self.lock();
        let rollout = |service: &ServiceName| {
            let wanted = state.images.get(service).map(|it| it.at);
            let mut rollout = state.rollouts.get(service).cloned().unwrap_or_else(|| Rollout {
                workload: String::new(),
                image: String::new(),
                at: None,
                lacks: "its Deployment is not there yet".to_owned(),
            });
            if rollout.at != wanted {
                "its Deployment does not have the image yet".clone_into(&mut rollout.lacks);
            }
            if let (false, Some(why)) = (rollout.lacks.is_empty(), state.hindered.get(service)) {
                rollout.lacks = format!("{}; {why}", rollout.lacks);
            }
            (service.clone(), rollout)
        };
        services.iter().map(rollout).collect()
    }
}

#[cfg(all(test, feature = "kubernetes"))]
mod tests {
    use super::*;
    use crate::mesh::Stored;

    #[test]
    fn a_swap_is_over_when_the_cluster_has_heard_of_it_and_no_earlier_pod_is_left() {
        let mesh = Mesh::new(Stored::default(), 0);
        let services = BTreeSet::from([ServiceName::from("pay.shop")]);
        let lacks = || mesh.rollouts(&services).remove(0).1.lacks;
        let seen = |at, lacks: &str| {
            let rollout = Rollout { workload: "shop/pay".into(), image: "pay:2".into(), at, lacks: lacks.into() };
            BTreeMap::from([(ServiceName::from("pay.shop"), rollout)])
        };
        assert!(lacks().contains("not there yet"));
        mesh.rolled(seen(None, ""));
        assert_eq!(lacks(), "");
        mesh.reimage(&services, Some("pay:2"), 7);
        assert!(lacks().contains("does not have the image yet"), "what was seen is older than the swap");
        mesh.hindered(BTreeMap::from([("pay.shop".into(), "pod pay-1 does not run".to_owned())]));
        mesh.rolled(seen(Some(7), "0 of 1 pods are available"));
        assert_eq!(lacks(), "0 of 1 pods are available; pod pay-1 does not run");
        mesh.rolled(seen(Some(7), ""));
        assert_eq!(lacks(), "");
        mesh.reimage(&services, None, 8);
        assert!(lacks().contains("does not have the image yet"));
    }
}
