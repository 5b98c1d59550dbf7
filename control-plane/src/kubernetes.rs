//! The mesh in a Kubernetes cluster, with Istio or without.
//!
//! * `gateway`: who leads requests from outside here. [`objects`]: what is to be there for the deployments that are applied; [`container`]: the sidecar as a container; [`inject`]: how it gets into
//!   pods. Pure: JSON in, JSON out; `flowctl inject` and `flowctl validate --include_kubernetes` call them without any cluster.
//! * `reconcile`: brings the cluster to that, again and again; `webhook`: injects when pods are made; `pods`: how they fare;
//!   `in_place`: gives running ones another image.
//! * `workflow`: models that are applied by way of the API server.
//! * `users`: who calls flowd, and what they may.
//! * `authority`, `certificates`: the mesh's CA and what flowd shows; `identity`: gives sidecars their certificates; `trust`: where they find the CA.
//!
//! Objects are written as JSON, as manifests are: whoever reads them here reads what `kubectl get -o json` shows. What others write into them
//! (replicas, annotations, labels) is left alone: all writing is server-side apply under one name.

pub(crate) mod cluster;
pub mod container;
mod gateway;
pub mod inject;
pub mod objects;

#[cfg(feature = "kubernetes")]
mod authority;
#[cfg(feature = "kubernetes")]
mod certificates;
#[cfg(feature = "kubernetes")]
pub(crate) mod identity;
#[cfg(feature = "kubernetes")]
mod in_place;
#[cfg(feature = "kubernetes")]
mod pods;
#[cfg(feature = "kubernetes")]
pub(crate) mod reconcile;
#[cfg(feature = "kubernetes")]
mod trust;
#[cfg(feature = "kubernetes")]
pub(crate) mod users;
#[cfg(feature = "kubernetes")]
mod watch;
#[cfg(feature = "kubernetes")]
pub(crate) mod webhook;
#[cfg(feature = "kubernetes")]
mod workflow;

use clap::ValueEnum;

pub use gateway::Gateway;

/// Who our objects are written by.
pub const FIELD_MANAGER: &str = "flowd";
/// The label with which other tools find what somebody manages.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What [`MANAGED_BY`] says on our objects.
pub const MANAGER: &str = "rexflow";
/// The label that says which mesh an object belongs to: the namespace of its flowd.
pub const MESH: &str = "rexflow.io/mesh";
/// The label that says which deployment brought an object.
pub const DEPLOYMENT: &str = "rexflow.io/deployment";
/// The port where sidecars take offers.
pub const HOP_PORT: u16 = 7001;
/// The port of a sidecar's health, readiness, metrics and hooks.
pub const ADMIN_PORT: u16 = 7002;
/// The port of flowd where sidecars get their certificates and attach.
pub const CONTROL_PORT: u16 = 9003;
/// For how long certificates are good, seconds.
pub const CERTIFICATE_LIFE: u64 = 86_400;
/// For how long the CA is.
pub const CA_LIFE: u64 = 365 * 86_400;

/// Who runs the tasks' containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Orchestrator {
    /// Nobody of us: sidecars are started beside the tasks by hand
    #[default]
    None,
    /// Kubernetes
    Kubernetes,
    /// Kubernetes with Istio, which encrypts the hops and guards them by policies of ours
    Istio,
}

/// Who encrypts the hops and says who may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HopTls {
    /// Istio's proxies
    Mesh,
    /// The sidecars, with certificates of flowd
    Own,
}

/// flowd's flags for a cluster.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// Who runs the containers of tasks.
    #[arg(long, env = "FLOW_ORCHESTRATOR", value_enum, default_value_t)]
    pub orchestrator: Orchestrator,
    /// The namespace that flowd is in.
    #[arg(long, env = "FLOW_NAMESPACE", default_value = "rexflow")]
    pub namespace: String,
    /// The Service in front of flowd's pods, for sidecars and for the API server.
    #[arg(long, env = "FLOW_SERVICE", default_value = "flowd")]
    pub service: String,
    /// The image of the sidecar.
    #[arg(long, env = "FLOW_SIDECAR_IMAGE", default_value = concat!("flow-sidecar:", env!("CARGO_PKG_VERSION")))]
    pub sidecar_image: String,
    /// Port of the webhook that injects sidecars; 0 takes a free one.
    #[arg(long, env = "FLOW_WEBHOOK_PORT", default_value_t = 9443)]
    pub webhook_port: u16,
    /// The cluster's domain, which is also the trust domain of its identities.
    #[arg(long, env = "FLOW_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Who encrypts the hops: Istio's proxies, or the sidecars themselves [default: mesh with Istio, else own]
    #[arg(long, env = "FLOW_HOP_TLS", value_enum)]
    pub hop_tls: Option<HopTls>,
    /// Port where sidecars get their certificates and attach, in a cluster; 0 takes a free one.
    #[arg(long, env = "FLOW_CONTROL_PORT", default_value_t = CONTROL_PORT)]
    pub control_port: u16,
    /// Seconds that certificates of sidecars are good; renewed at half of it.
    #[arg(long, env = "FLOW_CERTIFICATE_LIFE", default_value_t = CERTIFICATE_LIFE, value_parser = clap::value_parser!(u64).range(20..=CERTIFICATE_LIFE))]
    pub certificate_life: u64,
    /// Seconds that the CA is good, at least ten times as long as certificates; the next one is made at two thirds of it.
    #[arg(long, env = "FLOW_CA_LIFE", default_value_t = CA_LIFE, value_parser = clap::value_parser!(u64).range(200..=10 * CA_LIFE))]
    pub ca_life: u64,
    /// Look after the cluster's `Workflow` resources.
    #[arg(long, env = "FLOW_WORKFLOWS", default_value_t = true, action = clap::ArgAction::Set)]
    pub workflows: bool,
    /// The Gateway (of the Gateway API) that leads requests to ways in which `flowctl update` opens, `NAMESPACE/NAME`; none: nobody does.
    #[arg(long, env = "FLOW_GATEWAY", value_name = "NAMESPACE/NAME")]
    pub gateway: Option<Gateway>,
    /// Ask who calls for tokens of this cluster's users and service accounts, and the API server for what they may.
    #[arg(long, env = "FLOW_USERS")]
    pub users: bool,
}

