//! A sidecar as a whole: opens everything, runs the engine, closes everything. A library for the binary,
//! for `flowctl dev` (many in one process) and for tests.
//!
//! ```text
//! Config --App::build--> Bound { hop_address, admin_address } --run(drain)--> end
//! ```
//! Promises: [`App::build`] fails before anything is served, and says what to do; the ports are bound and
//! the journal is locked when it returns; [`Bound::run`] returns when everything is closed. A sidecar that
//! has left begins its next life with an empty journal, as another incarnation.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hop::identity::{Accounts, Listed};
use hop::link::{self, Links};
use hop::serve;
use proto::{convert, v1};
use routing::Incarnation;
use runtime::admin::Admin;
use runtime::drain::{self, DrainWatcher};
use runtime::journal::{self, Journal, Recovered};
use runtime::listen;
use runtime::memory::{Activity, IdleTrim, TRIM_AFTER};
use runtime::readiness::{Pending, Readiness};
use runtime::tls::{Incoming, Limits};
use tokio::net::TcpListener;
use tonic::transport::Server;

use crate::callback::CallbackKey;
use crate::calls::Calls;
use crate::capture::Capture;
use crate::config::{Config, HopTls};
use crate::connector::Connectors;
use crate::control::Control;
use crate::core::{self, Core};
use crate::directory::Directory;
use crate::engine::{End, Engine, Parts};
use crate::identity::Identity;
use crate::lifecycle::{self, Quiet};
use crate::metrics::Metrics;
use crate::names::Names;
use crate::probes::Probes;
use crate::record::Record;
use crate::spans::Spans;
use crate::tables::{self, Loaded, Static, Tables};
use crate::task::TaskClient;

pub use crate::engine::Fatal;

