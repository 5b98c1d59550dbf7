//! A child process: started, waited for until it serves, signalled and ended by its own id.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

pub use rustix::process::Signal;

use super::wait::PATIENCE;

/// How many lines of what a process said are shown when a test fails.
const LAST_WORDS: usize = 60;

/// Lines that a process has written.
type Lines = Arc<Mutex<Vec<String>>>;

/// A running process; killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
    ready: watch::Receiver<Option<String>>,
}

impl Process {
    /// Starts `command`; it is not waited for.
    pub fn spawn(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let (said, ready) = watch::channel(None);
        let (stdout, stderr) = (Lines::default(), Lines::default());
        tokio::spawn(gather(child.stdout.take().unwrap(), stdout.clone(), Some(said)));
        tokio::spawn(gather(child.stderr.take().unwrap(), stderr.clone(), None));
        Self { name: name.to_owned(), child, stdout, stderr, ready }
    }

    /// Starts `command` and waits for its line that begins with `ready`.
    pub async fn start(name: &str, command: Command) -> Self {
        let mut process = Self::spawn(name, command);
        process.until_ready().await;
        process
    }

    /// Its line that begins with `ready`, once there is one.
    pub async fn until_ready(&mut self) -> String {
        let waited = timeout(PATIENCE, self.ready.wait_for(Option::is_some)).await;
        match waited {
            Ok(Ok(line)) => line.clone().unwrap(),
            Ok(Err(_)) => panic!("{} ended before it was ready", self.name),
            Err(_) => panic!("{} was not ready within {PATIENCE:?}", self.name),
        }
    }

    /// The part `NAME=VALUE` of the `ready` line, already seen.
    pub fn ready_value(&self, name: &str) -> String {
        let line = self.ready.borrow().clone().unwrap_or_default();
        let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{}: no {name}= in {line:?}", self.name)).to_owned()
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.start_kill();
        self.ended().await;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(id.unwrap_or_else(|| panic!("{} has ended", self.name)), signal).unwrap();
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("{} did not end within {PATIENCE:?}", self.name),
        }
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut words = String::new();
        for (stream, lines) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
                let _ = writeln!(words, "[{} {stream}] {line}", self.name);
            }
        }
        eprint!("{words}");
    }
}

fn text(lines: &Lines) -> String {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}

async fn gather(stream: impl AsyncRead + Unpin, into: Lines, said: Option<watch::Sender<Option<String>>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        into.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
        if let Some(said) = said.as_ref().filter(|said| line.starts_with("ready") && said.borrow().is_none()) {
            said.send_replace(Some(line));
        }
    }
}

/// A port that nobody listens on, below those that the system gives out by itself: it is still free when its
/// process is killed and started again.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_mul(37).wrapping_add(step)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