impl Flags {
    /// Who encrypts the hops.
    pub fn hops(&self) -> HopTls {
        self.hop_tls.unwrap_or(match self.orchestrator {
            Orchestrator::Istio => HopTls::Mesh,
            Orchestrator::Kubernetes | Orchestrator::None => HopTls::Own,
        })
    }

    #[cfg(feature = "kubernetes")]
    pub(crate) fn lives(&self) -> authority::Lives {
        authority::Lives { certificate: self.certificate_life, ca: self.ca_life }
    }
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            orchestrator: Orchestrator::None,
            namespace: "rexflow".to_owned(),
            service: "flowd".to_owned(),
            sidecar_image: concat!("flow-sidecar:", env!("CARGO_PKG_VERSION")).to_owned(),
            webhook_port: 9443,
            cluster_domain: "cluster.local".to_owned(),
            hop_tls: None,
            control_port: CONTROL_PORT,
            certificate_life: CERTIFICATE_LIFE,
            ca_life: CA_LIFE,
            workflows: true,
            gateway: None,
            users: false,
        }
    }
}

/// What objects are made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of flowd, which names the mesh.
    pub mesh: String,
    /// Where sidecars find flowd, `HOST:PORT`.
    pub flowd: String,
    /// flowd's service account there.
    pub account: String,
    /// The image of the sidecar.
    pub image: String,
    /// Whether pods are in Istio's mesh.
    pub istio: bool,
    /// Who encrypts the hops and guards them.
    pub hops: HopTls,
    /// The port of [`Settings::flowd`].
    pub control: u16,
    /// Whom the tokens are for that sidecars show flowd.
    pub audience: String,
    /// The cluster's domain, which is also the trust domain of its mesh.
    pub domain: String,
    /// Where sidecars send their traces, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    pub traces: Option<String>,
    /// What leads requests from outside to ways in.
    pub gateway: Option<Gateway>,
}

impl Settings {
    /// From the flags, and the port where sidecars attach.
    pub fn of(flags: &Flags, control: u16) -> Self {
        let Flags { orchestrator, namespace, service, sidecar_image, cluster_domain, .. } = flags;
        Self {
            mesh: namespace.clone(),
            flowd: format!("{service}.{namespace}.svc.{cluster_domain}:{control}"),
            account: service.clone(),
            image: sidecar_image.clone(),
            istio: *orchestrator == Orchestrator::Istio,
            hops: flags.hops(),
            control,
            audience: format!("{service}.{namespace}.svc"),
            domain: cluster_domain.clone(),
            gateway: flags.gateway.clone(),
            traces: std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok().filter(|it| !it.is_empty()),
        }
    }

    /// The name that Istio knows a service account by.
    pub(crate) fn principal(&self, namespace: &str, account: &str) -> String {
        format!("{}/ns/{namespace}/sa/{account}", self.domain)
    }

    /// Whom the tokens are for that users show flowd and nobody else.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn users_audience(&self) -> String {
        format!("users.{}", self.audience)
    }

    /// Where DNS lists the hop ports behind a headless Service, `NAME:PORT`; Istio routes by it, too.
    pub(crate) fn hops(&self, namespace: &str, service: &str) -> String {
        format!("{service}.{namespace}.svc.{}:{HOP_PORT}", self.domain)
    }

    /// The ConfigMap with the CA, in every namespace whose pods have sidecars of this mesh.
    pub fn ca(&self) -> String {
        format!("flow-ca.{}", self.mesh)
    }
}
