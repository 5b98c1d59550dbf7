//! All wiring of flowd: from a [`Config`] to bound ports, and from there to the end.
//!
//! Promises: [`App::build`] opens the ports and the store and says clearly what is in the way; [`Bound::run`] serves
//! until the drain, and ends by itself only when it may not go on: the store failed, or leadership is lost. With etcd it
//! stands by until it leads; `/ready` says so, and calls are passed on to the leader meanwhile.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hop::identity::Accounts;
use hop::link::{self, Links};
use runtime::admin::Admin;
use runtime::clock::{Clock, SystemClock};
use runtime::drain::{self, DrainTrigger, DrainWatcher};
use runtime::listen;
use runtime::memory::{IdleTrim, TRIM_AFTER};
use runtime::outbound::Outbound;
use runtime::readiness::{Pending, Readiness};
use runtime::telemetry::Tracing;
use runtime::tls::{Incoming, Limits, Tls};
use runtime::token::Token;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server;

use crate::config::Config;
use crate::kubernetes::Orchestrator;
use crate::kubernetes::cluster::Cluster;
use crate::ledger::{Ledger, key};
use crate::ledger_task::{LedgerTask, Parts};
use crate::mesh::{Admission, Mesh};
use crate::metrics::Metrics;
use crate::notices::Notices;
use crate::operations::{Gate, Inner, Operations};
use crate::security::Access;
use crate::standby::{Address, Door, Standby};
use crate::store::{self, AnyStore, Leadership, Store};
use crate::topics::client::{self, AnyClient};
use crate::topics::pump::Pump;
use crate::trace::Hops;
use crate::{control, daemon, flow, http, retention, steward};

/// How long open calls have once the drain has begun.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How long the last spans have.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// A peer that does not answer a ping for so long is gone.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));

/// flowd.
#[derive(Debug)]
pub struct App;

/// flowd with its ports open, before it serves.
pub struct Bound {
    /// Where gRPC is.
    pub grpc: SocketAddr,
    /// Where HTTP is.
    pub http: SocketAddr,
    config: Config,
    listeners: (TcpListener, TcpListener),
    tls: Option<Tls>,
    access: Access,
    store: AnyStore,
    readiness: Readiness,
    starting: Pending,
    answers: Readiness,
    nobody: Pending,
    trigger: DrainTrigger,
    cluster: Option<Cluster>,
}

impl App {
    /// Opens the ports, then the store. The drain of `trigger` ends what [`Bound::run`] serves.
    ///
    /// # Errors
    /// When a port, the store, a certificate or the token cannot be used; the message says what to do.
    pub async fn build(config: Config, trigger: DrainTrigger) -> anyhow::Result<Bound> {
        config.broker()?;
        let path = |path: &Option<std::path::PathBuf>| path.as_deref().map(Path::to_path_buf);
        let (certificate, key, ca) = (path(&config.tls_cert), path(&config.tls_key), path(&config.tls_ca));
        let tls = Tls::from_flags(certificate.as_deref(), key.as_deref(), ca.as_deref())?;
        let token = config.token.as_deref().map(Token::from_file).transpose()?;
        let mut access = Access::new(token);
        let ports = [("gRPC", config.port, "--port"), ("HTTP", config.http_port, "--http-port")];
        let mut listeners = Vec::with_capacity(2);
        for (what, port, flag) in ports {
            let address = SocketAddr::new(config.listen, port);
            access.check_port(what, address, (tls.is_some(), config.kubernetes.users), config.insecure)?;
            listeners.push(listen::bind(address, what, flag).await?);
        }
        let (Some(http), Some(grpc)) = (listeners.pop(), listeners.pop()) else {
            anyhow::bail!("two ports were to be opened");
        };
        let addresses = (grpc.local_addr()?, http.local_addr()?);
        let cluster = Cluster::open(&config, trigger.watch()).await?;
        if let Some(users) = cluster.as_ref().and_then(|it| it.users(Arc::new(SystemClock::new()))) {
            access.ask(users);
        }
        let advertise = |bound| config.advertised(listen::reachable(bound));
        let control = cluster.as_ref().map(|it| advertise(it.address()));
        let advertise = Address { grpc: advertise(addresses.0), http: advertise(addresses.1), control };
        let store = AnyStore::open(&config.location()?, &advertise.to_string()).await?;
        let (readiness, answers) = (Readiness::new(), Readiness::new());
        let starting = readiness.register("the store");
        let nobody = answers.register("a leader");
        Ok(Bound {
            grpc: addresses.0,
            http: addresses.1,
            config,
            listeners: (grpc, http),
            tls,
            access,
            store,
            readiness,
            starting,
            answers,
            nobody,
            trigger,
            cluster,
        })
    }
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bound").field("grpc", &self.grpc).field("http", &self.http).finish_non_exhaustive()
    }
}

