//! Brings an installation to what the chart says: all of it, or nothing when the API server refuses a part.

use std::time::Duration;

use control_plane::kubernetes::MANAGED_BY;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kinds::{GATEWAY_API, KINDS, Kind};
use super::{INSTALLATION, MANAGER, VALUES, flowd, manager, named};
use crate::cluster::{Cluster, Error, text};
use crate::exit::{Exit, Failure};
use crate::output::install::{Change, What};

/// From one look to the next while something is waited for.
const PERIOD: Duration = Duration::from_millis(500);

/// Keeps what was asked for beside flowd, for the next upgrade.
pub(crate) fn remember(objects: &mut [Value], asked: &Value) {
    let nothing = asked.as_object().is_none_or(serde_json::Map::is_empty);
    for flowd in objects.iter_mut().filter(|it| it["kind"] == "StatefulSet" && !nothing) {
        flowd["metadata"]["annotations"][VALUES] = Value::String(asked.to_string());
    }
}

/// Brings `namespace` to the objects, and removes what an earlier version had beside them.
///
/// # Errors
/// When an object is somebody else's, the cluster does not know its kind, or the API server refuses it; then nothing is changed, but that the
/// namespace is there.
pub(crate) async fn bring(cluster: &Cluster, namespace: &str, objects: &[Value]) -> anyhow::Result<Vec<Change>> {
    let mut steps = steps(namespace, objects)?;
    steps.sort_by_key(|(order, ..)| *order);
    let mut changes = vec![make_namespace(cluster, namespace).await?];
    let mut before = Vec::new();
    for (_, path, object) in &steps {
        before.push(examine(cluster, path, object, namespace).await?);
    }
    for ((_, path, object), before) in steps.iter().zip(before) {
        let after = cluster.apply(path, object, false).await.map_err(|error| refused(error, object, namespace))?;
        let what = match before {
            None => What::Created,
            Some(version) if version == text(&after["metadata"]["resourceVersion"]) => What::Unchanged,
            Some(_) => What::Changed,
        };
        changes.push(Change::new(what, named(object)));
    }
    let wanted: Vec<&str> = steps.iter().map(|(_, path, _)| path.as_str()).collect();
    changes.extend(remove(cluster, namespace, |path| !wanted.contains(&path)).await?);
    Ok(changes)
}

/// Each object with its place in the order and where it is in the cluster.
fn steps<'a>(namespace: &str, objects: &'a [Value]) -> anyhow::Result<Vec<(usize, String, &'a Value)>> {
    let step = |object: &'a Value| {
        let (order, kind) = Kind::of(object)
            .ok_or_else(|| anyhow::anyhow!("the chart makes {}, a kind that flowctl does not know", named(object)))?;
        Ok((order, format!("{}/{}", kind.path(namespace), text(&object["metadata"]["name"])), object))
    };
    objects.iter().map(step).collect()
}

async fn make_namespace(cluster: &Cluster, namespace: &str) -> anyhow::Result<Change> {
    let what = match cluster.get(&format!("/api/v1/namespaces/{namespace}")).await {
        // who may not look may still install into it
        Ok(Some(_)) | Err(Error::Forbidden(_)) => What::Unchanged,
        Ok(None) => {
            let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            cluster.create("/api/v1/namespaces", &made).await.map_err(|error| refused(error, &made, namespace))?;
            What::Created
        }
        Err(error) => return Err(Failure::from(error).into()),
    };
    Ok(Change::new(what, format!("namespace/{namespace}")))
}

/// The version of the object that is there, if one is; it must be ours, and the API server must take the new one.
async fn examine(cluster: &Cluster, path: &str, object: &Value, namespace: &str) -> anyhow::Result<Option<String>> {
    let found = cluster.get(path).await.map_err(|error| refused(error, object, namespace))?;
    if let Some(found) = &found {
        ours(found, object, namespace)?;
    }
    cluster.apply(path, object, true).await.map_err(|error| refused(error, object, namespace))?;
    Ok(found.map(|it| text(&it["metadata"]["resourceVersion"]).to_owned()))
}

