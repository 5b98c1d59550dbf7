//! The kinds that we write, and which object is meant: names for what the plan and the reconciler talk about.

use std::collections::BTreeSet;

use routing::ServiceName;
use serde_json::Value;

use crate::kubernetes::Settings;

/// The kinds that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1`
    Namespace,
    /// `v1`
    ServiceAccount,
    /// `security.istio.io/v1`
    PeerAuthentication,
    /// `security.istio.io/v1`
    AuthorizationPolicy,
    /// `v1`
    Service,
    /// `apps/v1`
    Deployment,
    /// `gateway.networking.k8s.io/v1`
    HttpRoute,
}

impl Kind {
    /// All of them, in the order in which objects are made.
    pub const ALL: [Self; 7] = [
        Self::Namespace,
        Self::ServiceAccount,
        Self::PeerAuthentication,
        Self::AuthorizationPolicy,
        Self::Service,
        Self::Deployment,
        Self::HttpRoute,
    ];

    /// Group, version and name.
    pub fn gvk(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Namespace => ("", "v1", "Namespace"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount"),
            Self::PeerAuthentication => ("security.istio.io", "v1", "PeerAuthentication"),
            Self::AuthorizationPolicy => ("security.istio.io", "v1", "AuthorizationPolicy"),
            Self::Service => ("", "v1", "Service"),
            Self::Deployment => ("apps", "v1", "Deployment"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
        }
    }

    /// Whether `settings` ask for any; of other kinds the cluster need not know.
    pub fn is_asked_for(self, settings: &Settings) -> bool {
        match self {
            Self::PeerAuthentication | Self::AuthorizationPolicy => settings.istio,
            Self::HttpRoute => settings.gateway.is_some(),
            Self::Namespace | Self::ServiceAccount | Self::Service | Self::Deployment => true,
        }
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for one that is in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, namespace, name } = self;
        let (_, _, kind) = kind.gvk();
        match namespace.is_empty() {
            true => write!(f, "{kind} {name}"),
            false => write!(f, "{kind} {namespace}/{name}"),
        }
    }
}

/// One object as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which.
    pub key: Key,
    /// All of it.
    pub body: Value,
    /// The services that suffer when it cannot be made.
    pub services: BTreeSet<ServiceName>,
}
