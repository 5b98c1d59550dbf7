//! What `install`, `upgrade` and `uninstall` did to a cluster.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Show;

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Created,
    Changed,
    Unchanged,
    Deleted,
    /// It stays: it is not ours to take away.
    Left,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "configured",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Left => "left",
        }
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) what: What,
    /// `kind/name`.
    pub(crate) object: String,
    /// More to say; empty if there is nothing.
    pub(crate) note: String,
}

impl Change {
    pub(crate) fn new(what: What, object: String) -> Self {
        Self { what, object, note: String::new() }
    }
}

/// All of them, in the order in which it happened.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) namespace: String,
    pub(crate) changes: Vec<Change>,
}

impl Show for Changes {
    fn json(&self) -> Value {
        let entry = |it: &Change| json!({"object": it.object, "what": it.what.word(), "note": it.note});
        json!({"namespace": self.namespace, "objects": self.changes.iter().map(entry).collect::<Value>()})
    }

    fn names(&self) -> Vec<String> {
        self.changes.iter().map(|it| it.object.clone()).collect()
    }

    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        let note = |it: &Change| if it.note.is_empty() { String::new() } else { format!(": {}", it.note) };
        self.changes.iter().map(|it| format!("{} {}{}\n", it.object, it.what.word(), note(it))).collect()
    }
}

/// Objects as they would be applied.
#[derive(Debug)]
pub(crate) struct Manifests {
    pub(crate) objects: Vec<Value>,
}

impl Show for Manifests {
    fn json(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "List", "items": self.objects})
    }

    fn names(&self) -> Vec<String> {
        self.objects.iter().map(crate::install::named).collect()
    }

    /// YAML, as kubectl takes it.
    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        let text = |it: &Value| super::value::yaml(it).unwrap_or_else(|_| format!("{it}\n"));
        self.objects.iter().map(|it| format!("---\n{}", text(it))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::every_form;

    #[test]
    fn changes_in_every_form() {
        let left = Change {
            note: "what flowd knows".into(),
            ..Change::new(What::Left, "persistentvolumeclaim/store-flowd-0".into())
        };
        let changes = vec![Change::new(What::Deleted, "service/flowd".into()), left];
        insta::assert_snapshot!(every_form(&Changes { namespace: "rexflow".into(), changes }));
    }
}
