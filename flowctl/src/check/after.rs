//! What an installation has made, and whether it works.

mod flowd;
mod gateway;
mod injection;
mod policies;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::before::Wanted;
use super::{Wrong, line};
use crate::cluster::Cluster;
use crate::output::check::Finding;

/// Looks at the mesh of `namespace`; `flowd` is its StatefulSet, if there is one.
pub(crate) async fn look(cluster: &Cluster, namespace: &str, flowd: Option<&Value>, wanted: &Wanted) -> Vec<Finding> {
    let hook = injection::configuration(cluster, namespace).await;
    let Some(set) = flowd else {
        let left = matches!(hook, Ok(Some(_)));
        return vec![line(flowd::SECTION, "it is installed", Err(missing(namespace, left)))];
    };
    let mut lines = Vec::new();
    let answer = flowd::look(cluster, namespace, set, &mut lines).await;
    injection::look(cluster, namespace, set, hook, answer, &mut lines).await;
    if let Some(named) = &wanted.gateway {
        lines.push(gateway::look(cluster, named).await);
    }
    if wanted.mesh {
        lines.push(policies::look(cluster, namespace).await);
    }
    lines
}

fn missing(namespace: &str, left: bool) -> Wrong {
    let detail = format!("there is no flowd in the namespace {namespace}");
    if left {
        let fix = format!("flowctl upgrade --install -n {namespace}, or flowctl uninstall -n {namespace}");
        return Wrong::failed(format!("{detail}, but its webhook is there: pods are made without sidecars"), fix);
    }
    Wrong::skipped(detail, format!("flowctl install -n {namespace}, or name its namespace with -n"))
}