fn ours(found: &Value, object: &Value, namespace: &str) -> anyhow::Result<()> {
    let hint = match manager(found) {
        MANAGER => return Ok(()),
        _ if object["kind"] == "CustomResourceDefinition" => {
            "--set workflows.crd=false leaves it to whoever made it".to_owned()
        }
        "Helm" => format!("it was installed by Helm: helm upgrade rexflow deploy/istio -n {namespace}"),
        "" => "delete it, or install into another namespace with -n".to_owned(),
        other => format!("it is managed by {other}; install into another namespace with -n"),
    };
    Err(Failure::new(
        Exit::Error,
        format!("there is a {} in {namespace} already that flowctl has not made", named(object)),
    )
    .hint(hint)
    .into())
}

/// What the API server says about an object, and what to do.
fn refused(error: Error, object: &Value, namespace: &str) -> Failure {
    let hint = match &error {
        Error::Unknown(_) if text(&object["apiVersion"]).contains("istio.io") => {
            "the cluster has no Istio: install it, or --set orchestrator=kubernetes".to_owned()
        }
        Error::Unknown(_) if text(&object["apiVersion"]).contains("monitoring.coreos.com") => {
            "the cluster has no Prometheus operator: leave serviceMonitor and observability off".to_owned()
        }
        Error::Unknown(_) if text(&object["apiVersion"]).starts_with(GATEWAY_API) => {
            "the cluster has no Gateway API (v1): install its CRDs and a gateway, or leave gateway.create and gateway.grpc.host off".to_owned()
        }
        Error::Refused(why) if object["kind"] == "StatefulSet" && why.contains("updates to statefulset spec") => {
            format!(
                "that cannot be changed in place; pods and volumes stay with: kubectl -n {namespace} delete statefulset flowd --cascade=orphan, \
             then upgrade again"
            )
        }
        other => other.fix().to_owned(),
    };
    Failure::new(Exit::Error, format!("{}: {error}", named(object))).hint(hint)
}

/// Removes the installation's objects that `goes` says of; the last made ones first.
pub(super) async fn remove(
    cluster: &Cluster,
    namespace: &str,
    goes: impl Fn(&str) -> bool,
) -> Result<Vec<Change>, Failure> {
    let mut changes = Vec::new();
    let ours = format!("{MANAGED_BY}={MANAGER},{INSTALLATION}={namespace}");
    for kind in KINDS.into_iter().rev().filter(|it| it.plural != "customresourcedefinitions") {
        let found = match cluster.labelled(&kind.path(namespace), &ours).await {
            // whoever may not list them has not made any
            Err(Error::Forbidden(_)) => continue,
            other => other.map_err(Failure::from)?,
        };
        for object in found {
            let name = text(&object["metadata"]["name"]).to_owned();
            let path = format!("{}/{name}", kind.path(namespace));
            if goes(&path) && cluster.delete(&path).await.map_err(Failure::from)? {
                changes.push(Change::new(What::Deleted, format!("{}/{name}", kind.word())));
            }
        }
    }
    Ok(changes)
}

