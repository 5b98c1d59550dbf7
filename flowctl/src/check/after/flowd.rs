//! flowd itself: its pods, the one that leads, its version, and what it counts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{Verdict, Wrong, before, line};
use crate::cluster::{Cluster, Error, is_ready, text};
use crate::install::{FLOWD, chart};
use crate::output::check::Finding;

pub(super) const SECTION: &str = "flowd";
const CURRENT: &str = "sidecars have what flowd sent them";
const WAITING: &str = "no token waits for an operator";

/// Looks at flowd; whether any answers.
pub(super) async fn look(cluster: &Cluster, namespace: &str, set: &Value, lines: &mut Vec<Finding>) -> bool {
    let pods = cluster.labelled(&format!("/api/v1/namespaces/{namespace}/pods"), FLOWD).await;
    let found = pods.as_deref().unwrap_or_default();
    let running = match &pods {
        Ok(pods) => runs(set, pods, namespace),
        Err(error) => Err(Wrong::failed(error.to_string(), error.fix())),
    };
    lines.push(line(SECTION, "it runs", running));
    lines.push(line(SECTION, "its version is flowctl's", is_ours(set)));
    lines.push(line(SECTION, "it asks who calls", asks(set)));
    let ready: Vec<&str> = found.iter().filter(|it| is_ready(it)).map(|it| text(&it["metadata"]["name"])).collect();
    if ready.is_empty() {
        for what in ["one leads", CURRENT, WAITING] {
            lines.push(line(SECTION, what, Err(Wrong::skipped("no flowd is ready", ""))));
        }
        return false;
    }
    lines.push(line(SECTION, "one leads", leads(cluster, namespace, &ready).await));
    match counted(cluster, namespace, &ready).await {
        Ok(counts) => {
            lines.push(line(SECTION, CURRENT, are_current(&counts)));
            lines.push(line(SECTION, WAITING, nothing_waits(&counts)));
        }
        Err(error) => lines.push(line(SECTION, "its metrics can be read", Err(error.into()))),
    }
    true
}

pub(super) fn asks(set: &Value) -> Verdict {
    match before::environment(set, "FLOW_USERS") {
        "true" => Ok("by tokens of the cluster, and what they may by RBAC".to_owned()),
        _ => {
            let fix = format!("flowctl upgrade -n {} --set users.enabled=true", text(&set["metadata"]["namespace"]));
            Err(Wrong::skipped("no: whoever reaches its ports may do everything", fix))
        }
    }
}

pub(super) fn runs(set: &Value, pods: &[Value], namespace: &str) -> Verdict {
    let (wanted, ready) =
        (set["spec"]["replicas"].as_u64().unwrap_or(1), pods.iter().filter(|it| is_ready(it)).count());
    if ready as u64 >= wanted && wanted > 0 {
        return Ok(format!("{ready} of {wanted} ready"));
    }
    if wanted == 0 {
        let fix = format!("kubectl -n {namespace} scale statefulset flowd --replicas=1");
        return Err(Wrong::failed("it was scaled to nothing", fix));
    }
    let why: Vec<String> = pods.iter().filter_map(why_not).collect();
    let why = if why.is_empty() { "its pods do not say why".to_owned() } else { why.join("; ") };
    let fix = format!("kubectl -n {namespace} describe pod -l app=flowd");
    let detail = format!("{ready} of {wanted} ready: {why}");
    Err(if ready == 0 { Wrong::failed(detail, fix) } else { Wrong::warning(detail, fix) })
}

/// Why a pod is not ready, in the kubelet's and the scheduler's words.
fn why_not(pod: &Value) -> Option<String> {
    let name = text(&pod["metadata"]["name"]);
    let status = &pod["status"];
    let statuses = ["initContainerStatuses", "containerStatuses"].map(|it| status[it].as_array());
    for container in statuses.into_iter().flatten().flatten().filter(|it| it["ready"] != true) {
        let waiting = &container["state"]["waiting"];
        if let Some(reason) = waiting["reason"].as_str().filter(|it| *it != "PodInitializing") {
            return Some(format!("{name}: {} {reason}: {}", text(&container["name"]), text(&waiting["message"])));
        }
    }
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let unscheduled = conditions.find(|it| it["type"] == "PodScheduled" && it["status"] == "False")?;
    Some(format!("{name}: {}", text(&unscheduled["message"])))
}

