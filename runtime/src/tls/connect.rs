//! Outgoing connections: a `Service<Uri>` for tonic's channels and hyper's client.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{Expect, Stream, Tls, accept};

pub(super) const ALPN_H2: &[u8] = b"h2";
pub(super) const ALPN_HTTP1: &[u8] = b"http/1.1";

/// How long a connection (and its handshake) may take to open, unless told otherwise.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

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
    tls: Option<Arc<ClientConfig>>,
    limit: Duration,
}

impl Connector {
    /// For gRPC: with `tls` when given, accepting the servers that `expect` does; else plain.
    #[must_use]
    pub fn grpc(tls: Option<&Tls>, expect: Expect) -> Self {
        Self { tls: tls.map(|tls| tls.client(expect, ALPN_H2)), limit: OPEN_WITHIN }
    }

    /// The same for HTTP/1.
    #[must_use]
    pub fn http1(tls: Option<&Tls>, expect: Expect) -> Self {
        Self { tls: tls.map(|tls| tls.client(expect, ALPN_HTTP1)), limit: OPEN_WITHIN }
    }

    /// Plain TCP.
    #[must_use]
    pub fn plain() -> Self {
        Self { tls: None, limit: OPEN_WITHIN }
    }

    #[cfg(test)]
    pub(super) fn of_config(config: ClientConfig) -> Self {
        Self { tls: Some(Arc::new(config)), limit: OPEN_WITHIN }
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
        let Some(tls) = &self.tls else {
            return Ok(Stream::plain(tcp));
        };
        let refused = |source| ConnectError::Handshake { host: host.to_owned(), port, source };
        let opened = TlsConnector::from(tls.clone()).connect(nobody(), tcp).await.map_err(refused)?;
        Stream::tls(opened.into()).map_err(refused)
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
