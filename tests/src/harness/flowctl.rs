//! `flowctl` as a script runs it: words in, exit code and output out.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::programs::Programs;
use super::wait::PATIENCE;

/// What a run of `flowctl` left behind.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The command line, for messages.
    pub words: String,
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Itself, if it ended with `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Itself, if standard error has all of `words`.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "standard error does not say {word:?}: {self:#?}");
        }
        self
    }
}

/// `flowctl` against one flowd.
#[derive(Debug, Clone)]
pub struct Flowctl {
    port: u16,
}

impl Flowctl {
    /// Against the flowd on this port.
    pub fn new(port: u16) -> Self {
        Self { port }
    }

    /// The command line, not started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(Programs::get().flowctl());
        command.args(["--flowd_host", "127.0.0.1", "--flowd_port", &self.port.to_string()]).args(words);
        command.env("NO_COLOR", "1").env_remove("FLOWD_HOST").env_remove("FLOWD_PORT");
        command
    }

    /// Runs it.
    pub async fn run(&self, words: &[&str]) -> Ran {
        self.run_with(words, &[]).await
    }

    /// Runs it with something on standard input.
    pub async fn run_with(&self, words: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start flowctl {words:?}: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        let feed = async move {
            // A program that does not read its input has closed it.
            let _ = stdin.write_all(input).await;
        };
        let ran = timeout(PATIENCE * 2, async { tokio::join!(feed, child.wait_with_output()).1 }).await;
        let Ok(output) = ran else { panic!("flowctl {words:?} did not end") };
        let output = output.unwrap();
        Ran {
            words: words.join(" "),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it prints as JSON, when it succeeds.
    pub async fn json(&self, words: &[&str]) -> Value {
        self.run(words).await.expect_code(0).json()
    }
}
