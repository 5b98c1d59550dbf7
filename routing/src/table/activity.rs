//! Activities beyond the service task: what they are, and what any of them may have (BPMN 10.3).

use serde::{Deserialize, Serialize};

use super::{Assignment, NodeIx, Template, Throw};
use crate::id::{DeploymentId, Digest};

/// What an element reads and writes besides the whole payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Local variables of the element, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Assignment>,
    /// What is kept of its results; empty: everything but the local variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Assignment>,
}

/// What an activity may have besides its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// Loop characteristics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// `startQuantity`: tokens that must arrive before it starts.
    pub start_quantity: u32,
    /// `completionQuantity`: tokens that leave by each outgoing flow.
    pub completion_quantity: u32,
    /// `isForCompensation`: not part of the normal flow.
    pub for_compensation: bool,
    /// Its compensation handler, by the association of its compensation boundary event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<NodeIx>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { repeat: None, start_quantity: 1, completion_quantity: 1, for_compensation: false, compensation: None }
    }
}

/// Loop characteristics (BPMN 10.3.7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Repeat {
    /// Standard loop: again and again while the condition holds. `loopCounter` counts from 1.
    Standard {
        /// The condition is tested before each iteration, else after.
        test_before: bool,
        /// Iterations at most.
        maximum: Option<Template>,
        /// FEEL; none: until `maximum`.
        condition: Option<String>,
    },
    /// Multi-instance.
    Multi(Box<MultiInstance>),
}

/// Multi-instance loop characteristics. Each inner instance sees `loopCounter` (from 1) and its element.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MultiInstance {
    /// One after the other, in the order of the collection.
    pub sequential: bool,
    /// How many; FEEL.
    pub cardinality: Option<String>,
    /// The list; FEEL.
    pub collection: Option<String>,
    /// The variable that holds the element.
    pub element: Option<String>,
    /// The variable that collects the outputs, in the order of the collection.
    pub output_collection: Option<String>,
    /// What each inner instance adds to it; FEEL.
    pub output_element: Option<String>,
    /// Tested when an inner instance completes, over the variables and `numberOfInstances`, `numberOfActiveInstances`,
    /// `numberOfCompletedInstances`, `numberOfTerminatedInstances`; true ends the rest. FEEL.
    pub completion_condition: Option<String>,
    /// Which events completing instances throw.
    pub behavior: Behavior,
}

/// `behavior` of multi-instance (BPMN 10.3.7): what a boundary event of the activity can catch of its instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Behavior {
    /// Nothing is thrown: the activity completes when all have (the standard's default).
    #[default]
    All,
    /// The event is thrown each time an instance completes (`noneBehaviorEventRef`).
    None(Option<Throw>),
    /// The event is thrown once, at the first completion (`oneBehaviorEventRef`).
    One(Option<Throw>),
    /// Each event whose FEEL condition holds at a completion.
    Complex(Vec<(String, Throw)>),
}

/// An activity that only evaluates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Evaluation {
    /// Manual and undefined tasks: nothing.
    Nothing,
    /// A FEEL script; without a variable a context is merged into the variables.
    Script {
        /// FEEL.
        expression: String,
        /// Where the result goes.
        result_variable: Option<String>,
    },
    /// A decision of a DMN file.
    Decision {
        /// The decision's id.
        decision: Template,
        /// Where the result goes; without a variable a context is merged into the variables.
        result_variable: Option<String>,
        /// The digest of the file of decisions in [`super::RoutingTable::decisions`].
        file: Option<Digest>,
    },
}

/// A user task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserTask {
    /// A form's key or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Template>,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<Template>,
    /// Who may: users, separated by commas or a FEEL list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_users: Option<Template>,
    /// Who may: groups, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_groups: Option<Template>,
    /// Until when, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<Template>,
    /// When to look at it again, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_date: Option<Template>,
    /// 0 to 100; 50 is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Template>,
    /// The digest of its form in [`super::RoutingTable::forms`], if that is fixed; one that is computed is found by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Digest>,
}

/// A call activity. The called process runs as a scope of the calling instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The process id.
    pub process: Template,
    /// Which version of it.
    pub version: Version,
    /// The called process begins with all variables, besides what is mapped.
    pub propagate_inputs: bool,
    /// All its variables come back, unless outputs are mapped.
    pub propagate_outputs: bool,
}

/// Which version of a called process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Version {
    /// The newest when it is called.
    #[default]
    Latest,
    /// The one applied with the caller (the same file or call of apply), else the newest.
    Deployment,
    /// The newest with this version tag.
    Tag(String),
    /// Just this one.
    Fixed(DeploymentId),
}

/// A sub-process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubProcess {
    /// Starts at its none start event, or, without start events, at every element without incoming flows.
    Embedded,
    /// `triggeredByEvent`: starts when its start event fires while the scope around it is open.
    Event,
    /// Transaction: a cancel event compensates what has completed inside, then leaves by the cancel boundary event.
    Transaction,
    /// Ad-hoc.
    AdHoc(AdHoc),
}

/// An ad-hoc sub-process (BPMN 10.3.5): its elements without incoming flows are started at once, or one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdHoc {
    /// `ordering` sequential.
    pub sequential: bool,
    /// What still runs when the completion condition holds is cancelled.
    pub cancel_remaining: bool,
    /// FEEL, tested each time an inner activity completes; none: when all have.
    pub completion: Option<String>,
    /// FEEL list of the element ids to start; none: all without incoming flows.
    pub active: Option<String>,
    /// What is collected of the tokens that end inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Collected>,
}

/// What an ad-hoc sub-process collects: one item for each token that ends in it, in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// The variable that holds the list.
    pub collection: String,
    /// What each adds to it; FEEL.
    pub element: String,
}
