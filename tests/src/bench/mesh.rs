//! The product: flowd and three `flow-sidecar` processes, each with its own journal, over their hop
//! ports, durable by default, driven through flowd's HTTP port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::process::Command;

use super::options::Options;
use super::process::{Process, Until, eventually, free_port};
use super::side::{Kind, Side, Step};

/// The tasks' services by the name that the model gives them.
const NAMES: [&str; 3] = ["one", "two", "three"];
/// The process: three tasks in a row.
const MODEL: &str = include_str!("../../bench/three.bpmn");
/// How long a deployment may take until it is RUNNING.
const START: Duration = Duration::from_secs(60);

/// The product's programs.
pub(crate) struct Programs {
    flowd: PathBuf,
    sidecar: PathBuf,
    flowctl: PathBuf,
}

impl Programs {
    /// All three, or the first one that is absent.
    pub(crate) fn find(folder: &Path) -> Result<Self, PathBuf> {
        let find = |name: &str| {
            let path = folder.join(name);
            if path.is_file() { Ok(path) } else { Err(path) }
        };
        Ok(Self { flowd: find("flowd")?, sidecar: find("flow-sidecar")?, flowctl: find("flowctl")? })
    }

    /// What a verb of `flowctl` prints as JSON.
    async fn flowctl(&self, flowd: SocketAddr, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = Command::new(&self.flowctl)
            .args(["--flowd_host", "127.0.0.1", "--flowd_port", &flowd.port().to_string()])
            .args(arguments)
            .output()
            .await
            .with_context(|| format!("cannot start {}", self.flowctl.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("flowctl {arguments:?} ended with {}: {}", output.status, said.trim());
        }
        serde_json::from_slice(&output.stdout).context("flowctl printed no JSON")
    }
}

/// Starts flowd and the sidecars, applies the model, waits until it is RUNNING.
pub(crate) async fn start(
    programs: &Programs,
    options: &Options,
    services: &[SocketAddr],
    payload: &[u8],
    folder: &Path,
) -> anyhow::Result<Side> {
    let (control, http) = (free_port()?, free_port()?);
    let mut command = Command::new(&programs.flowd);
    command.arg("--data-dir").arg(folder.join("flowd"));
    command.args(["--port", &control.port().to_string()]);
    command.args(["--http-port", &http.port().to_string()]);
    command.args(&options.flowd_arg);
    let mut processes = vec![Process::start("flowd", command, folder, Until::Ready).await?];
    for (name, service) in NAMES.iter().zip(services) {
        let sidecar = format!("sidecar-{name}");
        let mut command = Command::new(&programs.sidecar);
        command.args(["--flowd", &control.to_string()]);
        command.args(["--serve", &format!("{name}=http://{service}")]);
        command.args(["--hop", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(folder.join(&sidecar));
        command.args(&options.sidecar_arg);
        processes.push(Process::start(&sidecar, command, folder, Until::Ready).await?);
    }
    let deployment = apply(programs, control, folder).await?;
    let target = format!("/start/{deployment}?wait=30s");
    let steps = vec![Step::post(http, &target, payload)];
    Ok(Side { kind: Kind::Mesh, steps, processes })
}

/// The id of the deployment, once it is RUNNING.
async fn apply(programs: &Programs, control: SocketAddr, folder: &Path) -> anyhow::Result<String> {
    let model = folder.join("three.bpmn");
    std::fs::write(&model, MODEL).with_context(|| format!("cannot write {}", model.display()))?;
    let model = model.display().to_string();
    let applied = programs.flowctl(control, &["apply", &model, "-o", "json"]).await?;
    let id = applied[0]["deployments"][0]["id"]
        .as_str()
        .with_context(|| format!("apply named no deployment: {applied}"))?
        .to_owned();
    eventually("the deployment to be RUNNING", START, async || {
        let listed = programs.flowctl(control, &["ps", "-d", &id, "-o", "json"]).await?;
        Ok((listed[0]["state"] == "RUNNING").then_some(()))
    })
    .await?;
    Ok(id)
}
