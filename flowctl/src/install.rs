//! The mesh in a cluster, put there, changed and taken away without Helm: the same objects, from the same chart.
//!
//! * [`chart`]: the files of `deploy/istio`, rendered; [`values`]: what they are rendered with, checked by the chart's own schema.
//! * [`kinds`]: what the objects are to the API server, and in which order they come and go.
//! * [`bring`]: applies, waits, and takes away what an earlier version had and this one has not; [`leave`]: removes, and says what stays.
//!
//! The chart is the one truth: nothing here says what an object looks like. A test compares with `helm template`.

pub(crate) mod bring;
pub(crate) mod chart;
pub(crate) mod kinds;
pub(crate) mod leave;
pub(crate) mod values;

use control_plane::kubernetes::MANAGED_BY;
use serde_json::Value;

use crate::cluster::{Cluster, Error, text};

/// The name of the installation, in its labels; one in a namespace.
pub(crate) const RELEASE: &str = "rexflow";
/// Who manages the objects that we make, as their label says.
pub(crate) const MANAGER: &str = "flowctl";
/// The label of all objects of an installation: its namespace.
pub(crate) const INSTALLATION: &str = "rexflow.io/installation";
/// The annotation that keeps the values which were asked for, for the next upgrade.
pub(crate) const VALUES: &str = "rexflow.io/values";

/// What flowd's pods, their volumes and its Service are labelled with.
pub(crate) const FLOWD: &str = "app.kubernetes.io/name=flowd";

/// The flowd of a namespace, as it is in the cluster; `None` if there is none.
pub(crate) async fn flowd(cluster: &Cluster, namespace: &str) -> Result<Option<Value>, Error> {
    cluster.get(&format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/flowd")).await
}

/// Who manages an object, as its label says; empty if it does not.
pub(crate) fn manager(object: &Value) -> &str {
    text(&object["metadata"]["labels"][MANAGED_BY])
}

/// `kind/name`, as kubectl says it.
pub(crate) fn named(object: &Value) -> String {
    format!("{}/{}", text(&object["kind"]).to_lowercase(), text(&object["metadata"]["name"]))
}
