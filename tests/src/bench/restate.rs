//! The same three steps on a Restate server as it is installed: a log in the middle, an SDK in the
//! service. The service and what it needs come from `tests/bench/restate/setup.sh`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::process::Command;

use super::http;
use super::process::{Process, Until, eventually, free_port};
use super::side::{Kind, Side, Step};

/// How long the server may take until it takes work.
const START: Duration = Duration::from_secs(60);

/// Starts the server and the service, and registers the one with the other.
pub(crate) async fn start(
    server: &Path,
    installed: &Path,
    services: &[SocketAddr],
    payload: &[u8],
    folder: &Path,
) -> anyhow::Result<Side> {
    let endpoint = free_port()?;
    let node = installed.join("node_modules/node/bin/node");
    let mut command = Command::new(node);
    command.arg(installed.join("service.mjs")).arg(endpoint.port().to_string());
    command.args(services.iter().map(|service| format!("http://{service}/")));
    let service = Process::start("restate-service", command, folder, Until::Accepts(endpoint)).await?;

    let (ingress, admin, fabric) = (free_port()?, free_port()?, free_port()?);
    let mut command = Command::new(server);
    command
        .args(["--no-logo", "--listen-mode", "tcp", "--node-name", "bench"])
        .arg("--base-dir")
        .arg(folder.join("restate"))
        .env("RESTATE_DISABLE_TELEMETRY", "true")
        .env("RESTATE_BIND_ADDRESS", fabric.to_string())
        .env("RESTATE_ADMIN__BIND_ADDRESS", admin.to_string())
        .env("RESTATE_INGRESS__BIND_ADDRESS", ingress.to_string());
    let server = Process::start("restate-server", command, folder, Until::Accepts(admin)).await?;

    let registration = json!({"uri": format!("http://{endpoint}"), "force": true}).to_string();
    eventually("registering the service with Restate", START, async || {
        http::once("POST", admin, "/deployments", registration.as_bytes()).await.map(Some)
    })
    .await?;
    eventually("the first call through Restate", START, async || {
        http::once("POST", ingress, "/three/run", payload).await.map(Some)
    })
    .await
    .context("the service is registered but does not answer")?;
    Ok(Side {
        kind: Kind::Restate,
        steps: vec![Step::post(ingress, "/three/run", payload)],
        processes: vec![server, service],
    })
}
