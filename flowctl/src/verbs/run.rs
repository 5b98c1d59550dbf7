//! `flowctl run`: start an instance, and wait for its end if asked.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::args::{Flowd, OutputArgs, duration};
use crate::client::{Client, Start};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::output::instance::{Instance, Started};
use crate::payload::{self, Payload};

/// Start an instance
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A deployment id, a process id (its newest running deployment), or a unique part of a deployment id
    #[arg(value_name = "ID")]
    workflow_id: String,

    /// The payload: JSON, @FILE, or - for standard input
    #[arg(value_name = "JSON|@FILE|-", allow_negative_numbers = true, conflicts_with = "data")]
    args: Option<String>,

    /// The payload, as an option
    #[arg(short, long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,

    /// Content type of the payload
    #[arg(long, value_name = "TYPE", default_value = payload::JSON)]
    content_type: String,

    /// Start event, by element id; needed where the process has several
    #[arg(short, long = "start_event_id", alias = "start-event-id", value_name = "ID")]
    start_event_id: Option<String>,

    /// Start the instance stopped; `flowctl start` lets it go
    #[arg(long)]
    stopped: bool,

    /// Metadata of the instance: a JSON object of texts, or KEY=TEXT
    #[arg(short, long, value_name = "JSON|KEY=TEXT")]
    meta: Vec<String>,

    /// Idempotency key: the same key starts the same instance
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Wait until the instance has ended or waits as an incident, and print its result
    #[arg(short, long)]
    wait: bool,

    /// How long to wait at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse, requires = "wait")]
    timeout: Duration,

    #[command(flatten)]
    output: OutputArgs,
}

impl Run {
    /// The form of the answer that was asked for.
    #[cfg(test)]
    pub(crate) fn format(&self) -> Option<output::Format> {
        self.output.output
    }

    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let payload = match self.data.as_deref().or(self.args.as_deref()) {
            Some(argument) => payload::read(argument, Some(&self.content_type))?,
            None => Payload { bytes: Vec::new(), content_type: self.content_type.clone() },
        };
        let start = Start {
            id: self.workflow_id,
            payload,
            start_event: self.start_event_id.unwrap_or_default(),
            stopped: self.stopped,
            metadata: metadata(&self.meta)?,
            key: self.key.unwrap_or_default(),
            wait: self.wait.then_some(self.timeout),
        };
        let mut client = Client::connect(flowd).await?;
        let instance = client.run(start).await?;
        let started = Started { instance, waited: self.wait };
        output::show(&started, self.output.output)?;
        if !self.wait {
            return Ok(Exit::Ok);
        }
        Ok(verdict(&started.instance, self.timeout))
    }
}

/// The exit code of a wait; what is not a completion is told.
fn verdict(instance: &Instance, limit: Duration) -> Exit {
    if !instance.is_settled() {
        output::note(format_args!(
            "error: instance {} is still {} after {limit:?}\n  hint: follow it with `flowctl ps -w {}`",
            instance.id,
            instance.state.word(),
            instance.id
        ));
        return Exit::TimedOut;
    }
    let exit = instance.exit();
    if exit == Exit::Ok {
        return exit;
    }
    let why = match &instance.error {
        Some(error) => format!(": {} at `{}`: {}", error.code, error.element, error.message),
        None => String::new(),
    };
    output::note(format_args!("error: instance {} is {}{why}", instance.id, instance.state.word()));
    if instance.incidents > 0 {
        output::note(format_args!("  hint: mend the cause, then `flowctl start {}`", instance.id));
    }
    exit
}

/// Metadata from `-m`: objects of texts, and `KEY=TEXT`.
pub(crate) fn metadata(arguments: &[String]) -> anyhow::Result<HashMap<String, String>> {
    let mut pairs = HashMap::new();
    for argument in arguments {
        match serde_json::from_str(argument) {
            Ok(Value::Object(members)) => {
                pairs.extend(members.into_iter().map(|(key, value)| (key, text_of(value))));
            }
            _ => {
                let (key, text) = argument
                    .split_once('=')
                    .filter(|(key, _)| !key.is_empty())
                    .ok_or_else(|| Failure::usage(format!("`{argument}` is neither a JSON object nor KEY=TEXT")))?;
                pairs.insert(key.to_owned(), text.to_owned());
            }
        }
    }
    Ok(pairs)
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::code_of;
    use crate::output::instance::State;
    use crate::output::instance::tests::{completed, stopped};

    #[test]
    fn metadata_is_an_object_or_pairs() {
        let pairs = metadata(&[r#"{"a": "1", "b": 2}"#.into(), "c=x=y".into()]).unwrap();
        let expected = [("a", "1"), ("b", "2"), ("c", "x=y")];
        assert_eq!(pairs, HashMap::from(expected.map(|(key, text)| (key.to_owned(), text.to_owned()))));
    }

    #[test]
    fn other_metadata_is_a_usage_error() {
        for argument in ["nothing", "=x", "[1]"] {
            let error = metadata(&[argument.into()]).expect_err(argument);
            assert_eq!(code_of(&error), Exit::Usage);
        }
    }

    #[test]
    fn a_wait_ends_with_the_code_of_what_was_seen() {
        let limit = Duration::from_secs(1);
        let mut running = completed();
        running.state = State::Running;
        assert_eq!(verdict(&completed(), limit), Exit::Ok);
        assert_eq!(verdict(&running, limit), Exit::TimedOut);
        assert_eq!(verdict(&stopped(), limit), Exit::NotCompleted);
    }
}
