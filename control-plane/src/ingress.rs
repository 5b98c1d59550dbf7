//! Ways in by host and path: which start event a request from outside means, and who leads it here.
//!
//! A route belongs to a deployment and is stored with it, so it goes when the deployment goes. Pure: `mesh` keeps the
//! routes of all deployments apart, `http` answers them. Host names are compared without case and port, paths as they
//! are written; `POST <path>` starts an instance, `POST <path>/wrapper` waits for its result (the original's two ways in).

use std::collections::BTreeMap;
use std::net::IpAddr;

use routing::ElementId;
use serde::{Deserialize, Serialize};

use crate::security::is_open;

/// Any host: such a path is looked up when nothing of flowd's own answers it.
pub(crate) const ANY_HOST: &str = "*";
const WRAPPER: &str = "/wrapper";
const MAX_HOST: usize = 253;
const MAX_PATH: usize = 1024;

/// One way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    /// In lower case, without a port; or [`ANY_HOST`].
    pub(crate) host: String,
    /// Begins with a slash and ends with none, unless it is the slash alone.
    pub(crate) path: String,
    pub(crate) start_event: ElementId,
}

/// How requests come to a route from outside of the cluster, as the orchestrator sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lead {
    /// The gateway that leads there, `NAMESPACE/NAME`; empty if there is none.
    pub(crate) gateway: String,
    /// Why it does not, yet; empty if it does.
    pub(crate) message: String,
}

/// By [`Route::place`].
pub(crate) type Leads = BTreeMap<(String, String), Lead>;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Start an instance and name it.
    Start,
    /// Start an instance and answer with its result.
    Wrapper,
}

impl Route {
    /// A route, or why there can be none.
    pub(crate) fn new(host: &str, path: &str, start_event: ElementId) -> Result<Self, String> {
        let host = host.trim().to_ascii_lowercase();
        check_host(&host)?;
        let path = if path.is_empty() { "/" } else { path };
        let usable = |it: char| it.is_ascii_graphic() && !"?#".contains(it);
        if !path.starts_with('/') || path.len() > MAX_PATH || !path.chars().all(usable) {
            return Err(format!("the path {path:?} cannot be one: write /like/this, in at most {MAX_PATH} characters"));
        }
        let trimmed = trimmed(path);
        let below = format!("{trimmed}{WRAPPER}");
        if is_open(trimmed) || is_open(&below) {
            return Err(format!("the path {path:?} is one that no token is asked for: take another"));
        }
        if trimmed.ends_with(WRAPPER) {
            return Err(format!("the path {path:?} ends with {WRAPPER}, which every route has of its own"));
        }
        Ok(Self { host, path: trimmed.to_owned(), start_event })
    }

    /// Its host and path, which are nobody else's.
    pub(crate) fn place(&self) -> (String, String) {
        (self.host.clone(), self.path.clone())
    }

    /// All paths that [`way`](Self::way) answers.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn paths(&self) -> Vec<String> {
        let path = &self.path;
        match path.as_str() {
            "/" => vec![path.clone(), WRAPPER.to_owned()],
            _ => vec![path.clone(), format!("{path}/"), format!("{path}{WRAPPER}")],
        }
    }

    /// What a request to `path` asks of this route, if anything.
    pub(crate) fn way(&self, path: &str) -> Option<Way> {
        let path = trimmed(path);
        if path == self.path {
            return Some(Way::Start);
        }
        let before = path.strip_suffix(WRAPPER)?;
        (before == self.path || before.is_empty() && self.path == "/").then_some(Way::Wrapper)
    }
}

/// The host of a request's `Host` or `:authority`, as routes write it.
pub(crate) fn host_of(authority: &str) -> String {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|it| it.is_ascii_digit()) => host,
        _ => authority,
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn trimmed(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if host == ANY_HOST {
        return Ok(());
    }
    let usable = |it: char| it.is_ascii_alphanumeric() || "-._".contains(it);
    if host.is_empty() || host.len() > MAX_HOST || !host.chars().all(usable) || host.ends_with('.') {
        return Err(format!(
            "the host {host:?} cannot be one: write a DNS name without a port, or {ANY_HOST:?} for all"
        ));
    }
    if host == "localhost" || host.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "the host {host:?} is flowd's own: give {ANY_HOST:?} and a path, or a name that is reached through a proxy"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: &str, path: &str) -> Result<Route, String> {
        Route::new(host, path, "s".into())
    }

    #[test]
    fn a_route_has_two_ways_in() {
        let orders = route("Shop.example", "/orders/").unwrap();
        assert_eq!((orders.host.as_str(), orders.path.as_str()), ("shop.example", "/orders"));
        assert_eq!(orders.way("/orders"), Some(Way::Start));
        assert_eq!(orders.way("/orders/"), Some(Way::Start));
        assert_eq!(orders.way("/orders/wrapper"), Some(Way::Wrapper));
        for other in ["/", "/order", "/orders/1", "/wrapper", "/orderswrapper", "/ORDERS"] {
            assert_eq!(orders.way(other), None, "{other}");
        }
        assert!(orders.paths().iter().all(|it| orders.way(it).is_some()), "{:?}", orders.paths());
        let root = route("shop.example", "").unwrap();
        assert!(root.paths().iter().all(|it| root.way(it).is_some()), "{:?}", root.paths());
        assert_eq!((root.way("/"), root.way("/wrapper"), root.way("/x")), (Some(Way::Start), Some(Way::Wrapper), None));
    }

    #[test]
    fn what_cannot_be_a_route_is_told() {
        for host in ["", "a b", "shop.example:80", "localhost", "127.0.0.1", "*.example", "shop.", &"x".repeat(254)] {
            assert!(route(host, "/").is_err(), "{host}");
        }
        for path in
            ["orders", "/a?b", "/a#b", "/a b", "/ä", "/a/wrapper", "/wrapper/", &format!("/{}", "x".repeat(1024))]
        {
            assert!(route("shop.example", path).is_err(), "{path}");
        }
        for path in ["/health", "/ready/", "/callbacks", "/callbacks/a"] {
            assert!(route("shop.example", path).unwrap_err().contains("no token"), "{path}");
        }
    }

    #[test]
    fn a_request_s_host_is_compared_without_case_and_port() {
        assert_eq!(host_of("Shop.Example:8080"), "shop.example");
        assert_eq!(host_of("shop.example."), "shop.example");
        assert_eq!(host_of("[::1]"), "[::1]");
    }
}
