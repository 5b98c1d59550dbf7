//! `flowctl validate`: judge models without flowd, by the same rules that flowd applies.

use clap::Args;

use super::apply::{Sources, split, tell, unreadable};
use super::inject;
use super::resources::with_forms;
use crate::args::OutputArgs;
use crate::args::bind::{self, Bind};
use crate::client::Resource;
use crate::exit::Exit;
use crate::output;
use crate::output::apply::{Deployed, File, Files, Status};
use crate::output::diagnostic::{Diagnostic, Severity};
use crate::payload;

/// Judge models, offline
#[derive(Debug, Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    sources: Sources,

    /// Where the service of a task type is, so that the task does not count as unbound
    #[arg(long, value_name = "TYPE=URL")]
    bind: Vec<Bind>,

    /// Print what a cluster with Istio would run for the models, as YAML, instead of the verdict
    #[arg(long = "include_kubernetes", alias = "include-kubernetes")]
    include_kubernetes: bool,

    #[command(flatten)]
    output: OutputArgs,
}

impl Validate {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let (names, resources) = split(self.sources.list()?)?;
        let mut options = bpmn::Options {
            bindings: bind::map(self.bind).into_iter().collect(),
            cluster: self.include_kubernetes,
            ..Default::default()
        };
        let mut files = beside(resources, &mut options);
        let mut objects = String::new();
        for name in names {
            let (source, file) = match payload::read_source(&name) {
                Ok(source) => {
                    let mut options = options.clone();
                    files.extend(beside(with_forms(&name, &source, &[])?, &mut options));
                    let file = judge(&name, &source, &options);
                    if let (true, Ok(checked)) = (self.include_kubernetes, bpmn::check(&source, &options)) {
                        objects += &inject::rendered(&source, &checked)?;
                    }
                    (source, file)
                }
                Err(error) => (Vec::new(), unreadable(&name, &error)),
            };
            tell(&file, &source);
            files.push(file);
        }
        let files = Files(files);
        match self.include_kubernetes && files.exit() == Exit::Ok && self.output.output.is_none() {
            true => output::data(&objects)?,
            false => output::show(&files, self.output.output)?,
        }
        Ok(files.exit())
    }
}

/// Takes decisions and forms into the options; those of which there is something to tell are told.
fn beside(resources: Vec<Resource>, options: &mut bpmn::Options) -> Vec<File> {
    let mut told = Vec::new();
    for (name, content) in resources {
        match bpmn::beside(options, &name, &content) {
            Ok(warnings) if warnings.is_empty() => {}
            Ok(warnings) => {
                let diagnostics = warnings.into_iter().map(Diagnostic::from).collect();
                let deployments = Vec::new();
                let file =
                    File { file: name, status: Status::Valid, message: "Ok.".to_owned(), deployments, diagnostics };
                tell(&file, &content);
                told.push(file);
            }
            Err(findings) => {
                let file = File {
                    file: name,
                    status: Status::Refused,
                    message: counted(findings.iter().filter(|finding| finding.is_error()).count()),
                    deployments: Vec::new(),
                    diagnostics: findings.into_iter().map(Diagnostic::from).collect(),
                };
                tell(&file, &content);
                told.push(file);
            }
        }
    }
    told
}

/// The verdict on one file.
fn judge(name: &str, source: &[u8], options: &bpmn::Options) -> File {
    match bpmn::check(source, options) {
        Ok(checked) => {
            let deployments = checked.definitions.iter();
            File {
                file: name.to_owned(),
                status: Status::Valid,
                message: "Ok.".to_owned(),
                deployments: deployments
                    .map(|definition| Deployed {
                        id: definition.deployment.to_string(),
                        process: definition.process.to_string(),
                    })
                    .collect(),
                diagnostics: checked.warnings.into_iter().map(Diagnostic::from).collect(),
            }
        }
        Err(findings) => File {
            file: name.to_owned(),
            status: Status::Refused,
            message: counted(findings.iter().filter(|finding| finding.is_error()).count()),
            deployments: Vec::new(),
            diagnostics: findings.into_iter().map(Diagnostic::from).collect(),
        },
    }
}

fn counted(errors: usize) -> String {
    if errors == 1 { "the model has 1 error".to_owned() } else { format!("the model has {errors} errors") }
}

impl From<bpmn::Diagnostic> for Diagnostic {
    fn from(finding: bpmn::Diagnostic) -> Self {
        let severity = match finding.severity {
            bpmn::Severity::Error => Severity::Error,
            bpmn::Severity::Warning => Severity::Warning,
            bpmn::Severity::Info => Severity::Info,
        };
        Self {
            rule: finding.rule.to_owned(),
            severity,
            element: finding.element,
            line: finding.line,
            column: finding.column,
            message: finding.message,
            help: finding.help,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNBOUND: &str = r#"<?xml version="1.0"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="t">
  <process id="order" isExecutable="true">
    <startEvent id="begin"/>
    <sequenceFlow id="f1" sourceRef="begin" targetRef="charge"/>
    <serviceTask id="charge" name="Charge"/>
    <sequenceFlow id="f2" sourceRef="charge" targetRef="done"/>
    <endEvent id="done"/>
  </process>
</definitions>"#;

    #[test]
    fn a_task_without_a_service_is_a_warning_here() {
        let file = judge("order.bpmn", UNBOUND.as_bytes(), &bpmn::Options::default());
        assert_eq!(file.status, Status::Valid, "{file:?}");
        assert_eq!(file.deployments[0].process, "order");
        assert!(file.diagnostics.iter().any(|found| found.element.as_deref() == Some("charge")), "{file:?}");
        assert_eq!(Files(vec![file]).exit(), Exit::Ok);
    }

    #[test]
    fn a_model_with_an_error_is_65() {
        let dangling = UNBOUND.replace("targetRef=\"done\"", "targetRef=\"nowhere\"");
        let file = judge("order.bpmn", dangling.as_bytes(), &bpmn::Options::default());
        assert_eq!(file.status, Status::Refused);
        assert_eq!(Files(vec![file]).exit(), Exit::Invalid);
    }

    #[test]
    fn what_is_no_model_is_judged_too() {
        for source in ["", "{}", "<a>", "\u{0}"] {
            assert_eq!(judge("x", source.as_bytes(), &bpmn::Options::default()).status, Status::Refused);
        }
    }
}
