//! `flowctl update`: carry out the actions of YAML documents, as the original's `update` took them.
//!
//! ```yaml
//! action: swap_service           # repoint a task, as `flowctl swap` does
//! wf_id: order-1a2b3c4d          # everywhere if left out
//! component_id: charge           # or component_name
//! args: {url: "http://127.0.0.1:7002/"}
//! ```
//! The original's ingress and topic actions are read and refused one by one: it never carried them out either.

use clap::Args;
use serde::Deserialize;

use super::show_report;
use crate::args::kind::Kind;
use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Repoint};
use crate::exit::{Exit, Failure, code_of};
use crate::output::report::{Outcome, Report};
use crate::payload;

/// Carry out the actions of YAML files
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// YAML files, or `-` for standard input
    #[arg(value_name = "FILE", required = true)]
    specs: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Spec {
    action: String,
    #[serde(default)]
    wf_id: String,
    #[serde(default)]
    component_id: String,
    #[serde(default)]
    component_name: String,
    #[serde(default)]
    args: Arguments,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Arguments {
    #[serde(default)]
    url: String,
}

impl Update {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let mut specs = Vec::new();
        for file in &self.specs {
            specs.extend(read(file, &payload::read_source(file)?)?);
        }
        let mut outcomes = Vec::new();
        for spec in specs {
            outcomes.push(carry_out(spec, flowd).await);
        }
        show_report(&Report { original_key: "status", outcomes }, self.output.output)
    }
}

fn read(file: &str, bytes: &[u8]) -> anyhow::Result<Vec<Spec>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Failure::usage(format!("{file} is not UTF-8")))?;
    let specs: Vec<Spec> =
        serde_saphyr::from_multiple(text).map_err(|error| Failure::usage(format!("{file} is no update: {error}")))?;
    if specs.is_empty() {
        return Err(Failure::usage(format!("{file} has no document")).into());
    }
    Ok(specs)
}

async fn carry_out(spec: Spec, flowd: &Flowd) -> Outcome {
    let id = spec.wf_id.clone();
    let done = |exit, message: String| Outcome { kind: Kind::Deployment, id, exit, message };
    let repoint = match planned(spec) {
        Ok(repoint) => repoint,
        Err(refused) => return done(refused.exit, refused.message),
    };
    let swapped = async { Client::connect(flowd).await?.swap(repoint).await }.await;
    match swapped {
        Ok(swap) => match swap.unreached().next() {
            None => done(Exit::Ok, format!("Swapped {}.", swap.task)),
            Some(sidecar) => {
                done(Exit::Error, format!("sidecar {} is not reached: {}", sidecar.hop_address, sidecar.error))
            }
        },
        Err(error) => done(code_of(&error), format!("{error:#}")),
    }
}

/// What an action asks flowd for, or why it cannot be carried out.
fn planned(spec: Spec) -> Result<Repoint, Failure> {
    match spec.action.as_str() {
        "swap_service" => {}
        "expose_ingress" | "clear_ingress" => {
            return Err(Failure::new(Exit::Error, "ingress is not flowd's: route to POST /start/ID of its HTTP port"));
        }
        "subscribe_to_topic" | "unsubscribe_from_topic" => {
            return Err(Failure::new(Exit::Error, "topics are not supported"));
        }
        other => return Err(Failure::usage(format!("there is no action `{other}`"))),
    }
    let task = if spec.component_id.is_empty() { spec.component_name } else { spec.component_id };
    if task.is_empty() || spec.args.url.is_empty() {
        return Err(Failure::usage("swap_service needs component_id (or component_name) and args.url"));
    }
    Ok(Repoint { task, url: spec.args.url, deployment: spec.wf_id, undo: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_documents_are_several_actions() {
        let text = "action: expose_ingress\nhost: x\nwf_id: a\n---\naction: swap_service\ncomponent_id: charge\nargs: {url: 'http://x/'}\n";
        let specs = read("u.yaml", text.as_bytes()).unwrap();
        assert_eq!(specs.len(), 2);
        assert!(planned(specs[0].clone()).is_err());
        let repoint = planned(specs[1].clone()).unwrap();
        assert_eq!(
            (repoint.task.as_str(), repoint.url.as_str(), repoint.deployment.as_str()),
            ("charge", "http://x/", "")
        );
    }

    #[test]
    fn what_cannot_be_carried_out_is_told() {
        let refused = |text: &str| planned(read("u.yaml", text.as_bytes()).unwrap().remove(0)).expect_err(text);
        assert_eq!(refused("action: dance\n").exit, Exit::Usage);
        assert_eq!(refused("action: swap_service\ncomponent_id: a\n").exit, Exit::Usage);
        assert!(refused("action: clear_ingress\n").message.contains("/start/ID"));
    }

    #[test]
    fn what_is_no_update_is_a_usage_error() {
        for text in ["", "- 1\n", "host: x\n"] {
            assert_eq!(code_of(&read("u.yaml", text.as_bytes()).expect_err(text)), Exit::Usage);
        }
    }
}
