//! The API server, as a kubeconfig names it, for the verbs that look at a cluster or change it. JSON in, JSON out: who reads the code reads manifests.
//!
//! Every question has a deadline. What is not there is no error; what may not be asked, or gets no answer, is one that says what to do.

mod token;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::io::DuplexStream;

use crate::exit::{Exit, Failure};

/// How long one question may take.
const WITHIN: Duration = Duration::from_secs(20);
/// What the kubelet puts into the environment of every container.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";
/// Who writes the objects of an installation.
pub(crate) const FIELD_MANAGER: &str = "flowctl";

/// Which cluster.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Access {
    /// The kubeconfig [default: KUBECONFIG, else ~/.kube/config, else the pod's own account]
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig [default: its current one]
    #[arg(long, alias = "kube-context", value_name = "NAME", help_heading = "Cluster")]
    pub(crate) context: Option<String>,
}

/// Why the cluster did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No cluster is named.
    #[error("no cluster is named: {0}")]
    Config(String),
    /// Its user has no token although it should.
    #[error("the kubeconfig's user has no token: {0}")]
    Token(String),
    /// The server said no.
    #[error("the API server does not allow it: {0}")]
    Forbidden(String),
    /// It does not know the kind of object, or there is no such namespace.
    #[error("{0}")]
    Unknown(String),
    /// It refused.
    #[error("{0}")]
    Refused(String),
    /// It did not answer, or not in a way that makes sense.
    #[error("the API server did not answer {0}: {1}")]
    Away(String, String),
}

impl Error {
    /// What to do.
    pub(crate) fn fix(&self) -> &'static str {
        match self {
            Self::Config(_) => "set KUBECONFIG, or give --kubeconfig FILE and --context NAME",
            Self::Token(_) => "`kubectl get --raw /version` must answer with the same kubeconfig",
            Self::Forbidden(_) => "ask somebody who may, or have a role bound to you that allows it",
            Self::Unknown(_) => "`flowctl check` says what the cluster lacks",
            Self::Refused(_) => "change what it names, and try again",
            Self::Away(..) => "`kubectl version` must answer with the same kubeconfig",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Exit::Error, error.to_string()).hint(error.fix())
    }
}

/// A cluster.
pub(crate) struct Cluster {
    client: Client,
    config: Config,
    /// Where its API server is.
    pub(crate) url: String,
}

