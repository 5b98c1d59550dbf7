//! `flowctl apply`: deploy models. flowd judges them; flowctl shows what it finds in their source.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::resources;
use crate::args::bind::{self, Bind};
use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Resource};
use crate::exit::{Exit, Failure};
use crate::output::apply::{File, Files, Status};
use crate::output::{self, diagnostic};
use crate::payload;

/// Deploy models
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Deploy without starting: the deployment is STOPPED until `flowctl start -d`
    #[arg(long)]
    stopped: bool,

    /// Where the service of a task type is; `*` for all types, `{type}` in the URL for the type
    #[arg(long, value_name = "TYPE=URL")]
    bind: Vec<Bind>,

    #[command(flatten)]
    sources: Sources,

    #[command(flatten)]
    output: OutputArgs,
}

/// Files of models, as `apply` and `validate` take them.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    /// BPMN files, folders of them, with the DMN files and forms that they refer to; or `-` for standard input
    #[arg(value_name = "FILE")]
    files: Vec<String>,

    /// The same, as kubectl has it
    #[arg(short, long = "filename", value_name = "FILE")]
    filename: Vec<String>,
}

impl Sources {
    /// All files, folders opened; a usage error if there is none.
    pub(crate) fn list(self) -> anyhow::Result<Vec<String>> {
        let mut files = Vec::new();
        for name in self.files.into_iter().chain(self.filename) {
            if name != "-" && Path::new(&name).is_dir() {
                let folder = Path::new(&name);
                let found = models_in(folder)?.into_iter().chain(named(folder, resources::in_folder)?);
                files.extend(found.map(|path| path.display().to_string()));
            } else {
                files.push(name);
            }
        }
        if files.is_empty() {
            return Err(Failure::usage("no file is named")
                .hint("name a BPMN file, a folder, or - for standard input")
                .into());
        }
        Ok(files)
    }
}

/// The models in a folder, by name.
pub(crate) fn models_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let models = named(folder, |path| path.extension().is_some_and(|extension| extension == "bpmn"))?;
    if models.is_empty() {
        return Err(Failure::new(Exit::Error, format!("{} has no .bpmn file", folder.display())).into());
    }
    Ok(models)
}

pub(super) fn named(folder: &Path, wanted: impl Fn(&Path) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if wanted(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Models, and what is applied with them.
pub(crate) fn split(files: Vec<String>) -> anyhow::Result<(Vec<String>, Vec<Resource>)> {
    let (resources, models): (Vec<_>, Vec<_>) = files.into_iter().partition(|it| resources::is_resource(Path::new(it)));
    if models.is_empty() {
        let failure = Failure::usage("no model is named");
        return Err(failure.hint("decisions and forms are applied with the BPMN file that refers to them").into());
    }
    let read = |name: String| payload::read_source(&name).map(|content| (name, content));
    Ok((models, resources.into_iter().map(read).collect::<anyhow::Result<_>>()?))
}

impl Apply {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let (files, resources) = split(self.sources.list()?)?;
        let bindings = bind::map(self.bind);
        let mut client = Client::connect(flowd).await?;
        let mut applied = Vec::new();
        for file in files {
            let (source, answer) = match payload::read_source(&file) {
                Ok(source) => {
                    let all = resources::with_forms(&file, &source, &resources)?;
                    let answer = client.apply(&file, source.clone(), self.stopped, bindings.clone(), &all).await?;
                    (source, answer)
                }
                Err(error) => (Vec::new(), unreadable(&file, &error)),
            };
            tell(&answer, &source);
            applied.push(answer);
        }
        let applied = Files(applied);
        output::show(&applied, self.output.output)?;
        Ok(applied.exit())
    }
}

/// A file that could not be read, as an answer beside those of the other files.
pub(crate) fn unreadable(file: &str, error: &anyhow::Error) -> File {
    File {
        file: file.to_owned(),
        status: Status::Error,
        message: format!("{error:#}"),
        deployments: Vec::new(),
        diagnostics: Vec::new(),
    }
}

/// Shows on standard error what was found in a file, and why it failed if that is not what was found.
pub(crate) fn tell(file: &File, source: &[u8]) {
    let text = String::from_utf8_lossy(source);
    let diagnostics = diagnostic::render(&file.file, &text, &file.diagnostics);
    if !diagnostics.is_empty() {
        output::note(diagnostics.trim_end());
    }
    if file.status == Status::Error {
        output::note(format_args!("error: {}: {}", file.file, file.message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::code_of;

    #[test]
    fn a_folder_stands_for_its_models_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.bpmn", "a.bpmn", "README.md"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let name = folder.path().display().to_string();
        let sources = Sources { files: vec![name.clone(), "-".into()], filename: vec!["c.bpmn".into()] };
        let expected = [format!("{name}/a.bpmn"), format!("{name}/b.bpmn"), "-".into(), "c.bpmn".into()];
        assert_eq!(sources.list().unwrap(), expected);
    }

    #[test]
    fn no_file_is_a_usage_error() {
        let error = Sources { files: Vec::new(), filename: Vec::new() }.list().expect_err("there is none");
        assert_eq!(code_of(&error), Exit::Usage);
    }

    #[test]
    fn a_folder_without_models_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = models_in(folder.path()).expect_err("there is none");
        assert!(error.to_string().contains("no .bpmn file"), "{error}");
    }
}
