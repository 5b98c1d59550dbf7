//! What an installation needs.

use serde_json::Value;

use super::{Verdict, Wrong, line};
use crate::cluster::{Cluster, text};
use crate::install::kinds::KINDS;
use crate::output::check::Finding;

const SECTION: &str = "cluster";
/// Native sidecars are on by default from this minor version of Kubernetes on.
const LEAST_MINOR: u64 = 29;
/// Istio makes its proxies native sidecars by itself from this minor version on.
const NATIVE_ISTIO: u64 = 27;
/// Kinds that not every installation makes.
const OPTIONAL: [&str; 2] = ["monitoring.coreos.com", "security.istio.io"];

/// What the installation asks of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) istio: bool,
    /// The proxies encrypt the hops.
    pub(crate) mesh: bool,
    /// A volume of this class, or of the default one if it is empty.
    pub(crate) volume: Option<String>,
    /// The Gateway that ways in are reached through, by namespace (empty: flowd's) and name.
    pub(crate) gateway: Option<(String, String)>,
}

impl Wanted {
    /// By the chart's values.
    pub(crate) fn of(values: &Value) -> Self {
        let store = &values["store"];
        let own = text(&store["etcd"]).is_empty() && store["persistence"]["enabled"] == true;
        let istio = values["orchestrator"] == "istio";
        Self {
            istio,
            mesh: istio && values["hop"]["tls"] != "own",
            volume: own.then(|| text(&store["persistence"]["storageClass"]).to_owned()),
            gateway: named(text(&values["gateway"]["namespace"]), text(&values["gateway"]["name"])),
        }
    }

    /// By the flowd that is there.
    pub(crate) fn by(flowd: &Value) -> Self {
        let istio = environment(flowd, "FLOW_ORCHESTRATOR") == "istio";
        let claim = flowd["spec"]["volumeClaimTemplates"].get(0);
        Self {
            istio,
            mesh: istio && environment(flowd, "FLOW_HOP_TLS") != "own",
            volume: claim.map(|it| text(&it["spec"]["storageClassName"]).to_owned()),
            gateway: environment(flowd, "FLOW_GATEWAY").split_once('/').and_then(|(space, name)| named(space, name)),
        }
    }
}

fn named(namespace: &str, name: &str) -> Option<(String, String)> {
    (!name.is_empty()).then(|| (namespace.to_owned(), name.to_owned()))
}

/// What flowd's container has in its environment; empty if it is not there.
pub(super) fn environment<'a>(flowd: &'a Value, name: &str) -> &'a str {
    let mut all = flowd["spec"]["template"]["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
    all.find(|it| it["name"] == name).map_or("", |it| text(&it["value"]))
}

/// Looks at the cluster.
pub(crate) async fn look(cluster: &Cluster, namespace: &str, wanted: &Wanted) -> Vec<Finding> {
    let mut lines = vec![line(SECTION, "the API server answers, and is new enough", version(cluster).await)];
    if lines[0].is_failed() {
        return lines;
    }
    lines.push(line(SECTION, "you may install", rights(cluster, namespace, wanted.istio).await));
    if wanted.istio {
        lines.push(line(SECTION, "Istio's policies are known", policies(cluster).await));
        lines.push(line(SECTION, "istiod is ready, and its proxies are native sidecars", istiod(cluster).await));
    }
    lines.push(line(SECTION, "the Gateway API is there", api(cluster, wanted).await));
    if let Some(class) = &wanted.volume {
        lines.push(line(SECTION, "flowd's volume can be made", storage(cluster, class).await));
    }
    lines
}

async fn version(cluster: &Cluster) -> Verdict {
    let found = cluster.get("/version").await.map_err(|error| Wrong::failed(error.to_string(), error.fix()))?;
    is_new_enough(&found.unwrap_or_default())
}

