//! Calls to wherever a model or a client says: one HTTP/1.1 exchange with an address that has been judged.
//!
//! Promises: an address is judged after the name was looked up, and that one is connected to; an answer is limited in size, head and time.
//! No proxy, no connection that is kept, no decoding, no redirect by itself, nothing repeated.

mod address;
mod target;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub use address::Allow;
pub use target::{Target, component, shown};

/// Bytes of an answer's head.
const LARGEST_HEAD: usize = 64 << 10;
/// Lines of an answer's head.
const MOST_HEADERS: usize = 100;
/// Where systems keep the certificates that they trust.
const ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A whole answer.
#[derive(Debug)]
pub struct Response {
    /// Of it.
    pub status: StatusCode,
    /// As they came.
    pub headers: HeaderMap,
    /// As it came.
    pub body: Bytes,
}

/// Why there is none.
#[derive(Debug)]
pub enum Failed {
    /// It must not be asked, or cannot be: repeating changes nothing.
    Refused(String),
    /// Perhaps the next time.
    Broken(String),
    /// The answer is larger than allowed.
    TooLarge,
}

/// What is sent.
#[derive(Debug)]
pub struct Sent<'a> {
    /// GET, POST ...
    pub method: &'a Method,
    /// Where to.
    pub target: &'a Target,
    /// Besides those that every request has.
    pub headers: &'a HeaderMap,
    /// May be empty.
    pub body: &'a Bytes,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Until a connection is there.
    pub connect: Duration,
    /// From then until the whole answer is.
    pub read: Duration,
}

/// What calls may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Exceptions from the rules on where they may connect.
    pub allow: Vec<Allow>,
    /// Certificates that servers may be signed by, besides those that the system trusts; PEM.
    pub ca: Option<PathBuf>,
}

/// Opens connections.
#[derive(Debug)]
pub struct Outbound {
    rules: Rules,
    names: Names,
    tls: OnceCell<Arc<ClientConfig>>,
}

/// Knows the addresses of names.
pub type LookUp = dyn Fn(&str) -> Vec<SocketAddr> + Send + Sync;

enum Names {
    System,
    Told(Box<LookUp>),
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::System => "the system's",
            Self::Told(_) => "told",
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Outbound {
    /// Calls by these rules.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, names: Names::System, tls: OnceCell::new() }
    }

    /// Asks `names` for addresses instead of the system.
    #[must_use]
    pub fn asking(self, names: Box<LookUp>) -> Self {
        Self { names: Names::Told(names), ..self }
    }

    /// Sends and reads the whole answer of at most `limit` bytes. Dropping the future closes the connection.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn send(&self, sent: Sent<'_>, times: Times, limit: usize) -> Result<Response, Failed> {
        let late = |what: &str, limit: Duration| Failed::Broken(format!("{what} within {} s", limit.as_secs_f64()));
        let opened = timeout(times.connect, self.open(sent.target)).await;
        let stream = opened.map_err(|_| late("no connection", times.connect))??;
        let exchanged = timeout(times.read, exchange(stream, sent, limit)).await;
        exchanged.map_err(|_| late("no whole answer", times.read))?
    }

    async fn open(&self, target: &Target) -> Result<Box<dyn Stream>, Failed> {
        let stream = self.connect(target).await?;
        if !target.https {
            return Ok(Box::new(stream));
        }
        let config = self.tls.get_or_try_init(|| trust(self.rules.ca.as_deref())).await.map_err(Failed::Refused)?;
        let name = ServerName::try_from(target.host.clone());
        let name = name.map_err(|_| Failed::Refused("the host is no name of a certificate".to_owned()))?;
        let opened = TlsConnector::from(config.clone()).connect(name, stream).await;
        Ok(Box::new(opened.map_err(|error| Failed::Broken(format!("no TLS: {error}")))?))
    }

    /// Looks the name up, judges each address, and connects to the first that may be and can be connected to.
    async fn connect(&self, target: &Target) -> Result<TcpStream, Failed> {
        let Target { host, port, .. } = target;
        let allow = &self.rules.allow;
        let refused = |why: &str| {
            Failed::Refused(format!(
                "{host}:{port} must not be connected to: {why}; --allow-connect makes an exception"
            ))
        };
        if let Some(why) = address::name_refused(allow, host, *port) {
            return Err(refused(why));
        }
        let found = self.names.addresses(host, *port).await;
        let found = found.map_err(|error| Failed::Broken(format!("{host} has no address: {error}")))?;
        let (mut forbidden, mut broken) = (None, None);
        for address in found {
            if let Some(why) = address::refused(allow, host, address) {
                forbidden = Some(why);
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // what is lost is some milliseconds
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => broken = Some(error),
            }
        }
        match (broken, forbidden) {
            (Some(error), _) => Err(Failed::Broken(format!("no connection: {error}"))),
            (None, Some(why)) => Err(refused(why)),
            (None, None) => Err(Failed::Broken(format!("{host} has no address"))),
        }
    }
}

impl Names {
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
            Self::Told(told) => Ok(told(host)),
        }
    }
}

async fn exchange(stream: Box<dyn Stream>, sent: Sent<'_>, limit: usize) -> Result<Response, Failed> {
    let broken = |error: hyper::Error| Failed::Broken(format!("the connection broke: {error}"));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(LARGEST_HEAD).max_headers(MOST_HEADERS);
    let (mut sender, connection) = builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(broken)?;
    // it ends with this exchange
    let mut serving = JoinSet::new();
    serving.spawn(connection);
    let mut request = Request::new(Full::new(sent.body.clone()));
    *request.method_mut() = sent.method.clone();
    let unusable = |what: &str| Failed::Refused(format!("{what} cannot stand in a request"));
    *request.uri_mut() = sent.target.path.parse().map_err(|_| unusable("the path"))?;
    let headers = request.headers_mut();
    *headers = sent.headers.clone();
    let host = HeaderValue::from_str(&sent.target.authority()).map_err(|_| unusable("the host"))?;
    headers.insert(HOST, host);
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("rexflow/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let response = sender.send_request(request).await.map_err(broken)?;
    let (head, mut incoming) = response.into_parts();
    let lines = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    if lines.sum::<usize>() > LARGEST_HEAD {
        return Err(Failed::Broken("the head of the answer is too large".to_owned()));
    }
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            if body.len() + data.len() > limit {
                return Err(Failed::TooLarge);
            }
            body.extend_from_slice(&data);
        }
    }
    Ok(Response { status: head.status, headers: head.headers, body: body.freeze() })
}

/// Read at the first call that needs it: most sidecars never do, and the system's list is long.
async fn trust(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let system = ROOTS.iter().map(Path::new).find(|it| it.is_file());
    for path in system.into_iter().chain(ca) {
        let bytes = tokio::fs::read(path).await.map_err(|error| format!("read {}: {error}", path.display()))?;
        add(&mut roots, &bytes).map_err(|error| format!("read the certificates of {}: {error}", path.display()))?;
    }
    if roots.is_empty() {
        return Err("this system trusts no certificate: install its ca-certificates, or give --connect-ca".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> io::Result<()> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| io::Error::other(error.to_string()))?;
        // a system's list may hold what this library does not know
        let _ = roots.add(certificate);
    }
    Ok(())
}
