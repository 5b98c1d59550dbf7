//! The way to flowd through the API server of a cluster: a port-forward within this process, one stream for each connection, no port on this machine.
//!
//! Which mesh, which pod and what to say when there is none is decided in [`mesh`], without a cluster. Any ready flowd will do: one that stands by
//! passes calls on to the one that leads. Calls after a connection has broken off open another, to a pod that is ready then.

pub(super) mod mesh;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tonic::transport::Uri;
use tower::Service;

use super::channel::CONNECT;
use crate::args::Mesh;
use crate::cluster::{Access, Cluster};
use crate::install::FLOWD;
use crate::output;
use mesh::{Asked, Asks, NoWay, Target, allowed};

/// Which mesh is meant, if there are several and none is said.
pub(super) const NAMESPACE: &str = "FLOW_NAMESPACE";

/// Opens connections to a mesh's flowd; tonic's connector. Cheap to clone.
#[derive(Clone)]
pub(super) struct Forward {
    cluster: Arc<Cluster>,
    namespace: Arc<str>,
    /// Whether the namespace was said, or is the usual one; else it was found by a label, which anybody may put anywhere.
    meant: bool,
    /// The pod that was called last; the user was told of it.
    called: Arc<Mutex<Option<Target>>>,
}

/// Finds the mesh.
///
/// # Errors
/// When no cluster is named or none answers in time, or which mesh is meant cannot be said.
pub(super) async fn find(mesh: &Mesh) -> Result<Forward, NoWay> {
    let access = Access { kubeconfig: mesh.kubeconfig.clone(), context: mesh.context.clone() };
    let named = mesh.namespace.clone().or_else(|| std::env::var(NAMESPACE).ok().filter(|it| !it.is_empty()));
    let found = async {
        let cluster = Cluster::open(&access).await?;
        let said = named.is_some();
        let namespace = match named {
            Some(namespace) => namespace,
            None => mesh::choose(cluster.labelled("/api/v1/services", FLOWD).await, &cluster.url)?,
        };
        let meant = said || namespace == mesh::USUAL;
        Ok(Forward { cluster: Arc::new(cluster), namespace: namespace.into(), meant, called: Arc::default() })
    };
    tokio::time::timeout(CONNECT, found).await.unwrap_or(Err(NoWay::TimedOut(CONNECT)))
}

impl Forward {
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether whoever is there is meant without doubt.
    pub(super) fn is_meant(&self) -> bool {
        self.meant
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What the flowd that was called asks its callers for; nothing if none was called yet.
    pub(super) fn asks(&self) -> Option<Asks> {
        let called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        called.as_ref().and_then(|it| it.asks.clone())
    }

    async fn open(self) -> Result<TokioIo<DuplexStream>, NoWay> {
        let namespace = &*self.namespace;
        let pods = self.cluster.labelled(&format!("/api/v1/namespaces/{namespace}/pods"), FLOWD).await;
        let url = &self.cluster.url;
        let pods = allowed(pods, Asked::Pods, namespace, url)?;
        let pod = mesh::ready(&pods, namespace, url)?;
        let stream = self.cluster.forward(namespace, &pod.name, pod.port).await;
        let stream = allowed(stream, Asked::Forward, namespace, url)?;
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        if called.as_ref().is_none_or(|it| it.name != pod.name) {
            output::note(format_args!("flowd in {namespace}/{} by port-forward", pod.name));
        }
        *called = Some(pod);
        Ok(TokioIo::new(stream))
    }
}

impl Service<Uri> for Forward {
    type Response = TokioIo<DuplexStream>;
    type Error = NoWay;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let opened = self.clone().open();
        Box::pin(async move { tokio::time::timeout(CONNECT, opened).await.unwrap_or(Err(NoWay::TimedOut(CONNECT))) })
    }
}
