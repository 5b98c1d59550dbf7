//! `services.yaml`: the processes of an example's folder.
//!
//! ```yaml
//! services:
//!   - name: collect                # also the name in the log, and what it is bound to
//!     command: [flow-example-task, collect]   # argv; a path with a slash is relative to the folder
//!     port_env: PORT               # variable that tells the process its port (this is the default)
//!     port: 0                      # 0, the default: a free one
//!     bind: [collect, charge]      # task types or service names it serves, instead of its own name
//!     path: /                      # path of the service
//!     env: {LEVEL: info}
//!     ready_timeout: 60            # seconds until it must accept connections
//! run:                             # the instance that shows the example at work
//!   process: underpants
//!   data: {}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::ensure;
use serde::Deserialize;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    #[serde(default = "default_port_env")]
    pub(crate) port_env: String,
    #[serde(default)]
    pub(crate) port: u16,
    #[serde(default)]
    bind: Vec<String>,
    #[serde(default = "default_path")]
    path: String,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(default = "default_ready_timeout")]
    ready_timeout: u32,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    #[serde(default)]
    pub(crate) services: Vec<Spec>,
    pub(crate) run: Option<Demonstration>,
}

/// The instance that shows an example at work.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Demonstration {
    pub(crate) process: String,
    #[serde(default)]
    pub(crate) data: serde_json::Value,
    /// Empty: the only one.
    #[serde(default)]
    pub(crate) start_event: String,
}

fn default_port_env() -> String {
    "PORT".to_owned()
}

fn default_path() -> String {
    "/".to_owned()
}

fn default_ready_timeout() -> u32 {
    60
}

impl Spec {
    /// What it serves: `bind`, else its own name.
    pub(crate) fn bound_names(&self) -> impl Iterator<Item = &str> {
        let own = self.bind.is_empty().then_some(self.name.as_str());
        self.bind.iter().map(String::as_str).chain(own)
    }

    /// Where it is once it listens on `port`.
    pub(crate) fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}/{}", self.path.trim_start_matches('/'))
    }

    /// How long it may take to accept connections.
    pub(crate) fn ready_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.ready_timeout))
    }
}

/// Reads the file; every service needs a command, and nothing may be bound twice.
pub(crate) fn parse(text: &str) -> anyhow::Result<Document> {
    let document: Document = serde_saphyr::from_str(text)?;
    let mut bound = BTreeSet::new();
    for spec in &document.services {
        ensure!(!spec.command.is_empty(), "service `{}` has no command", spec.name);
        for name in spec.bound_names() {
            ensure!(bound.insert(name), "`{name}` is served by two services; bind it to one of them");
        }
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_has_defaults() {
        let specs = parse("services:\n  - name: collect\n    command: [task, collect]\n").unwrap().services;
        assert_eq!(specs[0].port_env, "PORT");
        assert_eq!(specs[0].bound_names().collect::<Vec<_>>(), ["collect"]);
        assert_eq!(specs[0].url(7000), "http://127.0.0.1:7000/");
        assert_eq!(specs[0].ready_timeout(), Duration::from_secs(60));
    }

    #[test]
    fn a_service_may_serve_several_names_under_a_path() {
        let text = "services:\n  - {name: all, command: [task], bind: [a, b], path: /run, port: 7000}\n";
        let specs = parse(text).unwrap().services;
        assert_eq!(specs[0].bound_names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(specs[0].url(7000), "http://127.0.0.1:7000/run");
    }

    #[test]
    fn an_example_says_how_to_show_it_at_work() {
        let run = parse("services: []\nrun:\n  process: calc\n  data: {\"x\": 5, \"y\": 2.5}\n").unwrap().run.unwrap();
        assert_eq!((run.process.as_str(), run.data), ("calc", serde_json::json!({"x": 5, "y": 2.5})));
    }

    #[test]
    fn mistakes_are_told() {
        let message = |text: &str| format!("{:#}", parse(text).expect_err("it is wrong"));
        assert!(message("services:\n  - {name: a, command: []}\n").contains("`a` has no command"));
        let twice = "services:\n  - {name: a, command: [x]}\n  - {name: b, command: [x], bind: [a]}\n";
        assert!(message(twice).contains("`a` is served by two services"));
        assert!(message("services:\n  - {name: a, comand: [x]}\n").contains("comand"));
    }
}
