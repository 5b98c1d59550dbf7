//! Who this sidecar is, in a cluster: it shows flowd its pod's ServiceAccount token and gets a certificate with that account's name, again and again.
//!
//! Promises: the key is made here and goes nowhere; a certificate is asked for anew at half of its life, with another key, while the old one
//! serves on; what is in force is kept in the data folder, so that a restart without flowd goes on with it. Without a certificate the sidecar
//! is not ready and says why. flowd is believed only if it shows its own identity, signed by the CA in the pod's `--identity-ca` or by what
//! it named before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proto::v1;
use proto::v1::identity_client::IdentityClient;
use runtime::drain::DrainWatcher;
use runtime::readiness::{Pending, Readiness};
use runtime::tls::{Connector, Credentials, Expect, Renewer, Request, RequestError, Unusable};
use runtime::token::{self, AttachToken, Token};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tonic::transport::Endpoint;

/// Where what is in force is kept, in the data folder.
const FILE: &str = "identity.json";
/// The file of the CA is at most so large, bytes.
const MAX_CA: u64 = 1 << 20;
/// Certificates that flowd may answer with, of each kind.
const MAX_CERTIFICATES: usize = 16;
/// How long flowd may take.
const WITHIN: Duration = Duration::from_secs(10);
/// After an attempt that failed; doubled up to the second one.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Where the sidecar's identity comes from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// File with the pod's token for flowd; the kubelet renews it.
    pub token: PathBuf,
    /// File with the CA certificates that flowd is signed by, PEM.
    pub ca: PathBuf,
    /// Who is given the certificates.
    pub renewer: Renewer,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Token(#[from] token::Error),
    #[error("cannot read the CA in {}: {why}; flowd writes it into the namespaces whose pods have sidecars", path.display())]
    Ca { path: PathBuf, why: String },
    #[error("{0}")]
    Unreachable(String),
    #[error("flowd refuses it: {0}")]
    Refused(String),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("flowd answers what is no certificate of a mesh: {0}")]
    Answer(String),
}

/// A certificate with its key and the CA, as they are kept; base64 of DER.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    key: String,
    chain: Vec<String>,
    roots: Vec<String>,
    /// When to ask for the next one, seconds since 1970.
    renew: u64,
}

/// See the module's documentation.
pub(crate) struct Identity {
    settings: Settings,
    flowd: Vec<String>,
    file: PathBuf,
    roots: Vec<CertificateDer<'static>>,
    /// Until when the certificate in force is good.
    expires: SystemTime,
    /// When to ask for the next one.
    renew: SystemTime,
    readiness: Readiness,
    pending: Option<Pending>,
    told: String,
}

impl Identity {
    /// What is kept comes into force at once.
    pub(crate) fn new(settings: Settings, flowd: Vec<String>, data_dir: &Path, readiness: Readiness) -> Self {
        let pending = Some(readiness.register("a certificate from flowd"));
        let mut identity = Self {
            settings,
            flowd,
            file: data_dir.join(FILE),
            roots: Vec::new(),
            expires: UNIX_EPOCH,
            renew: UNIX_EPOCH,
            readiness,
            pending,
            told: String::new(),
        };
        if let Some(kept) = fs::read(&identity.file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok())
            && let Ok(credentials) = kept.credentials()
            && !credentials.remaining().is_zero()
        {
            identity.take(credentials, kept.roots(), UNIX_EPOCH + Duration::from_secs(kept.renew));
        }
        identity
    }

    fn take(&mut self, credentials: Credentials, roots: Vec<CertificateDer<'static>>, renew: SystemTime) {
        (self.roots, self.expires, self.renew) = (roots, credentials.expires(), renew);
        self.settings.renewer.renew(credentials);
        self.pending = None;
    }

