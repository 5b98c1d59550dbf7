//! Pods get their sidecars: the webhook, the namespaces that ask for it, and what is in them.

use control_plane::kubernetes::container::NAME as SIDECAR;
use control_plane::kubernetes::inject::{INJECT, INJECTED, INJECTION};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::before::environment;
use super::super::{Verdict, Wrong, line, shortened};
use crate::cluster::{Cluster, Error, text};
use crate::output::check::Finding;

const SECTION: &str = "injection";
/// Namespaces whose pods are looked at; of more, the first ones.
const MAX_NAMESPACES: usize = 200;
/// A CA that has less of its life left is one that nobody renews: the next one is made at two thirds of it.
const LEAST_LEFT: f64 = 0.1;

/// The webhook's configuration, if there is one.
pub(super) async fn configuration(cluster: &Cluster, mesh: &str) -> Result<Option<Value>, Error> {
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    cluster.get(&format!("{path}/flow-sidecar-injector.{mesh}")).await
}

/// Looks at the webhook `hook` of the flowd `set`, which `answers` or not.
pub(super) async fn look(
    cluster: &Cluster,
    mesh: &str,
    set: &Value,
    hook: Result<Option<Value>, Error>,
    answers: bool,
    lines: &mut Vec<Finding>,
) {
    let hook = match hook {
        Ok(hook) => hook,
        Err(error) => return lines.push(line(SECTION, "the API server knows the webhook", Err(error.into()))),
    };
    lines.push(line(SECTION, "the API server trusts the webhook", trusted(hook.as_ref(), Timestamp::now())));
    let policy = hook.as_ref().map_or("", |it| text(&it["webhooks"][0]["failurePolicy"])).to_owned();
    lines.push(line(SECTION, "flowd answers it", answered(answers, &policy, mesh)));
    let namespaces = match cluster.labelled("/api/v1/namespaces", &format!("{INJECTION}=enabled")).await {
        Ok(found) => {
            found.iter().map(|it| text(&it["metadata"]["name"]).to_owned()).take(MAX_NAMESPACES).collect::<Vec<_>>()
        }
        Err(error) => return lines.push(line(SECTION, "namespaces ask for sidecars", Err(error.into()))),
    };
    lines.push(line(SECTION, "namespaces ask for sidecars", asked(&namespaces)));
    if answers && namespaces.is_empty() {
        lines.push(line(SECTION, "a pod gets its sidecar", tried(cluster, "default").await));
    }
    for namespace in &namespaces {
        if answers {
            lines.push(line(
                SECTION,
                format!("a pod in {namespace} gets its sidecar"),
                tried(cluster, namespace).await,
            ));
        }
        lines.push(line(SECTION, format!("the CA is in {namespace}"), ca(cluster, namespace, mesh).await));
        let pods = cluster.list(&format!("/api/v1/namespaces/{namespace}/pods")).await.map_err(Wrong::from);
        let image = environment(set, "FLOW_SIDECAR_IMAGE");
        let verdict = pods.and_then(|pods| have_sidecars(&pods, namespace, image));
        lines.push(line(SECTION, format!("the pods of {namespace} have their sidecars"), verdict));
    }
}

/// The webhook knows a CA that is good.
pub(super) fn trusted(configuration: Option<&Value>, now: Timestamp) -> Verdict {
    let Some(configuration) = configuration else {
        return Err(Wrong::failed(
            "there is no webhook: no pod gets a sidecar",
            "flowctl upgrade, or helm upgrade rexflow deploy/istio",
        ));
    };
    let hooks: Vec<&Value> = configuration["webhooks"].as_array().into_iter().flatten().collect();
    let bundles: Vec<&str> = hooks.iter().map(|it| text(&it["clientConfig"]["caBundle"])).collect();
    if bundles.is_empty() || bundles.contains(&"") {
        return Err(Wrong::failed(
            "its caBundle is empty: no pod gets a sidecar",
            "flowd writes it when it starts; its log says what it may not do, and a tool that takes the field back has to leave it alone",
        ));
    }
    let mut ends = Vec::new();
    for bundle in bundles {
        ends.push(last_of(bundle).ok_or_else(|| {
            Wrong::failed(
                "its caBundle is no certificate",
                "flowd writes it anew within minutes; something else writes there, too",
            )
        })?);
    }
    match ends.into_iter().min_by_key(|it| it.1) {
        Some(earliest) => is_good(earliest, now),
        None => Ok(String::new()),
    }
}

/// When the last of a bundle's certificates begins and ends, seconds since 1970.
fn last_of(bundle: &str) -> Option<(i64, i64)> {
    use base64::Engine as _;
    let pem = base64::engine::general_purpose::STANDARD.decode(bundle).ok()?;
    let mut ends = Vec::new();
    for block in x509_parser::pem::Pem::iter_from_buffer(&pem) {
        let block = block.ok()?;
        let validity = block.parse_x509().ok()?.validity().clone();
        ends.push((validity.not_before.timestamp(), validity.not_after.timestamp()));
    }
    ends.into_iter().max_by_key(|it| it.1)
}

pub(super) fn is_good((from, until): (i64, i64), now: Timestamp) -> Verdict {
    let date = Timestamp::from_second(until).map_or_else(|_| until.to_string(), |it| it.to_string());
    let left = until - now.as_second();
    let fix =
        "flowd makes the next one at two thirds of its life; its log says why it could not (it needs Secret flowd-ca)";
    if left <= 0 {
        return Err(Wrong::failed(format!("its CA was good until {date}: no pod gets a sidecar"), fix));
    }
    if (left as f64) < LEAST_LEFT * (until - from) as f64 {
        return Err(Wrong::warning(format!("its CA is good until {date} only"), fix));
    }
    Ok(format!("CA good until {date}"))
}

