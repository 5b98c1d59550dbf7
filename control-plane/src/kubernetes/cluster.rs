//! The cluster, as flowd holds it: opened with the ports, its webhook served by every flowd, looked after by the one that leads.
//!
//! Sidecars attach to a port of their own, where flowd shows the certificate of the mesh's CA and they show theirs; who has none yet gets one there.

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::clock::Clock;
use runtime::drain::DrainWatcher;
use runtime::tls::{Limits, Tls};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::Orchestrator;
use crate::config::Config;
use crate::mesh::Mesh;
use crate::operations::{Gate, Operations};
use crate::store::AnyStore;

#[cfg(feature = "kubernetes")]
pub(crate) use with::Cluster;
#[cfg(not(feature = "kubernetes"))]
pub(crate) use without::Cluster;

#[cfg(feature = "kubernetes")]
mod with {
    use anyhow::{Context as _, ensure};
    use runtime::listen;
    use runtime::tls::Incoming;

    use super::super::authority::Lives;
    use super::super::certificates::{self, Certificates};
    use super::super::users::Users;
    use super::super::{Flags, HopTls, Settings, identity, reconcile, webhook, workflow};
    use super::*;
    use crate::{app, control};

    /// See the module's documentation.
    pub(crate) struct Cluster {
        client: kube::Client,
        flags: Flags,
        settings: Settings,
        certificates: Certificates,
        listener: Option<TcpListener>,
        address: SocketAddr,
        webhook: AbortOnDropHandle<()>,
        _keeper: AbortOnDropHandle<()>,
        reconciler: Option<AbortOnDropHandle<()>>,
        workflows: Option<AbortOnDropHandle<()>>,
    }

    impl Cluster {
        /// Opens what `config` asks for, and serves the webhook from now on.
        ///
        /// # Errors
        /// When nothing says where the API server is, a port is taken, or a flag is wrong.
        pub(crate) async fn open(config: &Config, drain: DrainWatcher) -> anyhow::Result<Option<Self>> {
            let flags = config.kubernetes.clone();
            if flags.orchestrator == Orchestrator::None {
                ensure!(
                    !flags.users,
                    "--users needs --orchestrator kubernetes or istio: users are those of the cluster that flowd is in"
                );
                return Ok(None);
            }
            ensure!(
                flags.orchestrator == Orchestrator::Istio || flags.hops() == HopTls::Own,
                "--hop-tls mesh needs --orchestrator istio: without a mesh nobody encrypts the hops"
            );
            ensure!(
                flags.ca_life >= Lives::LEAST * flags.certificate_life,
                "--ca-life must be at least {} times --certificate-life, so that nobody meets a certificate whose CA is not known yet, or not any more",
                Lives::LEAST
            );
            let identity = format!("spiffe://{}/flowd", flags.cluster_domain).parse();
            let identity = identity.context("--cluster-domain is no trust domain")?;
            // one provider for all of the process; somebody has chosen the same one already if this fails
            let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
            let client = kube::Client::try_default();
            let client = client.await.context(
                "find the API server: flowd runs in a pod with a service account, or KUBECONFIG names a cluster",
            )?;
            let bound = |port| SocketAddr::new(config.listen, port);
            let hooks = listen::bind(bound(flags.webhook_port), "the webhook", "--webhook-port").await?;
            let listener = listen::bind(bound(flags.control_port), "sidecars", "--control-port").await?;
            let address = listener.local_addr()?;
            let settings = Settings::of(&flags, address.port());
            let (keeper, certificates) = certificates::new(client.clone(), flags.clone(), identity);
            let shown = certificates.webhook.clone();
            let webhook = AbortOnDropHandle::new(tokio::spawn(webhook::run(hooks, shown, settings.clone(), drain)));
            let _keeper = AbortOnDropHandle::new(tokio::spawn(keeper.run()));
            let listener = Some(listener);
            Ok(Some(Self {
                client,
                flags,
                settings,
                certificates,
                listener,
                address,
                webhook,
                _keeper,
                reconciler: None,
                workflows: None,
            }))
        }

        /// Where sidecars attach.
        pub(crate) fn address(&self) -> SocketAddr {
            self.address
        }

        /// Its socket, until it is served.
        pub(crate) fn listener(&self) -> Option<&TcpListener> {
            self.listener.as_ref()
        }

        /// Who says who calls, if that is asked for.
        pub(crate) fn users(&self, clock: Arc<dyn Clock>) -> Option<Users> {
            self.flags.users.then(|| Users::new(self.client.clone(), self.settings.clone(), clock))
        }

