//! What a SPIFFE identity may claim: the one place that knows the convention.
//!
//! * `spiffe://<trust domain>/flowd` is the ledger, and nobody else is;
//! * `spiffe://<trust domain>/svc/<name>[/<name>...]` serves the services it names;
//! * `spiffe://<trust domain>/ns/<namespace>/sa/<name>` serves `<name>` (a mesh's service account).
//!
//! Where flowd knows the service account of every service (in a cluster), its list decides instead: see [`Accounts`].
//!
//! A SPIFFE path knows letters, digits, `.`, `-` and `_` only: any other character of a service's name
//! (the colon of `host:port`) is written `_` in the identity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use routing::ServiceName;
use runtime::tls::Identity;

/// The path of flowd's identity.
const LEDGER: &str = "/flowd";

/// Why a claim is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// It says it is the ledger.
    #[error("{0} is not the ledger: only spiffe://<trust domain>/flowd is")]
    Ledger(Identity),
    /// It says it serves something.
    #[error("{identity} may not serve {service}: its path must be /svc/{service} or /ns/<namespace>/sa/{service}")]
    Service {
        /// Who says so.
        identity: Identity,
        /// What it claims to serve.
        service: ServiceName,
    },
    /// It says it serves something, which flowd has given to others.
    #[error("{identity} may not serve {service}: it is for {accounts}")]
    Account {
        /// Who says so.
        identity: Identity,
        /// What it claims to serve.
        service: ServiceName,
        /// Who may.
        accounts: String,
    },
}

/// Identities by the service that they may serve.
pub type Listed = BTreeMap<ServiceName, BTreeSet<Identity>>;

/// Who may serve what, as this process knows it now: by the convention, or as flowd's list says. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// Held for a look-up only.
    listed: Arc<RwLock<Option<Listed>>>,
}

impl Accounts {
    /// From now on the list decides; what it does not name may be served by nobody.
    pub fn list(&self, listed: Listed) {
        *self.listed.write().unwrap_or_else(PoisonError::into_inner) = Some(listed);
    }

    /// True when `identity` may serve `service`.
    pub fn may_serve(&self, identity: &Identity, service: &ServiceName) -> bool {
        match &*self.listed.read().unwrap_or_else(PoisonError::into_inner) {
            Some(listed) => is_listed(listed, identity, service),
            None => may_serve(identity, service),
        }
    }

    /// Checks everything that a peer claims. Without an identity (a plain connection) it is believed.
    ///
    /// # Errors
    /// The first claim that its identity does not allow.
    pub fn check<'a>(
        &self,
        identity: Option<&Identity>,
        ledger: bool,
        serves: impl IntoIterator<Item = &'a ServiceName>,
    ) -> Result<(), NotAllowed> {
        let Some(identity) = identity else { return Ok(()) };
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        let Some(listed) = &*listed else { return check(Some(identity), ledger, serves) };
        check(Some(identity), ledger, [])?;
        match serves.into_iter().find(|it| !is_listed(listed, identity, it)) {
            None => Ok(()),
            Some(service) => {
                let accounts = listed.get(service).into_iter().flatten().map(Identity::as_str);
                let accounts = accounts.collect::<Vec<_>>().join(", ");
                let accounts = if accounts.is_empty() { "nobody that flowd knows of".to_owned() } else { accounts };
                Err(NotAllowed::Account { identity: identity.clone(), service: service.clone(), accounts })
            }
        }
    }
}

fn is_listed(listed: &Listed, identity: &Identity, service: &ServiceName) -> bool {
    listed.get(service).is_some_and(|accounts| accounts.contains(identity))
}

/// Namespace and service account of an identity of a cluster.
pub fn account(identity: &Identity) -> Option<(&str, &str)> {
    let mut segments = identity.path().split('/').skip(1);
    let parts = (segments.next(), segments.next(), segments.next(), segments.next(), segments.next());
    match parts {
        (Some("ns"), Some(namespace), Some("sa"), Some(name), None) => Some((namespace, name)),
        _ => None,
    }
}

/// True for flowd's identity.
pub fn is_ledger(identity: &Identity) -> bool {
    identity.path() == LEDGER
}

