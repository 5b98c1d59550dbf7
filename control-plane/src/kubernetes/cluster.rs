//! The cluster, as flowd holds it: opened with the ports, its webhook served by every flowd, looked after by the one that leads.

use runtime::drain::DrainWatcher;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::mesh::Mesh;

use super::Orchestrator;
#[cfg(feature = "kubernetes")]
use super::{Settings, reconcile, webhook};

/// See the module's documentation.
pub(crate) struct Cluster {
    #[cfg(feature = "kubernetes")]
    client: kube::Client,
    #[cfg(feature = "kubernetes")]
    settings: Settings,
    #[cfg(feature = "kubernetes")]
    webhook: AbortOnDropHandle<()>,
    #[cfg(feature = "kubernetes")]
    reconciler: Option<AbortOnDropHandle<()>>,
}

#[cfg(feature = "kubernetes")]
impl Cluster {
    /// Opens what `config` asks for, and serves the webhook from now on; `grpc` is where sidecars reach flowd's Service.
    ///
    /// # Errors
    /// When nothing says where the API server is, or the webhook's port is taken.
    pub(crate) async fn open(config: &Config, grpc: u16, drain: DrainWatcher) -> anyhow::Result<Option<Self>> {
        use anyhow::Context as _;
        let flags = &config.kubernetes;
        if flags.orchestrator == Orchestrator::None {
            return Ok(None);
        }
        // one provider for all of the process; somebody has chosen the same one already if this fails
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let client = kube::Client::try_default();
        let client = client.await.context(
            "find the API server: flowd runs in a pod with a service account, or KUBECONFIG names a cluster",
        )?;
        let address = std::net::SocketAddr::new(config.listen, flags.webhook_port);
        let listener = runtime::listen::bind(address, "the webhook", "--webhook-port").await?;
        let settings = Settings::of(flags, grpc);
        let serving = webhook::run(listener, client.clone(), flags.clone(), settings.clone(), drain);
        let webhook = AbortOnDropHandle::new(tokio::spawn(serving));
        Ok(Some(Self { client, settings, webhook, reconciler: None }))
    }

    /// Looks after the cluster from now on.
    pub(crate) fn lead(&mut self, mesh: Mesh, drain: DrainWatcher) {
        let (client, settings) = (self.client.clone(), self.settings.clone());
        let work = async move {
            reconcile::greet(&client, &settings).await;
            reconcile::run(mesh, client, settings, drain).await;
        };
        self.reconciler = Some(AbortOnDropHandle::new(tokio::spawn(work)));
    }

    /// Until the webhook has answered whom it is talking to.
    pub(crate) async fn finish(self) {
        let _ = self.webhook.await;
    }
}

#[cfg(not(feature = "kubernetes"))]
impl Cluster {
    /// Refuses an orchestrator.
    ///
    /// # Errors
    /// When one is asked for.
    pub(crate) async fn open(config: &Config, _grpc: u16, _drain: DrainWatcher) -> anyhow::Result<Option<Self>> {
        match config.kubernetes.orchestrator {
            Orchestrator::None => Ok(None),
            _ => anyhow::bail!(
                "this flowd was built without Kubernetes: build it with the feature `kubernetes`, or give --orchestrator none"
            ),
        }
    }

    pub(crate) fn lead(&mut self, _mesh: Mesh, _drain: DrainWatcher) {}

    pub(crate) async fn finish(self) {}
}
