//! What `check` found.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Show;
use super::table::{self, HINT};
use crate::exit::Exit;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Ok,
    /// The mesh works, and somebody should look.
    Warning,
    /// The mesh does not work until it is mended.
    Failed,
    /// It cannot be looked at before something else is mended, or there is nothing yet.
    Skipped,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) section: &'static str,
    /// What should be so.
    pub(crate) what: String,
    pub(crate) state: State,
    /// What was seen; empty if there is nothing to say.
    pub(crate) detail: String,
    /// What to do; empty if there is nothing to do.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn is_failed(&self) -> bool {
        self.state == State::Failed
    }
}

/// All lines.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) findings: Vec<Finding>,
}

impl Checked {
    /// 1 if something failed; a warning is none.
    pub(crate) fn exit(&self) -> Exit {
        if self.findings.iter().any(Finding::is_failed) { Exit::Error } else { Exit::Ok }
    }
}

impl Show for Checked {
    fn json(&self) -> Value {
        let entry = |it: &Finding| json!({"section": it.section, "check": it.what, "state": it.state.word(), "detail": it.detail, "fix": it.fix});
        self.findings.iter().map(entry).collect()
    }

    fn names(&self) -> Vec<String> {
        self.findings.iter().filter(|it| it.is_failed()).map(|it| format!("check/{}", it.what)).collect()
    }

    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        let mut text = String::new();
        let mut section = "";
        for Finding { section: of, what, state, detail, fix } in &self.findings {
            if *of != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}{of}");
                section = of;
            }
            let (word, padding) = (table::paint(state.word()), " ".repeat(8_usize.saturating_sub(state.word().len())));
            let detail = if detail.is_empty() { String::new() } else { format!(": {}", table::one_line(detail)) };
            let _ = writeln!(text, "  {word}{padding}{}{detail}", table::one_line(what));
            if !fix.is_empty() {
                let (on, off) = (HINT.render(), HINT.render_reset());
                let _ = writeln!(text, "          {on}fix:{off} {}", table::one_line(fix));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::every_form;

    #[test]
    fn checks_in_every_form() {
        let finding = |section, what: &str, state, detail: &str, fix: &str| Finding {
            section,
            what: what.into(),
            state,
            detail: detail.into(),
            fix: fix.into(),
        };
        let findings = vec![
            finding("cluster", "the API server answers", State::Ok, "v1.34.4", ""),
            finding("cluster", "volumes are made by default", State::Warning, "no class", "--set store.etcd=URL"),
            finding("flowd", "flowd runs", State::Failed, "there is none", "helm install"),
            finding("flowd", "it answers", State::Skipped, "flowd does not run", ""),
        ];
        let checked = Checked { findings };
        assert_eq!(checked.exit(), Exit::Error);
        insta::assert_snapshot!(every_form(&checked));
    }
}
