//! `flowctl send`, `flowctl signal` and `flowctl offer`: messages, signals and variables for whoever waits for them.

use std::time::Duration;

use clap::Args;

use crate::args::{Flowd, OutputArgs, duration};
use crate::client::{Client, Message};
use crate::exit::Exit;
use crate::output;
use crate::payload::{self, Payload};

/// Publish a message: it goes to whoever waits for it, or starts an instance
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Name of the message
    #[arg(value_name = "NAME")]
    name: String,

    /// Correlation key: only who waits for this key gets it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// The payload: JSON, @FILE, or - for standard input
    #[arg(short, long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,

    /// Id of the message: the same id is taken once
    #[arg(long, value_name = "ID")]
    id: Option<String>,

    /// How long it is kept for who does not wait for it yet, as PT1H or 1h
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration::parse)]
    ttl: Duration,

    #[command(flatten)]
    output: OutputArgs,
}

impl Send {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let message = Message {
            name: self.name,
            key: self.key,
            id: self.id.unwrap_or_default(),
            time_to_live: self.ttl,
            payload: data(self.data.as_deref())?,
        };
        let receipt = Client::connect(flowd).await?.publish(message).await?;
        output::show(&receipt, self.output.output)?;
        Ok(Exit::Ok)
    }
}

/// Broadcast a signal to everybody who waits for it
#[derive(Debug, Args)]
pub(crate) struct Signal {
    /// Name of the signal
    #[arg(value_name = "NAME")]
    name: String,

    /// The payload: JSON, @FILE, or - for standard input
    #[arg(short, long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

impl Signal {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let payload = data(self.data.as_deref())?;
        let receipt = Client::connect(flowd).await?.signal(self.name, payload).await?;
        output::show(&receipt, self.output.output)?;
        Ok(Exit::Ok)
    }
}

/// Offer variables: every process whose start condition they fulfil is started with them
#[derive(Debug, Args)]
pub(crate) struct Offer {
    /// Only this process; without, every one
    #[arg(value_name = "PROCESS")]
    process: Option<String>,

    /// The variables: a JSON object, @FILE, or - for standard input
    #[arg(short, long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: String,

    #[command(flatten)]
    output: OutputArgs,
}

impl Offer {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let payload = data(Some(&self.data))?;
        let receipt = Client::connect(flowd).await?.offer(self.process.unwrap_or_default(), payload).await?;
        output::show(&receipt, self.output.output)?;
        Ok(Exit::Ok)
    }
}

/// What `-d` says; nothing is an empty object.
pub(crate) fn data(argument: Option<&str>) -> anyhow::Result<Payload> {
    match argument {
        Some(argument) => payload::read(argument, None),
        None => Ok(Payload { bytes: b"{}".to_vec(), content_type: payload::JSON.to_owned() }),
    }
}
