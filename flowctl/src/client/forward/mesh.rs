//! Which mesh of a cluster is meant, which of its pods is called, and why there is none; from what the API server answered.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Error, is_ready, text};

/// Where flowd is if nobody may look for it: what `flowctl install` and the documentation call its namespace.
pub(crate) const USUAL: &str = "rexflow";
/// flowd's port for gRPC, where its pod does not name it.
const PORT: u16 = 9001;

/// Why flowd cannot be reached through a cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWay {
    /// No cluster is named, or it refuses what was asked.
    #[error(transparent)]
    Cluster(#[from] Error),
    /// The API server is not there, or says nothing that makes sense.
    #[error("the cluster at {url} did not answer: {why}")]
    Away {
        /// Of the API server.
        url: String,
        /// What happened.
        why: String,
    },
    /// It took too long.
    #[error("the cluster did not answer within {0:?}")]
    TimedOut(Duration),
    /// There is no mesh.
    #[error("there is no flowd in the cluster at {0}")]
    NoMesh(String),
    /// There are several.
    #[error("there are several meshes in the cluster, in the namespaces {}", .0.join(", "))]
    Several(Vec<String>),
    /// There is none in this namespace.
    #[error("there is no flowd in the namespace {namespace} of the cluster at {url}")]
    Absent {
        /// The namespace.
        namespace: String,
        /// Of the API server.
        url: String,
    },
    /// It is there, but does not serve.
    #[error("no flowd is ready in the namespace {0}")]
    NotReady(String),
    /// The user may not.
    #[error("you may not {} in the namespace {namespace}: {said}", .asked.what())]
    Forbidden {
        /// What was asked.
        asked: Asked,
        /// Where.
        namespace: String,
        /// The API server's words.
        said: String,
    },
}

impl NoWay {
    /// What to do.
    pub(crate) fn fix(&self) -> String {
        match self {
            Self::Cluster(Error::Config(_)) => {
                "KUBECONFIG, --kubeconfig and --kube-context say which cluster".to_owned()
            }
            Self::Cluster(error) => error.fix().to_owned(),
            Self::Away { .. } | Self::TimedOut(_) => {
                "`kubectl version` must answer with the same kubeconfig".to_owned()
            }
            Self::NoMesh(_) => {
                "`flowctl install` brings it; KUBECONFIG, --kubeconfig and --kube-context say which cluster".to_owned()
            }
            Self::Several(_) => "say which one with --namespace or FLOW_NAMESPACE".to_owned(),
            Self::Absent { .. } => {
                "say where it is with --namespace; KUBECONFIG, --kubeconfig and --kube-context say which cluster"
                    .to_owned()
            }
            Self::NotReady(namespace) => format!("`flowctl check -n {namespace}` says why"),
            Self::Forbidden { asked, namespace, .. } => {
                format!(
                    "ask for the right to {} in {namespace}, or say with --namespace where the mesh is",
                    asked.right()
                )
            }
        }
    }
}

/// What the API server was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The pods of flowd.
    Pods,
    /// A port-forward to one of them.
    Forward,
}

impl Asked {
    fn what(self) -> &'static str {
        match self {
            Self::Pods => "look for flowd's pods",
            Self::Forward => "forward ports of pods",
        }
    }

    /// As roles name it. Which of the two verbs a port-forward needs depends on the version of the API server.
    fn right(self) -> &'static str {
        match self {
            Self::Pods => "`list` pods",
            Self::Forward => "`get` and `create` pods/portforward",
        }
    }
}

/// An answer of the API server, or what the user may not ask it.
pub(super) fn allowed<T>(answer: Result<T, Error>, asked: Asked, namespace: &str, url: &str) -> Result<T, NoWay> {
    answer.map_err(|error| match error {
        Error::Forbidden(said) => NoWay::Forbidden { asked, namespace: namespace.to_owned(), said },
        error => of(error, url),
    })
}

fn of(error: Error, url: &str) -> NoWay {
    match error {
        Error::Away(_, why) => NoWay::Away { url: url.to_owned(), why },
        error => NoWay::Cluster(error),
    }
}

/// The namespace of the only mesh, by the Services of flowd in all namespaces. Who may not list those is led to the usual namespace.
pub(super) fn choose(services: Result<Vec<Value>, Error>, url: &str) -> Result<String, NoWay> {
    let services = match services {
        Ok(services) => services,
        Err(Error::Forbidden(_)) => return Ok(USUAL.to_owned()),
        Err(error) => return Err(of(error, url)),
    };
    let namespaces: BTreeSet<&str> = services.iter().map(|it| text(&it["metadata"]["namespace"])).collect();
    match namespaces.into_iter().collect::<Vec<_>>().as_slice() {
        [] => Err(NoWay::NoMesh(url.to_owned())),
        [one] => Ok((*one).to_owned()),
        several => Err(NoWay::Several(several.iter().map(|it| (*it).to_owned()).collect())),
    }
}

/// A pod of flowd, and its port for gRPC.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) port: u16,
    /// Nothing if it asks for no users.
    pub(super) asks: Option<Asks>,
}

/// What a flowd asks its callers for, by the annotations of its pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asks {
    /// For whom tokens are that are good for nothing else.
    pub(crate) audience: String,
    /// The service account of its namespace for who has no token.
    pub(crate) account: Option<String>,
}

/// The first of flowd's pods that is ready and is not on its way out.
pub(super) fn ready(pods: &[Value], namespace: &str, url: &str) -> Result<Target, NoWay> {
    if pods.is_empty() {
        return Err(NoWay::Absent { namespace: namespace.to_owned(), url: url.to_owned() });
    }
    let serves = |pod: &&Value| is_ready(pod) && pod["metadata"]["deletionTimestamp"].is_null();
    let pod = pods.iter().find(serves).ok_or_else(|| NoWay::NotReady(namespace.to_owned()))?;
    Ok(Target { name: text(&pod["metadata"]["name"]).to_owned(), port: port(pod), asks: asks(pod, namespace) })
}

/// A pod may ask for what is for its own namespace, and for nothing else.
fn asks(pod: &Value, namespace: &str) -> Option<Asks> {
    let annotation = |name: &str| pod["metadata"]["annotations"][name].as_str().filter(|it| !it.is_empty());
    let ours = |it: &&str| it.starts_with("users.") && it.ends_with(&format!(".{namespace}.svc"));
    let audience = annotation("rexflow.io/users").filter(ours)?.to_owned();
    let account = annotation("rexflow.io/users-account").filter(|it| !it.contains('/'));
    Some(Asks { audience, account: account.map(str::to_owned) })
}

fn port(pod: &Value) -> u16 {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut ports = containers.flat_map(|it| it["ports"].as_array().into_iter().flatten());
    let named = ports.find(|it| it["name"] == "grpc").and_then(|it| it["containerPort"].as_u64());
    named.and_then(|it| u16::try_from(it).ok()).unwrap_or(PORT)
}