    /// Has a certificate that is good, always, until the drain has ended everything else.
    pub(crate) async fn run(mut self, mut closed: DrainWatcher) {
        let mut backoff = AGAIN.0;
        loop {
            let due = self.renew.duration_since(SystemTime::now()).unwrap_or_default();
            let wait = if due.is_zero() {
                match self.renewed().await {
                    Ok(()) => {
                        backoff = AGAIN.0;
                        continue;
                    }
                    Err(error) => {
                        self.complain(&error);
                        let wait = backoff.mul_f64(0.5 + rand::random::<f64>() / 2.0);
                        backoff = (backoff * 2).min(AGAIN.1);
                        wait
                    }
                }
            } else {
                due
            };
            tokio::select! {
                () = closed.signaled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn complain(&mut self, error: &Error) {
        let text = error.to_string();
        if text != self.told {
            tracing::warn!(%error, "no certificate from flowd yet; trying again");
        }
        if self.expires <= SystemTime::now() && (self.pending.is_none() || text != self.told) {
            self.pending = Some(self.readiness.register(format!("a certificate from flowd ({text})")));
        }
        self.told = text;
    }

    async fn renewed(&mut self) -> Result<(), Error> {
        let token = Token::from_file(&self.settings.token)?;
        let trusted = self.trusted()?;
        let request = Request::new()?;
        let mut last = Error::Unreachable("no flowd is known; give --flowd".to_owned());
        for address in &self.flowd {
            match ask(address, &token, trusted.clone(), request.der()).await {
                Ok(reply) => {
                    let (chain, roots) = (certificates(reply.chain)?, certificates(reply.roots)?);
                    let credentials = request.granted(chain.clone(), roots.clone())?;
                    // everybody a little apart from the others
                    let half = credentials.remaining().min(Duration::from_secs(reply.life_s)) / 2;
                    let renew = SystemTime::now() + half.mul_f64(0.9 + rand::random::<f64>() / 10.0);
                    tracing::info!(identity = %credentials.identity(), for_s = reply.life_s, "a certificate from flowd");
                    let kept = Kept::of(&request.key(), &chain, &roots, renew);
                    if let Err(error) = kept.keep(&self.file) {
                        tracing::warn!(%error, "the certificate is in force and will be unknown after a restart without flowd");
                    }
                    self.told.clear();
                    self.take(credentials, roots, renew);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The CA in the pod, and what flowd named last.
    fn trusted(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let path = &self.settings.ca;
        let read = read_ca(path);
        let mut trusted = match read {
            Ok(trusted) => trusted,
            Err(why) if self.roots.is_empty() => return Err(Error::Ca { path: path.clone(), why }),
            Err(_) => Vec::new(),
        };
        trusted.extend(self.roots.iter().cloned());
        Ok(trusted)
    }
}

fn read_ca(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let large = fs::metadata(path).map_err(|error| error.to_string())?.len() > MAX_CA;
    if large {
        return Err(format!("it is larger than {MAX_CA} bytes"));
    }
    let pem = fs::read(path).map_err(|error| error.to_string())?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("it holds no certificate".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn ask(
    address: &str,
    token: &Token,
    trusted: Vec<CertificateDer<'static>>,
    request: &[u8],
) -> Result<v1::IssueReply, Error> {
    let unreachable = |why: String| Error::Unreachable(format!("no certificate from flowd at {address}: {why}"));
    let connector = Connector::newcomer(trusted, Expect::matching(hop::identity::is_ledger));
    let connector = connector.map_err(|error| unreachable(error.to_string()))?;
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).map_err(|error| unreachable(error.to_string()))?;
    let asking = async {
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.map_err(|error| unreachable(crate::control::chain(&error)))?;
        let mut client = IdentityClient::with_interceptor(channel, AttachToken::new(Some(token)));
        let request = v1::IssueRequest { request: request.to_vec() };
        client.issue(request).await.map_err(|status| Error::Refused(status.message().to_owned()))
    };
    let reply = tokio::time::timeout(WITHIN, asking).await;
    Ok(reply.map_err(|_| unreachable(format!("no answer within {WITHIN:?}")))??.into_inner())
}

fn certificates(der: Vec<Vec<u8>>) -> Result<Vec<CertificateDer<'static>>, Error> {
    if der.is_empty() || der.len() > MAX_CERTIFICATES {
        return Err(Error::Answer(format!("{} certificates, where 1 to {MAX_CERTIFICATES} are due", der.len())));
    }
    Ok(der.into_iter().map(CertificateDer::from).collect())
}

impl Kept {
    fn of(key: &[u8], chain: &[CertificateDer<'_>], roots: &[CertificateDer<'_>], renew: SystemTime) -> Self {
        let text = |list: &[CertificateDer<'_>]| list.iter().map(|it| BASE64_STANDARD.encode(it)).collect();
        Self {
            key: BASE64_STANDARD.encode(key),
            chain: text(chain),
            roots: text(roots),
            renew: renew.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs()),
        }
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.roots.iter().filter_map(|it| decoded(it)).collect()
    }

    fn credentials(&self) -> Result<Credentials, Unusable> {
        let key = BASE64_STANDARD.decode(&self.key).unwrap_or_default();
        let chain = self.chain.iter().filter_map(|it| decoded(it)).collect();
        Credentials::new(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)), self.roots())
    }

    /// For the owner's eyes only; complete, or as before.
    fn keep(&self, file: &Path) -> io::Result<()> {
        let aside = file.with_extension("new");
        let mut options = OpenOptions::new();
        let mut written: File = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        written.write_all(&serde_json::to_vec(self)?)?;
        written.sync_data()?;
        fs::rename(&aside, file)
    }
}

fn decoded(text: &str) -> Option<CertificateDer<'static>> {
    BASE64_STANDARD.decode(text).ok().map(CertificateDer::from)
}
