//! Brings the CA to where sidecars find it: a ConfigMap in every namespace whose pods have sidecars of this mesh.
//!
//! It belongs to the webhook's configuration, so that it goes with the installation. Read and written by its name alone: flowd may see no other
//! ConfigMap.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use routing::Digest;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{FIELD_MANAGER, MANAGED_BY, MANAGER, MESH, Settings, watch};

/// It is written anew after so long, in case somebody has changed it.
const STALE: Duration = Duration::from_secs(300);

/// See the module's documentation.
pub(super) struct Trust {
    client: Client,
    settings: Settings,
    written: BTreeMap<String, (Digest, Instant)>,
    /// Namespaces where an earlier flowd may have left one.
    unknown: Option<BTreeSet<String>>,
}

impl Trust {
    pub(super) fn new(client: Client, settings: Settings) -> Self {
        Self { client, settings, written: BTreeMap::new(), unknown: None }
    }

    /// `bundle` is in all `wanted` namespaces, and of `all` that there are in no other.
    pub(super) async fn bring(
        &mut self,
        wanted: &BTreeSet<String>,
        all: &BTreeSet<String>,
        bundle: &str,
    ) -> Result<(), kube::Error> {
        let digest = Digest::of(bundle.as_bytes());
        let due = |it: &&String| {
            let written = self.written.get(*it);
            written.is_none_or(|(of, at)| *of != digest || at.elapsed() >= STALE)
        };
        let due: Vec<&String> = wanted.intersection(all).filter(due).collect();
        if !due.is_empty() {
            let owner = self.owner().await?;
            for namespace in due {
                self.write(namespace, bundle, owner.as_ref()).await?;
                self.written.insert(namespace.clone(), (digest, Instant::now()));
            }
        }
        let unknown = self.unknown.get_or_insert_with(|| all.clone());
        unknown.retain(|it| !wanted.contains(it));
        let gone: Vec<String> = self.written.keys().filter(|it| !wanted.contains(*it)).cloned().collect();
        unknown.extend(gone);
        while let Some(namespace) = self.unknown.as_ref().and_then(|it| it.first().cloned()) {
            self.remove(&namespace).await?;
            self.written.remove(&namespace);
            self.unknown.iter_mut().for_each(|it| {
                it.remove(&namespace);
            });
        }
        Ok(())
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &watch::resource("", "v1", "ConfigMap"))
    }

    async fn write(&self, namespace: &str, bundle: &str, owner: Option<&Value>) -> Result<(), kube::Error> {
        let name = self.settings.ca();
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": name, "namespace": namespace,
                "labels": {MANAGED_BY: MANAGER, MESH: self.settings.mesh},
                "ownerReferences": owner.into_iter().collect::<Vec<_>>(),
            },
            "data": {"ca.crt": bundle},
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        match self.api(namespace).patch(&name, &parameters, &Patch::Apply(&body)).await {
            Ok(_) => Ok(()),
            // it is going, or is gone already
            Err(error) if watch::is_status(&error, 403) || watch::is_status(&error, 404) => {
                tracing::debug!(namespace, error = watch::reason(&error), "the CA cannot be written there");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn remove(&self, namespace: &str) -> Result<(), kube::Error> {
        match self.api(namespace).delete(&self.settings.ca(), &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(error) if watch::is_status(&error, 404) || watch::is_status(&error, 403) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Of no namespace, so that it may own what is in any.
    async fn owner(&self) -> Result<Option<Value>, kube::Error> {
        let resource = watch::resource("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration");
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let there = all.get_opt(&super::certificates::injector(&self.settings.mesh)).await?;
        Ok(there.map(|it| {
            json!({
                "apiVersion": resource.api_version, "kind": resource.kind,
                "name": it.metadata.name, "uid": it.metadata.uid,
            })
        }))
    }
}
