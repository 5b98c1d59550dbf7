//! Applying a model: the verdict, then one deployment for each of its processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpmn::{Diagnostic, Options, ProcessDefinition, Rule, Severity};
use bytes::Bytes;
use routing::Timestamp;

use super::{Error, Operations, Resource, first_error, resources};
use crate::definitions::{Claim, Definition, Deployment, record};
use crate::steward;
use crate::store::Write;

/// A model to apply.
#[derive(Clone, Debug, Default)]
pub(crate) struct Apply {
    pub(crate) xml: Bytes,
    pub(crate) stopped: bool,
    /// Element id, task type or `*`, to a URL.
    pub(crate) bindings: BTreeMap<String, String>,
    /// Decisions and forms that it refers to.
    pub(crate) resources: Vec<Resource>,
}

/// What became of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Created,
    Unchanged,
    Refused,
    Valid,
}

impl Verdict {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Valid => "valid",
        }
    }
}

/// The whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) verdict: Verdict,
    pub(crate) message: String,
    /// Deployment and process ids, in document order.
    pub(crate) deployments: Vec<(String, String)>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Applied {
    pub(super) fn refused(diagnostics: Vec<Diagnostic>) -> Self {
        let message = first_error(&diagnostics);
        Self { verdict: Verdict::Refused, message, deployments: Vec::new(), diagnostics }
    }
}

/// Definitions that were accepted, and warnings; or what speaks against them.
pub(super) type Judged = Result<(Vec<(ProcessDefinition, Definition)>, Vec<Diagnostic>), Vec<Diagnostic>>;

impl Operations {
    /// Judges a model without deploying it.
    pub(crate) async fn validate(&self, xml: Bytes, resources: Vec<Resource>) -> Result<Applied, Error> {
        let options = Options { cluster: self.orchestrated, ..Options::default() };
        Ok(match judge(xml, options, resources).await? {
            Err(diagnostics) => Applied::refused(diagnostics),
            Ok((definitions, diagnostics)) => Applied {
                verdict: Verdict::Valid,
                message: "Ok.".to_owned(),
                deployments: definitions.iter().map(|(it, _)| ids(it)).collect(),
                diagnostics,
            },
        })
    }

    /// Deploys the processes of a model; those that are deployed already stay as they are.
    pub(crate) async fn apply(&self, apply: Apply) -> Result<Applied, Error> {
        for (name, url) in &apply.bindings {
            super::swap::check_url(url).map_err(|why| Error::Invalid(format!("--bind {name}={url}: {why}")))?;
        }
        let (definitions, diagnostics) = match self.judged(&apply).await? {
            Err(diagnostics) => return Ok(Applied::refused(diagnostics)),
            Ok(accepted) => accepted,
        };
        let _one = self.deploying.lock().await;
        let brought = definitions.into_iter().map(|(checked, definition)| (checked, definition, None)).collect();
        self.bring(brought, diagnostics, &apply).await
    }

    /// The verdict on a model that is to be deployed.
    pub(super) async fn judged(&self, apply: &Apply) -> Result<Judged, Error> {
        let options = Options {
            bindings: apply.bindings.clone(),
            served: self.mesh.served(),
            missing_binding_is_error: true,
            cluster: self.orchestrated,
            ..Options::default()
        };
        match judge(apply.xml.clone(), options, apply.resources.clone()).await? {
            Err(diagnostics) => self.deployed_already(apply, diagnostics).await,
            accepted => Ok(accepted),
        }
    }

