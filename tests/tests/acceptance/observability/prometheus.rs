//! A real Prometheus (`tests/servers/prometheus.sh`), asked over its HTTP API.

use std::fmt::Write as _;
use std::path::Path;

use flow_tests::harness::{PATIENCE, Process, eventually, free_port, request};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// A running server; gone when this is dropped.
pub(super) struct Prometheus {
    port: u16,
    _folder: TempDir,
    _process: Process,
}

impl Prometheus {
    /// Starts one that scrapes these jobs' targets (`HOST:PORT`) twice a second.
    pub(super) async fn scraping(jobs: &[(&str, Vec<String>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = "global: {scrape_interval: 500ms}\nscrape_configs:\n".to_owned();
        for (job, targets) in jobs {
            writeln!(config, "- {{job_name: {job}, static_configs: [{{targets: {targets:?}}}]}}").unwrap();
        }
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/prometheus.sh"));
        command.arg("run").arg(folder.path()).arg(port.to_string());
        let server = Self { port, _process: Process::spawn("prometheus", command), _folder: folder };
        eventually("Prometheus to scrape all targets", PATIENCE, async || {
            let up = server.query("min(up)").await?;
            let all: usize = jobs.iter().map(|(_, targets)| targets.len()).sum();
            let seen = server.query(&format!("count(up) == {all}")).await?;
            let value = |it: &[Value]| it.first().map(|it| it["value"][1].clone());
            if value(&up) == Some("1".into()) && !seen.is_empty() { Ok(()) } else { Err(format!("{up:?}")) }
        })
        .await;
        server
    }

    /// The samples that an expression gives now, or why it cannot be evaluated.
    pub(super) async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let found = self.get(&format!("query?query={}", encoded(expression))).await?;
        Ok(found["result"].as_array().cloned().unwrap_or_default())
    }

    /// The names of all metrics that it has seen.
    pub(super) async fn names(&self) -> Vec<String> {
        let found = self.get("label/__name__/values").await.unwrap();
        found.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// The trace ids of the exemplars of a series.
    pub(super) async fn traces(&self, series: &str) -> Result<Vec<String>, String> {
        let found = self.get(&format!("query_exemplars?query={}&start=0&end=9999999999", encoded(series))).await?;
        let series = found.as_array().cloned().unwrap_or_default();
        let exemplars = series.iter().flat_map(|it| it["exemplars"].as_array().cloned().unwrap_or_default());
        Ok(exemplars.map(|it| it["labels"]["trace_id"].as_str().unwrap_or_default().to_owned()).collect())
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let answer = request("GET", &url, &[], "").await?;
        let json: Value =
            serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", answer.text()))?;
        if json["status"] == "success" { Ok(json["data"].clone()) } else { Err(json.to_string()) }
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() {
            all.push(byte.into());
        } else {
            write!(all, "%{byte:02X}").unwrap();
        }
        all
    })
}
