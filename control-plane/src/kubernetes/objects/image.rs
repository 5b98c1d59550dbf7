//! What a task's container is made of: what its model says, what a swap says, what somebody has set in the cluster, and how far the pods are. Pure.
//!
//! A swap is newer than the model, and whatever was set in the cluster (`kubectl set image`) after flowd wrote its own is newer than both: it stays
//! until the next swap, or its undoing. What flowd wrote last stands in the Deployment's annotations, so that every flowd sees the same.

use std::collections::BTreeMap;

use routing::{ServiceName, Timestamp};
use serde_json::{Value, json};

/// The image that flowd wants.
const IMAGE: &str = "rexflow.io/image";
/// When it was swapped to it.
const SWAPPED: &str = "rexflow.io/swapped";

/// An image that a swap has put in the place of the model's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Swapped {
    /// What the container is made of.
    pub image: String,
    /// When that was said, milliseconds since 1970.
    pub at: Timestamp,
}

/// Images by service.
pub type Images = BTreeMap<ServiceName, Swapped>;

/// What flowd wants a container to be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub(super) image: &'a str,
    at: Option<Timestamp>,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(model: &'a str, swapped: Option<&'a Swapped>) -> Self {
        match swapped {
            Some(swapped) => Self { image: &swapped.image, at: Some(swapped.at) },
            None => Self { image: model, at: None },
        }
    }

    pub(super) fn annotations(&self) -> Value {
        match self.at {
            Some(at) => json!({IMAGE: self.image, SWAPPED: at.to_string()}),
            None => json!({IMAGE: self.image}),
        }
    }
}

/// How the pods of a Deployment are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rollout {
    /// `NAMESPACE/NAME`
    pub(crate) workload: String,
    /// What the container is made of.
    pub(crate) image: String,
    /// The swap that it has heard of last.
    pub(crate) at: Option<Timestamp>,
    /// Why it is not over; empty when no pod of an earlier template is left.
    pub(crate) lacks: String,
}

/// The Deployment `body` with the image that somebody has set in the cluster since flowd wrote `live`; `None` if nobody has.
#[cfg(feature = "kubernetes")]
pub(crate) fn keep(body: &Value, live: &Value) -> Option<Value> {
    let said = |it: &Value| [IMAGE, SWAPPED].map(|name| it["metadata"]["annotations"][name].clone());
    let (container, set) = (container(body)?, container(live)?);
    if said(body) != said(live) || container["image"] == set["image"] {
        return None;
    }
    let mut kept = body.clone();
    kept["spec"]["template"]["spec"]["containers"][0]["image"] = set["image"].clone();
    Some(kept)
}

/// The task's container; flowd knows of one alone, and what others have added has another name.
#[cfg(feature = "kubernetes")]
fn container(deployment: &Value) -> Option<&Value> {
    let name = &deployment["metadata"]["name"];
    deployment["spec"]["template"]["spec"]["containers"].as_array()?.iter().find(|it| it["name"] == *name)
}

/// What a task's container would be made of, in a pod that is made now.
#[cfg(feature = "kubernetes")]
pub(crate) fn image(live: &Value) -> Option<&str> {
    container(live)?["image"].as_str()
}

/// How far a Deployment is; `None` if it runs no task of ours.
#[cfg(feature = "kubernetes")]
pub(crate) fn rollout(live: &Value) -> Option<Rollout> {
    let annotations = &live["metadata"]["annotations"];
    annotations[IMAGE].as_str()?;
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let number = |it: &Value| it.as_i64().unwrap_or_default();
    let (metadata, status) = (&live["metadata"], &live["status"]);
    let wanted = live["spec"]["replicas"].as_i64().unwrap_or(1);
    let [updated, all, available] = ["updatedReplicas", "replicas", "availableReplicas"].map(|it| number(&status[it]));
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let stuck = conditions.clone().find(|it| it["type"] == "Progressing" && it["status"] == "False");
    let lacks = if number(&status["observedGeneration"]) < number(&metadata["generation"]) {
        "Kubernetes has not looked at it yet".to_owned()
    } else if updated < wanted || available < updated {
        let why = stuck.map(|it| format!(": {}", text(&it["message"]))).unwrap_or_default();
        format!("{available} of {wanted} pods are available, {updated} of them new{why}")
    } else if all > updated {
        format!("pods of an earlier template that are still there: {}", all - updated)
    } else {
        String::new()
    };
    Some(Rollout {
        workload: format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"])),
        image: text(&container(live)?["image"]),
        at: annotations[SWAPPED].as_str().and_then(|it| it.parse().ok()),
        lacks,
    })
}

#[cfg(all(test, feature = "kubernetes"))]
mod tests {
    use super::*;

    fn deployment(wanted: &Wanted<'_>, image: &str) -> Value {
        json!({
            "metadata": {"name": "pay", "namespace": "shop", "generation": 3, "annotations": wanted.annotations()},
            "spec": {"template": {"spec": {"containers": [{"name": "pay", "image": image}]}}},
        })
    }

    #[test]
    fn an_image_that_somebody_has_set_stays_until_the_next_swap() {
        let model = Wanted::of("pay:1", None);
        let ours = deployment(&model, "pay:1");
        assert_eq!(keep(&ours, &ours), None);
        let by_hand = deployment(&model, "pay:by-hand");
        assert_eq!(keep(&ours, &by_hand), Some(by_hand.clone()));
        let swapped = Swapped { image: "pay:1".to_owned(), at: 7 };
        let swap = deployment(&Wanted::of("pay:1", Some(&swapped)), "pay:1");
        assert_eq!(keep(&swap, &by_hand), None, "a swap is newer, also one to the model's image");
        assert_eq!(keep(&ours, &swap), None, "so is its undoing");
        let mut unknown = by_hand.clone();
        unknown["metadata"]["annotations"] = Value::Null;
        assert_eq!(keep(&ours, &unknown), None, "an older flowd has written no annotation");
    }

    #[test]
    fn a_rollout_is_over_when_no_pod_of_an_earlier_template_is_left() {
        let swapped = Swapped { image: "pay:2".to_owned(), at: 7 };
        let mut live = deployment(&Wanted::of("pay:1", Some(&swapped)), "pay:2");
        let mut at = |observed: i64, all: i64, updated: i64, available: i64| {
            live["status"] = json!({"observedGeneration": observed, "replicas": all, "updatedReplicas": updated,
                "availableReplicas": available});
            rollout(&live).unwrap()
        };
        assert!(at(2, 1, 1, 1).lacks.contains("not looked"));
        assert!(at(3, 1, 0, 1).lacks.contains("0 of them new"));
        assert!(at(3, 2, 1, 2).lacks.ends_with("still there: 1"));
        assert!(at(3, 1, 1, 0).lacks.starts_with("0 of 1 pods are available"));
        let over =
            Rollout { workload: "shop/pay".to_owned(), image: "pay:2".to_owned(), at: Some(7), lacks: String::new() };
        assert_eq!(at(3, 1, 1, 1), over);
        let mut stuck = live.clone();
        stuck["status"] = json!({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 0,
            "conditions": [{"type": "Progressing", "status": "False", "message": "it has timed out progressing"}]});
        assert!(rollout(&stuck).unwrap().lacks.ends_with("it has timed out progressing"));
        live["metadata"]["annotations"] = Value::Null;
        assert_eq!(rollout(&live), None);
    }
}
