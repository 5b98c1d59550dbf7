//! Handshakes over real sockets: who gets in, and who does not.

use std::path::PathBuf;

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair, SanType,
    string::Ia5String,
};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::drain;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

struct Files {
    folder: TempDir,
}

impl Files {
    /// A certificate with `names` of `issuer`; it trusts `trusted`.
    fn new(issuer: &Authority, names: Vec<SanType>, trusted: &Authority) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, issuer).unwrap();
        std::fs::write(files.path("cert"), certificate.pem()).unwrap();
        std::fs::write(files.path("key"), key.serialize_pem()).unwrap();
        std::fs::write(files.path("ca"), trusted.pem()).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Result<Tls, Error> {
        Tls::load(&self.path("cert"), &self.path("key"), &self.path("ca"))
    }
}

fn tls(issuer: &Authority, identity: &str, trusted: &Authority) -> Tls {
    Files::new(issuer, vec![uri(identity)], trusted).load().unwrap()
}

/// Opens a connection and exchanges one byte each way; answers whom the server saw, or why it failed.
async fn exchange(server: Option<&Tls>, connector: Connector) -> Result<PeerIdentity, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_trigger, watcher) = drain::new();
    let mut incoming = Incoming::new(listener, server, Limits::default(), watcher).unwrap();
    let port = incoming.local_addr().port();
    let serving = tokio::spawn(async move {
        let mut stream = incoming.accept().await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await.ok()?;
        stream.write_all(b"!").await.ok()?;
        stream.flush().await.ok()?;
        Some(stream.peer().clone())
    });
    let client = ask(&connector, port).await;
    if let Err(error) = client {
        serving.abort();
        return Err(error);
    }
    Ok(serving.await.unwrap().expect("the server answered"))
}

/// With TLS 1.3 a server's refusal arrives at the client's first read.
async fn ask(connector: &Connector, port: u16) -> Result<(), String> {
    let mut stream = connector.open("127.0.0.1", port).await.map_err(|error| error.to_string())?;
    let mut answer = [0];
    let exchanged = async {
        stream.write_all(b"?").await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await
    };
    exchanged.await.map_err(|error: std::io::Error| error.to_string())?;
    // A TLS server answers plain text with an alert: bytes, but no answer.
    if answer == *b"!" { Ok(()) } else { Err(format!("answered {answer:?}")) }
}

const PAY: &str = "spiffe://mesh.local/sa/pay";
const SHIP: &str = "spiffe://mesh.local/sa/ship";

#[tokio::test]
async fn both_ends_know_each_other() {
    let ca = authority();
    let (pay, ship) = (tls(&ca, PAY, &ca), tls(&ca, SHIP, &ca));
    assert_eq!(pay.identity().unwrap().as_str(), PAY);
    let expect = Expect::exactly(SHIP.parse().unwrap());
    let peer = exchange(Some(&ship), Connector::grpc(Some(&pay), expect)).await.unwrap();
    assert_eq!(peer, PeerIdentity(Some(PAY.parse().unwrap())));
    let expect = Expect::trust_domain("mesh.local");
    assert!(exchange(Some(&ship), Connector::http1(Some(&pay), expect)).await.is_ok());
}

#[tokio::test]
async fn plain_connections_have_no_identity() {
    let peer = exchange(None, Connector::plain()).await.unwrap();
    assert_eq!(peer, PeerIdentity(None));
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let (ours, theirs) = (authority(), authority());
    let client = tls(&ours, PAY, &ours);
    let server = tls(&theirs, SHIP, &ours);
    let connector = Connector::grpc(Some(&client), Expect::anyone());
    let error = exchange(Some(&server), connector).await.unwrap_err();
    assert!(error.contains("no trust") && error.contains("--tls-ca"), "{error}");
}

#[tokio::test]
async fn a_client_of_another_ca_is_refused() {
    let (ours, theirs) = (authority(), authority());
    let client = tls(&theirs, PAY, &ours);
    let server = tls(&ours, SHIP, &ours);
    let connector = Connector::grpc(Some(&client), Expect::anyone());
    assert!(exchange(Some(&server), connector).await.is_err());
}

