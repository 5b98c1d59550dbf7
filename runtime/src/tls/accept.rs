//! Accepted connections, handshakes done beside the accept loop.

use std::fmt;
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

/// Says who may connect at all, by the address that a connection comes from.
#[derive(Clone)]
pub struct Guard(Arc<dyn Fn(SocketAddr) -> Result<(), String> + Send + Sync>);

impl Guard {
    /// Those that `admits` says nothing against.
    #[must_use]
    pub fn new(admits: impl Fn(SocketAddr) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(admits))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Guard(..)")
    }
}

/// How connections open.
#[derive(Clone, Debug, Default)]
struct Door {
    tls: Option<Tls>,
    welcoming: bool,
    guard: Option<Guard>,
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
        Self::through(Door { tls: tls.cloned(), ..Door::default() }, listener, limits, drain)
    }

    /// With TLS, also for callers that have no certificate yet: such a one has no [`crate::tls::PeerIdentity`].
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn welcoming(listener: TcpListener, tls: &Tls, limits: Limits, drain: DrainWatcher) -> io::Result<Self> {
        Self::through(Door { tls: Some(tls.clone()), welcoming: true, guard: None }, listener, limits, drain)
    }

    /// Plain, for whom `guard` admits.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn guarded(listener: TcpListener, guard: Guard, limits: Limits, drain: DrainWatcher) -> io::Result<Self> {
        Self::through(Door { guard: Some(guard), ..Door::default() }, listener, limits, drain)
    }

    fn through(door: Door, listener: TcpListener, limits: Limits, drain: DrainWatcher) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(16);
        tokio::spawn(accept(listener, door, limits, drain, sender));
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
    door: Door,
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
                handshakes.spawn(open(tcp, door.clone(), permit, limits.handshake, sender.clone()));
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

async fn open(tcp: TcpStream, door: Door, permit: OwnedSemaphorePermit, limit: Duration, sender: mpsc::Sender<Stream>) {
    let from = tcp.peer_addr().ok();
    match tokio::time::timeout(limit, handshake(tcp, door)).await {
        Ok(Ok(stream)) => {
            // An error means that the server is gone; the connection goes with it.
            let _ = sender.send(stream.counted(permit)).await;
        }
        Ok(Err(error)) => tracing::warn!(?from, %error, "refused a connection"),
        Err(_) => tracing::warn!(?from, ?limit, "refused a connection: its handshake took too long"),
    }
}

async fn handshake(tcp: TcpStream, door: Door) -> io::Result<Stream> {
    if let Some(Guard(admits)) = &door.guard {
        admits(tcp.peer_addr()?).map_err(io::Error::other)?;
    }
    prepare(&tcp)?;
    let Some(tls) = door.tls else { return Ok(Stream::plain(tcp)) };
    let credentials = tls.credentials().ok_or_else(|| io::Error::other("this process has no certificate yet"))?;
    let acceptor = TlsAcceptor::from(credentials.server(door.welcoming));
    Stream::tls(acceptor.accept(tcp).await?.into())
}

/// Small frames leave at once, and a peer that vanished is noticed.
pub(super) fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    socket2::SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}
