//! What became of each file: `apply` and `validate`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::diagnostic::{Diagnostic, has_errors};
use super::{Show, sarif, table};
use crate::exit::Exit;

/// What became of a file; the words of `-o json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// `apply`: it is deployed now.
    Created,
    /// `apply`: the same content was deployed already.
    Unchanged,
    /// `validate`: it can run.
    Valid,
    /// The model has errors; nothing was changed.
    Refused,
    /// It could not be tried, or flowd could not carry it out.
    Error,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Unchanged => "unchanged",
            Status::Valid => "valid",
            Status::Refused => "refused",
            Status::Error => "error",
        }
    }
}

/// A process of a file and the deployment it became or would become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Deployed {
    pub(crate) id: String,
    pub(crate) process: String,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct File {
    /// As it was named on the command line.
    pub(crate) file: String,
    pub(crate) status: Status,
    pub(crate) message: String,
    pub(crate) deployments: Vec<Deployed>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl File {
    /// 65 exactly when a diagnostic is an error, 1 for anything else that went wrong.
    fn exit(&self) -> Exit {
        if has_errors(&self.diagnostics) {
            return Exit::Invalid;
        }
        match self.status {
            Status::Created | Status::Unchanged | Status::Valid => Exit::Ok,
            Status::Refused | Status::Error => Exit::Error,
        }
    }

    fn json(&self) -> Value {
        json!({
            "file": self.file,
            "status": self.status,
            "message": self.message,
            "deployments": self.deployments,
            "diagnostics": self.diagnostics,
        })
    }

    /// The original's object; it knew one process per file.
    fn original(&self) -> Value {
        match (self.exit(), self.deployments.first()) {
            (Exit::Ok, Some(first)) => json!({ "status": 0, "message": "Ok.", "wf_id": first.id }),
            (Exit::Ok, None) => json!({ "status": 0, "message": "Ok." }),
            _ => {
                json!({ "status": -1, "message": format!("Failed to compile provided bpmn diagram: {}", self.reason()) })
            }
        }
    }

    fn reason(&self) -> String {
        let errors = self.diagnostics.iter().filter(|diagnostic| has_errors(std::slice::from_ref(diagnostic)));
        let messages: Vec<_> = errors.map(|diagnostic| diagnostic.message.as_str()).collect();
        if messages.is_empty() { self.message.clone() } else { messages.join("; ") }
    }
}

/// What became of all files.
#[derive(Debug)]
pub(crate) struct Files(pub(crate) Vec<File>);

impl Files {
    /// 65 if any model has errors, else the first failure's code.
    pub(crate) fn exit(&self) -> Exit {
        let exits = || self.0.iter().map(File::exit);
        if exits().any(|exit| exit == Exit::Invalid) {
            return Exit::Invalid;
        }
        exits().fold(Exit::Ok, Exit::and)
    }
}

impl Show for Files {
    fn json(&self) -> Value {
        self.0.iter().map(File::json).collect()
    }

    /// One object for one file, as the original had it; an array of them for several.
    fn original(&self) -> Value {
        match self.0.as_slice() {
            [file] => file.original(),
            files => files.iter().map(File::original).collect(),
        }
    }

    fn sarif(&self) -> Option<Value> {
        Some(sarif::log(&self.0, self.exit()))
    }

    fn names(&self) -> Vec<String> {
        let deployed = self.0.iter().flat_map(|file| &file.deployments);
        deployed.map(|deployed| format!("deployment/{}", deployed.id)).collect()
    }

    fn text(&self, wide: bool, _now: Timestamp) -> String {
        if wide {
            return table::render(
                ["FILE", "STATUS", "PROCESS", "DEPLOYMENT", "MESSAGE"],
                self.0.iter().flat_map(wide_rows),
            );
        }
        self.0.iter().map(people).collect()
    }
}

fn wide_rows(file: &File) -> Vec<[String; 5]> {
    let row = |process: &str, id: &str| {
        [file.file.clone(), file.status.word().to_owned(), process.to_owned(), id.to_owned(), file.message.clone()]
    };
    if file.deployments.is_empty() {
        return vec![row("", "")];
    }
    file.deployments.iter().map(|deployed| row(&deployed.process, &deployed.id)).collect()
}

/// A line per deployment, or one for the file if there is none.
fn people(file: &File) -> String {
    let status = table::paint(file.status.word());
    if file.deployments.is_empty() {
        return format!("{}: {status}: {}\n", file.file, table::one_line(&file.message));
    }
    file.deployments.iter().map(|deployed| format!("deployment/{}: {status}\n", deployed.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::diagnostic::tests::{dangling, unbound};
    use crate::output::tests::every_form;

    fn created() -> File {
        File {
            file: "order.bpmn".into(),
            status: Status::Created,
            message: "Ok.".into(),
            deployments: vec![Deployed { id: "order-1a2b3c4d".into(), process: "order".into() }],
            diagnostics: vec![unbound()],
        }
    }

    fn invalid() -> File {
        File {
            file: "broken.bpmn".into(),
            status: Status::Refused,
            message: "1 error".into(),
            deployments: Vec::new(),
            diagnostics: vec![dangling()],
        }
    }

    #[test]
    fn one_created_file_in_every_form() {
        insta::assert_snapshot!(every_form(&Files(vec![created()])));
    }

    #[test]
    fn several_files_in_every_form() {
        let mut unchanged = created();
        unchanged.status = Status::Unchanged;
        unchanged.diagnostics.clear();
        insta::assert_snapshot!(every_form(&Files(vec![unchanged, invalid()])));
    }

    #[test]
    fn an_error_in_any_model_is_65_and_a_warning_is_not() {
        let mut failed = invalid();
        failed.status = Status::Error;
        failed.diagnostics.clear();
        assert_eq!(Files(vec![created()]).exit(), Exit::Ok);
        assert_eq!(Files(vec![failed.clone(), created()]).exit(), Exit::Error);
        assert_eq!(Files(vec![failed, invalid()]).exit(), Exit::Invalid);
    }
}