/// Until all flowds of the new version are ready and pods get sidecars.
///
/// # Errors
/// When that is not so within `within`; the error says what is lacking.
pub(crate) async fn wait(cluster: &Cluster, namespace: &str, within: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let lacking = lacking(cluster, namespace).await;
        let Some(lacking) = lacking else { return Ok(()) };
        if Instant::now() >= deadline {
            let message = format!("not ready within {} s: {lacking}", within.as_secs());
            return Err(Failure::new(Exit::TimedOut, message).hint(format!("flowctl check -n {namespace}")).into());
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// What is lacking still; an API server that does not answer is, too.
async fn lacking(cluster: &Cluster, namespace: &str) -> Option<String> {
    let found = flowd(cluster, namespace).await;
    let hook = format!("{}/flow-sidecar-injector.{namespace}", KINDS[KINDS.len() - 1].path(""));
    let hook = cluster.get(&hook).await;
    match (found, hook) {
        (Ok(Some(flowd)), Ok(Some(hook))) => unready(&flowd).or_else(|| untrusted(&hook)),
        (Ok(None), _) => Some("there is no flowd".to_owned()),
        (_, Ok(None)) => Some("there is no webhook".to_owned()),
        (Err(error), _) | (_, Err(error)) => Some(error.to_string()),
    }
}

/// How many flowds of the newest version are ready, unless all are.
fn unready(flowd: &Value) -> Option<String> {
    let (spec, status) = (&flowd["spec"], &flowd["status"]);
    let number = |it: &Value| it.as_u64().unwrap_or(0);
    if number(&status["observedGeneration"]) < number(&flowd["metadata"]["generation"]) {
        return Some("the change of flowd was not taken up yet".to_owned());
    }
    let wanted = spec["replicas"].as_u64().unwrap_or(1);
    let (ready, updated) = (number(&status["readyReplicas"]), number(&status["updatedReplicas"]));
    (ready < wanted || updated < wanted)
        .then(|| format!("{ready} of {wanted} flowds are ready, {updated} have the new version"))
}

fn untrusted(hook: &Value) -> Option<String> {
    let mut hooks = hook["webhooks"].as_array().into_iter().flatten();
    let none = hooks.any(|it| text(&it["clientConfig"]["caBundle"]).is_empty());
    none.then(|| "flowd has not told the API server its CA yet: no pod gets a sidecar".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_made_is_not_taken_over() {
        let of = |manager: &str| json!({"kind": "Service", "metadata": {"name": "flowd", "labels": {"app.kubernetes.io/managed-by": manager}}});
        assert!(ours(&of("flowctl"), &of(""), "x").is_ok());
        for (manager, hint) in [("Helm", "helm upgrade"), ("", "delete it"), ("argo", "managed by argo")] {
            let error = ours(&of(manager), &of(""), "x").unwrap_err();
            assert!(crate::exit::hint_of(&error).contains(hint), "{error}");
            assert!(error.to_string().contains("service/flowd in x already"), "{error}");
        }
        let crd = json!({"kind": "CustomResourceDefinition", "metadata": {"name": "workflows.rexflow.io"}});
        let error = ours(&of("Helm"), &crd, "x").unwrap_err();
        assert!(crate::exit::hint_of(&error).contains("workflows.crd=false"), "{error}");
    }

    #[test]
    fn a_flowd_is_ready_when_all_of_its_new_version_are() {
        let of = |observed: u64, ready: u64, updated: u64| {
            json!({
                "metadata": {"generation": 2}, "spec": {"replicas": 2},
                "status": {"observedGeneration": observed, "readyReplicas": ready, "updatedReplicas": updated},
            })
        };
        assert_eq!(unready(&of(2, 2, 2)), None);
        assert!(unready(&of(1, 2, 2)).unwrap().contains("not taken up"));
        assert!(unready(&of(2, 1, 2)).unwrap().contains("1 of 2 flowds are ready"));
        assert!(unready(&of(2, 2, 1)).unwrap().contains("1 have the new version"));
    }

    #[test]
    fn what_was_asked_for_is_remembered_and_nothing_else() {
        let mut objects = [json!({"kind": "Service", "metadata": {}}), json!({"kind": "StatefulSet", "metadata": {}})];
        remember(&mut objects, &json!({}));
        assert_eq!(objects[1], json!({"kind": "StatefulSet", "metadata": {}}));
        remember(&mut objects, &json!({"replicas": 2}));
        assert_eq!(objects[0], json!({"kind": "Service", "metadata": {}}));
        assert_eq!(super::super::values::kept(&objects[1]), json!({"replicas": 2}));
    }

    #[test]
    fn what_the_cluster_does_not_know_says_what_to_install() {
        let policy =
            json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "flowd"}});
        let failure = refused(Error::Unknown("the server could not find the requested resource".into()), &policy, "x");
        assert!(failure.hint.contains("orchestrator=kubernetes"), "{failure:?}");
        let route =
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "flowd"}});
        let failure = refused(Error::Unknown("the server could not find the requested resource".into()), &route, "x");
        assert!(failure.hint.contains("no Gateway API"), "{failure:?}");
        let set = json!({"kind": "StatefulSet", "metadata": {"name": "flowd"}});
        let failure =
            refused(Error::Refused("Forbidden: updates to statefulset spec for fields other than".into()), &set, "x");
        assert!(failure.hint.contains("--cascade=orphan"), "{failure:?}");
    }
}
