//! `flowctl version`: of flowctl, and of the flowd it talks to.

use clap::Args;
use serde_json::{Value, json};

use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Daemon};
use crate::exit::Exit;
use crate::output::{self, Show};

/// Show the versions of flowctl and flowd
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Only flowctl's own version; flowd is not asked
    #[arg(long)]
    client: bool,

    #[command(flatten)]
    output: OutputArgs,
}

impl Version {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let own = Versions { flowctl: env!("CARGO_PKG_VERSION").to_owned(), flowd: None };
        if self.client {
            output::show(&own, self.output.output)?;
            return Ok(Exit::Ok);
        }
        let answer = async { Client::connect(flowd).await?.version().await }.await;
        let versions = Versions { flowd: answer.as_ref().ok().cloned(), ..own };
        output::show(&versions, self.output.output)?;
        answer.map(|_| Exit::Ok)
    }
}

#[derive(Debug)]
struct Versions {
    flowctl: String,
    flowd: Option<Daemon>,
}

impl Show for Versions {
    fn json(&self) -> Value {
        let daemon =
            |flowd: &Daemon| json!({ "version": flowd.version, "store": flowd.store, "leading": flowd.leading });
        json!({ "flowctl": self.flowctl, "flowd": self.flowd.as_ref().map(daemon) })
    }

    fn names(&self) -> Vec<String> {
        vec![format!("flowctl/{}", self.flowctl)]
    }

    fn text(&self, _wide: bool, _now: jiff::Timestamp) -> String {
        let flowd = self.flowd.as_ref().map(|flowd| {
            let role = if flowd.leading { "leads" } else { "follows" };
            format!("flowd   {} (store {}, {role})\n", flowd.version, flowd.store)
        });
        format!("flowctl {}\n{}", self.flowctl, flowd.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::every_form;

    #[test]
    fn versions_in_every_form() {
        let versions = Versions {
            flowctl: "0.1.0".into(),
            flowd: Some(Daemon { version: "0.1.0".into(), store: "redb".into(), leading: true }),
        };
        insta::assert_snapshot!(every_form(&versions));
    }
}
