//! What `flowctl dev` was asked for, read from its arguments and the folders they name.

use std::collections::HashMap;
use std::path::PathBuf;

use super::services;
use crate::args::bind::{self, Bind};
use crate::exit::Failure;
use crate::verbs::models_in;

/// The folder of secrets beside models.
const SECRETS: &str = "secrets";

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Models to deploy, and to deploy again when they change.
    pub(crate) models: Vec<PathBuf>,
    /// Folders that say which services to start.
    pub(crate) examples: Vec<PathBuf>,
    /// Bindings from the command line; they win over those of the services.
    pub(crate) bindings: HashMap<String, String>,
    /// Where to keep data; none: nowhere for longer than the process lives.
    pub(crate) data_dir: Option<PathBuf>,
    /// Secrets of connectors, one file each.
    pub(crate) secrets: Option<PathBuf>,
    pub(crate) port: u16,
    pub(crate) http_port: u16,
}

impl Plan {
    /// Opens the folders. Without a folder of secrets that of the first folder of models counts, if it has one. Without any model there must be a data folder to go on with.
    pub(crate) fn new(
        sources: Vec<PathBuf>,
        binds: Vec<Bind>,
        data_dir: Option<PathBuf>,
        secrets: Option<PathBuf>,
        (port, http_port): (u16, u16),
    ) -> anyhow::Result<Self> {
        let (mut models, mut examples) = (Vec::new(), Vec::new());
        let mut secrets = secrets;
        for source in sources {
            if !source.is_dir() {
                models.push(source);
                continue;
            }
            models.extend(models_in(&source)?);
            secrets = secrets.or(Some(source.join(SECRETS)).filter(|it| it.is_dir()));
            if source.join(services::FILE).exists() {
                examples.push(source);
            }
        }
        if models.is_empty() && data_dir.is_none() {
            let failure = Failure::usage("there is nothing to run");
            return Err(failure.hint("name a BPMN file, a folder, or the --data-dir of an earlier run").into());
        }
        Ok(Self { models, examples, bindings: bind::map(binds), data_dir, secrets, port, http_port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{Exit, code_of};

    const PORTS: (u16, u16) = (0, 0);

    #[test]
    fn a_folder_stands_for_its_models_and_services() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.bpmn", "b.bpmn", "services.yaml"] {
            std::fs::write(folder.path().join(name), "{}").unwrap();
        }
        let plan = Plan::new(vec![folder.path().into()], Vec::new(), None, None, PORTS).unwrap();
        assert_eq!(plan.models, [folder.path().join("a.bpmn"), folder.path().join("b.bpmn")]);
        assert_eq!(plan.examples, [folder.path()]);
    }

    #[test]
    fn without_models_there_must_be_a_data_folder() {
        let error = Plan::new(Vec::new(), Vec::new(), None, None, PORTS).expect_err("there is nothing to run");
        assert_eq!(code_of(&error), Exit::Usage);
        assert!(Plan::new(Vec::new(), Vec::new(), Some("data".into()), None, PORTS).is_ok());
    }
}
