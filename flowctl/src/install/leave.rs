//! Takes an installation away, and says what stays: what holds data, and what runs.

use control_plane::kubernetes::{MANAGED_BY, MANAGER, MESH};
use serde_json::Value;

use super::bring::remove;
use super::kinds::GATEWAY_API;
use super::{FLOWD, flowd};
use crate::cluster::{Cluster, Error, text};
use crate::exit::{Exit, Failure};
use crate::output::install::{Change, What};

/// Removes what `install` has made in `namespace`.
///
/// # Errors
/// When there is nothing of ours, or the API server refuses.
pub(crate) async fn leave(cluster: &Cluster, namespace: &str) -> anyhow::Result<Vec<Change>> {
    let found = flowd(cluster, namespace).await.map_err(Failure::from)?;
    if found.is_some_and(|it| super::manager(&it) == "Helm") {
        let failure = Failure::new(Exit::Error, format!("flowd in {namespace} was installed by Helm"));
        return Err(failure.hint(format!("helm uninstall rexflow -n {namespace}")).into());
    }
    let mut changes = remove(cluster, namespace, |_| true).await?;
    if changes.is_empty() {
        let failure =
            Failure::new(Exit::NotFound, format!("there is no installation of flowctl's in the namespace {namespace}"));
        return Err(failure.hint("name its namespace with -n; `kubectl get statefulset -A -l app.kubernetes.io/part-of=rexflow` finds it").into());
    }
    changes.extend(left(cluster, namespace).await.map_err(Failure::from)?);
    Ok(changes)
}

/// What is not ours to take away.
async fn left(cluster: &Cluster, namespace: &str) -> Result<Vec<Change>, Error> {
    let mut left = Vec::new();
    let mut stays = |what: String, note: String| left.push(Change { note, ..Change::new(What::Left, what) });
    let name = |it: &Value| text(&it["metadata"]["name"]).to_owned();
    let kept = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims");
    for claim in seen(cluster.labelled(&kept, FLOWD).await)? {
        let name = name(&claim);
        stays(
            format!("persistentvolumeclaim/{name}"),
            format!("what flowd knows; kubectl -n {namespace} delete pvc {name}"),
        );
    }
    if let Ok(Some(_)) = cluster.get(&format!("/api/v1/namespaces/{namespace}/secrets/flowd-ca")).await {
        stays("secret/flowd-ca".into(), format!("the CA of the mesh; kubectl -n {namespace} delete secret flowd-ca"));
    }
    let selector = format!("{MANAGED_BY}={MANAGER},{MESH}={namespace}");
    let running = seen(cluster.labelled("/apis/apps/v1/deployments", &selector).await)?;
    if !running.is_empty() {
        let note = format!("tasks of applied processes, which run on; kubectl delete deploy,svc,sa -A -l {selector}");
        stays(format!("{} deployments", running.len()), note);
    }
    let routes = format!("/apis/{GATEWAY_API}/v1/namespaces/{namespace}/httproutes");
    let routes = seen(cluster.labelled(&routes, &selector).await)?;
    if !routes.is_empty() {
        let note = format!(
            "ways in to applied processes, with nobody behind; kubectl -n {namespace} delete httproute -l {selector}"
        );
        stays(format!("{} httproutes", routes.len()), note);
    }
    for space in seen(cluster.labelled("/api/v1/namespaces", &selector).await)? {
        let name = name(&space);
        stays(format!("namespace/{name}"), format!("of an applied process; kubectl delete namespace {name}"));
    }
    for definition in seen(cluster.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").await)? {
        if definition["spec"]["group"] == "rexflow.io" {
            let name = name(&definition);
            stays(
                format!("customresourcedefinition/{name}"),
                format!("and all objects of its kind; kubectl delete crd {name}"),
            );
        }
    }
    stays(format!("namespace/{namespace}"), format!("kubectl delete namespace {namespace}"));
    Ok(left)
}

/// What may not be looked at is left, too, but nobody can say what it is.
fn seen(found: Result<Vec<Value>, Error>) -> Result<Vec<Value>, Error> {
    match found {
        Err(Error::Forbidden(_)) => Ok(Vec::new()),
        other => other,
    }
}
