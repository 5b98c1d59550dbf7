//! The sidecar as a container: what it is told, how it is probed, what it may do. Pure.
//!
//! It runs under the `restricted` pod security standard: not as root, nor as the user of Istio's proxy, without capabilities, on a read-only file
//! system but for its own folder. Probes are commands in the container: no mesh has to let them through, and none has to rewrite them.

use serde_json::{Value, json};

use super::{ADMIN_PORT, HOP_PORT, HopTls, Settings};

/// Its name, in every pod.
pub const NAME: &str = "flow-sidecar";
/// The volume of its journal and tables.
const DATA: &str = "flow-data";
const FOLDER: &str = "/var/lib/flow";
/// The volume of the pod's token for flowd, and of the CA that flowd is signed by.
const IDENTITY: &str = "flow-identity";
const SHOWN: &str = "/var/run/flow/identity";
/// Its volumes.
pub const VOLUMES: [&str; 2] = [DATA, IDENTITY];
/// How long a token is good; the kubelet renews it, seconds.
const TOKEN_LIFE: u32 = 3_600;
/// Anybody but root, and but 1337, whose traffic Istio does not capture.
const USER: u32 = 65_532;
/// What its drain leaves of the pod's grace period for the end of everything else, seconds.
const RESERVE: u64 = 5;
/// The grace period of a pod that says nothing, seconds.
pub const GRACE: u64 = 30;

/// What one sidecar is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// What it serves, as `--serve` has it.
    pub serve: String,
    /// The headless Service before its hop port, and the namespace of both.
    pub service: String,
    /// See `service`.
    pub namespace: String,
    /// Seconds that the pod has to end.
    pub grace: u64,
    /// Resources and log level that the pod asks for.
    pub tuning: Tuning,
}

/// What a pod may set about its sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Another image.
    pub image: Option<String>,
    /// `error` to `trace`, or a filter.
    pub log_level: Option<String>,
    /// CPU that is set aside, and at most.
    pub cpu: (Option<String>, Option<String>),
    /// Memory that is set aside, and at most.
    pub memory: (Option<String>, Option<String>),
}

/// The container, as one that lives as long as the pod's tasks: in `initContainers` with `restartPolicy: Always`, or, if not `native`, as an ordinary one.
pub fn sidecar(settings: &Settings, purpose: &Purpose, native: bool) -> Value {
    let tuning = &purpose.tuning;
    let mut container = json!({
        "name": NAME,
        "image": tuning.image.as_ref().unwrap_or(&settings.image),
        "imagePullPolicy": "IfNotPresent",
        "env": environment(settings, purpose),
        "ports": [
            {"name": "flow-hop", "containerPort": HOP_PORT, "protocol": "TCP"},
            {"name": "flow-admin", "containerPort": ADMIN_PORT, "protocol": "TCP"},
        ],
        "startupProbe": probe("started", 1, 60),
        "readinessProbe": probe("ready", 5, 3),
        "lifecycle": {"preStop": {"exec": {"command": ["/flow-sidecar", "drain"]}}},
        "resources": {
            "requests": {
                "cpu": tuning.cpu.0.as_deref().unwrap_or("20m"),
                "memory": tuning.memory.0.as_deref().unwrap_or("32Mi"),
            },
            "limits": {"memory": tuning.memory.1.as_deref().unwrap_or("256Mi")},
        },
        "securityContext": {
            "runAsUser": USER,
            "runAsGroup": USER,
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": DATA, "mountPath": FOLDER},
            {"name": IDENTITY, "mountPath": SHOWN, "readOnly": true},
        ],
    });
    if let Some(limit) = &tuning.cpu.1 {
        container["resources"]["limits"]["cpu"] = json!(limit);
    }
    if native {
        container["restartPolicy"] = json!("Always");
    }
    container
}

/// The volumes that the container mounts.
pub fn volumes(settings: &Settings) -> Vec<Value> {
    let token = json!({"audience": settings.audience, "expirationSeconds": TOKEN_LIFE, "path": "token"});
    // not there yet: the sidecar says so and waits, which is better seen than a pod that does not start
    let ca = json!({"name": settings.ca(), "optional": true, "items": [{"key": "ca.crt", "path": "ca.crt"}]});
    vec![
        json!({"name": DATA, "emptyDir": {}}),
        json!({"name": IDENTITY, "projected": {"sources": [{"serviceAccountToken": token}, {"configMap": ca}]}}),
    ]
}

fn probe(what: &str, period: u64, failures: u64) -> Value {
    json!({
        "exec": {"command": ["/flow-sidecar", "probe", what]},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    })
}

fn environment(settings: &Settings, purpose: &Purpose) -> Vec<Value> {
    let Purpose { serve, service, namespace, grace, tuning } = purpose;
    let own = format!("$(POD_IP):{HOP_PORT}");
    let (advertise, hops) = match settings.hops {
        // Istio routes by the name, and the offer arrives at just this pod
        HopTls::Mesh => (format!("{}@{own}", settings.hops(namespace, service)), "mesh"),
        HopTls::Own => (own, "own"),
    };
    let mut all = vec![
        json!({"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}),
        json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        json!({"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}),
    ];
    let mut set = |name: &str, value: String| all.push(json!({"name": name, "value": value}));
    set("FLOW_FLOWD", settings.flowd.clone());
    set("FLOW_SERVE", serve.clone());
    set("FLOW_HOP", format!("0.0.0.0:{HOP_PORT}"));
    set("FLOW_ADVERTISE", advertise);
    set("FLOW_ADMIN", format!("0.0.0.0:{ADMIN_PORT}"));
    set("FLOW_DATA_DIR", FOLDER.to_owned());
    set("FLOW_POD", "$(POD_NAME)/$(POD_UID)".to_owned());
    set("FLOW_HOP_TLS", hops.to_owned());
    set("FLOW_IDENTITY_TOKEN", format!("{SHOWN}/token"));
    set("FLOW_IDENTITY_CA", format!("{SHOWN}/ca.crt"));
    set("FLOW_DRAIN_TIMEOUT", grace.saturating_sub(RESERVE).max(1).to_string());
    set("FLOW_LOG_FORMAT", "json".to_owned());
    if let Some(level) = &tuning.log_level {
        set("FLOW_LOG_LEVEL", level.clone());
    }
    if let Some(traces) = &settings.traces {
        set("OTEL_EXPORTER_OTLP_ENDPOINT", traces.clone());
        set("OTEL_SERVICE_NAME", format!("{}.{namespace}", service.strip_suffix("-flow").unwrap_or(service)));
        set("OTEL_RESOURCE_ATTRIBUTES", format!("k8s.pod.name=$(POD_NAME),k8s.namespace.name={namespace}"));
    }
    all
}
