//! What a sidecar is told: flags with environment fallbacks, checked once, immutable afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use http::Uri;
use routing::ServiceName;
use routing::table::CONNECTORS;
use runtime::journal;
use runtime::outbound::Rules;
use runtime::telemetry::{LogFormat, Tracer};
use runtime::tls::{self, Tls};
use runtime::token::{self, Token};

use crate::names::Resolver;
use crate::{connector, identity};

/// The flags of `flow-sidecar`.
#[derive(Clone, Debug, Parser)]
#[command(name = "flow-sidecar", version, about = "The mesh's sidecar: moves BPMN tokens and calls the task beside it")]
pub struct Args {
    /// flowd's gRPC address, or those of several flowds; without it the sidecar lives from --tables
    #[arg(long, env = "FLOW_FLOWD", value_name = "HOST:PORT", value_delimiter = ',')]
    pub flowd: Vec<String>,
    /// A service (an annotation's host, or a task type) and where its task listens; may be given often. `connectors=`, without a URL, serves
    /// Camunda's REST connector: this sidecar makes its calls itself
    #[arg(long, env = "FLOW_SERVE", value_name = "NAME=URL", value_delimiter = ',', required = true)]
    pub serve: Vec<String>,
    /// Where other sidecars and flowd offer tokens
    #[arg(long, env = "FLOW_HOP", value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub hop: String,
    /// How others reach the hop port, when that is not the address it is bound to; NAME:PORT@HOST:PORT goes to HOST:PORT and names NAME:PORT, for
    /// a mesh that routes by names
    #[arg(long, env = "FLOW_ADVERTISE", value_name = "[NAME:PORT@]HOST:PORT")]
    pub advertise: Option<String>,
    /// Health, readiness and metrics over HTTP
    #[arg(long, env = "FLOW_ADMIN", value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub admin: String,
    /// Folder for the journal and the tables; one per sidecar
    #[arg(long, env = "FLOW_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// JSON file with tables and endpoints, to run without flowd
    #[arg(long, env = "FLOW_TABLES_FILE", value_name = "FILE")]
    pub tables: Option<PathBuf>,
    /// Folder of secrets, one file each, for `{{secrets.NAME}}` in connectors
    #[arg(long, env = "FLOW_SECRETS_DIR", value_name = "DIR")]
    pub secrets: Option<PathBuf>,
    /// Where connectors may connect although it is loopback, link-local or a metadata service; may be given often
    #[arg(long, env = "FLOW_ALLOW_CONNECT", value_name = "CIDR|HOST[:PORT]", value_delimiter = ',')]
    pub allow_connect: Vec<String>,
    /// Certificates that servers of connectors may be signed by, besides those that the system trusts, PEM
    #[arg(long, env = "FLOW_CONNECT_CA", value_name = "FILE")]
    pub connect_ca: Option<PathBuf>,
    /// Own certificate, PEM, with one SPIFFE URI name such as spiffe://DOMAIN/svc/NAME
    #[arg(long, env = "FLOW_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(long, env = "FLOW_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Certificates that peers must be signed by, PEM
    #[arg(long, env = "FLOW_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// File with this pod's ServiceAccount token for flowd, which gives a certificate for it; instead of --tls-cert
    #[arg(
        long,
        env = "FLOW_IDENTITY_TOKEN",
        value_name = "FILE",
        requires = "identity_ca",
        conflicts_with = "tls_cert"
    )]
    pub identity_token: Option<PathBuf>,
    /// Certificates that flowd must be signed by to give one, PEM
    #[arg(long, env = "FLOW_IDENTITY_CA", value_name = "FILE", requires = "identity_token")]
    pub identity_ca: Option<PathBuf>,
    /// Who encrypts the hops
    #[arg(long, env = "FLOW_HOP_TLS", value_enum, default_value_t)]
    pub hop_tls: HopTls,
    /// This pod's name and UID
    #[arg(long, env = "FLOW_POD", value_name = "NAME/UID")]
    pub pod: Option<String>,
    /// File with the token that flowd asks for
    #[arg(long, env = "FLOW_TOKEN_FILE", value_name = "FILE")]
    pub token: Option<PathBuf>,
    /// Serve off loopback without TLS
    #[arg(long, env = "FLOW_INSECURE")]
    pub insecure: bool,
    /// When a record counts as written
    #[arg(long, env = "FLOW_DURABILITY", value_enum, default_value_t)]
    pub durability: Durability,
    /// How long running calls may go on after SIGTERM, seconds
    #[arg(long, env = "FLOW_DRAIN_TIMEOUT", value_name = "SECONDS", default_value_t = 10)]
    pub drain_timeout: u64,
    /// At the end keep what is held for the next start, instead of handing it to flowd
    #[arg(long, env = "FLOW_KEEP")]
    pub keep: bool,
    /// Set damaged journal files aside and go on with what is before the damage
    #[arg(long, env = "FLOW_QUARANTINE")]
    pub quarantine: bool,
    /// error, warn, info, debug, trace or a filter
    #[arg(long, env = "FLOW_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
    /// text or json
    #[arg(long, env = "FLOW_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: String,
}

