//! What an orchestrator asks of a sidecar: whether it has started, whether it is ready, that it drains, and when the task beside it may end.
//!
//! `flow-sidecar probe` and `flow-sidecar drain` are run inside the sidecar's own container, so that neither needs a port that a mesh would
//! guard. A drain is a signal; who may send it is the system's question. `GET /drained` answers once the
//! sidecar drains, or stands still for flowd, and calls its task no more: a task that waits for it before it ends is not stopped in the middle of a call.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use hyper_util::rt::TokioIo;
use runtime::admin::{self, Admin};
use runtime::drain::DrainWatcher;
use runtime::tls::Incoming;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The path that a task waits for before it ends.
pub const DRAINED: &str = "/drained";
/// The file in the data folder that says which process is the sidecar.
const PID: &str = "pid";
/// How long a probe may take.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// How long the drain may be in coming: both hooks are called at about the same time.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);

/// What can be asked of a running sidecar from within its container.
#[derive(Debug, Parser)]
#[command(
    name = "flow-sidecar",
    version,
    about = "Asks a running sidecar something; for an orchestrator's probes and hooks"
)]
pub enum Command {
    /// Ends with 0 if the sidecar has started, or is ready
    Probe {
        /// What to ask
        #[arg(value_enum, default_value_t)]
        what: What,
        /// Its health port
        #[arg(long, env = "FLOW_ADMIN", value_name = "HOST:PORT")]
        admin: String,
    },
    /// Tells the sidecar to finish what it runs, hand over the rest, and end
    Drain {
        /// Its data folder
        #[arg(long, env = "FLOW_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Whether it serves at all
    Started,
    /// Whether it has what it needs
    #[default]
    Ready,
}

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers, or not in time.
    #[error("ask the sidecar at {address}: {why}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// It says no.
    #[error("the sidecar at {address} answers {status}; its {path} says why")]
    No {
        /// Where.
        address: String,
        /// What it answers.
        status: StatusCode,
        /// What it was asked.
        path: &'static str,
    },
    /// It is not known which process it is, or that cannot be told anything.
    #[error("tell the sidecar of {} to drain: {why}", folder.display())]
    Process {
        /// Its data folder.
        folder: PathBuf,
        /// Why.
        why: String,
    },
}

impl Command {
    /// The names of the commands, to tell them from the flags of a sidecar.
    pub const NAMES: [&str; 2] = ["probe", "drain"];

    /// Carries it out.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(self) -> Result<(), Error> {
        match self {
            Self::Probe { what, admin } => probe(&admin, what).await,
            Self::Drain { data_dir } => drain(&data_dir),
        }
    }
}

async fn probe(admin: &str, what: What) -> Result<(), Error> {
    let path = match what {
        What::Started => "/health",
        What::Ready => "/ready",
    };
    // what it listens on everywhere is asked here
    let address = admin.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    let unreachable = |why: String| Error::Unreachable { address: address.clone(), why };
    let asked = tokio::time::timeout(PROBE_WITHIN, ask(&address, path)).await;
    let status = asked.map_err(|_| unreachable(format!("no answer within {PROBE_WITHIN:?}")))?.map_err(unreachable)?;
    if status.is_success() { Ok(()) } else { Err(Error::No { address, status, path }) }
}

async fn ask(address: &str, path: &'static str) -> Result<StatusCode, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", address).body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.map_err(|error| error.to_string())?).await;
    connection.abort();
    Ok(answer.map_err(|error| error.to_string())?.status())
}

fn drain(folder: &Path) -> Result<(), Error> {
    let failed = |why: String| Error::Process { folder: folder.to_owned(), why };
    let text = std::fs::read_to_string(folder.join(PID)).map_err(|error| failed(error.to_string()))?;
    let pid =
        text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| failed(format!("{text:?} is no process")))?;
    // not SIGTERM, of which the second one ends it at once: the orchestrator sends its own when the task has ended
    kill_process(pid, Signal::USR1).map_err(|error| failed(error.to_string()))
}