/// How long open connections may take to close at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Why a sidecar does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be used.
    #[error(transparent)]
    Listen(#[from] listen::Error),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The tables cannot be used.
    #[error(transparent)]
    Tables(#[from] tables::Error),
    /// A record that this build cannot read.
    #[error("cannot read the journal in {folder}: {source}; it was written by a newer version, or use another folder")]
    Record {
        /// The folder.
        folder: String,
        /// What is wrong with it.
        source: convert::Malformed,
    },
    /// The system refused something else.
    #[error("cannot {0}: {1}")]
    System(&'static str, std::io::Error),
}

/// Starts sidecars.
#[derive(Debug)]
pub struct App;

/// A sidecar whose ports are bound and whose journal is open; it serves once it runs.
#[derive(Debug)]
pub struct Bound {
    /// Where tokens are offered.
    pub hop_address: SocketAddr,
    /// Where health and metrics are.
    pub admin_address: SocketAddr,
    /// What this replica is; another one after it has left.
    pub incarnation: Incarnation,
    config: Config,
    fixed: Static,
    hop: std::net::TcpListener,
    admin: TcpListener,
    opened: Opened,
    readiness: Readiness,
    pending: Pending,
}

/// What one life begins with.
#[derive(Debug)]
struct Opened {
    core: Core,
    journal: Journal,
    incarnation: Incarnation,
    boot: u64,
    tables: Tables,
    loaded: Vec<Loaded>,
}

impl App {
    /// Checks, binds and opens everything.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn build(config: Config) -> Result<Bound, StartError> {
        let readiness = Readiness::new();
        let pending = readiness.register("tables, or a first word of flowd");
        let fixed = config.tables.as_deref().map(Static::read).transpose()?.unwrap_or_default();
        let hop = bind(&config.hop, "the hop port", "--hop").await?;
        let admin = bind(&config.admin, "health and metrics", "--admin").await?;
        let address = |listener: &TcpListener| listener.local_addr().map_err(|e| StartError::System("read a port", e));
        let (hop_address, admin_address) = (address(&hop)?, address(&admin)?);
        // where a mesh encrypts the hops, only its proxy in the pod may connect
        let guarded = config.tls.is_some() || config.hop_tls == HopTls::Mesh;
        listen::check_exposure("the hop port", hop_address, guarded, config.insecure)?;
        listen::check_exposure("health and metrics", admin_address, config.tls.is_some(), config.insecure)?;
        let opened = open(&config, &fixed)?;
        let hop = hop.into_std().map_err(|error| StartError::System("keep the hop port", error))?;
        let incarnation = opened.incarnation;
        Ok(Bound { hop_address, admin_address, incarnation, config, fixed, hop, admin, opened, readiness, pending })
    }
}

impl Bound {
    /// Ready once flowd has greeted this sidecar, or it has tables to work from.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until the drain has ended.
    ///
    /// # Errors
    /// [`Fatal`] when the journal fails: the process must end.
    pub async fn run(self, drain: DrainWatcher) -> Result<(), Fatal> {
        let Self { hop_address, config, fixed, hop, admin, opened, readiness, pending, .. } = self;
        let (metrics, counted) = Metrics::new(config.tracer.is_exporting());
        let (closing, closed) = drain::new();
        let trim = IdleTrim::new(TRIM_AFTER);
        let activity = trim.activity();
        tokio::spawn(trim.run(closed.clone()));
        let port = |error: std::io::Error| Fatal::Port(error.to_string());
        let admin = Incoming::new(admin, None, Limits { connections: 32, ..Limits::default() }, closed.clone());
        let (quiet, sees) = Quiet::new();
        let ending = (drain.clone(), sees, config.drain_timeout);
        let serving = Admin::new(readiness.clone(), counted);
        tokio::spawn(lifecycle::serve(serving, admin.map_err(port)?, closed.clone(), ending));
        let accounts = Accounts::default();
        if let Some(settings) = config.identity.clone() {
            // nobody is believed before flowd has said who is who
            accounts.list(Listed::new());
            let identity = Identity::new(settings, config.flowd.clone(), &config.data_dir, readiness.clone());
            tokio::spawn(identity.run(closed));
        }
        let capture = (config.hop_tls == HopTls::Mesh).then(|| Capture::new(&config.data_dir, readiness));
        let mut life =
            Life { config, fixed, hop, hop_address, metrics, activity, quiet: Arc::new(quiet), accounts, capture };
        let (mut opened, mut pending) = (opened, Some(pending));
        loop {
            let (end, journal) = life.live(opened, pending.take(), drain.clone()).await?;
            journal.close()?;
            if end != End::Kept {
                reset(&life.config.data_dir)?;
            }
            if end != End::Reborn {
                break;
            }
            opened = open(&life.config, &life.fixed).map_err(|error| match error {
                StartError::Journal(error) => Fatal::Open(error),
                StartError::Tables(error) => Fatal::Tables(error),
                other => Fatal::Port(other.to_string()),
            })?;
        }
        closing.drained(CLOSE_WITHIN).await;
        Ok(())
    }
}

/// What stays from one life to the next.
struct Life {
    config: Config,
    fixed: Static,
    hop: std::net::TcpListener,
    hop_address: SocketAddr,
    metrics: Metrics,
    activity: Activity,
    quiet: Arc<Quiet>,
    accounts: Accounts,
    capture: Option<Capture>,
}

impl Life {
    async fn live(
        &mut self,
        opened: Opened,
        pending: Option<Pending>,
        drain: DrainWatcher,
    ) -> Result<(End, Journal), Fatal> {
        let (closing, closed) = drain::new();
        let serves = self.config.serves.keys().cloned().collect();
        let options = serve::Options {
            incarnation: opened.incarnation,
            boot: opened.boot,
            serves,
            accounts: self.accounts.clone(),
            open: self.capture.as_ref().map(Capture::proven),
        };
        let (service, receiver) = serve::new(options);
        let port = |error: std::io::Error| Fatal::Port(error.to_string());
        let listener = TcpListener::from_std(self.hop.try_clone().map_err(port)?).map_err(port)?;
        let incoming = match &self.capture {
            Some(capture) => Incoming::guarded(listener, capture.guard(), Limits::default(), closed.clone()),
            None => Incoming::new(listener, self.config.hops(), Limits::default(), closed.clone()),
        };
        let incoming = incoming.map_err(port)?;
        let serving = tokio::spawn(async move {
            let mut server =
                Server::builder().initial_stream_window_size(1 << 20).initial_connection_window_size(1 << 20);
            let mut closed = closed;
            let signal = async move { closed.signaled().await };
            if let Err(error) = server.add_service(service).serve_with_incoming_shutdown(incoming, signal).await {
                tracing::error!(%error, "the hop port failed");
            }
        });
        let engine = Engine::new(self.parts(opened, receiver, pending));
        let ended = engine.run(drain).await;
        closing.drain();
        // Senders that hold on to their links are cut off.
        let abort = serving.abort_handle();
        if tokio::time::timeout(CLOSE_WITHIN, serving).await.is_err() {
            abort.abort();
        }
        ended
    }

    fn parts(&self, opened: Opened, receiver: serve::Receiver, pending: Option<Pending>) -> Parts {
        let Opened { core, journal, incarnation, boot, tables, loaded } = opened;
        let config = self.config.clone();
        let client = TaskClient::new();
        let links = Links::new(link::Options {
            incarnation,
            boot,
            ledger: false,
            serves: config.serves.keys().cloned().collect(),
            tls: config.hops().cloned(),
            accounts: self.accounts.clone(),
        });
        let advertised = config.advertise.clone();
        let service = |(name, url): (&routing::ServiceName, &String)| v1::Service {
            name: name.as_str().to_owned(),
            url: url.clone(),
        };
        let hello = v1::SidecarHello {
            incarnation: convert::incarnation_bytes(incarnation),
            boot,
            hop_address: advertised.unwrap_or_else(|| listen::reachable(self.hop_address).to_string()),
            serves: config.serves.iter().map(service).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pod: config.pod.clone().map(|(name, uid)| v1::Pod { name, uid }),
            ..Default::default()
        };
        Parts {
            core,
            journal,
            receiver,
            links,
            control: Control::new(config.flowd.clone(), config.tls.as_ref(), config.token.as_ref()),
            calls: Calls::new(
                client.clone(),
                Connectors::new(config.connectors.clone()),
                config.serves.clone(),
                config.tracer.propagators(),
            ),
            probes: Probes::new(client),
            tables,
            loaded,
            directory: Directory::new(self.fixed.endpoints.clone()),
            names: Names::new(config.resolver.clone()),
            spans: Spans::new(config.tracer.clone()),
            metrics: self.metrics.clone(),
            activity: self.activity.clone(),
            quiet: self.quiet.clone(),
            accounts: self.accounts.clone(),
            capture: self.capture.clone(),
            hello,
            pending,
            config,
        }
    }
}

async fn bind(address: &str, what: &str, flag: &str) -> Result<TcpListener, StartError> {
    let address = listen::resolve(address, flag).await?;
    Ok(listen::bind(address, what, flag).await?)
}

/// Opens the journal and the tables, and lets the core recover.
fn open(config: &Config, fixed: &Static) -> Result<Opened, StartError> {
    let folder = config.data_dir.join("journal");
    let made = std::fs::create_dir_all(&config.data_dir);
    made.map_err(|source| journal::Error::Folder { path: config.data_dir.clone(), action: "make", source })?;
    let options = journal::Options {
        durability: config.durability,
        quarantine: config.quarantine,
        ..journal::Options::default()
    };
    let (journal, recovered) = journal::open(&folder, options)?;
    let Recovered { identity, boot, records, quarantined } = recovered;
    if let Some(damage) = quarantined {
        let (file, offset) = (damage.file, damage.offset);
        tracing::error!(file, offset, why = damage.detail, "set aside a damaged journal file; what it held is lost");
    }
    let records = records.into_iter().map(Record::decode).collect::<Result<Vec<_>, _>>();
    let records = records.map_err(|source| StartError::Record { folder: folder.display().to_string(), source })?;
    let callback_key =
        CallbackKey::open(&config.data_dir).map_err(|error| StartError::System("open the key of callbacks", error))?;
    let rules = core::Config {
        serves: config.serves.keys().cloned().collect(),
        max_held: config.max_held,
        max_calls: config.max_calls,
        seed: rand::random(),
        callback_key,
        ..core::Config::default()
    };
    let serves = rules.serves.clone();
    let core = Core::recover(rules, records);
    let (mut tables, mut loaded) = Tables::open(&config.data_dir, serves)?;
    for definition in &fixed.definitions {
        loaded.push(tables.take(&definition.bundle())?);
    }
    let incarnation = Incarnation(identity.0);
    tracing::info!(%incarnation, boot, held = core.held(), unanswered = core.unanswered(), "journal opened");
    Ok(Opened { core, journal, incarnation, boot, tables, loaded })
}

/// The next start is another incarnation.
fn reset(data_dir: &Path) -> Result<(), Fatal> {
    let folder = data_dir.join("journal");
    let removed = std::fs::remove_dir_all(&folder);
    removed.map_err(|source| journal::Error::Folder { path: folder, action: "empty", source })?;
    Ok(tables::sync_folder(data_dir)?)
}
