//! Who may serve what, in a cluster.
//!
//! A service that a deployment brings, or that was there before it, is its service account's alone: the orchestrator says which. Any other name that
//! ends with a namespace is of that namespace's accounts; and a task type, which is of no namespace, is for the namespaces that
//! the cluster's administrators have opened to the mesh. Sidecars are told who may serve what they send to and are sent from.
//! Outside of a cluster the names in certificates decide: `hop::identity`.

use std::collections::{BTreeMap, BTreeSet};

use hop::identity::{self, Listed};
use proto::v1;
use routing::table::CONNECTORS;
use routing::{Incarnation, ServiceName};
use runtime::tls::Identity;

use super::{Hello, Mesh, MeshState};
use crate::sidecars::Sidecar;

/// What decides who may serve what.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Admission {
    /// What certificates say, or nothing where there are none.
    #[default]
    ByName,
    /// The cluster, which this flowd has not looked at yet.
    Awaited,
    /// The cluster.
    Listed(Accounts),
}

/// The cluster's service accounts and names, as far as they matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    /// The accounts of services that deployments name.
    pub(crate) of: BTreeMap<ServiceName, Identity>,
    /// The names under which DNS lists the hop ports of their sidecars, `NAME:PORT`.
    pub(crate) names: BTreeMap<ServiceName, String>,
    /// The namespaces that there are.
    pub(crate) namespaces: BTreeSet<String>,
    /// Those of them that are open to the mesh.
    pub(crate) open: BTreeSet<String>,
}

/// Why a sidecar may not attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It may not, and why.
    Denied(String),
    /// It is not known yet.
    NotYet,
}

impl Accounts {
    fn admits(&self, identity: &Identity, service: &ServiceName) -> Result<(), String> {
        let name = service.as_str();
        if let Some(account) = self.of.get(service) {
            let other = || format!("{identity} may not serve {name}: it is done by {account}");
            return if identity == account { Ok(()) } else { Err(other()) };
        }
        if name == CONNECTORS {
            return Err(format!("{identity} may not serve {name}: flowd runs sidecars of its own for it"));
        }
        let Some((own, _)) = identity::account(identity) else {
            return Err(format!("{identity} is not a service account of this cluster and may serve nothing"));
        };
        // `name.namespace`, or `name.namespace:port` where several share a name
        let place = name.split_once(':').map_or(name, |(place, _)| place);
        match place.rsplit_once('.') {
            Some((_, namespace)) if namespace == own => Ok(()),
            Some((_, namespace)) if self.namespaces.contains(namespace) => {
                Err(format!("{identity} may not serve {name}: only service accounts of namespace {namespace} may"))
            }
            _ if self.open.contains(own) => Ok(()),
            _ => Err(format!(
                "{identity} may not serve {name}: for task types that are of no namespace, label namespace {own} \
                 rexflow.io/injection=enabled"
            )),
        }
    }
}

impl Mesh {
    /// Decides by the cluster from now on, or by another state of it. Sidecars that are attached and may not be any more are sent away.
    pub(crate) fn admit_by(&self, admission: Admission) {
        if self.lock().admission == admission {
            return;
        }
        self.change(|state| {
            state.admission = admission;
            state.news.for_all();
            let refused: Vec<(Incarnation, Refusal)> = (state.sidecars.iter())
                .filter_map(|(incarnation, it)| Some((*incarnation, state.admits(it).err()?)))
                .collect();
            for (incarnation, refusal) in refused {
                if let (Some(sidecar), Refusal::Denied(why)) = (state.sidecars.get_mut(&incarnation), refusal) {
                    sidecar.refused = Some(why);
                }
            }
        });
    }

    /// Whether a sidecar may attach and serve what it says.
    pub(crate) fn admit(&self, hello: &Hello) -> Result<(), Refusal> {
        let state = self.lock();
        let (Admission::Awaited, Some(known)) = (&state.admission, state.sidecars.get(&hello.incarnation)) else {
            return state.allows(hello.identity.as_ref(), hello.serves.keys());
        };
        // it was admitted before
        let same = known.identity == hello.identity && hello.serves.keys().all(|it| known.serves.contains_key(it));
        if same { Ok(()) } else { Err(Refusal::NotYet) }
    }

    /// Identities by the service that they may serve; `None` where the names in them decide.
    pub(crate) fn listed(&self) -> Option<Listed> {
        let state = self.lock();
        if state.admission == Admission::ByName {
            return None;
        }
        let services: BTreeSet<&ServiceName> = state.sidecars.values().flat_map(|it| it.serves.keys()).collect();
        Some(services.into_iter().map(|service| (service.clone(), state.identities(service))).collect())
    }
}