/// By its image's tag, else by the label of whoever installed it.
pub(super) fn is_ours(set: &Value) -> Verdict {
    let own = chart::version().unwrap_or_default();
    let image = text(&set["spec"]["template"]["spec"]["containers"][0]["image"]);
    let theirs = match before::tag(image) {
        "" => text(&set["metadata"]["labels"]["app.kubernetes.io/version"]),
        tag => tag,
    };
    if theirs == own {
        return Ok(own);
    }
    let namespace = text(&set["metadata"]["namespace"]);
    let detail = format!("flowd is {theirs} ({image}), flowctl {own}");
    Err(Wrong::warning(detail, format!("flowctl upgrade -n {namespace}, or take the flowctl of that version")))
}

/// The one that leads is ready to take calls; those that stand by say that they are not.
async fn leads(cluster: &Cluster, namespace: &str, ready: &[&str]) -> Verdict {
    let mut leaders = Vec::new();
    for pod in ready {
        match cluster.text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}:9002/proxy/ready")).await {
            Ok(_) => leaders.push((*pod).to_owned()),
            Err(Error::Forbidden(_)) => {
                let fix = "ask somebody who may `get` pods/proxy there; `flowctl version` says whether one leads, too";
                return Err(Wrong::skipped("you may not ask pods through the API server", fix));
            }
            Err(_) => {}
        }
    }
    is_one(&leaders, namespace)
}

pub(super) fn is_one(leaders: &[String], namespace: &str) -> Verdict {
    match leaders {
        [one] => Ok(one.clone()),
        [] => Err(Wrong::failed(
            "none does: nothing is applied, started or completed",
            format!(
                "kubectl -n {namespace} logs -l app=flowd: it waits for its store, or for the lease of one that is gone"
            ),
        )),
        // within a takeover two may say so for a moment; the store fences the earlier one
        several => Err(Wrong::warning(format!("{} say that they do", several.join(", ")), "look again")),
    }
}

/// What the flowd that leads counts; the others count nothing.
async fn counted(cluster: &Cluster, namespace: &str, ready: &[&str]) -> Result<BTreeMap<&'static str, f64>, Error> {
    let mut counts = BTreeMap::new();
    for pod in ready {
        let page = cluster.text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}:9002/proxy/metrics")).await?;
        for name in ["flow_sidecars_connected", "flow_sidecars_stale", "flow_incidents_open"] {
            *counts.entry(name).or_insert(0.0) += sum(&page, name);
        }
    }
    Ok(counts)
}

/// The sum of all samples of a metric.
pub(super) fn sum(page: &str, name: &str) -> f64 {
    let sample = |line: &str| {
        let rest = line.strip_prefix(name).filter(|it| it.starts_with([' ', '{']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    };
    page.lines().filter_map(sample).sum()
}

pub(super) fn are_current(counts: &BTreeMap<&str, f64>) -> Verdict {
    let of = |name: &str| counts.get(name).copied().unwrap_or_default();
    let (connected, stale) = (of("flow_sidecars_connected"), of("flow_sidecars_stale"));
    if stale == 0.0 {
        return Ok(format!("{connected} connected"));
    }
    Err(Wrong::warning(
        format!("{stale} of {connected} have not taken, or have refused, their tables or bindings"),
        "`flowctl ps -d` names the deployment that is STARTING; flowd's log says what a sidecar refused",
    ))
}

pub(super) fn nothing_waits(counts: &BTreeMap<&str, f64>) -> Verdict {
    match counts.get("flow_incidents_open").copied().unwrap_or_default() {
        0.0 => Ok(String::new()),
        open => Err(Wrong::warning(
            format!("{open} do"),
            "`flowctl ps -i` lists them; `flowctl start INSTANCE` lets one go on once its cause is gone",
        )),
    }
}
