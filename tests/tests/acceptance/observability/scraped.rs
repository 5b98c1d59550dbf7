//! A mesh that a real Prometheus scrapes while instances complete, wait, fail and find a task down: every query of the dashboards gives data,
//! every alert's expression can be evaluated, and those whose cause is there fire.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::process::Command as Tool;

use flow_tests::harness::{Answer, Mesh, Model, PATIENCE, Service, eventually};
use serde_json::json;

use super::dashboards::{Query, folder, panels};
use super::prometheus::Prometheus;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// With Grafana's variables filled in.
fn filled(expression: &str) -> String {
    let filled = expression.replace("$__rate_interval", "1m").replace("$__range", "5m");
    filled.replace("$process", "observed").replace("$version", ".*")
}

/// The alert rules: name and expression.
fn alerts() -> Vec<Query> {
    let rules = Tool::new("promtool").arg("check").arg("rules").arg(folder().join("alerts.yaml")).output().unwrap();
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
    let text = std::fs::read_to_string(folder().join("alerts.yaml")).unwrap();
    let mut all: Vec<Query> = Vec::new();
    let mut folded = false;
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            all.push(Query { place: name.to_owned(), expression: String::new() });
        } else if let Some(expression) = line.strip_prefix("    expr: ") {
            folded = expression == ">-";
            all.last_mut().unwrap().expression = if folded { String::new() } else { expression.to_owned() };
        } else if folded && let Some(more) = line.strip_prefix("      ") {
            all.last_mut().unwrap().expression.push_str(&format!(" {more}"));
        } else {
            folded = false;
        }
    }
    all
}

/// The metrics that an expression names.
fn metrics(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|it| it.starts_with("flow_") || it.starts_with("process_")).map(str::to_owned).collect()
}

/// Two branches, a join, a timer, and a task that fails when it is told to.
fn model() -> String {
    let model = Model::new("observed").start("begin").parallel("fork").typed("left", "left").typed("right", "right");
    let model =
        model.parallel("join").timer("pause", "PT0.05S").typed_with("risky", "risky", "retries=\"2\"").end("end");
    let model = model.path(&["begin", "fork", "left", "join", "pause", "risky", "end"]);
    model.path(&["fork", "right", "join"]).xml()
}

struct Observed {
    mesh: Mesh,
    id: String,
    prometheus: Prometheus,
    _services: Vec<Service>,
    started: Cell<u32>,
}

impl Observed {
    async fn start() -> Self {
        // nobody takes the spans: what counts is that there are traces to lead to
        let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
        let mut mesh = Mesh::start_with(&[], &environment).await;
        let mut services = vec![Service::adding("left", 1).await, Service::adding("right", 2).await];
        let risky = |call: flow_tests::harness::Call| async move {
            let body = call.json();
            if body["fails"] == json!(true) {
                Answer::Other(500, "text/plain", "no".into())
            } else {
                Answer::Json(body)
            }
        };
        services.push(Service::start(risky).await);
        for (name, service) in ["left", "right", "risky"].iter().zip(&services) {
            mesh.sidecar(&[(name, &service.url())]).await;
        }
        let mut gone = Service::adding("gone", 1).await;
        gone.stop().await;
        mesh.sidecar(&[("gone", &gone.url())]).await;
        let flowd = mesh.url("").strip_prefix("http://").unwrap().to_owned();
        let sidecars = mesh.sidecars.iter().map(|it| it.process.ready_value("admin")).collect();
        let prometheus = Prometheus::scraping(&[("flowd", vec![flowd]), ("sidecars", sidecars)]).await;
        let id = mesh.deploy(model()).await;
        Self { mesh, id, prometheus, _services: services, started: Cell::new(0) }
    }

    /// Some instances, the last of which fails; within the caller's trace.
    async fn runs(&self) {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
        for n in 0..5 {
            let headers = [("traceparent", parent.as_str())];
            let payload = json!({"n": n, "fails": n == 4});
            let query = if n == 4 { "" } else { "?wait=60s" };
            let reply = self.mesh.post_start(&self.id, query, &headers, &payload).await;
            assert!(reply.status < 300, "{}", reply.text());
            self.started.set(self.started.get() + 1);
        }
    }

    /// Those of `queries` that give nothing, with the reason.
    async fn silent(&self, queries: &[Query]) -> Vec<String> {
        let mut silent = Vec::new();
        for Query { place, expression } in queries {
            let expression = filled(expression);
            match self.prometheus.query(&expression).await {
                Ok(samples) if samples.is_empty() => silent.push(format!("{place}: no data: {expression}")),
                Ok(_) => {}
                Err(error) => panic!("{place}: {expression}: {error}"),
            }
        }
        silent
    }

