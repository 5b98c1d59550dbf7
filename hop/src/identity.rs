//! What a SPIFFE identity may claim: the one place that knows the convention.
//!
//! * `spiffe://<trust domain>/flowd` is the ledger, and nobody else is;
//! * `spiffe://<trust domain>/svc/<name>[/<name>...]` serves the services it names;
//! * `spiffe://<trust domain>/ns/<namespace>/sa/<name>` serves `<name>` (a mesh's service account).
//!
//! A SPIFFE path knows letters, digits, `.`, `-` and `_` only: any other character of a service's name
//! (the colon of `host:port`) is written `_` in the identity.

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
        Some("ns") => {
            let (_, marker, name, more) = (segments.next(), segments.next(), segments.next(), segments.next());
            marker == Some("sa") && more.is_none() && name.is_some_and(|name| same(name, service))
        }
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
