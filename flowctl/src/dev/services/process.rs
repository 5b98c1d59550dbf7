//! One process of an example: its group, its output, its port.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::spec::Spec;
use crate::output;

/// Time between two tries to connect to a service that is starting.
const RETRY: Duration = Duration::from_millis(20);

/// Longest line of a service's output that is forwarded in one piece, in bytes.
const LONGEST_LINE: usize = 16 << 10;

/// A running process in a process group of its own, so that a signal reaches its children too and a
/// terminal's Ctrl-C reaches flowctl alone, which then stops things in order.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    port: u16,
    group: Option<Pid>,
    child: Child,
}

impl Process {
    /// Starts it on its port; it is not waited for.
    pub(super) fn spawn(folder: &Path, program: &Path, spec: &Spec) -> anyhow::Result<Self> {
        let port = if spec.port == 0 { free_port()? } else { spec.port };
        let mut command = Command::new(program);
        command
            .args(&spec.command[1..])
            .current_dir(folder)
            .envs(&spec.env)
            .env(&spec.port_env, port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start service `{}` (`{}`)", spec.name, spec.command.join(" ")))?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(forward(stdout, spec.name.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward(stderr, spec.name.clone()));
        }
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { name: spec.name.clone(), port, group, child })
    }

    /// The port it was told to listen on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it accepts a connection; an error if it ends before, or takes longer than `limit`.
    pub(super) async fn accepts_connections(&mut self, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("service `{}` ended before it accepted connections ({})", self.name, ending(status));
            }
            let connect = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            match timeout_at(deadline, connect).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(_)) if Instant::now() < deadline => sleep(RETRY).await,
                Ok(Err(_)) | Err(_) => bail!(
                    "service `{}` does not accept connections on 127.0.0.1:{} after {limit:?}; does it read its port from the variable `services.yaml` names?",
                    self.name,
                    self.port
                ),
            }
        }
    }

    /// Asks its group to end, and kills it after `grace`.
    pub(super) async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        if timeout(grace, self.child.wait()).await.is_err() {
            output::note(format_args!("service `{}` does not end: killed", self.name));
        }
        // Also after a clean end: the group may have members that outlive their parent.
        self.signal(Signal::KILL);
        let _ = self.child.kill().await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // An error says that the group is gone already, which is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// A port nobody listens on at the moment.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Forwards output line by line with the service's name before it, until it is closed.
async fn forward(output: impl AsyncRead + Unpin, name: String) {
    let mut reader = BufReader::with_capacity(LONGEST_LINE, output);
    let mut line = Vec::new();
    while let Ok(more) = read_line(&mut reader, &mut line).await {
        if !line.is_empty() {
            output::note(format_args!("[{name}] {}", output::table::one_line(&String::from_utf8_lossy(&line))));
        }
        if !more {
            break;
        }
        line.clear();
    }
}

/// Reads up to a newline or the longest line; false at the end.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(false);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let length = end.unwrap_or(chunk.len());
        line.extend_from_slice(&chunk[..length]);
        reader.consume(length + usize::from(end.is_some()));
        if end.is_some() || line.len() >= LONGEST_LINE {
            return Ok(true);
        }
    }
}

fn ending(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}