    /// Waits until an expression gives something.
    async fn finds(&self, expression: &str) {
        eventually(expression, PATIENCE, async || {
            let found = self.prometheus.query(expression).await?;
            if found.is_empty() { Err("no data".to_owned()) } else { Ok(()) }
        })
        .await;
    }

    /// Waits until what an alert waits for is there.
    async fn fires(&self, alert: &str) {
        let rule = alerts().into_iter().find(|it| it.place == alert).unwrap();
        self.finds(&rule.expression).await;
    }
}

#[tokio::test]
#[cfg_attr(no_prometheus_server, ignore = "there is no `prometheus` (tests/servers/prometheus.sh install)")]
async fn every_query_of_the_dashboards_and_alerts_finds_what_the_mesh_counts() {
    let mut observed = Observed::start().await;
    let panels = panels();
    assert!(panels.len() > 40, "{}", panels.len());
    eventually("every panel to show data", PATIENCE, async || {
        observed.runs().await;
        let silent = observed.silent(&panels).await;
        if silent.is_empty() { Ok(()) } else { Err(silent.join("\n")) }
    })
    .await;

    let alerts = alerts();
    let known: BTreeSet<String> = observed.prometheus.names().await.into_iter().collect();
    for Query { place, expression } in alerts.iter().chain(&panels) {
        let unknown: Vec<String> = metrics(expression).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{place}: nobody counts {unknown:?}");
    }
    observed.silent(&alerts).await;
    for alert in ["FlowIncidentsOpen", "FlowTaskDown", "FlowTaskFailing"] {
        observed.fires(alert).await;
    }
    let (all, failed) = (observed.started.get(), observed.started.get() / 5);
    for (expression, value) in [
        ("sum(flow_instances_started_total{process=\"observed\"})", all),
        ("sum(flow_instances_completed_total{result=\"completed\"})", all - failed),
        ("sum(flow_instances_active)", failed),
        ("sum(flow_incidents_open)", failed),
        ("sum(flow_incidents_total)", failed),
        ("sum(flow_hop_duration_seconds_count{from=\"fork\",to=\"left\"})", all),
        ("sum(flow_hop_duration_seconds_count{from=\"pause\",to=\"risky\"})", all),
        ("sum(flow_join_wait_seconds_count{join=\"join\"})", all),
        ("sum(flow_task_requests_total{task=\"risky\",outcome=\"completed\"})", all - failed),
        ("sum(flow_task_attempts_total{task=\"risky\",attempt=\"first\"})", all),
        ("sum(flow_task_attempts_total{task=\"risky\",attempt=\"retry\"})", failed),
        ("sum(flow_sidecars_connected)", 4),
        ("count(flow_task_up == 1)", 3),
    ] {
        observed.finds(&format!("{expression} == {value}")).await;
    }

    observed.mesh.flowd.kill().await;
    for alert in ["FlowdAbsent", "FlowSidecarCutOff"] {
        observed.fires(alert).await;
    }
}

#[tokio::test]
#[cfg_attr(no_prometheus_server, ignore = "there is no `prometheus` (tests/servers/prometheus.sh install)")]
async fn exemplars_lead_from_a_duration_to_its_trace() {
    let observed = Observed::start().await;
    for metric in ["flow_hop_duration_seconds", "flow_task_duration_seconds", "flow_instance_duration_seconds"] {
        eventually(metric, PATIENCE, async || {
            observed.runs().await;
            let traces = observed.prometheus.traces(&format!("{metric}_bucket")).await?;
            if traces.iter().any(|it| it == TRACE) { Ok(()) } else { Err(format!("{traces:?}")) }
        })
        .await;
    }
}

#[test]
#[cfg_attr(no_prometheus_server, ignore = "there is no `promtool` (tests/servers/prometheus.sh install)")]
fn every_alert_fires_on_its_cause_and_on_nothing_else() {
    let tested = Tool::new("promtool").args(["test", "rules"]).arg(folder().join("alerts.test.yaml")).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let tests = std::fs::read_to_string(folder().join("alerts.test.yaml")).unwrap();
    for Query { place, .. } in alerts() {
        for outcome in ["fires", "does not fire"] {
            let named = tests.lines().any(|line| line == format!("- name: {place}, {outcome}"));
            assert!(named, "no test in which {place} {outcome}");
        }
    }
}