/// What becomes of pods that are made now.
pub(super) fn answered(answers: bool, policy: &str, mesh: &str) -> Verdict {
    if answers {
        return Ok(format!("failurePolicy {policy}"));
    }
    let becomes = match policy {
        "Fail" => "no pod is made where sidecars are asked for (failurePolicy Fail)",
        _ => {
            "pods are made without sidecars (failurePolicy Ignore: it fails open); flowd replaces those of its own deployments once it is back"
        }
    };
    Err(Wrong::failed(
        format!("no flowd is ready: {becomes}"),
        format!("kubectl -n {mesh} get pod -l app=flowd; see the lines about flowd"),
    ))
}

fn asked(namespaces: &[String]) -> Verdict {
    if namespaces.is_empty() {
        let fix = format!("flowd labels those it makes; others: kubectl label namespace NAME {INJECTION}=enabled");
        return Err(Wrong::skipped("none does yet", fix));
    }
    Ok(shortened(namespaces))
}

/// A pod that is not made: what would come of it.
async fn tried(cluster: &Cluster, namespace: &str) -> Verdict {
    match cluster.create(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), &pod()).await {
        Ok(made) => is_injected(&made),
        Err(error @ Error::Forbidden(_)) => {
            Err(Wrong::skipped(error.to_string(), "ask somebody who may create pods there"))
        }
        Err(error) => Err(error.into()),
    }
}

/// A pod that any namespace takes.
fn pod() -> Value {
    let safe = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let small = json!({"cpu": "10m", "memory": "16Mi"});
    let task = json!({
        "name": "task", "image": "flow-check", "ports": [{"containerPort": 8080}],
        "securityContext": safe, "resources": {"requests": small, "limits": small},
    });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "flow-check", "labels": {"app": "flow-check", INJECT: "true"}}, "spec": {"containers": [task]},
    })
}

pub(super) fn is_injected(pod: &Value) -> Verdict {
    let has = |it: &str| pod["spec"][it].as_array().into_iter().flatten().any(|it| it["name"] == SIDECAR);
    if has("initContainers") {
        return Ok("native sidecar".to_owned());
    }
    if has("containers") {
        return Ok("container".to_owned());
    }
    Err(Wrong::failed(
        "a pod made now would have none: the API server does not reach the webhook",
        "kubectl get events, and the API server's log: port 9443 of flowd's pods must be open to it (a NetworkPolicy, a firewall of the control plane)",
    ))
}

async fn ca(cluster: &Cluster, namespace: &str, mesh: &str) -> Verdict {
    match cluster.get(&format!("/api/v1/namespaces/{namespace}/configmaps/flow-ca.{mesh}")).await? {
        Some(_) => Ok(String::new()),
        None => Err(Wrong::failed(
            format!("there is no ConfigMap flow-ca.{mesh}: sidecars there cannot get certificates"),
            "flowd writes it within seconds; its log says what it may not do",
        )),
    }
}

/// Every pod that should have a sidecar has one, of the image that flowd gives now, and it is ready.
pub(super) fn have_sidecars(pods: &[Value], namespace: &str, image: &str) -> Verdict {
    let living = |it: &&Value| {
        matches!(text(&it["status"]["phase"]), "Pending" | "Running") && it["metadata"]["deletionTimestamp"].is_null()
    };
    let label = |it: &Value, name: &str| text(&it["metadata"]["labels"][name]).to_owned();
    let names =
        |pods: &[&Value]| -> Vec<String> { pods.iter().map(|it| text(&it["metadata"]["name"]).to_owned()).collect() };
    let (with, without): (Vec<&Value>, Vec<&Value>) = pods
        .iter()
        .filter(living)
        .filter(|it| label(it, INJECT) != "false")
        .partition(|it| label(it, INJECTED) == "true");
    let restart = format!("kubectl -n {namespace} rollout restart deployment");
    if !without.is_empty() {
        return Err(Wrong::warning(
            format!("{} have none: {}", without.len(), shortened(&names(&without))),
            format!("{restart}, or label those that need none with {INJECT}=false"),
        ));
    }
    let unready = names(&with.iter().copied().filter(|it| !is_sidecar_ready(it)).collect::<Vec<_>>());
    if let Some(first) = unready.first() {
        let fix = format!("kubectl -n {namespace} logs {first} -c {SIDECAR}");
        return Err(Wrong::warning(format!("those of {} are not ready: {}", unready.len(), shortened(&unready)), fix));
    }
    let old = names(&with.iter().copied().filter(|it| !has_image(it, image)).collect::<Vec<_>>());
    if !old.is_empty() {
        let detail = format!("those of {} are of another image than {image}: {}", old.len(), shortened(&old));
        return Err(Wrong::warning(detail, restart));
    }
    Ok(format!("{} pods", with.len()))
}

fn is_sidecar_ready(pod: &Value) -> bool {
    let statuses = ["initContainerStatuses", "containerStatuses"].map(|it| pod["status"][it].as_array());
    statuses.into_iter().flatten().flatten().any(|it| it["name"] == SIDECAR && it["ready"] == true)
}

/// Of the image that flowd gives, unless the pod asks for one of its own.
fn has_image(pod: &Value, image: &str) -> bool {
    let own = !pod["metadata"]["annotations"]["rexflow.io/sidecar-image"].is_null();
    let containers = ["initContainers", "containers"].map(|it| pod["spec"][it].as_array());
    let sidecar = containers.into_iter().flatten().flatten().find(|it| it["name"] == SIDECAR);
    own || image.is_empty() || sidecar.is_none_or(|it| it["image"] == image)
}
