//! A deployment in the store: `d/d/<id>` holds what never changes, `d/s/<id>` how it fares.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use routing::{DeploymentId, ElementId, ProcessId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Listening;
use super::{Claim, Definition, Deployment, Error, Parts, State};
use crate::ingress::Route;
use crate::store::Write;

/// Definitions lie below it.
pub(crate) const DEFINITIONS: &str = "d/d/";
/// What changes of a deployment lies below it.
pub(crate) const STATES: &str = "d/s/";

#[derive(Serialize, Deserialize)]
struct DefinitionRecord {
    process: ProcessId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version_tag: Option<String>,
    manifest: String,
    ledger: String,
    tables: BTreeMap<ElementId, String>,
    start_events: Vec<ElementId>,
    /// Base64: a model may be in any encoding.
    xml: String,
    timeout: u64,
    #[serde(default = "wrapper_timeout")]
    wrapper_timeout: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    metadata: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    orchestrated: bool,
}

#[derive(Serialize, Deserialize)]
struct StateRecord {
    state: State,
    since: Timestamp,
    applied: Timestamp,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    bindings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ingress: Vec<Route>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    topics: Vec<Listening>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<Claim>,
}

/// The write that makes a definition durable.
pub(crate) fn put_definition(definition: &Definition) -> Write {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let record = DefinitionRecord {
        process: definition.process.clone(),
        name: definition.name.clone(),
        version_tag: definition.version_tag.clone(),
        manifest: text(&definition.manifest),
        ledger: text(&definition.ledger_bytes),
        tables: definition.tasks.iter().map(|(element, task)| (element.clone(), text(&task.table))).collect(),
        start_events: definition.start_events.clone(),
        xml: BASE64_STANDARD.encode(&definition.xml),
        timeout: definition.timeout,
        wrapper_timeout: definition.wrapper_timeout,
        metadata: definition.metadata.clone(),
        orchestrated: definition.workloads.is_some(),
    };
    Write::put(key(DEFINITIONS, &definition.deployment), json(&record))
}

/// The write that makes a deployment's state durable.
pub(crate) fn put_state(deployment: &Deployment) -> Write {
    let Deployment { definition, state, since, applied, bindings, ingress, topics, message, claim } = deployment;
    let record = StateRecord {
        state: *state,
        since: *since,
        applied: *applied,
        bindings: bindings.clone(),
        ingress: ingress.clone(),
        topics: topics.clone(),
        message: message.clone(),
        claim: claim.clone(),
    };
    Write::put(key(STATES, &definition.deployment), json(&record))
}

/// The writes that delete a deployment.
pub(crate) fn delete(id: &DeploymentId) -> Vec<Write> {
    vec![Write::delete(key(DEFINITIONS, id)), Write::delete(key(STATES, id))]
}

/// Reads both halves back.
pub(crate) fn read(id: &str, definition: &[u8], state: Option<&[u8]>) -> Result<Deployment, Error> {
    let broken = |reason: String| Error::Record { deployment: id.to_owned(), reason };
    let record: DefinitionRecord = serde_json::from_slice(definition).map_err(|e| broken(e.to_string()))?;
    let state: StateRecord = match state {
        Some(bytes) => serde_json::from_slice(bytes).map_err(|e| broken(e.to_string()))?,
        None => return Err(broken("its state is missing".to_owned())),
    };
    let definition = Definition::of(Parts {
        deployment: DeploymentId::from(id),
        process: record.process,
        name: record.name,
        version_tag: record.version_tag,
        manifest: record.manifest.into(),
        ledger: record.ledger.into(),
        tables: record.tables.into_iter().map(|(element, table)| (element, table.into())).collect(),
        start_events: record.start_events,
        xml: BASE64_STANDARD.decode(record.xml).map_err(|e| broken(e.to_string()))?.into(),
        timeout: record.timeout,
        wrapper_timeout: record.wrapper_timeout,
        metadata: record.metadata,
        orchestrated: record.orchestrated,
    })?;
    let StateRecord { state, since, applied, bindings, ingress, topics, message, claim } = state;
    Ok(Deployment {
        definition: Arc::new(definition),
        state,
        since,
        applied,
        bindings,
        ingress,
        topics,
        message,
        claim,
    })
}

fn wrapper_timeout() -> u64 {
    super::WRAPPER_TIMEOUT
}

fn key(prefix: &str, id: &DeploymentId) -> String {
    format!("{prefix}{id}")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records have only string keys and finite numbers")
}