/// What runs once this flowd leads.
struct Leading {
    ledger: AbortOnDropHandle<Result<(), store::Error>>,
    steward: AbortOnDropHandle<Result<(), store::Error>>,
    _retention: AbortOnDropHandle<()>,
    _topics: Option<AbortOnDropHandle<()>>,
    _notices: AbortOnDropHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Bound {
    /// Ready once this flowd leads and serves.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Ready once calls are answered: by this flowd, or by the leader that they are passed on to.
    #[must_use]
    pub fn answers(&self) -> Readiness {
        self.answers.clone()
    }

    /// Serves until the drain, then finishes what runs.
    ///
    /// # Errors
    /// When it cannot go on; nothing that was not durable was acknowledged.
    pub async fn run(self) -> anyhow::Result<()> {
        let tracing = Tracing::from_env("flowd");
        let (metrics, counted) = Metrics::new();
        let gate = Gate::default();
        let trigger = self.trigger.clone();
        let admin = Admin::new(self.readiness.clone(), counted).answering(self.answers.clone());
        let trim = IdleTrim::new(TRIM_AFTER);
        let activity = trim.activity();
        let _trim = AbortOnDropHandle::new(tokio::spawn(trim.run(trigger.watch())));

        let Self { listeners, tls, access, store, config, mut cluster, .. } = self;
        let limits = Limits { connections: config.max_connections, ..Limits::default() };
        let http = Incoming::new(listeners.1, tls.as_ref(), limits, trigger.watch())?;
        let address = listen::reachable(http.local_addr()).to_string();
        let standby = Standby::new(store.leadership(), tls.as_ref());
        let port = http::Port::new(gate.clone(), admin, access.clone(), address, standby.clone());
        let http = AbortOnDropHandle::new(tokio::spawn(port.serve(http, trigger.watch())));
        let place = config.location()?.to_string();
        let own = (Door::Grpc, listen::reachable(self.grpc));
        let (mut passing, mut sidecars, most) = (JoinSet::new(), JoinSet::new(), limits.connections);
        let mut drain = trigger.watch();
        let led = tokio::select! {
            led = leads(&store, &self.readiness, self.nobody) => led.map(|nobody| (true, nobody)),
            never = standby.pass_on(&listeners.0, own, most, &mut passing) => match never {},
            never = pass_on_sidecars(&standby, cluster.as_ref(), most, &mut sidecars) => match never {},
            () = drain.signaled() => Ok((false, None)),
        };
        let ended = match led {
            Err(error) => Err(error.into()),
            Ok((false, _)) => Ok(()),
            Ok((true, nobody)) => {
                let grpc = Incoming::new(listeners.0, tls.as_ref(), limits, trigger.watch())?;
                // in a cluster sidecars have a port of their own
                let sidecars = cluster.is_none();
                let grpc = serve(grpc, gate.clone(), access, (place, sidecars), trigger.watch());
                let grpc = AbortOnDropHandle::new(tokio::spawn(grpc));
                let control = cluster.as_mut().map(|it| it.serve(gate.clone(), limits, trigger.watch())).transpose()?;
                let callbacks = config.callbacks(listen::reachable(self.http), tls.is_some());
                let parts =
                    Starting { store: store.clone(), config, callbacks, tls, metrics, tracing: &tracing, activity };
                match parts.lead(&gate, &trigger, cluster.as_mut()).await {
                    Ok(leading) => {
                        drop((self.starting, nobody));
                        leading.until(&store, &mut drain, &trigger, (grpc, http, control)).await
                    }
                    Err(error) => Err(error),
                }
            }
        };
        trigger.drain();
        if let Some(cluster) = cluster {
            drain::run_with_deadline("the webhook", trigger.watch(), DRAIN_WITHIN, cluster.finish()).await;
        }
        if let Err(error) = store.close().await {
            tracing::debug!(%error, "closing the store");
        }
        if let Err(error) = tracing.shutdown(FLUSH_WITHIN).await {
            tracing::warn!("{error}");
        }
        ended
    }
}

/// Returns once this flowd leads; says on `/ready` whom it waits for. `nobody` is dropped when calls can be passed on,
/// else given back.
async fn leads(store: &AnyStore, readiness: &Readiness, nobody: Pending) -> Result<Option<Pending>, store::Error> {
    let (mut leadership, mut nobody, mut told) = (store.leadership(), Some(nobody), String::new());
    loop {
        let now = leadership.borrow_and_update().clone();
        let _waits = match now {
            Leadership::Leader { .. } => return Ok(nobody),
            Leadership::Lost { reason } => return Err(reason),
            Leadership::Standby { leader } => {
                if leader.is_some() {
                    nobody = None;
                }
                let leader = leader.unwrap_or_else(|| "nobody yet".to_owned());
                // it is looked for again and again, and told once
                if told != leader {
                    tracing::info!(leader, "standing by");
                    told.clone_from(&leader);
                }
                readiness.register(format!("leadership (standing by; the leader is {leader})"))
            }
        };
        if leadership.changed().await.is_err() {
            return Err(store::Error::Closed);
        }
    }
}

/// While this flowd stands by, sidecars attach to the leader through it.
async fn pass_on_sidecars(
    standby: &Standby,
    cluster: Option<&Cluster>,
    most: usize,
    passing: &mut JoinSet<()>,
) -> Infallible {
    match cluster.and_then(|it| Some((it.listener()?, listen::reachable(it.address())))) {
        Some((listener, own)) => standby.pass_on(listener, (Door::Control, own), most, passing).await,
        None => std::future::pending().await,
    }
}

/// A gRPC server as flowd's are.
pub(crate) fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
}

