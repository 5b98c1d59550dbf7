//! One type for a connection, plain or TLS, accepted or made.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use hyper_util::client::legacy::connect::{Connected as HyperConnected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

use super::identity::{self, Identity};

/// Who is on the other end, in the extensions of every request; `None` on a plain connection, and where a caller that need not show a certificate
/// has shown none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity(pub Option<Identity>);

/// A connection. Reads and writes what the transport carries; knows its peer.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    peer: PeerIdentity,
    /// Until when the peer's certificate is good.
    expires: Option<SystemTime>,
    /// Counts against the limit of connections for as long as the connection lives.
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    // Boxed: a TLS session is some hundred bytes, and plain connections should not pay for it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self { transport: Transport::Plain(tcp), peer: PeerIdentity(None), expires: None, _permit: None }
    }

    /// A finished handshake; its verifier has seen to it that the peer has an identity, or need not have one.
    pub(super) fn tls(tls: TlsStream<TcpStream>) -> io::Result<Self> {
        let leaf = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let identity = leaf.map(Identity::of_certificate).transpose().map_err(io::Error::other)?;
        let expires = leaf.map(identity::expires).transpose().map_err(io::Error::other)?;
        let peer = PeerIdentity(identity);
        Ok(Self { transport: Transport::Tls(Box::new(tls)), peer, expires, _permit: None })
    }

    /// The same where the peer was known by its host name: it has no identity.
    pub(super) fn named(tls: TlsStream<TcpStream>) -> Self {
        Self { transport: Transport::Tls(Box::new(tls)), peer: PeerIdentity(None), expires: None, _permit: None }
    }

    pub(super) fn counted(mut self, permit: OwnedSemaphorePermit) -> Self {
        self._permit = Some(permit);
        self
    }

    /// Who is on the other end.
    #[must_use]
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// An error once the peer's certificate has expired: it must come back with a newer one.
    fn in_force(&self) -> io::Result<()> {
        match self.expires {
            Some(until) if SystemTime::now() > until => {
                let why = "the certificate of the peer has expired since the connection was opened";
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, why))
            }
            _ => Ok(()),
        }
    }
}

impl Connected for Stream {
    type ConnectInfo = PeerIdentity;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.peer.clone()
    }
}

impl Connection for Stream {
    fn connected(&self) -> HyperConnected {
        HyperConnected::new()
    }
}

/// Hands a call on to whichever transport it is.
macro_rules! transport {
    ($self:ident, $transport:ident => $call:expr) => {
        match &mut $self.get_mut().transport {
            Transport::Plain(tcp) => {
                let $transport = Pin::new(tcp);
                $call
            }
            Transport::Tls(tls) => {
                let $transport = Pin::new(tls.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.in_force()?;
        transport!(self, transport => transport.poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        transport!(self, transport => transport.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        transport!(self, transport => transport.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        transport!(self, transport => transport.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        transport!(self, transport => transport.poll_shutdown(context))
    }
}
