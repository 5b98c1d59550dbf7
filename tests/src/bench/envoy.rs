//! A plain Envoy in front of each service: one listener, the router filter, one worker thread.
//! Not durable and not a workflow: what any service mesh costs before it does anything.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::process::Command;

use super::process::{Process, Until, free_port};
use super::side::{Kind, Side, Step};

/// Starts one Envoy per service.
pub(crate) async fn start(
    binary: &Path,
    services: &[SocketAddr],
    payload: &[u8],
    folder: &Path,
) -> anyhow::Result<Side> {
    let mut steps = Vec::new();
    let mut processes = Vec::new();
    for (index, service) in services.iter().enumerate() {
        let name = format!("envoy-{}", index + 1);
        let listen = free_port()?;
        let file = folder.join(format!("{name}.json"));
        std::fs::write(&file, configuration(listen, *service).to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(binary);
        command.arg("-c").arg(&file).args(["--concurrency", "1", "--log-level", "error"]);
        command.arg("--disable-hot-restart");
        processes.push(Process::start(&name, command, folder, Until::Accepts(listen)).await?);
        steps.push(Step::post(listen, "/", payload));
    }
    Ok(Side { kind: Kind::Envoy, steps, processes })
}

fn configuration(listen: SocketAddr, service: SocketAddr) -> Value {
    let socket =
        |address: SocketAddr| json!({"socket_address": {"address": address.ip(), "port_value": address.port()}});
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
        }
    });
    let route = json!({
        "virtual_hosts": [{
            "name": "task",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "task"}}]
        }]
    });
    let connection_manager = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "task",
            "route_config": route,
            "http_filters": [router]
        }
    });
    json!({
        "static_resources": {
            "listeners": [{
                "name": "inbound",
                "address": socket(listen),
                "filter_chains": [{"filters": [connection_manager]}]
            }],
            "clusters": [{
                "name": "task",
                "type": "STATIC",
                "load_assignment": {
                    "cluster_name": "task",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(service)}}]}]
                }
            }]
        }
    })
}