async fn serve(
    incoming: Incoming,
    gate: Gate,
    access: Access,
    (place, sidecars): (String, bool),
    mut drain: DrainWatcher,
) -> Result<(), tonic::transport::Error> {
    let control = sidecars.then(|| control::Service::server(gate.clone(), drain.clone()));
    server()
        .layer(access.grpc())
        .add_service(flow::Service::server(gate.clone(), place))
        .add_optional_service(control)
        .add_service(daemon::Service::server(gate))
        .serve_with_incoming_shutdown(incoming, async move { drain.signaled().await })
        .await
}

/// What leading is made of.
struct Starting<'a> {
    store: AnyStore,
    config: Config,
    /// Where tasks call back.
    callbacks: String,
    tls: Option<Tls>,
    metrics: Metrics,
    tracing: &'a Tracing,
    activity: runtime::memory::Activity,
}

impl Starting<'_> {
    /// Reads the state and begins to work on it.
    async fn lead(
        self,
        gate: &Gate,
        trigger: &DrainTrigger,
        mut cluster: Option<&mut Cluster>,
    ) -> anyhow::Result<Leading> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let found = steward::load(&self.store, clock.now().as_millis()).await?;
        let boot = found.stored.boot;
        let mut entries = Vec::new();
        for prefix in Ledger::prefixes().iter().filter(|it| **it != key::IDEMPOTENCY) {
            let below = steward::all(&self.store, prefix).await?;
            entries.extend(below.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
        }
        let mut ledger = Ledger::load(boot, found.tables, entries)
            .map_err(|error| anyhow::anyhow!("{error}; restore the store from a backup, or move it away"))?;
        ledger.set_retention(self.config.topic_retention());
        let broker = match self.config.broker()? {
            None => None,
            Some(address) => {
                ledger.set_broker();
                let retention = self.config.topic_retention().age;
                let metrics = self.metrics.topics.clone();
                let options = client::Options { incarnation: found.incarnation, retention, metrics };
                Some(AnyClient::new(&address, options).await?)
            }
        };
        let mesh = Mesh::new(found.stored, clock.now().as_millis());
        let (left, settled) = ledger.left();
        mesh.departed(left, settled);
        mesh.call_back_to(self.callbacks);
        let (open, deployments) = (ledger.open(), mesh.deployments().len());
        tracing::info!(open, deployments, boot, "leading");
        ledger.instances().for_each(|(instance, halted)| self.metrics.instances.found(instance, halted));

        let mut tls = self.tls;
        if let Some(cluster) = &mut cluster {
            mesh.admit_by(Admission::Awaited);
            cluster.lead(mesh.clone(), (self.store.clone(), clock.clone()), trigger.watch());
            tls = cluster.hops();
        }
        let accounts = Accounts::default();
        let hops = Hops::default();
        let options = link::Options {
            incarnation: found.incarnation,
            boot,
            ledger: true,
            serves: Default::default(),
            tls,
            accounts: accounts.clone(),
        };
        let (task, handle) = LedgerTask::new(Parts {
            ledger,
            store: self.store.clone(),
            mesh: mesh.clone(),
            hops: hops.clone(),
            links: Links::new(options),
            accounts,
            metrics: self.metrics.clone(),
            tracer: self.tracing.tracer(),
            clock: clock.clone(),
            activity: self.activity,
        });
        let (stop, stopped) = oneshot::channel();
        let topics = broker.clone().map(|client| {
            let pump = Pump { client, ledger: handle.clone(), metrics: self.metrics.topics.clone() };
            AbortOnDropHandle::new(tokio::spawn(pump.run(trigger.watch())))
        });
        let outbound = Outbound::new(self.config.outbound());
        let notices = Notices::new(handle.clone(), outbound, self.metrics.notices.clone(), clock.clone());
        let notices = AbortOnDropHandle::new(tokio::spawn(notices.run(trigger.watch())));
        let operations = Operations::new(Inner {
            mesh,
            ledger: handle,
            store: self.store,
            hops,
            tracer: self.tracing.tracer(),
            clock,
            incarnation: found.incarnation,
            metrics: self.metrics,
            drain: trigger.watch(),
            broker,
            told: Default::default(),
            orchestrated: self.config.kubernetes.orchestrator != Orchestrator::None,
            gateway: self.config.kubernetes.gateway.clone(),
            deploying: Mutex::new(()),
            history: Mutex::new(()),
        });
        let retention = retention::run(operations.clone(), self.config.retention_days, self.config.retention_count);
        gate.open(operations.clone());
        if let Some(cluster) = cluster {
            cluster.declare(operations.clone(), trigger.watch());
        }
        Ok(Leading {
            ledger: AbortOnDropHandle::new(tokio::spawn(task.run(trigger.watch(), stopped))),
            steward: AbortOnDropHandle::new(tokio::spawn(steward::run(operations, trigger.watch()))),
            _retention: AbortOnDropHandle::new(tokio::spawn(retention)),
            _topics: topics,
            _notices: notices,
            stop,
        })
    }
}