impl Cluster {
    /// The one that is asked for.
    ///
    /// # Errors
    /// When no cluster is named, or what names it cannot be read.
    pub(crate) async fn open(access: &Access) -> Result<Self, Error> {
        let mut config = config(access).await.map_err(Error::Config)?;
        // a 503 is an answer: of a flowd that stands by, for one
        config.default_retry = false;
        // one provider for all of the process; somebody has chosen the same one already if this fails
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config.clone()).map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self { client, config, url })
    }

    /// The object, or list, at a path; `None` if there is none.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, Error> {
        match self.json("GET", path, None).await {
            Err(Error::Unknown(_)) => Ok(None),
            other => other.map(Some),
        }
    }

    /// The items of a list; none if there is no such list.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        let mut list = self.get(path).await?.unwrap_or_default();
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    /// The items of a list that have these labels, `NAME=VALUE[,...]`.
    pub(crate) async fn labelled(&self, path: &str, labels: &str) -> Result<Vec<Value>, Error> {
        let labels = labels.replace('=', "%3D").replace(',', "%2C").replace('/', "%2F");
        self.list(&format!("{path}?labelSelector={labels}")).await
    }

    /// What is at a path, as text.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Error> {
        self.ask("GET", path, None).await
    }

    /// What the server makes of a new object.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, Error> {
        self.json("POST", path, Some(object)).await
    }

    /// Server-side apply; what others hold of the object goes over to us.
    pub(crate) async fn apply(&self, path: &str, object: &Value, dry: bool) -> Result<Value, Error> {
        let dry = if dry { "&dryRun=All" } else { "" };
        self.json("PATCH", &format!("{path}?fieldManager={FIELD_MANAGER}&force=true{dry}"), Some(object)).await
    }

    /// Deletes an object and what it owns; whether there was one.
    pub(crate) async fn delete(&self, path: &str) -> Result<bool, Error> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        match self.ask("DELETE", path, Some(&options)).await {
            Err(Error::Unknown(_)) => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// Whether who asks may do this; everywhere if `namespace` is empty.
    pub(crate) async fn may(&self, verb: &str, group: &str, resource: &str, namespace: &str) -> Result<bool, Error> {
        let asked = json!({"verb": verb, "group": group, "resource": resource, "namespace": namespace});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked},
        });
        let answer = self.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
        Ok(answer["status"]["allowed"] == true)
    }

    /// A connection to a port of a pod, as `kubectl port-forward` makes it, but without a port on this machine.
    pub(crate) async fn forward(&self, namespace: &str, pod: &str, port: u16) -> Result<DuplexStream, Error> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/portforward");
        let away = |why: &str| Error::Away(path.clone(), why.to_owned());
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let opened = tokio::time::timeout(WITHIN, pods.portforward(pod, &[port])).await;
        let mut forward =
            opened.map_err(|_| away(&format!("nothing within {WITHIN:?}")))?.map_err(|it| refusal(&path, it))?;
        let (stream, error) = (forward.take_stream(port), forward.take_error(port));
        let name = format!("{namespace}/{pod}:{port}");
        tokio::spawn(async move {
            let said = match error {
                Some(error) => error.await,
                None => None,
            };
            if let Some(said) = said {
                tracing::warn!("the port-forward to {name} broke off: {said}");
            }
        });
        stream.ok_or_else(|| away("no stream for the port"))
    }

    async fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let text = self.ask(method, path, body).await?;
        serde_json::from_str(&text).map_err(|error| Error::Away(path.to_owned(), format!("no JSON: {error}")))
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String, Error> {
        let away = |why: String| Error::Away(path.to_owned(), why);
        let request = request(method, path, body).map_err(|error| away(error.to_string()))?;
        match tokio::time::timeout(WITHIN, self.client.request_text(request)).await {
            Err(_) => Err(away(format!("nothing within {WITHIN:?}"))),
            Ok(answer) => answer.map_err(|error| refusal(path, error)),
        }
    }
}

/// Why a question at a path has no answer.
fn refusal(path: &str, error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => match status.code {
            401 | 403 => Error::Forbidden(status.message.clone()),
            404 => Error::Unknown(status.message.clone()),
            code if code >= 500 => Error::Away(path.to_owned(), status.message.clone()),
            _ => Error::Refused(status.message.clone()),
        },
        error => Error::Away(path.to_owned(), reason(&error)),
    }
}

/// The configuration that is asked for; else why there is none.
async fn config(access: &Access) -> Result<Config, String> {
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    if let Some(file) = &access.kubeconfig {
        let read = Kubeconfig::read_from(file).map_err(|error| reason(&error))?;
        return Config::from_custom_kubeconfig(read, &options).await.map_err(|error| reason(&error));
    }
    let read = Config::from_kubeconfig(&options).await;
    // a pod needs no kubeconfig; out of one, what is wrong with it is what counts
    if read.is_err() && options.context.is_none() && std::env::var_os(IN_CLUSTER).is_some() {
        return Config::incluster().map_err(|error| reason(&error));
    }
    read.map_err(|error| reason(&error))
}

fn request(method: &str, path: &str, body: Option<&Value>) -> Result<http::Request<Vec<u8>>, http::Error> {
    let bytes = body.map(|it| it.to_string().into_bytes()).unwrap_or_default();
    let kind = if method == "PATCH" { "application/apply-patch+yaml" } else { "application/json" };
    http::Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, kind).body(bytes)
}

/// An error and what is behind it, in one line.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether the kubelet says that a pod is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// The text of a field; empty if it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
