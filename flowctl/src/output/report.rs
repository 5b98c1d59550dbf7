//! What became of each thing named in a command: `start`, `stop`, `delete`, `update`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Show;
use crate::args::kind::Kind;
use crate::exit::Exit;

/// What became of one thing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// [`Exit::Ok`] if it happened.
    pub(crate) exit: Exit,
    /// What happened, or why it did not.
    pub(crate) message: String,
}

impl Outcome {
    fn word(&self) -> &'static str {
        if self.exit == Exit::Ok { "ok" } else { "error" }
    }
}

/// What became of all of them.
#[derive(Debug)]
pub(crate) struct Report {
    /// What it was called by the original inside its answers: `status`, or `result` for `delete`.
    pub(crate) original_key: &'static str,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    /// The first failure's code.
    pub(crate) fn exit(&self) -> Exit {
        self.outcomes.iter().fold(Exit::Ok, |exit, outcome| exit.and(outcome.exit))
    }
}

impl Show for Report {
    fn json(&self) -> Value {
        let entry = |outcome: &Outcome| {
            json!({
                "id": outcome.id,
                "kind": outcome.kind.to_string(),
                "status": outcome.word(),
                "message": outcome.message,
            })
        };
        self.outcomes.iter().map(entry).collect()
    }

    fn original(&self) -> Value {
        let entry = |outcome: &Outcome| {
            let status = if outcome.exit == Exit::Ok { 0 } else { -1 };
            (outcome.id.clone(), json!({ self.original_key: status, "message": outcome.message }))
        };
        self.outcomes.iter().map(entry).collect::<Map<_, _>>().into()
    }

    fn names(&self) -> Vec<String> {
        let done = self.outcomes.iter().filter(|outcome| outcome.exit == Exit::Ok);
        done.map(|outcome| format!("{}/{}", outcome.kind, outcome.id)).collect()
    }

    /// Only what happened: failures are told on standard error by the verb.
    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        let done = self.outcomes.iter().filter(|outcome| outcome.exit == Exit::Ok);
        done.map(|outcome| format!("{}/{}: {}\n", outcome.kind, outcome.id, outcome.message)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::every_form;

    fn outcome(id: &str, exit: Exit, message: &str) -> Outcome {
        Outcome { kind: Kind::Deployment, id: id.into(), exit, message: message.into() }
    }

    #[test]
    fn a_report_in_every_form() {
        let outcomes = vec![
            outcome("order-1a2b3c4d", Exit::Ok, "Stopped."),
            outcome("ship-5e6f7a8b", Exit::Error, "it has 3 running instances"),
        ];
        insta::assert_snapshot!(every_form(&Report { original_key: "status", outcomes }));
    }

    #[test]
    fn one_failure_among_many_decides_the_exit_code() {
        let outcomes = vec![
            outcome("a", Exit::Ok, "Stopped."),
            outcome("b", Exit::NotFound, "there is no deployment b"),
            outcome("c", Exit::Ok, "Stopped."),
        ];
        assert_eq!(Report { original_key: "result", outcomes }.exit(), Exit::NotFound);
    }
}
