//! A mesh: one flowd and sidecars beside it, each with its own folder and fixed ports, so that a process can be
//! killed and started again as what it was.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::flowctl::{Flowctl, Ran};
use super::http::{Reply, post};
use super::process::{Process, free_port};
use super::programs::Programs;
use super::wait::{PATIENCE, eventually};

/// One sidecar: how it is started, and its process while it runs.
pub struct Sidecar {
    name: String,
    serves: Vec<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    flowd: String,
    hop: u16,
    folder: PathBuf,
    /// The process.
    pub process: Process,
}

/// What a sidecar is started with beside its address.
#[derive(Clone, Copy)]
struct Given<'a> {
    serves: &'a [String],
    arguments: &'a [String],
    environment: &'a [(String, String)],
}

impl Sidecar {
    fn command(flowd: &str, hop: u16, folder: &Path, given: Given<'_>) -> Command {
        let mut command = Command::new(Programs::get().sidecar());
        command.args(["--flowd", flowd, "--hop", &format!("127.0.0.1:{hop}")]);
        for serve in given.serves {
            command.args(["--serve", serve]);
        }
        command.arg("--data-dir").arg(folder).args(given.arguments);
        command.envs(given.environment.iter().cloned());
        command
    }

    /// Starts it again on its folder and port; it is not waited for.
    pub fn spawn_again(&mut self) {
        let given = Given { serves: &self.serves, arguments: &self.arguments, environment: &self.environment };
        let command = Self::command(&self.flowd, self.hop, &self.folder, given);
        self.process = Process::spawn(&self.name, command);
    }

    /// Starts it again on its folder and port.
    pub async fn start_again(&mut self) {
        self.spawn_again();
        self.process.until_ready().await;
    }

    /// `HOST:PORT` where it accepts hops.
    pub fn hop(&self) -> String {
        format!("127.0.0.1:{}", self.hop)
    }

    /// Its data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// A flowd with a folder of its own, and what is started beside it.
pub struct Mesh {
    /// flowd's process.
    pub flowd: Process,
    /// Sidecars in the order in which they were started.
    pub sidecars: Vec<Sidecar>,
    /// flowctl against this flowd.
    pub flowctl: Flowctl,
    port: u16,
    http: u16,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Ports of flowds that sidecars turn to when this one does not answer.
    others: Vec<u16>,
    folder: TempDir,
}

impl Mesh {
    /// Starts flowd on a fresh folder.
    pub async fn start() -> Self {
        Self::start_with(&[], &[]).await
    }

