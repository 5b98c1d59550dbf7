//! The mesh of `flowctl dev`: flowd and a sidecar per service, in this process, over the same sockets,
//! protocol and journals as processes of their own. Each has a thread to itself.
//!
//! Sidecars come and go with what is deployed. At the end they finish what they call and keep the rest in
//! their journals, for the next `dev` on the same folder.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use control_plane::app as flowd;
use futures_util::StreamExt as _;
use runtime::drain::{self, DrainTrigger, DrainWatcher};
use runtime::outbound::{Allow, Rules};
use runtime::telemetry::Tracing;
use sidecar::connector::{CONNECTORS, Settings};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::args::Flowd;
use crate::client::{Client, Selection};
use crate::output;

/// How often it is looked whether other services are deployed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long running calls may go on at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// How long flowd may take to read its store.
const READY: Duration = Duration::from_secs(60);
/// How long the last spans may take.
const FLUSH: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Mesh {
    folder: PathBuf,
    _temporary: Option<TempDir>,
    flowd: Part,
    sidecars: BTreeMap<String, Part>,
    connectors: Settings,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// A component on its thread.
#[derive(Debug)]
struct Part {
    trigger: DrainTrigger,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Mesh {
    /// Starts flowd on its ports, with its data in a folder, or in one that goes with this process. Connectors may call services of this
    /// machine, and have the secrets of a folder.
    pub(crate) async fn start(
        folder: Option<&Path>,
        (port, http_port): (u16, u16),
        secrets: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let (folder, temporary) = match folder {
            Some(folder) => (folder.to_owned(), None),
            None => {
                let temporary = tempfile::tempdir().context("cannot make a folder for this run; use --data-dir")?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let config = control_plane::config::Config {
            port,
            http_port,
            data_dir: folder.join("flowd"),
            ..control_plane::config::Config::default()
        };
        let (flowd, (grpc, http, readiness)) = Part::start("flowd", move |trigger, _, bound| async move {
            let app = flowd::App::build(config, trigger).await?;
            // who started it has gone when nobody listens any more; it is told to drain then
            let _ = bound.send((app.grpc, app.http, app.readiness()));
            app.run().await
        })
        .await?;
        let ready = tokio::time::timeout(READY, readiness.ready()).await;
        ready.map_err(|_| {
            anyhow::anyhow!("flowd is not ready after {READY:?}: it waits for {:?}", readiness.awaited())
        })?;
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let allow =
            loopback.into_iter().map(|address| Allow::Net(address, if address.is_ipv4() { 8 } else { 128 }, None));
        let connectors = Settings { secrets, rules: Rules { allow: allow.collect(), ca: None } };
        Ok(Self { folder, _temporary: temporary, flowd, sidecars: BTreeMap::new(), connectors, grpc, http })
    }

    /// How a client reaches this flowd.
    pub(crate) fn address(&self) -> anyhow::Result<Flowd> {
        let port = self.grpc.port().to_string().parse().map_err(anyhow::Error::msg)?;
        Ok(Flowd { flowd_host: Some(self.grpc.ip().to_string()), flowd_port: Some(port), ..Flowd::default() })
    }

    /// Keeps a sidecar for each service that is deployed; returns only with an error.
    pub(crate) async fn follow(&mut self, mut client: Client) -> anyhow::Result<()> {
        loop {
            let services = services(&mut client).await?;
            self.adjust(&services).await?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn adjust(&mut self, services: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let gone: Vec<String> = self.sidecars.keys().filter(|name| !services.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(part) = self.sidecars.remove(&name) {
                output::note(format_args!("sidecar of {name}: not needed any more"));
                part.stop().await?;
            }
        }
        for (name, url) in services {
            if self.sidecars.get(name).is_some_and(|part| part.thread.is_finished()) {
                let part = self.sidecars.remove(name);
                part.context("it was there")?
                    .stop()
                    .await
                    .with_context(|| format!("the sidecar of {name} has ended"))?;
            }
            if !self.sidecars.contains_key(name) {
                let part = self.sidecar(name, url).await.with_context(|| format!("start the sidecar of {name}"))?;
                self.sidecars.insert(name.clone(), part);
            }
        }
        Ok(())
    }

    async fn sidecar(&self, name: &str, url: &str) -> anyhow::Result<Part> {
        let serves = BTreeMap::from([(name.into(), url.to_owned())]);
        let config = sidecar::config::Config {
            flowd: vec![self.grpc.to_string()],
            leave: false,
            drain_timeout: DRAIN,
            connectors: self.connectors.clone(),
            ..sidecar::config::Config::new(serves, self.folder.join("sidecars").join(folder_name(name)))
        };
        let (name, url) = (name.to_owned(), url.to_owned());
        let (part, hop) = Part::start("sidecar", move |_, drain, bound| async move {
            let spans = Tracing::from_env(&name);
            let config = sidecar::config::Config { tracer: spans.tracer(), ..config };
            let app = sidecar::app::App::build(config).await?;
            let calls = if url.is_empty() { "what the models say" } else { url.as_str() };
            output::note(format_args!("sidecar of {name} at {} calls {calls}", app.hop_address));
            let _ = bound.send(app.hop_address);
            let ended = app.run(drain).await;
            // what could not be sent is lost with the process, and only spans are
            let _ = spans.shutdown(FLUSH).await;
            Ok(ended?)
        })
        .await?;
        let _: SocketAddr = hop;
        Ok(part)
    }

    /// Ends sidecars first, so that what they finish is still reported, then flowd.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.sidecars.values().for_each(|part| part.trigger.drain());
        for (name, part) in self.sidecars {
            part.stop().await.with_context(|| format!("stop the sidecar of {name}"))?;
        }
        self.flowd.stop().await.context("stop flowd")
    }
}

impl Part {
    /// Runs a component on a thread with a runtime of its own; returns when it says where it is.
    async fn start<T, F>(
        kind: &str,
        run: impl FnOnce(DrainTrigger, DrainWatcher, oneshot::Sender<T>) -> F + Send + 'static,
    ) -> anyhow::Result<(Self, T)>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<()>>,
    {
        let (trigger, watcher) = drain::new();
        let (bound, at) = oneshot::channel();
        let its_own = trigger.clone();
        let thread = thread::Builder::new().name(kind.to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(its_own, watcher, bound))
        })?;
        match at.await {
            Ok(at) => Ok((Self { trigger, thread }, at)),
            Err(_) => match join(thread).await {
                Ok(()) => anyhow::bail!("{kind} has ended before it served"),
                Err(error) => Err(error),
            },
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.trigger.drain();
        join(self.thread).await
    }
}

async fn join(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
    joined.unwrap_or_else(|_| Err(anyhow::anyhow!("it has panicked; what it said is above")))
}

/// The services of everything that is deployed, with where they are.
async fn services(client: &mut Client) -> anyhow::Result<BTreeMap<String, String>> {
    let mut services = BTreeMap::new();
    let mut deployments = client.deployments(Selection::default()).await?;
    while let Some(deployment) = deployments.next().await {
        for task in deployment?.tasks {
            let url = match task.url.as_str() {
                _ if task.service == CONNECTORS => String::new(),
                "" => "http://127.0.0.1:80".to_owned(),
                _ => task.url,
            };
            services.entry(task.service).or_insert(url);
        }
    }
    Ok(services)
}

/// A folder name for a service, different for different ones.
fn folder_name(service: &str) -> String {
    let plain: HashSet<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain(['-', '_', '.']).collect();
    service.chars().fold(String::new(), |mut name, c| {
        if plain.contains(&c) && !(name.is_empty() && c == '.') {
            name.push(c);
        } else {
            name.push_str(&format!("%{:x}", u32::from(c)));
        }
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_folders_of_their_own() {
        assert_eq!(folder_name("secret-sauce"), "secret-sauce");
        assert_eq!(folder_name("localhost:5000"), "localhost%3a5000");
        assert_eq!(folder_name("../x"), "%2e.%2fx");
        assert_ne!(folder_name("a b"), folder_name("a_b"));
    }
}