/// Notes in the data folder which process serves it, for `flow-sidecar drain`.
///
/// # Errors
/// When the folder cannot be written.
pub fn note_process(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(PID), format!("{}\n", std::process::id()))
}

/// Whether the task is called no more, as the engine sees it while it drains or stands still.
#[derive(Debug)]
pub(crate) struct Quiet(watch::Sender<bool>);

impl Quiet {
    pub(crate) fn new() -> (Self, watch::Receiver<bool>) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), receiver)
    }

    /// What the engine sees now.
    pub(crate) fn set(&self, quiet: bool) {
        self.0.send_if_modified(|now| std::mem::replace(now, quiet) != quiet);
    }
}

/// Serves health, readiness, metrics and [`DRAINED`] until `closed`; `drain` begins the drain, `quiet` says that the last call has ended.
pub(crate) async fn serve(
    admin: Admin,
    incoming: Incoming,
    closed: DrainWatcher,
    (drain, quiet, limit): (DrainWatcher, watch::Receiver<bool>, Duration),
) {
    admin::serve(incoming, closed, move |request| {
        let waits = request.uri().path() == DRAINED && request.method() == Method::GET;
        let answer = admin.handle(&request);
        let (drain, quiet) = (drain.clone(), quiet.clone());
        async move { if waits { drained(drain, quiet, limit).await } else { answer } }
    })
    .await;
}

async fn drained(mut drain: DrainWatcher, mut quiet: watch::Receiver<bool>, limit: Duration) -> Response<Full<Bytes>> {
    let begins = async {
        tokio::select! {
            () = drain.signaled() => {}
            // the container alone is made anew, and nobody calls it
            _ = quiet.wait_for(|quiet| *quiet) => {}
        }
    };
    if tokio::time::timeout(BEGINS_WITHIN, begins).await.is_err() {
        return admin::text(StatusCode::CONFLICT, "text/plain", "the sidecar does not drain\n");
    }
    // an engine that has ended calls nobody
    match tokio::time::timeout(limit, quiet.wait_for(|quiet| *quiet)).await {
        Ok(_) => admin::text(StatusCode::OK, "text/plain", "drained\n"),
        Err(_) => admin::text(StatusCode::GATEWAY_TIMEOUT, "text/plain", "calls are still running\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_waits_until_the_last_call_has_ended() {
        let (trigger, watcher) = runtime::drain::new();
        let (quiet, receiver) = Quiet::new();
        let limit = Duration::from_secs(60);
        let waiting = tokio::spawn(drained(watcher.clone(), receiver.clone(), limit));
        trigger.drain();
        quiet.set(false);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        quiet.set(true);
        assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
        quiet.set(false);
        let ended = tokio::spawn(drained(watcher.clone(), receiver.clone(), limit));
        drop(quiet);
        assert_eq!(ended.await.unwrap().status(), StatusCode::OK, "the engine has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_does_not_wait_for_a_drain_that_does_not_come_nor_for_calls_that_do_not_end() {
        let (trigger, watcher) = runtime::drain::new();
        let (_quiet, receiver) = Quiet::new();
        let limit = Duration::from_secs(60);
        assert_eq!(drained(watcher.clone(), receiver.clone(), limit).await.status(), StatusCode::CONFLICT);
        trigger.drain();
        assert_eq!(drained(watcher, receiver, limit).await.status(), StatusCode::GATEWAY_TIMEOUT);
    }

    #[tokio::test]
    async fn commands_say_whom_they_asked_and_why_it_failed() {
        let folder = tempfile::tempdir().unwrap();
        let error = drain(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tell the sidecar of"), "{error}");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = probe(&format!("0.0.0.0:{}", free.port()), What::Ready).await.unwrap_err().to_string();
        assert!(error.contains("127.0.0.1"), "{error}");
    }
}
