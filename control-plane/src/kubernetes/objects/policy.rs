//! Who may offer tokens to a sidecar, as Istio enforces it: the edges of the diagram.
//!
//! Only the hop port is guarded. The task's own ports, and whoever calls them, are none of our business.

use std::collections::BTreeSet;

use serde_json::json;

use super::{HOP_PORT, Kind, Plan, Target, hop_service};

/// Mutual TLS on the hop port, and nobody there but `principals` and flowd.
pub(super) fn guard(plan: &mut Plan<'_>, target: &Target, mut principals: BTreeSet<String>) {
    let settings = plan.settings;
    principals.insert(settings.principal(&settings.mesh, &settings.account));
    let (namespace, name) = (target.namespace.as_str(), hop_service(&target.name));
    let selector = json!({"matchLabels": target.pods()});
    let metadata = plan.metadata(namespace, &name, None);
    let strict = json!({
        "metadata": metadata,
        "spec": {
            "selector": selector,
            "mtls": {"mode": "PERMISSIVE"},
            "portLevelMtls": {HOP_PORT.to_string(): {"mode": "STRICT"}},
        },
    });
    plan.add(Kind::PeerAuthentication, (namespace, &name), target.services(), strict);
    let denied = json!({
        "metadata": metadata,
        "spec": {
            "selector": selector,
            "action": "DENY",
            "rules": [{
                "from": [{"source": {"notPrincipals": principals}}],
                "to": [{"operation": {"ports": [HOP_PORT.to_string()]}}],
            }],
        },
    });
    plan.add(Kind::AuthorizationPolicy, (namespace, &name), target.services(), denied);
}
