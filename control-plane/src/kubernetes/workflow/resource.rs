//! The resource `Workflow`, as the API server holds it. `deploy/istio/templates/workflows.yaml` says the same to the API server; a test compares them.
//!
//! Nothing of single instances is in it but how many there are: they are the ledger's.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, ObjectMeta};
use serde::{Deserialize, Serialize};

use crate::operations::SwapTo;

/// Of the API.
pub(super) const GROUP: &str = "rexflow.io";
/// The fields may change yet, and then the version does.
pub(super) const VERSION: &str = "v1alpha1";
pub(super) const KIND: &str = "Workflow";
const PLURAL: &str = "workflows";

/// Keeps a Workflow until its deployments are gone.
pub(super) const FINALIZER: &str = "rexflow.io/deployments";
/// An annotation: `"true"` cancels the open instances of a Workflow that is deleted, as `flowctl delete --force` does.
pub(super) const FORCE: &str = "rexflow.io/force";
/// An annotation of a namespace: the namespaces whose Workflows may bring something into it, with commas between, or `*`.
pub(super) const FROM: &str = "rexflow.io/workflows-from";

/// What the API server calls it.
pub(super) fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, KIND), PLURAL)
}

/// One of them, as it was read.
#[derive(Clone, Debug)]
pub(super) struct Workflow {
    pub(super) metadata: ObjectMeta,
    /// Or why it is none: an API server with another schema let it through.
    pub(super) spec: Result<Spec, String>,
    pub(super) status: Status,
}

impl Workflow {
    pub(super) fn of(mut object: DynamicObject) -> Self {
        let [spec, status] = ["spec", "status"].map(|it| object.data[it].take());
        Self {
            metadata: object.metadata,
            spec: serde_json::from_value(spec).map_err(|error| error.to_string()),
            status: serde_json::from_value(status).unwrap_or_default(),
        }
    }

    /// How often its spec has changed.
    pub(super) fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// The ConfigMap that its model is in.
    pub(super) fn config_map(&self) -> Option<&str> {
        let from = self.spec.as_ref().ok()?.bpmn_from.as_ref()?;
        Some(from.config_map_key_ref.name.as_str())
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bpmn: Option<String>,
    /// Or where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bpmn_from: Option<From>,
    /// Decisions and forms that it refers to, by the name of their file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) resources: BTreeMap<String, String>,
    /// What does tasks instead of what the model says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tasks: Vec<Task>,
}

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct From {
    pub(super) config_map_key_ref: ConfigMapKey,
}

/// A key of a ConfigMap in the Workflow's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConfigMapKey {
    pub(super) name: String,
    pub(super) key: String,
}

/// What does a task; exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    /// The element's id, or its service's.
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<Backend>,
}

/// Another service that does a share of a task's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Backend {
    /// `HOST.NAMESPACE`.
    pub(super) name: String,
    /// So many of 100 activations.
    #[serde(default = "whole")]
    pub(super) weight: u8,
}

fn whole() -> u8 {
    hop::WHOLE
}

impl Task {
    /// The same as a swap; none: it says not one thing.
    fn swap(&self) -> Option<SwapTo> {
        match (&self.image, &self.url, &self.service) {
            (Some(image), None, None) => Some(SwapTo::Image(image.clone())),
            (None, Some(url), None) => Some(SwapTo::Url(url.clone())),
            (None, None, Some(it)) => Some(SwapTo::Service(it.name.as_str().into(), it.weight)),
            _ => None,
        }
    }
}

impl Spec {
    /// The swaps that it asks for.
    ///
    /// # Errors
    /// The task that says not exactly one thing; the API server lets none such through.
    pub(super) fn swaps(&self) -> Result<BTreeMap<String, SwapTo>, String> {
        let each = self.tasks.iter().map(|it| {
            let swap =
                it.swap().ok_or_else(|| format!("task {}: give exactly one of image, url and service", it.name))?;
            Ok((it.name.clone(), swap))
        });
        each.collect()
    }
}

/// How it fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    /// The generation of the spec that all of this is about.
    pub(super) observed_generation: i64,
    pub(super) conditions: Vec<Condition>,
    /// The deployments of the spec's version, one for each process of the model; all of them in a line, and one by one.
    pub(super) deployment: String,
    pub(super) deployments: Vec<String>,
    pub(super) processes: Vec<String>,
    /// How many of their tasks are served and answer, `READY/ALL`.
    pub(super) ready: String,
    /// How many of their instances are open, counted every half a minute.
    pub(super) instances: i64,
    pub(super) tasks: Vec<TaskStatus>,
    /// All versions that there are still.
    pub(super) versions: Vec<Version>,
}

/// How a task fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskStatus {
    pub(super) name: String,
    pub(super) service: String,
    pub(super) deployment: String,
    /// Sidecars that serve it, and those of them that have its table.
    pub(super) sidecars: u32,
    pub(super) programmed: u32,
    /// `UP`, `DOWN` or `UNKNOWN`.
    pub(super) health: String,
    pub(super) message: String,
}

/// A deployment of the Workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) deployment: String,
    pub(super) process: String,
    /// As `flowctl ps -d` has it.
    pub(super) state: String,
    /// Whether it is of the spec as it is now.
    pub(super) current: bool,
    /// Open instances.
    pub(super) instances: i64,
    pub(super) message: String,
}
