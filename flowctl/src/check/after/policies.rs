//! Istio's policies before hop ports, when its proxies encrypt the hops.

use std::collections::BTreeSet;

use control_plane::kubernetes::{MANAGED_BY, MANAGER, MESH};
use serde_json::Value;

use super::super::{Verdict, Wrong, line, shortened};
use crate::cluster::{Cluster, text};
use crate::output::check::Finding;

/// Every hop Service has both of its policies.
pub(super) async fn look(cluster: &Cluster, mesh: &str) -> Finding {
    line("policies", "every hop port is guarded", are_there(cluster, mesh).await)
}

async fn are_there(cluster: &Cluster, mesh: &str) -> Verdict {
    let ours = format!("{MANAGED_BY}={MANAGER},{MESH}={mesh}");
    let services = cluster.labelled("/api/v1/services", &ours).await?;
    let mutual = cluster.labelled("/apis/security.istio.io/v1/peerauthentications", &ours).await?;
    let allowed = cluster.labelled("/apis/security.istio.io/v1/authorizationpolicies", &ours).await?;
    guarded(&services, &mutual, &allowed, mesh)
}

/// Where an object is, and its name.
fn key(object: &Value) -> (&str, &str) {
    (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]))
}

pub(super) fn guarded(services: &[Value], mutual: &[Value], allowed: &[Value], mesh: &str) -> Verdict {
    // hop Services alone are headless
    let hops: BTreeSet<_> = services.iter().filter(|it| it["spec"]["clusterIP"] == "None").map(key).collect();
    let (mutual, allowed): (BTreeSet<_>, BTreeSet<_>) =
        (mutual.iter().map(key).collect(), allowed.iter().map(key).collect());
    let bare = |of: &BTreeSet<(&str, &str)>, kind: &str| -> Vec<String> {
        hops.difference(of).map(|(namespace, name)| format!("{kind} {namespace}/{name}")).collect()
    };
    let missing = [bare(&mutual, "PeerAuthentication"), bare(&allowed, "AuthorizationPolicy")].concat();
    if missing.is_empty() {
        return Ok(format!("{} of {}", hops.len(), hops.len()));
    }
    Err(Wrong::failed(
        format!("{} policies are missing: {}", missing.len(), shortened(&missing)),
        format!(
            "flowd makes them within seconds; if it does not, its log says why: kubectl -n {mesh} logs -l app=flowd"
        ),
    ))
}
