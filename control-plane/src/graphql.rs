//! The original's GraphQL (its UI bridge), so that user interfaces made for it work against flowd unchanged.
//!
//! The types are the original's by name and shape, those of its develop branch (several entries of one task, metadata) among them. Thin over
//! `operations`: what may be said of user tasks and forms is said there. A document is limited in size, depth, and in how much it asks for, and
//! there is one in a request; what asks for too much is refused before any of it is done.

mod inputs;
mod instances;
mod tasks;
mod types;

use std::sync::LazyLock;

use async_graphql::{EmptySubscription, Request, Schema, Variables};
use http::StatusCode;
use routing::DeploymentId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::definitions::Deployment;
use crate::operations::Operations;
use instances::{Mutation, Query};

/// Bytes of a request.
pub(crate) const MAX_REQUEST: usize = 1 << 20;
/// How deep fields may nest; a client that asks for the schema itself needs 15.
const MAX_DEPTH: usize = 20;
/// Fields of a document in all.
const MAX_FIELDS: usize = 500;
/// How deep a document may nest at all.
const MAX_NESTING: usize = 32;
/// Directives of a field.
const MAX_DIRECTIVES: usize = 8;

static SCHEMA: LazyLock<Schema<Query, Mutation, EmptySubscription>> = LazyLock::new(|| {
    Schema::build(Query, Mutation, EmptySubscription)
        .register_output_type::<types::Task>()
        .limit_depth(MAX_DEPTH)
        .limit_complexity(MAX_FIELDS)
        .limit_recursive_depth(MAX_NESTING)
        .limit_directives(MAX_DIRECTIVES)
        .disable_suggestions()
        .finish()
});

/// What resolvers work with.
struct Bridge {
    operations: Operations,
    /// The deployment that was called; a caller may leave it to the ids that it gives.
    deployment: Option<Deployment>,
}

impl Bridge {
    /// The deployment that is meant: by name, by one of its instances, by the call, or the only one there is.
    fn deployment(&self, named: Option<&str>, of: Option<&DeploymentId>) -> async_graphql::Result<Deployment> {
        let mesh = &self.operations.mesh;
        if let Some(name) = named.or(of.map(DeploymentId::as_str)) {
            return mesh.resolve(name).map_err(|error| async_graphql::Error::new(error.to_string()));
        }
        if let Some(called) = &self.deployment {
            return Ok(called.clone());
        }
        let mut all = mesh.deployments();
        match (all.pop(), all.pop()) {
            (Some((only, _)), None) => Ok(only),
            _ => Err(async_graphql::Error::new(
                "say which deployment is meant: POST /graphql?did=ID, or `did` in the input",
            )),
        }
    }
}

/// The schema in GraphQL's own language.
pub(crate) fn schema() -> String {
    SCHEMA.sdl()
}

/// A document and its variables, as clients post them.
#[derive(Deserialize)]
struct Posted {
    query: String,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<Value>,
}

/// Carries a document out. As in the original one that is not of the schema is a 400, and one that fails while it is carried out is not.
pub(crate) async fn execute(
    operations: &Operations,
    deployment: Option<Deployment>,
    body: &[u8],
) -> (StatusCode, Value) {
    let posted: Posted = match serde_json::from_slice(body) {
        Ok(posted) => posted,
        Err(error) => {
            let message = format!("the request is not JSON with a `query`: {error}");
            return (StatusCode::BAD_REQUEST, json!({ "errors": [{ "message": message }] }));
        }
    };
    let variables = posted.variables.unwrap_or(Value::Null);
    let mut request = Request::new(posted.query).variables(Variables::from_json(variables));
    if let Some(name) = posted.operation_name {
        request = request.operation_name(name);
    }
    let answer = SCHEMA.execute(request.data(Bridge { operations: operations.clone(), deployment })).await;
    // nothing was carried out of a document that is refused as a whole: its errors are at no field
    let refused = !answer.errors.is_empty() && answer.errors.iter().all(|it| it.path.is_empty());
    let status = if refused { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    match serde_json::to_value(&answer) {
        Ok(answer) => (status, answer),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "errors": [{ "message": error.to_string() }] })),
    }
}
