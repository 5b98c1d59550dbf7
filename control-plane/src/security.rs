//! Who may call: the one place that is asked, for every route of both ports.
//!
//! Off loopback a port wants mutual TLS and a token, or `--insecure`, which warns. Where there is a token every route
//! wants it but the probes of [`OPEN`], and callbacks, whose URLs are secrets of their own: what is not named there is denied. Which service a sidecar may serve is
//! `hop::identity`'s question.

use std::net::SocketAddr;

use http::HeaderMap;
use routing::callback;
use runtime::listen;
use runtime::token::{self, RequireToken, Token};
use tonic::service::InterceptorLayer;

/// HTTP paths that orchestrators probe, without any secret to tell.
const OPEN: [&str; 3] = ["/health", "/ready", "/answers"];

/// Why a port is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Without TLS.
    #[error(transparent)]
    Exposed(#[from] listen::Error),
    /// Without a token.
    #[error(
        "refusing to serve {what} on {address} without a token: anyone with a certificate could use it; give --token \
         FILE, listen on 127.0.0.1, or pass --insecure if the network protects it"
    )]
    NoToken {
        /// What would be exposed.
        what: &'static str,
        /// Where.
        address: SocketAddr,
    },
}

/// Who may call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    token: Option<Token>,
}

/// Whether a path is answered without a token.
pub(crate) fn is_open(path: &str) -> bool {
    OPEN.contains(&path) || path.starts_with(callback::PATH)
}

impl Access {
    pub(crate) fn new(token: Option<Token>) -> Self {
        Self { token }
    }

    /// Whether a port may be opened there at all.
    pub(crate) fn check_port(
        &self,
        what: &'static str,
        address: SocketAddr,
        tls: bool,
        insecure: bool,
    ) -> Result<(), Error> {
        listen::check_exposure(what, address, tls, insecure)?;
        if self.token.is_none() && !insecure && !listen::is_loopback(&address) {
            return Err(Error::NoToken { what, address });
        }
        Ok(())
    }

    /// Whether an HTTP request may pass.
    pub(crate) fn http(&self, path: &str, headers: &HeaderMap) -> Result<(), token::Error> {
        match &self.token {
            Some(token) if !is_open(path) => token.check(headers),
            _ => Ok(()),
        }
    }

    /// Around every gRPC service, known or not.
    pub(crate) fn grpc(&self) -> InterceptorLayer<RequireToken> {
        InterceptorLayer::new(RequireToken::new(self.token.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_but_the_probes_wants_the_token() {
        let access = Access::new(Token::new("secret"));
        let mut right = HeaderMap::new();
        right.insert("authorization", "Bearer secret".parse().unwrap());
        let mut wrong = HeaderMap::new();
        wrong.insert("authorization", "Bearer guess".parse().unwrap());
        for (path, open) in [
            ("/health", true),
            ("/ready", true),
            ("/answers", true),
            ("/metrics", false),
            ("/wf_map", false),
            ("/start/x", false),
            ("/", false),
            ("/health/", false),
            ("//health", false),
            ("/callbacks/order-1/1f/seal", true),
            ("/callbacks", false),
            ("/unheard-of", false),
        ] {
            assert_eq!(access.http(path, &HeaderMap::new()).is_ok(), open, "{path}, no token");
            assert_eq!(access.http(path, &wrong).is_ok(), open, "{path}, wrong token");
            assert!(access.http(path, &right).is_ok(), "{path}, right token");
            assert!(Access::default().http(path, &HeaderMap::new()).is_ok(), "{path}, none asked for");
        }
    }

    #[test]
    fn off_loopback_wants_tls_and_a_token_or_insecure() {
        let (far, near) = ("0.0.0.0:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap());
        let with = Access::new(Token::new("secret"));
        for (access, address, tls, insecure, open) in [
            (&Access::default(), near, false, false, true),
            (&Access::default(), far, false, false, false),
            (&Access::default(), far, true, false, false),
            (&with, far, false, false, false),
            (&with, far, true, false, true),
            (&Access::default(), far, false, true, true),
        ] {
            let checked = access.check_port("gRPC", address, tls, insecure);
            assert_eq!(checked.is_ok(), open, "{address} {tls} {insecure}: {checked:?}");
        }
    }
}