/// True when `identity` may serve `service`.
pub fn may_serve(identity: &Identity, service: &ServiceName) -> bool {
    let mut segments = identity.path().split('/').skip(1);
    match segments.next() {
        Some("svc") => segments.any(|name| same(name, service)),
        Some("ns") => account(identity).is_some_and(|(_, name)| same(name, service)),
        _ => false,
    }
}

/// Checks everything that a peer claims. Without an identity (a plain connection) it is believed.
///
/// # Errors
/// The first claim that its identity does not allow.
pub fn check<'a>(
    identity: Option<&Identity>,
    ledger: bool,
    serves: impl IntoIterator<Item = &'a ServiceName>,
) -> Result<(), NotAllowed> {
    let Some(identity) = identity else { return Ok(()) };
    if ledger && !is_ledger(identity) {
        return Err(NotAllowed::Ledger(identity.clone()));
    }
    match serves.into_iter().find(|service| !may_serve(identity, service)) {
        Some(service) => Err(NotAllowed::Service { identity: identity.clone(), service: service.clone() }),
        None => Ok(()),
    }
}

fn same(segment: &str, service: &ServiceName) -> bool {
    let written = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    segment.chars().eq(service.as_str().chars().map(written))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(path: &str) -> Identity {
        format!("spiffe://mesh.local{path}").parse().unwrap()
    }

    #[test]
    fn an_identity_serves_what_it_names_and_nothing_else() {
        let name = |n: &str| ServiceName::from(n);
        for (path, service, allowed) in [
            ("/svc/pay", "pay", true),
            ("/svc/pay/ship", "ship", true),
            ("/svc/host_8080", "host:8080", true),
            ("/svc/pay", "payment", false),
            ("/svc/payment", "pay", false),
            ("/ns/shop/sa/pay", "pay", true),
            ("/ns/shop/sa/pay", "shop", false),
            ("/ns/shop/sa/pay/more", "pay", false),
            ("/ns/shop/pay", "pay", false),
            ("/flowd", "flowd", false),
            ("/other/pay", "pay", false),
        ] {
            assert_eq!(may_serve(&identity(path), &name(service)), allowed, "{path} {service}");
        }
    }

    #[test]
    fn where_flowd_lists_accounts_the_list_alone_decides() {
        let accounts = Accounts::default();
        let (collect, thief) = (identity("/ns/shop/sa/collect"), identity("/ns/stranger/sa/collect"));
        let (service, other) = (ServiceName::from("collect.shop"), ServiceName::from("collect"));
        assert!(accounts.may_serve(&thief, &other) && !accounts.may_serve(&collect, &service));
        accounts.clone().list(Listed::from([(service.clone(), BTreeSet::from([collect.clone()]))]));
        assert!(accounts.may_serve(&collect, &service) && !accounts.may_serve(&thief, &service));
        assert!(!accounts.may_serve(&thief, &other), "what is not listed is nobody's");
        assert!(accounts.check(Some(&collect), false, [&service]).is_ok());
        let told = accounts.check(Some(&thief), false, [&service]).unwrap_err().to_string();
        assert!(told.contains("/ns/shop/sa/collect"), "{told}");
        assert!(
            accounts.check(Some(&collect), true, []).is_err()
                && accounts.check(Some(&identity("/flowd")), true, []).is_ok()
        );
        assert_eq!(account(&collect), Some(("shop", "collect")));
        assert_eq!(account(&identity("/ns/shop/sa/collect/more")), None);
    }

    #[test]
    fn only_flowd_is_the_ledger() {
        assert!(check(Some(&identity("/flowd")), true, []).is_ok());
        for path in ["/svc/flowd", "/ns/x/sa/flowd", "/flowd/x"] {
            assert!(matches!(check(Some(&identity(path)), true, []), Err(NotAllowed::Ledger(_))), "{path}");
        }
        let pay = ServiceName::from("pay");
        assert!(check(Some(&identity("/svc/ship")), false, [&pay]).unwrap_err().to_string().contains("/svc/pay"));
        assert!(check(None, true, [&pay]).is_ok());
    }
}
