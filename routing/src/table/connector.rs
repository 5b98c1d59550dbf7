//! A call that a sidecar without a container makes itself: Camunda 8's REST connector and its like.

use serde::{Deserialize, Serialize};

use super::Assignment;

/// The service of every connector; a sidecar that serves it has no task beside it.
pub const CONNECTORS: &str = "connectors";

/// The variable of a connector's inputs that holds the secrets; one of that name in the payload is not seen there.
pub const SECRETS: &str = "secrets";

/// What is called, and what its answer means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connector {
    /// What the inputs are.
    pub kind: ConnectorKind,
    /// Local variables of the call, in order; as the element template names them.
    pub inputs: Vec<Assignment>,
    /// Names of the secrets that the inputs use, as entries of [`SECRETS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Where the response goes as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_variable: Option<String>,
    /// FEEL that makes variables of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_expression: Option<String>,
    /// FEEL that makes an error of a response or a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_expression: Option<String>,
    /// The least wait between two attempts, milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_backoff: u64,
    /// What is kept, in order; empty: everything that variable and expression give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Assignment>,
}

/// What a connector's inputs describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConnectorKind {
    /// An HTTP request.
    Rest,
    /// A GraphQL operation over HTTP.
    GraphQl,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