    /// The same with more arguments and environment, which the sidecars get too (the environment only).
    pub async fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, http) = (free_port(), free_port());
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let command = flowd(folder.path(), port, http, &arguments, &environment);
        let flowd = Process::start("flowd", command).await;
        let flowctl = Flowctl::new(port);
        Self { flowd, sidecars: Vec::new(), flowctl, port, http, arguments, environment, others: Vec::new(), folder }
    }

    /// Sidecars that are started from now on know another mesh's flowd too.
    pub fn beside(&mut self, other: &Self) {
        self.others.push(other.port);
    }

    /// Starts flowd again on its folder and ports; it is not waited for.
    pub fn spawn_flowd_again(&mut self) {
        let command = flowd(self.folder.path(), self.port, self.http, &self.arguments, &self.environment);
        self.flowd = Process::spawn("flowd", command);
    }

    /// Starts flowd again on its folder and ports.
    pub async fn start_flowd_again(&mut self) {
        self.spawn_flowd_again();
        self.flowd.until_ready().await;
    }

    /// Starts a sidecar that serves `NAME` at a URL for each pair.
    pub async fn sidecar(&mut self, serves: &[(&str, &str)]) -> &mut Sidecar {
        self.sidecar_with(serves, &[]).await
    }

    /// The same with more arguments.
    pub async fn sidecar_with(&mut self, serves: &[(&str, &str)], arguments: &[&str]) -> &mut Sidecar {
        let name = format!("sidecar-{}", self.sidecars.len());
        let serves: Vec<String> = serves.iter().map(|(name, url)| format!("{name}={url}")).collect();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (hop, folder) = (free_port(), self.folder.path().join(&name));
        let environment = self.environment.clone();
        let given = Given { serves: &serves, arguments: &arguments, environment: &environment };
        let flowds = [self.port].into_iter().chain(self.others.iter().copied());
        let flowd = flowds.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
        let process = Process::start(&name, Sidecar::command(&flowd, hop, &folder, given)).await;
        self.sidecars.push(Sidecar { name, serves, arguments, environment, flowd, hop, folder, process });
        self.sidecars.last_mut().unwrap()
    }

    /// The folder of this mesh, for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// flowd's data folder.
    pub fn flowd_folder(&self) -> PathBuf {
        self.folder.path().join("flowd")
    }

    /// flowd's gRPC port.
    pub fn grpc(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// A URL on flowd's HTTP port.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// Writes a file into the folder of this mesh. Its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// `flowctl apply FILE -o json` of a model.
    pub async fn try_apply(&self, xml: impl AsRef<[u8]>) -> Ran {
        let file = self.file("model.bpmn", xml);
        self.flowctl.run(&["apply", &file, "-o", "json"]).await
    }

    /// Applies a model of one process; the deployment's id. It may not serve yet.
    pub async fn apply(&self, xml: impl AsRef<[u8]>) -> String {
        let applied = self.try_apply(xml).await.expect_code(0).json();
        applied[0]["deployments"][0]["id"].as_str().unwrap_or_else(|| panic!("no id: {applied}")).to_owned()
    }

    /// Applies a model of one process and waits until it is RUNNING; the deployment's id.
    pub async fn deploy(&self, xml: impl AsRef<[u8]>) -> String {
        let id = self.apply(xml).await;
        self.until_deployment(&id, "RUNNING").await;
        id
    }

    /// Waits until a deployment is in a state.
    pub async fn until_deployment(&self, id: &str, state: &str) {
        eventually(&format!("{id} to be {state}"), PATIENCE, async || {
            let listed = self.flowctl.run(&["ps", "-d", id, "-o", "json"]).await.expect_code(0).json();
            if listed[0]["state"] == state { Ok(()) } else { Err(listed.to_string()) }
        })
        .await;
    }

    /// `flowctl run ID PAYLOAD --wait -o json`, whatever comes of it.
    pub async fn run(&self, id: &str, payload: &Value) -> Ran {
        self.flowctl.run(&["run", id, &payload.to_string(), "--wait", "--timeout", "60s", "-o", "json"]).await
    }

    /// Runs an instance that completes; what `run` prints.
    pub async fn complete(&self, id: &str, payload: &Value) -> Value {
        let instance = self.run(id, payload).await.expect_code(0).json();
        assert_eq!(instance["state"], "COMPLETED", "{instance}");
        instance
    }

    /// Starts an instance and does not wait for it; its id.
    pub async fn begin(&self, id: &str, payload: &Value) -> String {
        let started = self.flowctl.json(&["run", id, &payload.to_string(), "-o", "json"]).await;
        started["id"].as_str().unwrap_or_else(|| panic!("no id: {started}")).to_owned()
    }

    /// `POST /start/ID?QUERY`.
    pub async fn post_start(&self, id: &str, query: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        post(&self.url(&format!("/start/{id}{query}")), headers, body).await.unwrap()
    }

    /// What `ps -i` says of an instance.
    pub async fn instance(&self, id: &str) -> Value {
        self.flowctl.json(&["ps", "-i", id, "-o", "json"]).await[0].clone()
    }

    /// Waits until an instance is in a state; what `ps -i` says of it.
    pub async fn until(&self, id: &str, state: &str) -> Value {
        eventually(&format!("{id} to be {state}"), PATIENCE, async || {
            let instance = self.instance(id).await;
            if instance["state"] == state { Ok(instance) } else { Err(instance.to_string()) }
        })
        .await
    }

    /// What `ps -i` says of all instances, by id.
    pub async fn instances(&self) -> BTreeMap<String, Value> {
        let listed = self.flowctl.json(&["ps", "-i", "-o", "json"]).await;
        let list = listed.as_array().unwrap().iter();
        list.map(|instance| (instance["id"].as_str().unwrap().to_owned(), instance.clone())).collect()
    }

    /// Waits until everything accepted is COMPLETED, and there is nothing else; instances by number.
    pub async fn all_completed(&self, accepted: &BTreeMap<u64, String>, limit: Duration) -> BTreeMap<u64, Value> {
        let found = eventually("all instances to be COMPLETED", limit, async || {
            let found = self.instances().await;
            let open: Vec<String> = (found.iter())
                .filter(|(_, instance)| instance["state"] != "COMPLETED")
                .map(|(id, instance)| format!("{id} {} {}", instance["state"], instance["error"]))
                .collect();
            let shown = &open[..open.len().min(5)];
            if open.is_empty() { Ok(found) } else { Err(format!("{} open, as {shown:#?}", open.len())) }
        })
        .await;
        assert_eq!(found.len(), accepted.len(), "as many instances as starts were accepted");
        let lookup = |(n, id): (&u64, &String)| (*n, found.get(id).unwrap_or_else(|| panic!("{id} is lost")).clone());
        accepted.iter().map(lookup).collect()
    }

    /// The failure record of an instance that waits as an incident; it fails unless `run` ended with 5.
    pub async fn incident(&self, id: &str, payload: &Value) -> Value {
        let instance = self.run(id, payload).await.expect_code(5).json();
        assert_ne!(instance["error"], json!(null), "{instance}");
        instance
    }
}

fn flowd(folder: &Path, port: u16, http: u16, arguments: &[String], environment: &[(String, String)]) -> Command {
    let mut command = Command::new(Programs::get().flowd());
    if !arguments.iter().any(|it| it == "--store") {
        command.arg("--data-dir").arg(folder.join("flowd"));
    }
    command.args(["--port", &port.to_string(), "--http-port", &http.to_string()]).args(arguments);
    command.envs(environment.iter().cloned());
    command
}
