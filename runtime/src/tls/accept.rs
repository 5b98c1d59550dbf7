//! Accepted connections, handshakes done beside the accept loop.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{KEEPALIVE, Stream, Tls};
use crate::drain::DrainWatcher;

/// After a failure to accept (out of descriptors, mostly) the loop rests this long.
const REST: Duration = Duration::from_millis(50);

/// What a listening socket bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at a time; further ones wait in the system's queue.
    pub connections: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1024, handshake: Duration::from_secs(5) }
    }
}

/// The connections accepted on one socket, as a stream. Ends when the drain begins; dropping it closes the socket.
#[derive(Debug)]
pub struct Incoming {
    accepted: mpsc::Receiver<Stream>,
    address: SocketAddr,
}

impl Incoming {
    /// Accepts on `listener` in a task of its own: with `tls` when given, else plain.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(listener: TcpListener, tls: Option<&Tls>, limits: Limits, drain: DrainWatcher) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(16);
        let acceptor = tls.map(|tls| TlsAcceptor::from(tls.server()));
        tokio::spawn(accept(listener, acceptor, limits, drain, sender));
        Ok(Self { accepted, address })
    }

    /// The bound address (the port that 0 became).
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next connection; `None` once the drain has begun.
    pub async fn accept(&mut self) -> Option<Stream> {
        self.accepted.recv().await
    }
}

impl tokio_stream::Stream for Incoming {
    type Item = io::Result<Stream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.accepted.poll_recv(context).map(|stream| stream.map(Ok))
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    limits: Limits,
    mut drain: DrainWatcher,
    sender: mpsc::Sender<Stream>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = drain.signaled() => break,
            () = sender.closed() => break,
            Some(_) = handshakes.join_next() => {}
            (tcp, permit) = next(&listener, &places) => {
                let acceptor = acceptor.clone();
                handshakes.spawn(open(tcp, acceptor, permit, limits.handshake, sender.clone()));
            }
        }
    }
}

async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => return (tcp, permit),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn open(
    tcp: TcpStream,
    acceptor: Option<TlsAcceptor>,
    permit: OwnedSemaphorePermit,
    limit: Duration,
    sender: mpsc::Sender<Stream>,
) {
    let from = tcp.peer_addr().ok();
    match tokio::time::timeout(limit, handshake(tcp, acceptor)).await {
        Ok(Ok(stream)) => {
            // An error means that the server is gone; the connection goes with it.
            let _ = sender.send(stream.counted(permit)).await;
        }
        Ok(Err(error)) => tracing::warn!(?from, %error, "refused a connection"),
        Err(_) => tracing::warn!(?from, ?limit, "refused a connection: its handshake took too long"),
    }
}

async fn handshake(tcp: TcpStream, acceptor: Option<TlsAcceptor>) -> io::Result<Stream> {
    prepare(&tcp)?;
    match acceptor {
        None => Ok(Stream::plain(tcp)),
        Some(acceptor) => Stream::tls(acceptor.accept(tcp).await?.into()),
    }
}

/// Small frames leave at once, and a peer that vanished is noticed.
pub(super) fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    socket2::SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}