#[tokio::test]
async fn a_client_without_certificate_is_refused() {
    let ca = authority();
    let server = tls(&ca, SHIP, &ca);
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let verifier = verify::ServerIdentity::new(Arc::new(roots), Expect::anyone());
    let bare = ClientConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(verify::VERSIONS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let error = exchange(Some(&server), Connector::of_config(bare)).await.unwrap_err();
    assert!(error.contains("ertificate"), "{error}");
    assert!(exchange(Some(&server), Connector::plain()).await.is_err());
}

#[tokio::test]
async fn a_plain_server_is_not_talked_to_by_tls() {
    let ca = authority();
    let client = tls(&ca, PAY, &ca);
    let connector = Connector::grpc(Some(&client), Expect::anyone());
    assert!(exchange(None, connector).await.is_err());
}

#[tokio::test]
async fn the_wrong_identity_is_refused() {
    let ca = authority();
    let (pay, ship) = (tls(&ca, PAY, &ca), tls(&ca, SHIP, &ca));
    for expect in [Expect::exactly(PAY.parse().unwrap()), Expect::trust_domain("other.local")] {
        let error = exchange(Some(&ship), Connector::grpc(Some(&pay), expect)).await.unwrap_err();
        assert!(error.contains(SHIP), "the message names who was found: {error}");
    }
}

/// A certificate of our CA whose names are no identity, held by somebody who does not check his own.
fn nameless(ca: &Authority, names: Vec<SanType>) -> Tls {
    let files = Files::new(ca, names, ca);
    let chain = certificates("--tls-cert", &files.path("cert")).unwrap();
    let key = PrivateKeyDer::from_pem_file(files.path("key")).unwrap();
    let later = SystemTime::now() + Duration::from_secs(3600);
    let forged = Credentials::of(PAY.parse().unwrap(), later, chain, key, vec![ca.der().clone()]);
    Tls::fixed(forged.unwrap())
}

#[tokio::test]
async fn a_certificate_without_exactly_one_identity_is_refused_by_both_ends() {
    let ca = authority();
    let good = tls(&ca, SHIP, &ca);
    let dns = || SanType::DnsName(Ia5String::try_from("pay.mesh.local").unwrap());
    for names in [vec![dns()], vec![uri(PAY), uri(SHIP)], vec![uri("https://mesh.local/pay")]] {
        let forged = nameless(&ca, names.clone());
        let as_client = Connector::grpc(Some(&forged), Expect::anyone());
        assert!(exchange(Some(&good), as_client).await.is_err(), "{names:?}");
        let to_server = Connector::grpc(Some(&good), Expect::anyone());
        assert!(exchange(Some(&forged), to_server).await.is_err(), "{names:?}");
    }
    // A DNS name beside the identity does no harm.
    let both = nameless(&ca, vec![dns(), uri(PAY)]);
    let connector = Connector::grpc(Some(&both), Expect::anyone());
    let peer = exchange(Some(&good), connector).await.unwrap();
    assert_eq!(peer, PeerIdentity(Some(PAY.parse().unwrap())));
}

#[tokio::test]
async fn files_are_checked_when_they_are_loaded() {
    let ca = authority();
    let files = Files::new(&ca, vec![uri(PAY)], &ca);
    assert!(files.load().is_ok());
    let names = Files::new(&ca, Vec::new(), &ca);
    assert!(matches!(names.load(), Err(Error::Identity { .. })));
    std::fs::write(files.path("ca"), "nothing").unwrap();
    let error = files.load().unwrap_err().to_string();
    assert!(error.contains("--tls-ca"), "{error}");
    let other = Files::new(&ca, vec![uri(PAY)], &ca);
    let pair = Tls::load(&files.path("cert"), &other.path("key"), &other.path("ca"));
    assert!(matches!(pair, Err(Error::Pair { .. })));
    assert!(Tls::from_flags(None, None, None).unwrap().is_none());
    let error = Tls::from_flags(Some(&other.path("cert")), None, None).unwrap_err().to_string();
    assert!(error.contains("--tls-key, --tls-ca"), "{error}");
}

#[tokio::test]
async fn a_silent_client_does_not_hold_up_the_others() {
    let ca = authority();
    let (pay, ship) = (tls(&ca, PAY, &ca), tls(&ca, SHIP, &ca));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_trigger, watcher) = drain::new();
    let mut incoming = Incoming::new(listener, Some(&ship), Limits::default(), watcher).unwrap();
    let address = incoming.local_addr();
    let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = Connector::grpc(Some(&pay), Expect::anyone());
    let (opened, accepted) = tokio::join!(connector.open("127.0.0.1", address.port()), incoming.accept());
    assert!(opened.is_ok() && accepted.is_some());
}