        /// What hops are encrypted with, unless a mesh does it.
        pub(crate) fn hops(&self) -> Option<Tls> {
            (self.settings.hops == HopTls::Own).then(|| self.certificates.tls.clone())
        }

        /// Lets sidecars get certificates and attach from now on.
        ///
        /// # Errors
        /// When the socket is gone.
        pub(crate) fn serve(
            &mut self,
            gate: Gate,
            limits: Limits,
            drain: DrainWatcher,
        ) -> anyhow::Result<AbortOnDropHandle<()>> {
            let listener = self.listener.take().context("the port of sidecars is served already")?;
            let incoming = Incoming::welcoming(listener, &self.certificates.tls, limits, drain.clone())?;
            let lives = self.flags.lives();
            let (client, certificates) = (self.client.clone(), self.certificates.clone());
            let identities = identity::Service::server(client, certificates, self.settings.clone(), lives);
            let sidecars = control::Service::server(gate, drain.clone());
            let mut closed = drain;
            let server = app::server().add_service(identities).add_service(sidecars);
            let serving = server.serve_with_incoming_shutdown(incoming, async move { closed.signaled().await });
            Ok(AbortOnDropHandle::new(tokio::spawn(async move {
                if let Err(error) = serving.await {
                    tracing::error!(%error, "the port of sidecars failed");
                }
            })))
        }

        /// Looks after the cluster from now on.
        pub(crate) fn lead(&mut self, mesh: Mesh, keeps: (AnyStore, Arc<dyn Clock>), drain: DrainWatcher) {
            let (client, settings) = (self.client.clone(), self.settings.clone());
            let authority = self.certificates.authority.clone();
            let work = async move {
                reconcile::greet(&client, &settings).await;
                reconcile::run(mesh, keeps, client, settings, authority, drain).await;
            };
            self.reconciler = Some(AbortOnDropHandle::new(tokio::spawn(work)));
        }

        /// Looks after the Workflows from now on.
        pub(crate) fn declare(&mut self, operations: Operations, drain: DrainWatcher) {
            if self.flags.workflows {
                let work = workflow::run(operations, self.client.clone(), self.settings.clone(), drain);
                self.workflows = Some(AbortOnDropHandle::new(tokio::spawn(work)));
            }
        }

        /// Until the webhook has answered whom it is talking to.
        pub(crate) async fn finish(self) {
            let _ = self.webhook.await;
        }
    }
}

#[cfg(not(feature = "kubernetes"))]
mod without {
    use std::convert::Infallible;

    use super::*;
    use crate::security::Users;

    /// There is none.
    pub(crate) struct Cluster(Infallible);

    impl Cluster {
        /// Refuses an orchestrator.
        ///
        /// # Errors
        /// When one is asked for.
        pub(crate) async fn open(config: &Config, _drain: DrainWatcher) -> anyhow::Result<Option<Self>> {
            match config.kubernetes.orchestrator {
                Orchestrator::None if config.kubernetes.users => {
                    anyhow::bail!("--users needs a cluster, and this flowd was built without Kubernetes")
                }
                Orchestrator::None => Ok(None),
                _ => anyhow::bail!(
                    "this flowd was built without Kubernetes: build it with the feature `kubernetes`, or give --orchestrator none"
                ),
            }
        }

        pub(crate) fn address(&self) -> SocketAddr {
            match self.0 {}
        }

        pub(crate) fn listener(&self) -> Option<&TcpListener> {
            match self.0 {}
        }

        pub(crate) fn users(&self, _clock: Arc<dyn Clock>) -> Option<Users> {
            match self.0 {}
        }

        pub(crate) fn hops(&self) -> Option<Tls> {
            match self.0 {}
        }

        pub(crate) fn serve(
            &mut self,
            _gate: Gate,
            _limits: Limits,
            _drain: DrainWatcher,
        ) -> anyhow::Result<AbortOnDropHandle<()>> {
            match self.0 {}
        }

        pub(crate) fn lead(&mut self, _mesh: Mesh, _keeps: (AnyStore, Arc<dyn Clock>), _drain: DrainWatcher) {
            match self.0 {}
        }

        pub(crate) fn declare(&mut self, _operations: Operations, _drain: DrainWatcher) {
            match self.0 {}
        }

        pub(crate) async fn finish(self) {
            match self.0 {}
        }
    }
}