/// Who encrypts the hops and says who may offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HopTls {
    /// The sidecars, with the certificates they have
    #[default]
    Own,
    /// A mesh whose proxy is in the pod
    Mesh,
}

/// When a record counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// When the disk has it
    #[default]
    Fsync,
    /// When the operating system has it
    Os,
    /// At once
    None,
}

/// Why flags cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A service is not given as `NAME=URL`.
    #[error("--serve {0:?} is not of the form NAME=URL, such as pay=http://127.0.0.1:8080")]
    Serve(String),
    /// A URL that cannot be called.
    #[error("--serve {name}: {url:?} is no URL of a task: {why}; use http://HOST:PORT[/PATH]")]
    Url {
        /// The service.
        name: String,
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The service of the connectors has no URL.
    #[error("--serve {CONNECTORS}={0}: connectors call what the model says; write --serve {CONNECTORS}=")]
    Connectors(String),
    /// An exception that cannot be read.
    #[error("--allow-connect: {0}")]
    Allow(String),
    /// A folder of secrets that is none.
    #[error("--secrets {}: there is no such folder", .0.display())]
    Secrets(PathBuf),
    /// Nobody could reach it there.
    #[error("--advertise: {0}")]
    Advertise(#[from] hop::address::Malformed),
    /// A pod that is none.
    #[error("--pod {0:?} is not of the form NAME/UID")]
    Pod(String),
    /// A service is given twice.
    #[error("--serve names {0} twice; one sidecar calls one task per service, start a second sidecar for a replica")]
    Twice(ServiceName),
    /// Nothing to live from.
    #[error("neither --flowd nor --tables is given: the sidecar would never learn what to do; give one of them")]
    NoSource,
    /// See [`tls::Error`].
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// See [`token::Error`].
    #[error(transparent)]
    Token(#[from] token::Error),
    /// See [`runtime::telemetry::LogError`].
    #[error(transparent)]
    Log(#[from] runtime::telemetry::LogError),
}

/// Checked settings of one sidecar; the library's way to start one.
#[derive(Clone, Debug)]
pub struct Config {
    /// `HOST:PORT` of flowd; of several, the next one is tried when one fails. None: tables from a file.
    pub flowd: Vec<String>,
    /// Where the task of each service listens.
    pub serves: BTreeMap<ServiceName, String>,
    /// Where to listen for hops, `HOST:PORT`; port 0 takes a free one.
    pub hop: String,
    /// How others reach it; else the bound address.
    pub advertise: Option<String>,
    /// Where to listen for health and metrics.
    pub admin: String,
    /// Folder of the journal and the tables.
    pub data_dir: PathBuf,
    /// File of tables and endpoints.
    pub tables: Option<PathBuf>,
    /// Mutual TLS, with flowd and, unless a mesh does it, on hops.
    pub tls: Option<Tls>,
    /// Where its certificates come from, if from flowd.
    pub identity: Option<identity::Settings>,
    /// Who encrypts the hops.
    pub hop_tls: HopTls,
    /// Name and UID of this sidecar's pod.
    pub pod: Option<(String, String)>,
    /// What flowd asks for.
    pub token: Option<Token>,
    /// Plain TCP off loopback.
    pub insecure: bool,
    /// When a record counts as written.
    pub durability: journal::Durability,
    /// Set damaged files aside instead of refusing to start.
    pub quarantine: bool,
    /// How long running calls may go on once the drain has begun.
    pub drain_timeout: Duration,
    /// At the end hand over to flowd what is left; else keep it for the next start.
    pub leave: bool,
    /// Tokens held at most.
    pub max_held: usize,
    /// Calls under way at most, per service.
    pub max_calls: usize,
    /// What connectors may do.
    pub connectors: connector::Settings,
    /// Makes the spans.
    pub tracer: Tracer,
    /// Finds replicas by name while flowd is away.
    pub resolver: Resolver,
}

impl Config {
    /// Mutual TLS on hops; `None` where a mesh does it, or nobody.
    pub(crate) fn hops(&self) -> Option<&Tls> {
        self.tls.as_ref().filter(|_| self.hop_tls == HopTls::Own)
    }

    /// A sidecar of `serves` with its data in `data_dir`, everything else by default and on loopback.
    pub fn new(serves: BTreeMap<ServiceName, String>, data_dir: PathBuf) -> Self {
        let rules = crate::core::Config::default();
        Self {
            flowd: Vec::new(),
            serves,
            hop: "127.0.0.1:0".to_owned(),
            advertise: None,
            admin: "127.0.0.1:0".to_owned(),
            data_dir,
            tables: None,
            tls: None,
            identity: None,
            hop_tls: HopTls::Own,
            pod: None,
            token: None,
            insecure: false,
            durability: journal::Durability::Fsync,
            quarantine: false,
            drain_timeout: Duration::from_secs(10),
            leave: true,
            max_held: rules.max_held,
            max_calls: rules.max_calls,
            connectors: connector::Settings::default(),
            tracer: Tracer::off(),
            resolver: Resolver::default(),
        }
    }
}

impl Args {
    /// The log's format.
    ///
    /// # Errors
    /// When there is no such format.
    pub fn log_format(&self) -> Result<LogFormat, Error> {
        Ok(self.log_format.parse()?)
    }

    /// Checks everything that can be checked without opening a socket, and reads the small files.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn check(self) -> Result<Config, Error> {
        if self.flowd.is_empty() && self.tables.is_none() {
            return Err(Error::NoSource);
        }
        let mut serves = BTreeMap::new();
        for given in &self.serve {
            let (name, url) = served(given)?;
            if serves.insert(name.clone(), url).is_some() {
                return Err(Error::Twice(name));
            }
        }
        if let Some(address) = &self.advertise {
            address.parse::<hop::address::Address>()?;
        }
        let mut tls = Tls::from_flags(self.tls_cert.as_deref(), self.tls_key.as_deref(), self.tls_ca.as_deref())?;
        let mut identity = None;
        if let (Some(token), Some(ca)) = (self.identity_token, self.identity_ca) {
            let (renewer, renewable) = Tls::renewable();
            tls = Some(renewable);
            identity = Some(identity::Settings { token, ca, renewer });
        }
        let named = |it: String| match it.split_once('/') {
            Some((name, uid)) if !name.is_empty() && !uid.is_empty() => Ok((name.to_owned(), uid.to_owned())),
            _ => Err(Error::Pod(it)),
        };
        let pod = self.pod.map(named).transpose()?;
        let token = self.token.as_deref().map(Token::from_file).transpose()?;
        let allow: Result<_, _> = self.allow_connect.iter().map(|it| it.parse()).collect();
        let connectors = connector::Settings {
            secrets: self.secrets,
            rules: Rules { allow: allow.map_err(Error::Allow)?, ca: self.connect_ca },
        };
        if let Some(folder) = connectors.secrets.as_ref().filter(|it| !it.is_dir()) {
            return Err(Error::Secrets(folder.clone()));
        }
        Ok(Config {
            connectors,
            flowd: self.flowd,
            hop: self.hop,
            advertise: self.advertise,
            admin: self.admin,
            tables: self.tables,
            tls,
            identity,
            hop_tls: self.hop_tls,
            pod,
            token,
            insecure: self.insecure,
            durability: match self.durability {
                Durability::Fsync => journal::Durability::Fsync,
                Durability::Os => journal::Durability::Os,
                Durability::None => journal::Durability::None,
            },
            quarantine: self.quarantine,
            drain_timeout: Duration::from_secs(self.drain_timeout),
            leave: !self.keep,
            ..Config::new(serves, self.data_dir)
        })
    }
}

fn served(given: &str) -> Result<(ServiceName, String), Error> {
    let (name, url) = given.split_once('=').ok_or_else(|| Error::Serve(given.to_owned()))?;
    let (name, url) = (name.trim(), url.trim().trim_end_matches('/'));
    if name.is_empty() {
        return Err(Error::Serve(given.to_owned()));
    }
    if name == CONNECTORS {
        return if url.is_empty() { Ok((name.into(), String::new())) } else { Err(Error::Connectors(url.to_owned())) };
    }
    match callable(url) {
        Ok(()) => Ok((name.into(), url.to_owned())),
        Err(why) => Err(Error::Url { name: name.to_owned(), url: url.to_owned(), why }),
    }
}

/// Whether a task can be called at `url`; else why not.
pub(crate) fn callable(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(_)) => Ok(()),
        (Some("https"), _) => Err("tasks are called on loopback, without TLS".to_owned()),
        _ => Err("it has no scheme or no host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flags: &[&str]) -> Result<Config, Error> {
        let all = ["flow-sidecar", "--data-dir", "/tmp/x"].iter().chain(flags);
        Args::try_parse_from(all).unwrap().check()
    }

    #[test]
    fn flags_are_checked_and_defaults_are_safe() {
        let config =
            check(&["--flowd", "h:9001", "--serve", "a=http://127.0.0.1:1/", "--serve", "b=http://x:2/p"]).unwrap();
        let serves: Vec<_> = config.serves.iter().map(|(n, u)| (n.as_str(), u.as_str())).collect();
        assert_eq!(serves, [("a", "http://127.0.0.1:1"), ("b", "http://x:2/p")]);
        assert!(config.leave && !config.insecure && config.durability == journal::Durability::Fsync);
        assert_eq!(config.drain_timeout, Duration::from_secs(10));
    }

    #[test]
    fn bad_flags_say_what_to_do() {
        for (flags, hint) in [
            (&["--serve", "a=http://h:1"][..], "--tables"),
            (&["--flowd", "h:1", "--serve", "a"], "NAME=URL"),
            (&["--flowd", "h:1", "--serve", "=http://h:1"], "NAME=URL"),
            (&["--flowd", "h:1", "--serve", "a=https://h:1"], "without TLS"),
            (&["--flowd", "h:1", "--serve", "a=h:1"], "http://HOST:PORT"),
            (&["--flowd", "h:1", "--serve", "a=http://h:1", "--serve", "a=http://h:2"], "twice"),
            (&["--flowd", "h:1", "--serve", "a=http://h:1", "--tls-cert", "c"], "--tls-key"),
            (&["--flowd", "h:1", "--serve", "a=http://h:1", "--advertise", "h"], "HOST:PORT"),
            (&["--flowd", "h:1", "--serve", "connectors=http://h:1"], "write --serve connectors="),
            (&["--flowd", "h:1", "--serve", "connectors=", "--allow-connect", "1/2/3"], "CIDR"),
            (&["--flowd", "h:1", "--serve", "connectors=", "--secrets", "/none"], "no such folder"),
        ] {
            let error = check(flags).unwrap_err().to_string();
            assert!(error.contains(hint), "{flags:?}: {error}");
        }
    }
}
