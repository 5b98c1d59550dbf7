//! Whose a deployment is: a `Workflow` of the cluster's, or, without a claim, flowctl's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The Workflow that has brought a deployment, and what it has done to it since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// `NAMESPACE/NAME`.
    pub(crate) workflow: String,
    /// What it has swapped tasks to, as a swap's history tells it; by element id or service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) swaps: BTreeMap<String, String>,
    /// It is STOPPING or STOPPED because its Workflow has another version, or is deleted; not by an operator's word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) retired: bool,
}