impl MeshState {
    fn admits(&self, sidecar: &Sidecar) -> Result<(), Refusal> {
        self.allows(sidecar.identity.as_ref(), sidecar.serves.keys())
    }

    fn allows<'a>(
        &self,
        identity: Option<&Identity>,
        services: impl Iterator<Item = &'a ServiceName>,
    ) -> Result<(), Refusal> {
        match (&self.admission, identity) {
            (Admission::ByName, identity) => {
                identity::check(identity, false, services).map_err(|why| Refusal::Denied(why.to_string()))
            }
            (Admission::Awaited, _) => Err(Refusal::NotYet),
            (Admission::Listed(_), None) => {
                Err(Refusal::Denied("a sidecar in a cluster shows the certificate that flowd gave it".to_owned()))
            }
            (Admission::Listed(accounts), Some(identity)) => {
                for service in services {
                    accounts.admits(identity, service).map_err(Refusal::Denied)?;
                }
                Ok(())
            }
        }
    }

    /// Who may serve a service: whom the orchestrator says, else those who were admitted to it.
    fn identities(&self, service: &ServiceName) -> BTreeSet<Identity> {
        if let Admission::Listed(accounts) = &self.admission
            && let Some(account) = accounts.of.get(service)
        {
            return BTreeSet::from([account.clone()]);
        }
        let index = self.index();
        let serving = index.serving(service).iter().filter_map(|it| self.sidecars.get(it));
        let serving = serving.filter(|it| it.refused.is_none());
        serving.filter_map(|it| it.identity.clone()).collect()
    }

    /// Where DNS lists the sidecars of a service; empty where it does not.
    pub(super) fn name_of(&self, service: &ServiceName) -> String {
        match &self.admission {
            Admission::Listed(accounts) => accounts.names.get(service).cloned().unwrap_or_default(),
            Admission::ByName | Admission::Awaited => String::new(),
        }
    }

    /// What a sidecar is told of these services.
    pub(super) fn accounts_of<'a>(&self, services: impl IntoIterator<Item = &'a ServiceName>) -> Vec<v1::Account> {
        if self.admission == Admission::ByName {
            return Vec::new();
        }
        let account = |service: &ServiceName| v1::Account {
            service: service.as_str().to_owned(),
            identities: self.identities(service).iter().map(|it| it.as_str().to_owned()).collect(),
        };
        services.into_iter().map(account).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(namespace: &str, account: &str) -> Identity {
        format!("spiffe://cluster.local/ns/{namespace}/sa/{account}").parse().unwrap()
    }

    #[test]
    fn a_service_is_its_accounts_and_a_task_type_is_for_open_namespaces() {
        let accounts = Accounts {
            names: BTreeMap::new(),
            of: BTreeMap::from([
                ("collect.shop".into(), identity("shop", "collect")),
                (CONNECTORS.into(), identity("rexflow", "flow-connectors")),
            ]),
            namespaces: ["shop", "kitchen", "stranger", "rexflow"].map(str::to_owned).into(),
            open: ["kitchen".to_owned()].into(),
        };
        for (namespace, account, service, admitted) in [
            ("shop", "collect", "collect.shop", true),
            ("shop", "profit", "collect.shop", false),
            ("stranger", "collect", "collect.shop", false),
            ("shop", "any", "later.shop", true),
            ("shop", "any", "later.shop:8080", true),
            ("stranger", "any", "later.shop", false),
            ("stranger", "any", "later.shop:8080", false),
            ("kitchen", "chef", "charge-card", true),
            ("kitchen", "chef", "com.acme.charge", true),
            ("kitchen", "chef", "io.camunda:http-json:1", true),
            ("stranger", "any", "charge-card", false),
            ("rexflow", "flow-connectors", CONNECTORS, true),
            ("kitchen", "chef", CONNECTORS, false),
        ] {
            let admits = accounts.admits(&identity(namespace, account), &service.into());
            assert_eq!(admits.is_ok(), admitted, "{namespace}/{account} {service}: {admits:?}");
        }
        let flowd = "spiffe://cluster.local/flowd".parse().unwrap();
        assert!(accounts.admits(&flowd, &"charge-card".into()).is_err());
        let nobodys = Accounts { of: BTreeMap::new(), ..accounts };
        assert!(nobodys.admits(&identity("kitchen", "chef"), &CONNECTORS.into()).is_err());
    }
}
