//! What a flowd that does not lead does with calls: it passes them on to the one that does.
//!
//! gRPC connections are passed on byte by byte, so flowctl's calls, starts, the original's calls and sidecars' streams
//! all reach the leader, and TLS and tokens are settled between the caller and the leader. Of the HTTP port the routes
//! that need the ledger are passed on request by request; probes and metrics are this process's own.
//!
//! Promises: while nobody leads a call waits for the next leader, up to [`TAKEOVER`]; once this flowd leads, what it had
//! passed on is cut, so that callers come back to itself. A request whose fate is unknown is never sent twice.

mod request;

pub(crate) use request::{PASSED_HOST, Passed};

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use runtime::tls::{Connector, Expect, Tls};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::store::Leadership;

/// How long a call waits for somebody to lead: the lease of a leader that died runs out earlier.
const TAKEOVER: Duration = Duration::from_secs(20);
/// How long a connection to the leader may take to open.
const OPEN_WITHIN: Duration = Duration::from_secs(2);
/// Between attempts at a leader that cannot be reached: it is gone, and its lease not yet.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a flowd is reached: what the leader says about itself in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `HOST:PORT` of gRPC.
    pub(crate) grpc: String,
    /// `HOST:PORT` of HTTP.
    pub(crate) http: String,
    /// `HOST:PORT` where sidecars attach, in a cluster.
    pub(crate) control: Option<String>,
}

/// A port whose connections are passed on byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// gRPC.
    Grpc,
    /// Where sidecars attach, in a cluster.
    Control,
}

impl Address {
    fn of(&self, door: Door) -> Option<&str> {
        match door {
            Door::Grpc => Some(&self.grpc),
            Door::Control => self.control.as_deref(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "grpc={} http={}", self.grpc, self.http)?;
        self.control.iter().try_for_each(|control| write!(formatter, " control={control}"))
    }
}

impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let part = |name: &str| text.split(' ').find_map(|it| it.strip_prefix(name)).map(str::to_owned).ok_or(());
        Ok(Self { grpc: part("grpc=")?, http: part("http=")?, control: part("control=").ok() })
    }
}

/// Who answers a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    /// This flowd.
    Own,
    /// Another one.
    Leader(Address),
    /// Nobody yet.
    Nobody,
    /// This flowd never again: it is ending.
    Gone,
}

fn whom(leadership: &Leadership) -> Whom {
    match leadership {
        Leadership::Leader { .. } => Whom::Own,
        Leadership::Lost { .. } => Whom::Gone,
        Leadership::Standby { leader } => {
            leader.as_deref().and_then(|it| it.parse().ok()).map_or(Whom::Nobody, Whom::Leader)
        }
    }
}

/// Passes calls on while this flowd stands by. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Standby {
    leadership: watch::Receiver<Leadership>,
    connector: Connector,
}

impl Standby {
    pub(crate) fn new(leadership: watch::Receiver<Leadership>, tls: Option<&Tls>) -> Self {
        let connector = Connector::http1(tls, Expect::matching(hop::identity::is_ledger)).within(OPEN_WITHIN);
        Self { leadership, connector }
    }

    /// Passes on every connection to a port, `limit` at a time, until dropped. Connections that waited for a
    /// leader stay in `passing`: if it is this flowd, they go to its own port `own`.
    pub(crate) async fn pass_on(
        &self,
        listener: &TcpListener,
        (door, own): (Door, SocketAddr),
        limit: usize,
        passing: &mut JoinSet<()>,
    ) -> Infallible {
        loop {
            tokio::select! {
                accepted = listener.accept(), if passing.len() < limit => match accepted {
                    Ok((caller, _)) => drop(passing.spawn(pass(caller, (door, own), self.leadership.clone()))),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection; trying again");
                        sleep(PAUSE).await;
                    }
                },
                Some(_) = passing.join_next() => {}
            }
        }
    }
}

/// One connection, to whoever leads.
async fn pass(caller: TcpStream, to: (Door, SocketAddr), mut leadership: watch::Receiver<Leadership>) {
    let Ok(Some((leader, found))) = timeout(TAKEOVER, open(to, &mut leadership)).await else {
        tracing::debug!("nobody leads: a connection was closed");
        return;
    };
    let (mut caller, mut leader) = (caller, leader);
    // the ends may go at any moment, which is no news here
    let _ = (caller.set_nodelay(true), leader.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut caller, &mut leader) => {}
        () = changed(&mut leadership, &found) => {}
    }
}

/// A connection to whoever leads, as soon as somebody does; none when this flowd ends.
async fn open(
    (door, own): (Door, SocketAddr),
    leadership: &mut watch::Receiver<Leadership>,
) -> Option<(TcpStream, Whom)> {
    loop {
        let found = whom(&leadership.borrow_and_update());
        let opened = match &found {
            Whom::Own => TcpStream::connect(own).await.ok(),
            Whom::Leader(address) => match address.of(door) {
                Some(at) => timeout(OPEN_WITHIN, TcpStream::connect(at)).await.ok().and_then(Result::ok),
                None => None,
            },
            Whom::Nobody => None,
            Whom::Gone => return None,
        };
        if let Some(stream) = opened {
            return Some((stream, found));
        }
        tokio::select! {
            changed = leadership.changed() => changed.ok()?,
            () = sleep(PAUSE) => {}
        }
    }
}

/// Returns when somebody else leads than before. That nobody is known to lead is no reason to cut anything.
async fn changed(leadership: &mut watch::Receiver<Leadership>, before: &Whom) {
    let other = |now: &Leadership| {
        let now = whom(now);
        now != *before && now != Whom::Nobody
    };
    // an error: this flowd ends
    let _ = leadership.wait_for(other).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_leader_says_of_itself_is_read_by_the_others() {
        let mut address = Address { grpc: "10.0.0.1:9001".into(), http: "10.0.0.1:9002".into(), control: None };
        assert_eq!(address.to_string().parse(), Ok(address.clone()));
        address.control = Some("10.0.0.1:9003".into());
        assert_eq!(address.to_string().parse(), Ok(address.clone()));
        let standby = |leader: Option<&str>| whom(&Leadership::Standby { leader: leader.map(str::to_owned) });
        assert_eq!(standby(Some(&address.to_string())), Whom::Leader(address));
        assert_eq!((standby(None), standby(Some("what"))), (Whom::Nobody, Whom::Nobody));
        assert_eq!(whom(&Leadership::Leader { term: 1 }), Whom::Own);
    }

    #[tokio::test]
    async fn a_connection_waits_for_a_leader_and_is_cut_when_another_leads() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (said, leadership) = watch::channel(Leadership::Standby { leader: None });
        let (door, leader) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await);
        let (leader, own) = (leader.unwrap(), door.local_addr().unwrap());
        let address = leader.local_addr().unwrap().to_string();
        let standby = Standby::new(leadership, None);
        tokio::spawn(async move {
            let mut passing = JoinSet::new();
            standby.pass_on(&door, (Door::Grpc, own), 8, &mut passing).await
        });
        let mut caller = TcpStream::connect(own).await.unwrap();
        caller.write_all(b"ping").await.unwrap();
        said.send_replace(Leadership::Standby { leader: Some(format!("grpc={address} http={address}")) });
        let (mut passed, _) = leader.accept().await.unwrap();
        let mut word = [0; 4];
        passed.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"ping");
        passed.write_all(b"pong").await.unwrap();
        caller.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"pong");
        said.send_replace(Leadership::Leader { term: 2 });
        assert_eq!(caller.read(&mut word).await.unwrap_or(0), 0, "callers come back to the new leader");
    }
}