#[tokio::test]
async fn the_limit_of_connections_is_kept_and_the_drain_ends_the_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (trigger, watcher) = drain::new();
    let limits = Limits { connections: 1, ..Limits::default() };
    let mut incoming = Incoming::new(listener, None, limits, watcher).unwrap();
    let address = incoming.local_addr();
    let _one = tokio::net::TcpStream::connect(address).await.unwrap();
    let first = incoming.accept().await.unwrap();
    let _two = tokio::net::TcpStream::connect(address).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(50), incoming.accept()).await;
    assert!(waited.is_err(), "the second connection waits for the first to close");
    drop(first);
    assert!(incoming.accept().await.is_some());
    trigger.drain();
    assert!(incoming.accept().await.is_none());
}

/// Credentials of `ca` for `identity`, good from an hour ago until `until`, by way of a request as a sidecar makes it.
fn granted(ca: &Authority, identity: &str, until: SystemTime) -> Credentials {
    let request = Request::new().unwrap();
    let der = request.der().to_vec().into();
    let mut asked = CertificateSigningRequestParams::from_der(&der).unwrap();
    asked.params.subject_alt_names = vec![uri(identity)];
    asked.params.not_before = (SystemTime::now() - Duration::from_secs(3600)).into();
    asked.params.not_after = until.into();
    let certificate = asked.signed_by(ca).unwrap();
    request.granted(vec![certificate.der().clone()], vec![ca.der().clone()]).unwrap()
}

#[tokio::test]
async fn renewed_credentials_are_used_by_the_next_connection() {
    let (old, new) = (authority(), authority());
    let later = SystemTime::now() + Duration::from_secs(3600);
    let (renewer, pay) = Tls::renewable();
    let ship = tls(&old, SHIP, &old);
    let error = exchange(Some(&ship), Connector::grpc(Some(&pay), Expect::anyone())).await.unwrap_err();
    assert!(error.contains("no certificate yet"), "{error}");
    assert!(exchange(Some(&pay), Connector::grpc(Some(&ship), Expect::anyone())).await.is_err());

    let connector = Connector::grpc(Some(&pay), Expect::anyone());
    renewer.renew(granted(&old, PAY, later));
    let peer = exchange(Some(&ship), connector.clone()).await.unwrap();
    assert_eq!(peer, PeerIdentity(Some(PAY.parse().unwrap())));
    assert!(exchange(Some(&pay), Connector::grpc(Some(&ship), Expect::anyone())).await.is_ok());

    let mut renewals = connector.renewals();
    renewer.renew(granted(&new, PAY, SystemTime::now() + Duration::from_secs(1)));
    tokio::time::timeout(Duration::from_secs(5), renewals.next()).await.expect("it is told of");
    assert!(exchange(Some(&ship), connector.clone()).await.is_err(), "who trusts the old one alone");
    let ship = tls(&new, SHIP, &new);
    assert!(exchange(Some(&ship), connector).await.is_ok());
}

