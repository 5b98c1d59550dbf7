//! The kinds of an installation's objects, in the order in which they come; they go in the opposite one.

use serde_json::Value;

use crate::cluster::text;

/// A kind, as the API server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Empty for the first one of Kubernetes.
    pub(crate) group: &'static str,
    version: &'static str,
    name: &'static str,
    /// Its objects, in paths.
    pub(crate) plural: &'static str,
    pub(crate) namespaced: bool,
}

const fn kind(group: &'static str, version: &'static str, name: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, name, plural, namespaced: true }
}

const fn of_the_cluster(mut kind: Kind) -> Kind {
    kind.namespaced = false;
    kind
}

const RBAC: &str = "rbac.authorization.k8s.io";
/// The group of gateways and their routes.
pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io";
const MONITORING: &str = "monitoring.coreos.com";

/// All that any version of the chart has made. Whoever serves comes after all that it needs; the webhook, which sends pods there, is last.
pub(crate) const KINDS: [Kind; 18] = [
    of_the_cluster(kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")),
    kind("", "v1", "ServiceAccount", "serviceaccounts"),
    of_the_cluster(kind(RBAC, "v1", "ClusterRole", "clusterroles")),
    of_the_cluster(kind(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings")),
    kind(RBAC, "v1", "Role", "roles"),
    kind(RBAC, "v1", "RoleBinding", "rolebindings"),
    kind("", "v1", "ConfigMap", "configmaps"),
    kind("", "v1", "Service", "services"),
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    kind("security.istio.io", "v1", "PeerAuthentication", "peerauthentications"),
    kind(MONITORING, "v1", "ServiceMonitor", "servicemonitors"),
    kind(MONITORING, "v1", "PodMonitor", "podmonitors"),
    kind(MONITORING, "v1", "PrometheusRule", "prometheusrules"),
    kind(GATEWAY_API, "v1", "Gateway", "gateways"),
    kind(GATEWAY_API, "v1", "GRPCRoute", "grpcroutes"),
    kind("apps", "v1", "StatefulSet", "statefulsets"),
    of_the_cluster(kind(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    )),
];

impl Kind {
    /// The kind of an object, and where it comes in the order.
    pub(crate) fn of(object: &Value) -> Option<(usize, Self)> {
        let is = |it: &Kind| it.api_version() == text(&object["apiVersion"]) && it.name == text(&object["kind"]);
        KINDS.into_iter().enumerate().find(|(_, it)| is(it))
    }

    pub(crate) fn api_version(self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Where its objects are; those of the whole cluster wherever `namespace` is.
    pub(crate) fn path(self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let within = if self.namespaced { format!("namespaces/{namespace}/") } else { String::new() };
        format!("{root}/{}/{within}{}", self.api_version(), self.plural)
    }

    /// As kubectl says it.
    pub(crate) fn word(self) -> String {
        self.name.to_lowercase()
    }
}
