//! Pods: what keeps them from running, which the webhook has missed, which are on their way out, and which are gone for good.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use kube::api::DeleteParams;
use kube::core::DynamicObject;
use kube::{Api, Client};
use routing::ServiceName;
use serde_json::Value;
use tokio::time::Instant;

use super::inject::{INJECT, INJECTED};
use super::objects::{Kind, Object};
use super::reconcile::Problems;
use super::{Settings, watch};
use crate::mesh::Mesh;

/// A pod that still has no sidecar so long after it was made was missed by the webhook, seconds.
const MISSED: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub(super) struct Pods {
    client: Client,
    settings: Settings,
    /// Pods without a sidecar, since when.
    bare: HashMap<String, Instant>,
}

impl Pods {
    pub(super) fn new(client: Client, settings: Settings) -> Self {
        Self { client, settings, bare: HashMap::new() }
    }

    /// The pods of this mesh.
    pub(super) async fn list(&self) -> Result<Vec<DynamicObject>, kube::Error> {
        let pods: Api<DynamicObject> = Api::all_with(self.client.clone(), &watch::resource("", "v1", "Pod"));
        Ok(pods.list(&watch::listed(&self.settings)).await?.items)
    }

    /// What keeps pods from running; pods that the webhook has missed are made anew.
    pub(super) async fn look(&mut self, pods: &[DynamicObject], wanted: &[Object], problems: &mut Problems) {
        let deployments = wanted.iter().filter(|it| it.key.kind == Kind::Deployment);
        let services: HashMap<(&str, &str), &BTreeSet<ServiceName>> =
            deployments.map(|it| ((it.key.namespace.as_str(), it.key.name.as_str()), &it.services)).collect();
        let mut bare = HashMap::new();
        for pod in pods {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let labels = pod.metadata.labels.clone().unwrap_or_default();
            let app = labels.get("app").map(String::as_str).unwrap_or_default();
            let Some(services) = services.get(&(namespace, app)) else { continue };
            if let Some(why) = trouble(&pod.data) {
                for service in services.iter() {
                    problems.insert(service.clone(), format!("pod {namespace}/{name} does not run: {why}"));
                }
            }
            let asks = labels.get(INJECT).is_some_and(|it| it == "true");
            if asks && !labels.contains_key(INJECTED) && pod.metadata.deletion_timestamp.is_none() {
                let id = format!("{namespace}/{name}");
                let since = self.bare.get(&id).copied().unwrap_or_else(Instant::now);
                let missing = "has no sidecar: the webhook was away when it was made; it is made anew";
                for service in services.iter() {
                    problems.insert(service.clone(), format!("pod {id} {missing}"));
                }
                if since.elapsed() >= MISSED {
                    tracing::warn!(pod = id, "the pod has no sidecar; deleted so that it is made anew");
                    let own: Api<DynamicObject> =
                        Api::namespaced_with(self.client.clone(), namespace, &watch::resource("", "v1", "Pod"));
                    let _ = own.delete(name, &DeleteParams::default()).await;
                }
                bare.insert(id, since);
            }
        }
        self.bare = bare;
    }

    /// Tells the mesh which pods go and which are gone.
    pub(super) async fn follow(&self, mesh: &Mesh) -> Result<(), kube::Error> {
        let slices: Api<DynamicObject> = Api::all_with(self.client.clone(), &watch::slices());
        let slices = slices.list(&watch::listed(&self.settings)).await?.items;
        mesh.pods_going(&slices.iter().flat_map(|it| terminating(&it.data)).collect());
        for (incarnation, pod) in mesh.away() {
            let pods: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &pod.namespace, &watch::resource("", "v1", "Pod"));
            if is_gone(pods.get_opt(&pod.name).await?.as_ref(), &pod.uid) {
                mesh.pod_gone(incarnation, &pod);
            }
        }
        Ok(())
    }
}

/// The UIDs of the pods of an EndpointSlice that are on their way out.
fn terminating(slice: &Value) -> impl Iterator<Item = String> {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    let going = endpoints.filter(|it| it["conditions"]["terminating"] == true);
    going.filter_map(|it| Some(it["targetRef"]["uid"].as_str()?.to_owned()))
}

/// Whether the pod with this UID runs nothing any more, whatever else has its name by now.
fn is_gone(found: Option<&DynamicObject>, uid: &str) -> bool {
    let Some(found) = found.filter(|it| it.metadata.uid.as_deref() == Some(uid)) else { return true };
    // all of its containers have ended, and none is started again
    matches!(found.data["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Why a pod does not run, if it is in trouble.
fn trouble(pod: &Value) -> Option<String> {
    let status = &pod["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let unscheduled = conditions.clone().find(|it| it["type"] == "PodScheduled" && it["status"] == "False");
    if let Some(message) = unscheduled.and_then(|it| it["message"].as_str()) {
        return Some(message.to_owned());
    }
    let containers = ["initContainerStatuses", "containerStatuses"];
    let containers = containers.iter().flat_map(|list| status[*list].as_array().into_iter().flatten());
    for container in containers {
        let waiting = &container["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        if matches!(reason, "" | "PodInitializing" | "ContainerCreating") {
            continue;
        }
        let (name, image) = (&container["name"], &container["image"]);
        let message = waiting["message"].as_str().unwrap_or_default();
        let last = container["lastState"]["terminated"]["exitCode"].as_i64();
        let last = last.map(|code| format!("; it ended with {code}")).unwrap_or_default();
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        return Some(format!("container {} ({}): {reason}{last}: {message}", text(name), text(image)));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_trouble_of_a_pod_is_told_with_its_container() {
        let waiting = |reason: &str| {
            json!({"status": {"containerStatuses": [
                {"name": "collect", "image": "img:1", "state": {"waiting": {"reason": reason, "message": "no such image"}}},
            ]}})
        };
        let told = trouble(&waiting("ImagePullBackOff")).unwrap();
        assert_eq!(told, "container collect (img:1): ImagePullBackOff: no such image");
        assert_eq!(trouble(&waiting("ContainerCreating")), None);
        let unscheduled = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: insufficient cpu"},
        ]}});
        assert!(trouble(&unscheduled).unwrap().contains("insufficient cpu"));
        assert_eq!(trouble(&json!({})), None);
    }

    #[test]
    fn pods_on_their_way_out_are_those_that_terminate() {
        let slice = json!({"endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false}, "targetRef": {"uid": "a"}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": true, "serving": true, "terminating": true}, "targetRef": {"uid": "b"}},
            {"addresses": ["10.0.0.3"], "conditions": {"terminating": true}},
            {"addresses": ["10.0.0.4"], "targetRef": {"uid": "d"}},
        ]});
        assert_eq!(terminating(&slice).collect::<Vec<_>>(), ["b"]);
        assert_eq!(terminating(&json!({"endpoints": null})).count(), 0);
    }

    #[test]
    fn a_pod_is_gone_when_it_is_not_there_when_another_has_its_name_or_when_it_has_ended() {
        let pod = |uid: &str, phase: &str| -> DynamicObject {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pay-0", "uid": uid}, "status": {"phase": phase}});
            serde_json::from_value(pod).unwrap()
        };
        assert!(is_gone(None, "a"));
        assert!(is_gone(Some(&pod("b", "Running")), "a"), "a StatefulSet gives its names again");
        assert!(is_gone(Some(&pod("a", "Failed")), "a"), "evicted");
        assert!(!is_gone(Some(&pod("a", "Running")), "a"));
        assert!(!is_gone(Some(&pod("a", "Unknown")), "a"), "its node is away: it may run");
    }
}
