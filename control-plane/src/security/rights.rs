//! What a call needs: verbs on resources of the group `rexflow.io`, as a Role grants them. Pure.
//!
//! `workflows` is the custom resource, which is another door to the same; the others are no objects of the API server, only names to grant rights on.
//! A call of gRPC that has no line here is for nobody; a route of HTTP without one does not compile.

use std::fmt;

use http::Method;
use proto::rexflow::flow_daemon_server::SERVICE_NAME as ORIGINAL;
use proto::v1::flow_server::SERVICE_NAME as FLOW;

use crate::http::Route;

/// The group of the resources.
pub(crate) const GROUP: &str = "rexflow.io";

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Delete,
}

/// To what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Resource {
    /// Models, and what of them is deployed.
    Workflows,
    /// How what is deployed runs: started, stopped, exposed, swapped; not which model it is.
    Operation,
    Instances,
    Tasks,
    Timers,
    /// Messages, signals and conditions that are told.
    Messages,
    Topics,
}

/// A verb on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Right(pub(crate) Verb, pub(crate) Resource);

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nothing: it is a probe, or its address is a secret.
    Open,
    /// No user: it was anybody's before there were users. Where there is a `--token`, that one.
    Unasked,
    /// To be somebody.
    Somebody,
    /// All of these rights.
    Needs(&'static [Right]),
    /// One of these, by what the call names; its handler asks.
    ByTarget { workflow: Right, instance: Right },
    /// It is not for users.
    Nobody,
}

use Resource::{Instances, Messages, Operation, Tasks, Timers, Topics, Workflows};
use Verb::{Create, Delete, Get, List, Update, Watch};

/// What makes, steers and ends instances and their tasks, all in one document.
const ALL_OF_GRAPHQL: &[Right] = &[Right(Create, Instances), Right(Update, Instances), Right(Update, Tasks)];

impl Verb {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Get => "get",
            List => "list",
            Watch => "watch",
            Create => "create",
            Update => "update",
            Delete => "delete",
        }
    }
}

impl Resource {
    /// The resource, and the subresource.
    pub(crate) fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Workflows => ("workflows", None),
            Operation => ("workflows", Some("operation")),
            Instances => ("instances", None),
            Tasks => ("tasks", None),
            Timers => ("timers", None),
            Messages => ("messages", None),
            Topics => ("topics", None),
        }
    }
}

impl Right {
    /// What other images for tasks need, besides the right to steer what is deployed: they are run as those of a model are.
    pub(crate) const RUN_IMAGES: Self = Self(Update, Workflows);

    /// The least of the roles that come with the installation which has it: `templates/users.yaml` of the chart.
    #[cfg(any(test, feature = "kubernetes"))]
    pub(crate) fn role(self) -> &'static str {
        match self {
            Right(Get | List | Watch, _) => "viewer",
            Right(Delete, _) | Right(_, Workflows) => "deployer",
            Right(Create | Update, Operation | Instances | Tasks | Timers | Messages | Topics) => "operator",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Right(verb, resource) = self;
        let (name, sub) = resource.names();
        write!(formatter, "{} {name}.{GROUP}", verb.as_str())?;
        sub.map_or(Ok(()), |sub| write!(formatter, "/{sub}"))
    }
}

/// What a gRPC call needs: `/PACKAGE.SERVICE/METHOD`.
pub(crate) fn of_call(path: &str) -> Rule {
    match path.strip_prefix('/').and_then(|it| it.split_once('/')) {
        Some((FLOW, method)) => of_operators(method),
        Some((ORIGINAL, method)) => of_the_original(method),
        // sidecars have a port and certificates of their own
        _ => Rule::Nobody,
    }
}

fn of_operators(method: &str) -> Rule {
    Rule::Needs(match method {
        "Version" => return Rule::Somebody,
        "Apply" => &[Right(Create, Workflows)],
        "Validate" | "Probe" | "ListSwaps" => &[Right(Get, Workflows)],
        "ListDeployments" => &[Right(List, Workflows)],
        "Swap" | "Update" => &[Right(Update, Operation)],
        "Describe" => return either(Get, Right(Get, Workflows)),
        "Start" | "Stop" => return either(Update, Right(Update, Operation)),
        "Delete" => return either(Delete, Right(Delete, Workflows)),
        "Run" => &[Right(Create, Instances)],
        "Wait" | "Trace" => &[Right(Get, Instances)],
        "ListInstances" => &[Right(List, Instances)],
        "WatchInstances" => &[Right(Watch, Instances)],
        "Suspend" | "Resume" | "Set" | "Modify" | "Migrate" => &[Right(Update, Instances)],
        "ListTimers" => &[Right(List, Timers)],
        "Rearm" => &[Right(Update, Timers)],
        "Publish" | "Signal" | "Offer" => &[Right(Create, Messages)],
        "ListTasks" => &[Right(List, Tasks)],
        "GetTask" | "TaskForm" | "ValidateTask" => &[Right(Get, Tasks)],
        "ClaimTask" | "UnclaimTask" | "SaveTask" | "CompleteTask" => &[Right(Update, Tasks)],
        _ => return Rule::Nobody,
    })
}

fn of_the_original(method: &str) -> Rule {
    Rule::Needs(match method {
        "ApplyWorkflow" => &[Right(Create, Workflows)],
        "ValidateWorkflow" | "ProbeWorkflow" => &[Right(Get, Workflows)],
        "UpdateWorkflow" => &[Right(Update, Operation)],
        "PSQuery" => return either(List, Right(List, Workflows)),
        "StartWorkflow" | "StopWorkflow" => return either(Update, Right(Update, Operation)),
        "DeleteWorkflow" => return either(Delete, Right(Delete, Workflows)),
        "RunWorkflow" => &[Right(Create, Instances)],
        _ => return Rule::Nobody,
    })
}

fn either(verb: Verb, workflow: Right) -> Rule {
    Rule::ByTarget { workflow, instance: Right(verb, Instances) }
}

/// What an HTTP request needs.
pub(crate) fn of_request(route: Route, method: &Method) -> Rule {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    Rule::Needs(match route {
        Route::Probe | Route::Callbacks => return Rule::Open,
        Route::Metrics | Route::Elsewhere => return Rule::Unasked,
        Route::Map => &[Right(List, Workflows)],
        Route::Start => &[Right(Create, Instances)],
        Route::Messages => &[Right(Create, Messages)],
        Route::Tasks if reads => &[Right(List, Tasks)],
        Route::Tasks => &[Right(Update, Tasks)],
        // the schema
        Route::Graphql if reads => return Rule::Somebody,
        Route::Graphql => ALL_OF_GRAPHQL,
        Route::Topics if reads => &[Right(Get, Topics)],
        Route::Topics => &[Right(Create, Topics)],
        Route::Instances if reads => &[Right(Get, Instances)],
        Route::Instances => &[Right(Update, Instances)],
        Route::Timers if reads => &[Right(List, Timers)],
        Route::Timers => &[Right(Update, Timers)],
    })
}

#[cfg(test)]
mod tests;
