//! Child processes: started, waited for until they serve, ended by their own ids.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a process may take until it serves.
const START: Duration = Duration::from_secs(60);
/// Time between two attempts to connect.
const ATTEMPT: Duration = Duration::from_millis(20);
/// How long a process that was told to end may take for it.
const END: Duration = Duration::from_secs(15);

/// How one knows that a process serves.
pub(crate) enum Until {
    /// It prints a line that begins with `ready` on standard output.
    Ready,
    /// A port accepts a connection.
    Accepts(SocketAddr),
}

/// A running process; it is killed when this is dropped.
pub(crate) struct Process {
    name: String,
    pid: u32,
    log: PathBuf,
    ready: String,
    child: Child,
}

impl Process {
    /// Starts `command` and waits until it serves. What it says goes to `NAME.log` in `folder`.
    pub(crate) async fn start(name: &str, mut command: Command, folder: &Path, until: Until) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let errors = std::fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let output = match until {
            Until::Ready => Stdio::piped(),
            Until::Accepts(_) => Stdio::from(errors.try_clone()?),
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}: {:?}", command.as_std().get_program()))?;
        let pid = child.id().context("it ended at once")?;
        let mut process = Self { name: name.to_owned(), pid, log, ready: String::new(), child };
        let served = match until {
            Until::Ready => timeout(START, process.said_ready()).await,
            Until::Accepts(address) => timeout(START, process.accepts(address)).await,
        };
        match served {
            Ok(Ok(())) => Ok(process),
            Ok(Err(error)) => Err(error.context(process.last_words())),
            Err(_) => bail!("{name} did not serve within {START:?}; {}", process.last_words()),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Tells it to end as a supervisor does, and kills it should it not.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_raw(self.pid.try_into()?).context("no such process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .with_context(|| format!("cannot end {}", self.name))?;
        match timeout(END, self.child.wait()).await {
            Ok(status) => status.map(drop).with_context(|| format!("cannot wait for {}", self.name)),
            Err(_) => self.kill().await,
        }
    }

    /// Kills it and waits until it is gone, and with it what it held.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// The address in its `ready http://ADDRESS` line.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        let (_, address) = self.ready.split_once("http://").context("no address in its ready line")?;
        address.trim().parse().with_context(|| format!("{}: {:?}", self.name, self.ready))
    }

    async fn said_ready(&mut self) -> anyhow::Result<()> {
        let output = self.child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("ready") {
                self.ready = line;
                // Whatever it says from here on must not fill the pipe and block it.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(());
            }
        }
        bail!("{} ended before it was ready", self.name)
    }

    async fn accepts(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it accepted at {address}", self.name);
            }
            sleep(ATTEMPT).await;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        let said: Vec<&str> = lines.into_iter().rev().collect();
        format!("{} said: {}", self.name, said.join(" | "))
    }
}

/// A port that was free a moment ago, for programs that cannot tell which one they took.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// Asks `question` until it answers with something, at most for `limit`.
pub(crate) async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut question: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let last = match question().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= deadline {
            let error = last.unwrap_or_else(|| anyhow::anyhow!("not so far"));
            return Err(error.context(format!("{what}: waited {limit:?}")));
        }
        sleep(ATTEMPT * 5).await;
    }
}