    /// Deploys what was accepted, unless it is there; to be called by one at a time.
    pub(super) async fn bring(
        &self,
        definitions: Vec<(ProcessDefinition, Definition, Option<Claim>)>,
        diagnostics: Vec<Diagnostic>,
        apply: &Apply,
    ) -> Result<Applied, Error> {
        let deployments = definitions.iter().map(|(it, ..)| ids(it)).collect();
        let (mut verdict, mut messages) = (Verdict::Unchanged, Vec::new());
        let now = self.now();
        for (checked, definition, claim) in definitions {
            match self.mesh.deployment(checked.deployment.as_str()) {
                Some(there) => {
                    messages.push(format!("{} is deployed already and is {}", checked.deployment, there.state));
                    self.rebind(&there, &apply.bindings).await?;
                }
                None => {
                    let state = self.deploy(definition, apply, claim, now).await?;
                    messages.push(format!("{} is {state}", checked.deployment));
                    verdict = Verdict::Created;
                }
            }
        }
        Ok(Applied { verdict, message: messages.join("; "), deployments, diagnostics })
    }

    /// A model that lacks nothing but bindings and is deployed already keeps those it was applied with.
    async fn deployed_already(&self, apply: &Apply, found: Vec<Diagnostic>) -> Result<Judged, Error> {
        let unbound = |it: &Diagnostic| it.severity != Severity::Error || it.rule == Rule::BindingMissing.id();
        if !found.iter().all(unbound) {
            return Ok(Err(found));
        }
        let accepted = judge(
            apply.xml.clone(),
            Options { cluster: self.orchestrated, ..Options::default() },
            apply.resources.clone(),
        )
        .await?;
        let there = |(it, _): &(ProcessDefinition, Definition)| self.mesh.deployment(it.deployment.as_str()).is_some();
        match accepted {
            Ok((definitions, warnings)) if definitions.iter().all(there) => Ok(Ok((definitions, warnings))),
            _ => Ok(Err(found)),
        }
    }

    async fn deploy(
        &self,
        definition: Definition,
        apply: &Apply,
        claim: Option<Claim>,
        now: Timestamp,
    ) -> Result<crate::definitions::State, Error> {
        let mut deployment = Deployment::new(Arc::new(definition), apply.bindings.clone(), apply.stopped, now);
        deployment.claim = claim;
        let definition = &deployment.definition;
        let (id, state) = (definition.deployment.clone(), deployment.state);
        self.commit(vec![
            record::put_definition(definition),
            record::put_state(&deployment),
            Write::delete(steward::retired_key(definition.digest)),
        ])
        .await?;
        self.ledger.definition(definition.digest, definition.ledger.clone()).await?;
        tracing::info!(deployment = %id, process = %definition.process, tasks = definition.tasks.len(), "applied");
        self.mesh.insert(deployment);
        Ok(state)
    }

    async fn rebind(&self, there: &Deployment, bindings: &BTreeMap<String, String>) -> Result<(), Error> {
        if bindings.is_empty() || there.bindings == *bindings {
            return Ok(());
        }
        let write = self.mesh.rebind(&there.definition.deployment, bindings.clone());
        self.commit(write.into_iter().collect()).await
    }
}

fn ids(definition: &ProcessDefinition) -> (String, String) {
    (definition.deployment.to_string(), definition.process.to_string())
}

/// Beside the loop: a large model takes a while.
async fn judge(xml: Bytes, mut options: Options, resources: Vec<Resource>) -> Result<Judged, Error> {
    let judged = tokio::task::spawn_blocking(move || match resources::read(&resources, &mut options) {
        Err(diagnostics) => Ok(Err(diagnostics)),
        Ok(warnings) => match bpmn::check(&xml, &options) {
            Err(diagnostics) => Ok(Err(diagnostics)),
            Ok(mut checked) => {
                checked.warnings.extend(warnings);
                let compiled = |it: ProcessDefinition| {
                    let definition = Definition::compiled(&it, xml.clone(), options.cluster)?;
                    Ok((it, definition))
                };
                let definitions: Result<Vec<_>, crate::definitions::Error> =
                    checked.definitions.into_iter().map(compiled).collect();
                definitions.map(|it| Ok((it, checked.warnings)))
            }
        },
    });
    let judged = judged.await.map_err(|error| Error::Invalid(format!("the model could not be judged: {error}")))?;
    judged.map_err(|error| Error::Invalid(error.to_string()))
}