/// A number in a version, as `29+` has one.
fn number(text: &str) -> Option<u64> {
    text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

fn is_new_enough(version: &Value) -> Verdict {
    let said = text(&version["gitVersion"]);
    match (number(text(&version["major"])), number(text(&version["minor"]))) {
        (Some(1), Some(minor)) if minor < LEAST_MINOR => Err(Wrong::failed(
            format!("{said} has no native sidecars"),
            format!("upgrade to Kubernetes 1.{LEAST_MINOR} or newer"),
        )),
        (Some(_), Some(_)) => Ok(said.to_owned()),
        _ => Err(Wrong::failed(
            format!("it says no version: {version}"),
            "look whether the kubeconfig names a Kubernetes API server",
        )),
    }
}

async fn rights(cluster: &Cluster, namespace: &str, istio: bool) -> Verdict {
    let mut missing = Vec::new();
    let kinds =
        KINDS.into_iter().filter(|it| !OPTIONAL.contains(&it.group) || (istio && it.group == "security.istio.io"));
    for kind in kinds.filter(|it| it.plural != "customresourcedefinitions") {
        let within = if kind.namespaced { namespace } else { "" };
        for verb in ["create", "patch"] {
            if !cluster.may(verb, kind.group, kind.plural, within).await? {
                missing.push(format!("{verb} {}", kind.plural));
            }
        }
    }
    may_all(&missing, namespace)
}

fn may_all(missing: &[String], namespace: &str) -> Verdict {
    let Some(first) = missing.first() else { return Ok(String::new()) };
    let fix = format!("have somebody install it who may; `kubectl auth can-i {first} -n {namespace}` must say yes");
    // whoever only looks after an installed mesh needs none of it
    Err(Wrong::warning(format!("you may not {}", super::shortened(missing)), fix))
}

async fn policies(cluster: &Cluster) -> Verdict {
    let known = cluster.get("/apis/security.istio.io/v1").await?.unwrap_or_default();
    let resources: Vec<&str> =
        known["resources"].as_array().into_iter().flatten().filter_map(|it| it["name"].as_str()).collect();
    let missing: Vec<&str> =
        ["authorizationpolicies", "peerauthentications"].into_iter().filter(|it| !resources.contains(it)).collect();
    if missing.is_empty() {
        return Ok("security.istio.io/v1".to_owned());
    }
    Err(Wrong::failed(
        format!("the API server does not know {} of security.istio.io/v1", missing.join(", ")),
        "install Istio 1.22 or newer (`istioctl install`), or the mesh with --set orchestrator=kubernetes",
    ))
}

async fn istiod(cluster: &Cluster) -> Verdict {
    is_ready(&cluster.labelled("/apis/apps/v1/deployments", "app=istiod").await?)
}

fn is_ready(istiods: &[Value]) -> Verdict {
    let name = |it: &Value| format!("{}/{}", text(&it["metadata"]["namespace"]), text(&it["metadata"]["name"]));
    match istiods.iter().find(|it| it["status"]["readyReplicas"].as_u64().unwrap_or(0) > 0) {
        Some(ready) => is_native(ready, &name(ready)),
        None if istiods.is_empty() => Err(Wrong::failed(
            "there is no Deployment with the label app=istiod",
            "install Istio (`istioctl install`), or the mesh with --set orchestrator=kubernetes",
        )),
        None => {
            let fix = format!("kubectl -n {} describe pod -l app=istiod", text(&istiods[0]["metadata"]["namespace"]));
            Err(Wrong::failed(format!("no replica of {} is ready", name(&istiods[0])), fix))
        }
    }
}

/// By istiod's own word, else by the version in its image.
fn is_native(istiod: &Value, name: &str) -> Verdict {
    let container = &istiod["spec"]["template"]["spec"]["containers"][0];
    let version = tag(text(&container["image"]));
    let mut env = container["env"].as_array().into_iter().flatten();
    let said = env.find(|it| it["name"] == "ENABLE_NATIVE_SIDECARS").map(|it| it["value"] == "true");
    let mut numbers = version.split('.').map(number);
    let new = match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(1), Some(minor)) => Some(minor >= NATIVE_ISTIO),
        _ => None,
    };
    match said.or(new) {
        Some(true) => Ok(format!("{name} {version}, native")),
        Some(false) => Err(Wrong::warning(
            format!(
                "{name} {version} makes ordinary containers: a pod's last hops may find its proxy gone, its first ones not there yet"
            ),
            "set ENABLE_NATIVE_SIDECARS=true in istiod's environment (values.pilot.env), and restart the pods",
        )),
        None => Ok(format!("{name} {version}")),
    }
}

/// The tag of an image; empty if it has none.
pub(super) fn tag(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split_once(':').map_or("", |(_, tag)| tag)
}

async fn api(cluster: &Cluster, wanted: &Wanted) -> Verdict {
    has_routes(&cluster.get("/apis/gateway.networking.k8s.io/v1").await?.unwrap_or_default(), wanted.gateway.is_some())
}

fn has_routes(known: &Value, wanted: bool) -> Verdict {
    let mut resources = known["resources"].as_array().into_iter().flatten();
    if resources.any(|it| it["name"] == "httproutes") {
        return Ok(text(&known["groupVersion"]).to_owned());
    }
    let missing = "no HTTPRoutes: start events cannot be reached from outside by the cluster's gateway";
    Err(match wanted {
        true => {
            Wrong::failed(missing, "install the Gateway API's CRDs (v1) and a gateway, or leave gateway.name empty")
        }
        false => Wrong::skipped(missing, "install the Gateway API's CRDs and a gateway, if that is wanted"),
    })
}

async fn storage(cluster: &Cluster, class: &str) -> Verdict {
    has_class(&cluster.list("/apis/storage.k8s.io/v1/storageclasses").await?, class)
}

fn has_class(classes: &[Value], wanted: &str) -> Verdict {
    let name = |it: &Value| text(&it["metadata"]["name"]).to_owned();
    let is = |it: &&Value| match wanted {
        "" => it["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true",
        wanted => name(it) == wanted,
    };
    let missing = || {
        if wanted.is_empty() {
            "no storage class is the default one".to_owned()
        } else {
            format!("there is no storage class {wanted}")
        }
    };
    classes.iter().find(is).map(name).ok_or_else(|| {
        Wrong::warning(
            format!("{}: flowd waits until somebody makes its volume", missing()),
            "--set store.persistence.storageClass=NAME, --set store.etcd=etcd://HOST:2379/rexflow or, to try it out, --set store.persistence.enabled=false",
        )
    })
}

#[cfg(test)]
mod tests;
