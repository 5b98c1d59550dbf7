//! A Deployment gets the image that all of its pods run already, and none of them is replaced.
//!
//! The Deployment controller takes for its own the ReplicaSet whose template is the Deployment's, and rolls out when there is none. So while the
//! Deployment is paused both get the image, and when it goes on there is nothing to roll out. Were a ReplicaSet's template different in anything else,
//! the controller would make a new one, and that would be an ordinary rollout.

use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::super::objects::Key;
use super::super::{FIELD_MANAGER, watch};

/// Gives the image to the Deployment `live` of this key, and to the ReplicaSet that its pods are of.
pub(super) async fn adopt(client: &Client, key: &Key, live: &Value, image: &str) -> Result<(), kube::Error> {
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let template = json!({"spec": {"containers": [{"name": key.name, "image": image}]}});
    let deployments = watch::api(client, key);
    let paused = json!({"spec": {"paused": true, "template": template}});
    deployments.patch(&key.name, &parameters, &Patch::Strategic(&paused)).await?;
    let sets: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &key.namespace, &watch::resource("apps", "v1", "ReplicaSet"));
    let all = sets.list(&ListParams::default().labels(&format!("app={}", key.name))).await?.items;
    if let Some(set) = of(live, &all) {
        sets.patch(set, &parameters, &Patch::Strategic(&json!({"spec": {"template": template}}))).await?;
    }
    let goes_on = json!({"spec": {"paused": null}});
    deployments.patch(&key.name, &parameters, &Patch::Merge(&goes_on)).await?;
    tracing::info!(%key, image, "the Deployment has the image of its pods");
    Ok(())
}

/// The ReplicaSet that a Deployment's pods are of: the one of its newest revision.
fn of<'a>(live: &Value, sets: &'a [DynamicObject]) -> Option<&'a str> {
    let owned = |set: &&DynamicObject| {
        let owners = set.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|it| live["metadata"]["uid"] == it.uid)
    };
    let revision = |set: &&DynamicObject| {
        let annotations = set.metadata.annotations.as_ref();
        annotations.and_then(|it| it.get("deployment.kubernetes.io/revision")?.parse::<u64>().ok())
    };
    sets.iter().filter(owned).max_by_key(revision)?.metadata.name.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replica_set_of_the_newest_revision_is_taken_and_nobody_elses() {
        let set = |name: &str, owner: &str, revision: &str| -> DynamicObject {
            let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "pay", "uid": owner});
            let annotations = json!({"deployment.kubernetes.io/revision": revision});
            let metadata = json!({"name": name, "ownerReferences": [owner], "annotations": annotations});
            serde_json::from_value(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata}))
                .unwrap()
        };
        let live = json!({"metadata": {"uid": "a"}});
        let sets = [set("pay-1", "a", "9"), set("pay-2", "a", "10"), set("pay-3", "b", "11")];
        assert_eq!(of(&live, &sets), Some("pay-2"));
        assert_eq!(of(&json!({"metadata": {"uid": "c"}}), &sets), None);
    }
}