type Servers =
    (AbortOnDropHandle<Result<(), tonic::transport::Error>>, AbortOnDropHandle<()>, Option<AbortOnDropHandle<()>>);

impl Leading {
    /// Until the drain, or until something that all depends on has failed; then open calls are finished first, and the
    /// ledger last.
    async fn until(
        mut self,
        store: &AnyStore,
        drain: &mut DrainWatcher,
        trigger: &DrainTrigger,
        servers: Servers,
    ) -> anyhow::Result<()> {
        let mut leadership = store.leadership();
        let failed = tokio::select! {
            () = drain.signaled() => None,
            ended = &mut self.ledger => Some(ended??),
            reason = lost(&mut leadership) => return Err(reason.into()),
            error = failure(&mut self.steward) => return Err(error),
        };
        trigger.drain();
        if failed.is_some() {
            anyhow::bail!("the ledger's loop has ended by itself");
        }
        let (grpc, http, control) = servers;
        let finish = async {
            // each has its own connections to finish
            let _ = tokio::join!(grpc, http);
            if let Some(control) = control {
                let _ = control.await;
            }
        };
        drain::run_with_deadline("open calls", drain.clone(), DRAIN_WITHIN, finish).await;
        // it may have ended already by itself
        let _ = self.stop.send(());
        Ok(self.ledger.await??)
    }
}

async fn lost(leadership: &mut tokio::sync::watch::Receiver<Leadership>) -> store::Error {
    loop {
        if let Leadership::Lost { reason } = leadership.borrow_and_update().clone() {
            return reason;
        }
        if leadership.changed().await.is_err() {
            return store::Error::Closed;
        }
    }
}

/// Returns when the steward has failed; it ends without failing at the drain only.
async fn failure(steward: &mut AbortOnDropHandle<Result<(), store::Error>>) -> anyhow::Error {
    match steward.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error.into(),
        Err(error) => error.into(),
    }
}
