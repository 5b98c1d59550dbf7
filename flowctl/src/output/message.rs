//! What became of a message or signal: `send`, `signal`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Show;

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// Instances that took it.
    pub(crate) instances: Vec<String>,
    /// Instances that it started.
    pub(crate) started: Vec<String>,
    /// It is kept for who comes later.
    pub(crate) buffered: bool,
    /// Its id was taken before: nothing happened.
    pub(crate) known: bool,
}

impl Show for Receipt {
    fn json(&self) -> Value {
        json!({
            "instances": self.instances,
            "started": self.started,
            "buffered": self.buffered,
            "known": self.known,
        })
    }

    fn names(&self) -> Vec<String> {
        self.instances.iter().chain(&self.started).map(|it| format!("instance/{it}")).collect()
    }

    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        let took = self.instances.iter().map(|it| format!("instance/{it}: took it.\n"));
        let started = self.started.iter().map(|it| format!("instance/{it}: started.\n"));
        let all: String = took.chain(started).collect();
        match (all.is_empty(), self.known, self.buffered) {
            (_, true, _) => "Its id was taken before: nothing happened.\n".to_owned(),
            (true, _, true) => "Nobody waits for it; it is kept.\n".to_owned(),
            (true, _, false) => "Nobody waits for it.\n".to_owned(),
            (false, ..) => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::NOW;

    #[test]
    fn a_receipt_says_what_happened() {
        let text = |receipt: Receipt| receipt.text(false, NOW);
        let started = Receipt { started: vec!["a-1".into()], instances: vec!["b-2".into()], ..Receipt::default() };
        assert_eq!(started.names(), ["instance/b-2", "instance/a-1"]);
        assert_eq!(text(started), "instance/b-2: took it.\ninstance/a-1: started.\n");
        assert!(text(Receipt { buffered: true, ..Receipt::default() }).contains("it is kept"));
        assert!(text(Receipt { known: true, ..Receipt::default() }).contains("taken before"));
        assert_eq!(text(Receipt::default()), "Nobody waits for it.\n");
    }
}
