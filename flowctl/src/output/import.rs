//! What becomes of a model of another engine: `import`.

use bpmn::import::{Line, Outcome};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Show, table};
use crate::exit::Exit;

/// One imported model.
#[derive(Debug, Clone)]
pub(crate) struct Imported {
    pub(crate) file: String,
    /// Where the model to apply was written.
    pub(crate) written: Option<String>,
    pub(crate) lines: Vec<Line>,
}

impl Imported {
    /// 65 if something does not map.
    pub(crate) fn exit(&self) -> Exit {
        if self.count(Outcome::Unmapped) > 0 { Exit::Invalid } else { Exit::Ok }
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.lines.iter().filter(|it| it.outcome == outcome).count()
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Same => "same",
        Outcome::Changed => "changed",
        Outcome::Unmapped => "unmapped",
    }
}

impl Show for Imported {
    fn json(&self) -> Value {
        json!({ "file": self.file, "written": self.written, "elements": self.lines })
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.lines.iter().map(|it| format!("{}/{}", it.kind, it.element)).collect();
        names.dedup();
        names
    }

    /// Without `wide`, what runs as it is is counted only.
    fn text(&self, wide: bool, _now: Timestamp) -> String {
        let told = self.lines.iter().filter(|it| wide || it.outcome != Outcome::Same);
        let rows = told.map(|it| {
            let message = if it.help.is_empty() { it.message.clone() } else { format!("{}; {}", it.message, it.help) };
            [
                it.line.to_string(),
                it.element.clone(),
                it.kind.clone(),
                word(it.outcome).to_owned(),
                it.what.clone(),
                message,
            ]
        });
        let rows = table::render(["LINE", "ELEMENT", "KIND", "OUTCOME", "WHAT", "WHY"], rows);
        let [same, changed, unmapped] = [Outcome::Same, Outcome::Changed, Outcome::Unmapped].map(|it| self.count(it));
        let written = self.written.as_ref().map_or_else(String::new, |it| format!("; written to {it}"));
        format!("{rows}{}: {same} same, {changed} changed, {unmapped} unmapped{written}\n", self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::every_form;

    #[test]
    fn an_import_in_every_form() {
        let line = |element: &str, outcome, help: &str| Line {
            element: element.into(),
            kind: "serviceTask".into(),
            line: 7,
            outcome,
            what: "camunda:class".into(),
            message: "`a.B` is Java".into(),
            help: help.into(),
        };
        let lines = vec![line("ship", Outcome::Same, ""), line("charge", Outcome::Unmapped, "use a service")];
        let imported = Imported { file: "a.bpmn".into(), written: Some("b.bpmn".into()), lines };
        assert_eq!(imported.exit(), Exit::Invalid);
        insta::assert_snapshot!(every_form(&imported));
    }
}
