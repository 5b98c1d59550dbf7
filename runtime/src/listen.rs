//! Listening sockets: binding with an error that says what to do, and who may be reached from where.
//!
//! Promises: port 0 works everywhere (ask the listener for what it got); a taken port is named, with the way
//! out; nothing listens off loopback without TLS unless somebody said so.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;

/// More attempts at a port that is taken.
const ATTEMPTS: usize = 10;
/// From one to the next.
const BETWEEN: Duration = Duration::from_millis(50);

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else holds the port.
    #[error(
        "cannot listen on {address} for {what}: port {port} is in use; stop the process that holds it \
         (find it with `ss -ltnp sport = :{port}`) or choose another port with {flag} (0 takes a free one)"
    )]
    InUse {
        /// What the port is for.
        what: String,
        /// The address asked for.
        address: SocketAddr,
        /// The port asked for.
        port: u16,
        /// The flag that sets it.
        flag: String,
    },
    /// Binding failed otherwise.
    #[error("cannot listen on {address} for {what}: {source}; check {flag}")]
    Bind {
        /// What the port is for.
        what: String,
        /// The address asked for.
        address: SocketAddr,
        /// The flag that sets it.
        flag: String,
        /// What the system said.
        source: io::Error,
    },
    /// A host name that leads nowhere.
    #[error("cannot resolve {host:?}: {reason}; give HOST:PORT with {flag}")]
    Resolve {
        /// What was given.
        host: String,
        /// What is wrong with it.
        reason: String,
        /// The flag that sets it.
        flag: String,
    },
    /// Off loopback without protection.
    #[error(
        "refusing to serve {what} on {address} without TLS: anyone who reaches it could use it; give \
         --tls-cert, --tls-key and --tls-ca, listen on 127.0.0.1, or pass --insecure if the network protects it"
    )]
    Exposed {
        /// What would be exposed.
        what: String,
        /// Where.
        address: SocketAddr,
    },
}

/// Binds `address` for `what` ("the hop port"), set by `flag` ("--hop"). Waits half a second for a port that is taken: of a process with many
/// connections that was killed a moment ago the system still closes them.
///
/// # Errors
/// [`Error::InUse`] or [`Error::Bind`].
pub async fn bind(address: SocketAddr, what: &str, flag: &str) -> Result<TcpListener, Error> {
    let (what, flag) = (what.to_owned(), flag.to_owned());
    let mut bound = TcpListener::bind(address).await;
    for _ in 0..ATTEMPTS {
        if !matches!(&bound, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
            break;
        }
        tokio::time::sleep(BETWEEN).await;
        bound = TcpListener::bind(address).await;
    }
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse { what, address, port: address.port(), flag },
        _ => Error::Bind { what, address, flag, source },
    })
}

/// The address of `HOST:PORT`; the first one when there are several.
///
/// # Errors
/// [`Error::Resolve`].
pub async fn resolve(host: &str, flag: &str) -> Result<SocketAddr, Error> {
    let failed = |reason: String| Error::Resolve { host: host.to_owned(), reason, flag: flag.to_owned() };
    let mut addresses = tokio::net::lookup_host(host).await.map_err(|error| failed(error.to_string()))?;
    addresses.next().ok_or_else(|| failed("no address".to_owned()))
}

/// True if only this machine can reach `address`.
#[must_use]
pub fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// The address that reaches a socket bound to `address` from this machine (loopback for the wildcard).
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

/// The rule for every port: off loopback wants TLS, or an explicit `--insecure`, which warns.
///
/// # Errors
/// [`Error::Exposed`].
pub fn check_exposure(what: &str, address: SocketAddr, tls: bool, insecure: bool) -> Result<(), Error> {
    if tls || is_loopback(&address) {
        return Ok(());
    }
    if !insecure {
        return Err(Error::Exposed { what: what.to_owned(), address });
    }
    tracing::warn!(what, %address, "serving without TLS off loopback, as --insecure asks: anyone who reaches it can use it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_way_out() {
        let first = bind(address("127.0.0.1:0"), "the hop port", "--hop").await.unwrap();
        let taken = first.local_addr().unwrap();
        let error = bind(taken, "the hop port", "--hop").await.unwrap_err();
        assert!(matches!(error, Error::InUse { port, .. } if port == taken.port()));
        let text = error.to_string();
        assert!(text.contains(&taken.port().to_string()) && text.contains("--hop"), "{text}");
    }

    #[tokio::test]
    async fn a_port_that_is_given_back_in_a_moment_is_taken() {
        let first = bind(address("127.0.0.1:0"), "the hop port", "--hop").await.unwrap();
        let taken = first.local_addr().unwrap();
        let second = tokio::spawn(async move { bind(taken, "the hop port", "--hop").await.map(drop) });
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "it is taken, and waited for");
        drop(first);
        second.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn names_resolve_and_garbage_does_not() {
        assert!(is_loopback(&resolve("localhost:80", "--hop").await.unwrap()));
        let error = resolve("no port", "--hop").await.unwrap_err();
        assert!(error.to_string().contains("--hop"));
    }

    #[test]
    fn off_loopback_wants_tls_or_insecure() {
        let outside = address("0.0.0.0:9001");
        assert!(check_exposure("gRPC", outside, false, false).is_err());
        assert!(check_exposure("gRPC", outside, true, false).is_ok());
        assert!(check_exposure("gRPC", outside, false, true).is_ok());
        for inside in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(check_exposure("gRPC", address(inside), false, false).is_ok(), "{inside}");
        }
        let text = check_exposure("gRPC", outside, false, false).unwrap_err().to_string();
        assert!(text.contains("--tls-cert") && text.contains("--insecure"));
    }

    #[test]
    fn wildcard_is_reached_by_loopback() {
        assert_eq!(reachable(address("0.0.0.0:5")), address("127.0.0.1:5"));
        assert_eq!(reachable(address("[::]:5")), address("[::1]:5"));
        assert_eq!(reachable(address("10.1.2.3:5")), address("10.1.2.3:5"));
    }
}