#[tokio::test]
async fn a_connection_says_nothing_more_when_the_certificate_of_its_peer_has_expired() {
    let ca = authority();
    let until = SystemTime::now() + Duration::from_secs(2);
    let (pay, ship) = (Tls::fixed(granted(&ca, PAY, until)), tls(&ca, SHIP, &ca));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_trigger, watcher) = drain::new();
    let mut incoming = Incoming::new(listener, Some(&ship), Limits::default(), watcher).unwrap();
    let port = incoming.local_addr().port();
    let mut client = Connector::grpc(Some(&pay), Expect::anyone()).open("127.0.0.1", port).await.unwrap();
    let mut server = incoming.accept().await.unwrap();
    let mut byte = [0];
    client.write_all(b"?").await.unwrap();
    server.read_exact(&mut byte).await.unwrap();
    while SystemTime::now() <= until + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.write_all(b"?").await.unwrap();
    let error = server.read_exact(&mut byte).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn callers_without_a_certificate_are_welcome_where_that_is_said_and_have_no_identity() {
    let ca = authority();
    let (pay, ship) = (tls(&ca, PAY, &ca), tls(&ca, SHIP, &ca));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_trigger, watcher) = drain::new();
    let mut incoming = Incoming::welcoming(listener, &ship, Limits::default(), watcher).unwrap();
    let port = incoming.local_addr().port();
    let expect = Expect::exactly(SHIP.parse().unwrap());
    let newcomer = Connector::newcomer(vec![ca.der().clone()], expect.clone()).unwrap();
    for (connector, seen) in [(newcomer, None), (Connector::grpc(Some(&pay), expect), Some(PAY.parse().unwrap()))] {
        let (opened, accepted) = tokio::join!(connector.open("127.0.0.1", port), incoming.accept());
        assert!(opened.is_ok());
        assert_eq!(accepted.unwrap().peer(), &PeerIdentity(seen));
    }
    let stranger = Connector::newcomer(vec![authority().der().clone()], Expect::anyone()).unwrap();
    assert!(stranger.open("127.0.0.1", port).await.is_err(), "a server that it cannot trust");
}

#[tokio::test]
async fn a_guard_says_who_may_connect() {
    for (admitted, wanted) in [(Ok(()), true), (Err("not from there".to_owned()), false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_trigger, watcher) = drain::new();
        let guard = Guard::new(move |_| admitted.clone());
        let mut incoming = Incoming::guarded(listener, guard, Limits::default(), watcher).unwrap();
        let port = incoming.local_addr().port();
        let _open = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let accepted = tokio::time::timeout(Duration::from_millis(200), incoming.accept()).await;
        assert_eq!(accepted.is_ok_and(|it| it.is_some()), wanted);
    }
}

/// Somebody with an ordinary certificate, who accepts one connection.
fn gateway(ca: &Authority, name: &str) -> (TcpListener, tokio_rustls::TlsAcceptor) {
    let files = Files::new(ca, vec![SanType::DnsName(Ia5String::try_from(name).unwrap())], ca);
    let chain = certificates("--tls-cert", &files.path("cert")).unwrap();
    let key = PrivateKeyDer::from_pem_file(files.path("key")).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(verify::provider());
    let config = builder.with_protocol_versions(verify::VERSIONS).unwrap().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    (TcpListener::from_std(listener).unwrap(), tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn whoever_stands_in_front_of_a_mesh_is_known_by_its_host_name() {
    let (ca, other) = (authority(), authority());
    let trusted = Files::new(&ca, vec![uri(PAY)], &ca);
    for (issuer, name, wanted) in
        [(&ca, "localhost", true), (&ca, "elsewhere.example", false), (&other, "localhost", false)]
    {
        let (listener, acceptor) = gateway(issuer, name);
        let port = listener.local_addr().unwrap().port();
        let connector = Connector::named(&trusted.path("ca")).unwrap();
        let accept = async { acceptor.accept(listener.accept().await.unwrap().0).await };
        let (opened, accepted) = tokio::join!(connector.open("localhost", port), accept);
        assert_eq!((opened.is_ok(), accepted.is_ok()), (wanted, wanted), "{name}: {opened:?}");
        if let Ok(opened) = opened {
            assert_eq!(opened.peer(), &PeerIdentity(None));
        }
    }
    std::fs::write(trusted.path("ca"), "nothing").unwrap();
    assert!(Connector::named(&trusted.path("ca")).unwrap_err().to_string().contains("--tls-ca"));
}
