//! Outgoing connections: a `Service<Uri>` for tonic's channels and hyper's client.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, IpAddr, Ipv4Addr, ServerName};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{Credentials, Error, Expect, Stream, Tls, accept, credentials};

pub(super) const ALPN_H2: &[u8] = b"h2";
pub(super) const ALPN_HTTP1: &[u8] = b"http/1.1";

/// How long a connection (and its handshake) may take to open, unless told otherwise.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// After a renewal connections are opened anew within this part of the certificate's life, so that not all break off at once; and at most this.
const SPREAD: (u32, Duration) = (10, Duration::from_secs(60));

/// Why a connection could not be opened. Nothing was sent to the application behind it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URI has no host.
    #[error("cannot connect to {0}: it names no host")]
    NoHost(Uri),
    /// TCP failed.
    #[error("cannot connect to {host}:{port}: {source}")]
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to show to the other side.
    #[error("cannot connect to {host}:{port}: this process has no certificate yet")]
    NoCertificate {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// The handshake failed: one side refused the other.
    #[error("no trust between us and {host}:{port}: {source}; check --tls-cert, --tls-key and --tls-ca at both ends")]
    Handshake {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What TLS said.
        source: io::Error,
    },
    /// It took too long.
    #[error("cannot connect to {host}:{port} within {limit:?}")]
    TimedOut {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The limit.
        limit: Duration,
    },
}

/// Opens connections, plain or TLS. The URI's scheme is not looked at (write `http://`): what the connector was
/// made with decides. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    trust: Trust,
    limit: Duration,
}

#[derive(Clone, Debug)]
enum Trust {
    Plain,
    Mutual {
        tls: Tls,
        expect: Expect,
        alpn: &'static [u8],
    },
    Fixed(Arc<ClientConfig>),
    /// Who answers must have a certificate for the name that it was called by.
    Named(Arc<ClientConfig>),
}

impl Connector {
    /// For gRPC: with `tls` when given, accepting the servers that `expect` does; else plain.
    #[must_use]
    pub fn grpc(tls: Option<&Tls>, expect: Expect) -> Self {
        Self::mutual(tls, expect, ALPN_H2)
    }

    /// The same for HTTP/1.
    #[must_use]
    pub fn http1(tls: Option<&Tls>, expect: Expect) -> Self {
        Self::mutual(tls, expect, ALPN_HTTP1)
    }

    fn mutual(tls: Option<&Tls>, expect: Expect, alpn: &'static [u8]) -> Self {
        let trust = tls.map_or(Trust::Plain, |tls| Trust::Mutual { tls: tls.clone(), expect, alpn });
        Self { trust, limit: OPEN_WITHIN }
    }

    /// For gRPC, without a certificate: trusts servers signed by `roots` that `expect` accepts.
    ///
    /// # Errors
    /// When a root cannot be used.
    pub fn newcomer(roots: Vec<CertificateDer<'static>>, expect: Expect) -> Result<Self, rustls::Error> {
        let config = credentials::newcomer(roots, expect, ALPN_H2)?;
        Ok(Self { trust: Trust::Fixed(Arc::new(config)), limit: OPEN_WITHIN })
    }

    /// For gRPC to whoever stands in front of a mesh, such as a gateway: it shows a certificate for its host name, signed by a CA in the PEM file
    /// `ca`, and gets none.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn named(ca: &Path) -> Result<Self, Error> {
        let config = credentials::named(super::certificates("--tls-ca", ca)?, ALPN_H2);
        let config = config.map_err(|error| super::unusable("--tls-ca", ca, &error.to_string()))?;
        Ok(Self { trust: Trust::Named(Arc::new(config)), limit: OPEN_WITHIN })
    }

    /// Plain TCP.
    #[must_use]
    pub fn plain() -> Self {
        Self { trust: Trust::Plain, limit: OPEN_WITHIN }
    }

    #[cfg(test)]
    pub(super) fn of_config(config: ClientConfig) -> Self {
        Self { trust: Trust::Fixed(Arc::new(config)), limit: OPEN_WITHIN }
    }

    /// Says when connections that are opened from now on should be opened anew.
    #[must_use]
    pub fn renewals(&self) -> Renewals {
        Renewals(match &self.trust {
            Trust::Mutual { tls, .. } => {
                let mut current = tls.current.clone();
                current.mark_unchanged();
                Some(current)
            }
            Trust::Plain | Trust::Fixed(_) | Trust::Named(_) => None,
        })
    }

    /// Gives up after `limit` (TCP and handshake together).
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Opens one connection.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(&self, host: &str, port: u16) -> Result<Stream, ConnectError> {
        let limit = self.limit;
        match tokio::time::timeout(limit, self.handshake(host, port)).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectError::TimedOut { host: host.to_owned(), port, limit }),
        }
    }

    async fn handshake(&self, host: &str, port: u16) -> Result<Stream, ConnectError> {
        let tcp_failed = |source| ConnectError::Tcp { host: host.to_owned(), port, source };
        let tcp = TcpStream::connect((host, port)).await.map_err(tcp_failed)?;
        accept::prepare(&tcp).map_err(tcp_failed)?;
        let refused = |source| ConnectError::Handshake { host: host.to_owned(), port, source };
        let config = match &self.trust {
            Trust::Plain => return Ok(Stream::plain(tcp)),
            Trust::Fixed(config) => config.clone(),
            Trust::Named(config) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(io::Error::other(error)))?;
                let opened = TlsConnector::from(config.clone()).connect(name, tcp).await.map_err(refused)?;
                return Ok(Stream::named(opened.into()));
            }
            Trust::Mutual { tls, expect, alpn } => {
                let none = || ConnectError::NoCertificate { host: host.to_owned(), port };
                Arc::new(tls.credentials().ok_or_else(none)?.client(expect.clone(), alpn))
            }
        };
        let opened = TlsConnector::from(config).connect(nobody(), tcp).await.map_err(refused)?;
        Stream::tls(opened.into()).map_err(refused)
    }
}

/// See [`Connector::renewals`].
#[derive(Debug)]
pub struct Renewals(Option<watch::Receiver<Option<Arc<Credentials>>>>);

impl Renewals {
    /// Returns a while after the certificate was renewed, each caller after another; never where there is none to renew.
    pub async fn next(&mut self) {
        let Some(current) = &mut self.0 else { return std::future::pending().await };
        if current.changed().await.is_err() {
            return std::future::pending().await;
        }
        let remaining = current.borrow_and_update().as_ref().map(|it| it.remaining()).unwrap_or_default();
        let spread = (remaining / SPREAD.0).min(SPREAD.1);
        tokio::time::sleep(spread.mul_f64(rand::random::<f64>())).await;
    }
}

/// TLS wants a name; ours is neither sent nor looked at, the identity is what counts.
fn nobody() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0])))
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let Some(host) = uri.host() else {
                return Err(ConnectError::NoHost(uri));
            };
            // An IPv6 address stands in brackets in a URI, and without them in a socket address.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
            let port = uri.port_u16().unwrap_or(default);
            connector.open(host, port).await.map(TokioIo::new)
        })
    }
}
