//! The loop around the core: gathers what happened, lets the core decide, does what it says.
//!
//! ```text
//! hop port, links, flowd, calls, probes, journal, time --inputs--> core --outputs--> the same
//! ```
//! One task, no locks. Everything that is waiting when it wakes up is one batch: its records go to the
//! journal in one append, its answers in one frame per link, its reports in one message. An engine without
//! work sleeps until the core's next alarm.
//!
//! Promises: outputs are done in the order the core gave them, records first; nothing but the journal's own
//! word makes a record count as written; a journal that fails ends the engine ([`Fatal`]).

mod drain;
mod flowd;
mod outputs;
mod pause;
mod quiesce;
mod seek;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hop::identity::Accounts;
use hop::link::{self, Links};
use hop::serve::{self, Receiver};
use proto::v1;
use routing::{ActivationId, Digest, Incarnation, ServiceName, Timestamp, table};
use runtime::clock::sleep;
use runtime::drain::DrainWatcher;
use runtime::journal::{Journal, Lsn, Status};
use runtime::memory::Activity;
use runtime::readiness::Pending;
use tokio::sync::watch;

use crate::calls::{Calls, Ended};
use crate::capture::Capture;
use crate::control::{self, Control};
use crate::core::{Core, Input, Output};
use crate::directory::Directory;
use crate::lifecycle::Quiet;
use crate::metrics::{Levels, Metrics};
use crate::names::Names;
use crate::probe::Health;
use crate::probes::Probes;
use crate::spans::Spans;
use crate::tables::{Loaded, Served, Tables};
use drain::Phase;
use pause::Pulse;
use quiesce::Quiesce;
use seek::Seek;

/// A journal that has grown by this many bytes since its checkpoint is due for the next one.
const CHECKPOINT: u64 = 8 << 20;
/// Inputs that are handled before their outputs are done.
const BATCH: usize = 1_024;

/// Why a sidecar cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Nothing becomes durable any more.
    #[error("the journal does not work any more: {0}; this sidecar ends, what it accepted is in its data folder")]
    Journal(Arc<str>),
    /// The journal cannot be opened, closed or removed.
    #[error(transparent)]
    Open(#[from] runtime::journal::Error),
    /// A folder cannot be used.
    #[error(transparent)]
    Tables(#[from] crate::tables::Error),
    /// The hop port is gone.
    #[error("the hop port is gone: {0}")]
    Port(String),
}

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// What is left stays in the journal.
    Kept,
    /// flowd has taken what was left.
    Left,
    /// flowd says that this incarnation has left: begin anew.
    Reborn,
}

/// What an engine is made of.
pub(crate) struct Parts {
    pub(crate) config: crate::config::Config,
    pub(crate) core: Core,
    pub(crate) journal: Journal,
    pub(crate) receiver: Receiver,
    pub(crate) links: Links,
    pub(crate) control: Control,
    pub(crate) calls: Calls,
    pub(crate) probes: Probes,
    pub(crate) tables: Tables,
    pub(crate) loaded: Vec<Loaded>,
    pub(crate) directory: Directory,
    pub(crate) names: Names,
    pub(crate) spans: Spans,
    pub(crate) metrics: Metrics,
    pub(crate) activity: Activity,
    pub(crate) quiet: Arc<Quiet>,
    pub(crate) accounts: Accounts,
    pub(crate) capture: Option<Capture>,
    pub(crate) hello: v1::SidecarHello,
    pub(crate) pending: Option<Pending>,
}

pub(crate) struct Engine {
    parts: Parts,
    inputs: Vec<Input>,
    out: Vec<Output>,
    durable: watch::Receiver<Lsn>,
    status: watch::Receiver<Status>,
    /// Appended, not durable yet: where the core's marks are in the journal.
    marks: VecDeque<(Lsn, u64, Instant)>,
    checkpoint_at: u64,
    /// Offers to replicas that have left, as they were asked after.
    asked: HashMap<ActivationId, Incarnation>,
    /// Definitions that tokens wanted tables of.
    wanted: HashSet<Digest>,
    checks: BTreeMap<ServiceName, table::Health>,
    /// flowd has answered the hello of the stream that is open.
    greeted: bool,
    bindings_version: u64,
    phase: Phase,
    quiesce: Quiesce,
    seek: Seek,
    end: Option<End>,
}

/// Why the engine woke up.
enum Wake {
    Hop(Option<serve::Event>),
    Link(link::Event),
    Flowd(control::Event),
    Called(Ended),
    Probed(ServiceName, Health),
    Named(ServiceName, io::Result<Vec<SocketAddr>>),
    Journal,
    Drain,
    Time,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let (durable, status) = (parts.journal.durable(), parts.journal.status());
        Self {
            parts,
            inputs: Vec::new(),
            out: Vec::new(),
            durable,
            status,
            marks: VecDeque::new(),
            checkpoint_at: CHECKPOINT,
            asked: HashMap::new(),
            wanted: HashSet::new(),
            checks: BTreeMap::new(),
            greeted: false,
            bindings_version: 0,
            phase: Phase::Running,
            quiesce: Quiesce::default(),
            seek: Seek::default(),
            end: None,
        }
    }

    /// Runs until the drain has ended, flowd sends it off, or the journal fails. Gives the journal back.
    pub(crate) async fn run(mut self, mut drain: DrainWatcher) -> Result<(End, Journal), Fatal> {
        self.begin();
        self.hear_first().await?;
        let pulse = Pulse::start();
        loop {
            self.batch()?;
            if let Some(end) = self.end {
                return Ok((end, self.parts.journal));
            }
            if self.is_written() {
                self.written()?;
                continue;
            }
            let wake = self.wake(&mut drain).await;
            if pulse.paused() {
                self.resume().await?;
            }
            self.woken(wake)?;
            self.gather()?;
        }
    }

    /// What was known before: whose work is done here, tables, then the journal's tokens, then where others are.
    fn begin(&mut self) {
        let now = now();
        let bindings = self.parts.tables.bindings();
        if let Some(bindings) = &bindings {
            self.split(bindings);
        }
        for (definition, served) in std::mem::take(&mut self.parts.loaded) {
            self.learn(definition, served);
        }
        for input in std::mem::take(&mut self.inputs) {
            self.parts.core.handle(now, input, &mut self.out);
        }
        self.parts.core.begin(now, &mut self.out);
        if let Some(bindings) = bindings
            && let Err(error) = self.rebind(&bindings)
        {
            tracing::warn!(%error, "left out the bindings on disk");
        }
        let services: Vec<ServiceName> = self.parts.config.serves.keys().cloned().collect();
        services.iter().for_each(|service| self.probe(service));
        if self.parts.tables.is_empty() && !self.parts.config.flowd.is_empty() {
            return;
        }
        self.parts.pending = None;
    }

    async fn wake(&mut self, drain: &mut DrainWatcher) -> Wake {
        let until = self.alarm();
        let running = matches!(self.phase, Phase::Running);
        let Parts { receiver, links, control, calls, probes, names, .. } = &mut self.parts;
        tokio::select! {
            event = receiver.next() => Wake::Hop(event),
            event = links.next() => Wake::Link(event),
            ended = calls.next() => Wake::Called(ended),
            // An error: the writer has ended, which its status explains.
            _ = self.durable.changed() => Wake::Journal,
            _ = self.status.changed() => Wake::Journal,
            event = control.next() => Wake::Flowd(event),
            (service, health) = probes.next() => Wake::Probed(service, health),
            (service, answer) = names.next() => Wake::Named(service, answer),
            () = drain.signaled(), if running => Wake::Drain,
            () = sleep(until) => Wake::Time,
        }
    }

    /// How long to sleep at most.
    fn alarm(&self) -> Option<Duration> {
        let own = [self.phase.deadline(self.marks.is_empty()), self.quiesce.deadline(), self.seek.deadline()];
        let next = own.into_iter().chain([self.parts.core.next_tick(), self.parts.control.due()]);
        let next = next.flatten().min()?;
        Some(Duration::from_millis(next.saturating_sub(now())))
    }

    /// Whatever else is there already belongs to the same batch.
    fn gather(&mut self) -> Result<(), Fatal> {
        while self.inputs.len() < BATCH
            && let Some(event) = self.parts.receiver.try_next()
        {
            self.woken(Wake::Hop(Some(event)))?;
        }
        while self.inputs.len() < BATCH
            && let Some(event) = self.parts.links.try_next()
        {
            self.woken(Wake::Link(event))?;
        }
        while self.inputs.len() < BATCH
            && let Some(ended) = self.parts.calls.try_next()
        {
            self.woken(Wake::Called(ended))?;
        }
        while self.inputs.len() < BATCH
            && let Some(event) = self.parts.control.try_next()
        {
            self.woken(Wake::Flowd(event))?;
        }
        self.written()
    }

    fn woken(&mut self, wake: Wake) -> Result<(), Fatal> {
        match wake {
            Wake::Hop(Some(event)) => self.hop_event(event),
            Wake::Hop(None) => return Err(Fatal::Port("its server has ended".to_owned())),
            Wake::Link(event) => self.link_event(event),
            Wake::Flowd(event) => self.flowd_event(event),
            Wake::Called((activation, number, result)) => {
                let now = now();
                self.parts.spans.called(activation, &result, now);
                self.parts.metrics.called(activation, &result, now);
                self.inputs.push(Input::Called(activation, number, result));
            }
            Wake::Probed(service, health) => self.probed(service, health),
            Wake::Named(service, answer) => self.named(&service, answer),
            Wake::Journal => self.written()?,
            Wake::Drain => self.start_drain(),
            Wake::Time => self.inputs.push(Input::Tick),
        }
        Ok(())
    }

    fn hop_event(&mut self, event: serve::Event) {
        match event {
            serve::Event::Linked(link, sender) => {
                tracing::debug!(link, sender = %sender.incarnation, ledger = sender.ledger, "a sender has connected");
                self.inputs.push(Input::Linked(link, sender));
            }
            serve::Event::Unlinked(link) => self.inputs.push(Input::Unlinked(link)),
            serve::Event::Replaced(link, replicas) => self.inputs.push(Input::Replaced(link, replicas)),
            serve::Event::Offered(link, watermark, mut offers) => {
                if !offers.is_empty() && !self.parts.journal.has_room() {
                    let full = hop::Refusal::Full(500);
                    let refused = offers.drain(..).map(|(_, token)| (token.activation, full)).collect();
                    self.parts.metrics.refused(full);
                    self.parts.receiver.answer(link, Vec::new(), refused);
                }
                self.inputs.push(Input::Offered(link, watermark, offers));
            }
            serve::Event::Tables(_, bundle) => self.handed(&bundle),
        }
    }

    fn link_event(&mut self, event: link::Event) {
        match event {
            link::Event::Linked(replica) => self.inputs.push(Input::PeerLinked(replica)),
            link::Event::Unlinked(replica) => self.inputs.push(Input::PeerUnlinked(replica)),
            link::Event::Unreachable { replica, found } => {
                self.inputs.push(Input::PeerUnreachable(replica));
                if found.is_some_and(|found| self.parts.directory.found(replica, found)) {
                    self.inputs.push(Input::Bindings(self.parts.directory.bindings()));
                    self.parts.links.unwant(replica);
                }
            }
            link::Event::Answered { replica, accepted, ago, refused } => {
                let now = now();
                for (activation, ago) in accepted.iter().zip(ago) {
                    self.parts.spans.accepted(*activation, now.saturating_sub(ago.into()));
                    self.parts.metrics.accepted(*activation, Duration::from_millis(ago.into()), now);
                }
                self.inputs.push(Input::PeerAnswered(replica, accepted, refused));
            }
        }
    }

    /// Tables that a sender hands over: taken when a token has asked for them.
    fn handed(&mut self, bundle: &v1::TableBundle) {
        let definition = proto::convert::digest(&bundle.definition).ok();
        if !definition.is_some_and(|definition| self.wanted.contains(&definition)) {
            return;
        }
        match self.parts.tables.take(bundle) {
            Ok((definition, served)) => self.learn(definition, served),
            Err(error) => tracing::warn!(%error, "a sender handed over tables that cannot be used"),
        }
    }

    fn learn(&mut self, definition: Digest, served: Served) {
        self.wanted.remove(&definition);
        self.parts.metrics.learn(definition, served.iter().map(|(element, compiled)| (element, &**compiled)));
        for (element, compiled) in &served {
            let table = compiled.table();
            let node = table.find(element.as_str()).map(|node| &table.node(node).kind);
            if let Some(table::NodeKind::Task(task)) = node
                && let Some(health) = &task.health
            {
                self.checks.insert(task.service.clone(), health.clone());
                self.probe(&task.service);
            }
        }
        if !served.is_empty() {
            self.inputs.push(Input::Tables(definition, served));
            self.parts.pending = None;
        }
    }

    fn probe(&mut self, service: &ServiceName) {
        let Parts { probes, calls, .. } = &mut self.parts;
        if let Some(url) = calls.url(service) {
            probes.set(service, url, self.checks.get(service));
        }
    }

    fn probed(&mut self, service: ServiceName, health: Health) {
        let down = match &health {
            Health::Unknown => return,
            Health::Up => None,
            Health::Down { reason } => Some(reason.clone()),
        };
        tracing::debug!(%service, ?down, "probed the task");
        self.parts.metrics.task_up(&service, down.is_none());
        self.tell_health(&service, &health);
        self.inputs.push(Input::Health(service, down));
    }

    /// Whether something is durable that the core has not been told of.
    fn is_written(&self) -> bool {
        self.marks.front().is_some_and(|(lsn, ..)| *lsn <= *self.durable.borrow())
    }

    /// What the journal has made durable, and whether it still works.
    fn written(&mut self) -> Result<(), Fatal> {
        if let Status::Failed(why) = &*self.status.borrow_and_update() {
            return Err(Fatal::Journal(why.clone()));
        }
        let durable = *self.durable.borrow_and_update();
        let mut written = None;
        while let Some((lsn, mark, since)) = self.marks.front().copied()
            && lsn <= durable
        {
            self.marks.pop_front();
            self.parts.metrics.journal_write(since.elapsed());
            written = Some(mark);
        }
        self.inputs.extend(written.map(Input::Written));
        Ok(())
    }

    /// Lets the core decide on everything that has gathered, and does what it says.
    fn batch(&mut self) -> Result<(), Fatal> {
        let now = now();
        let mut inputs = std::mem::take(&mut self.inputs);
        for input in inputs.drain(..) {
            self.parts.core.handle(now, input, &mut self.out);
        }
        self.inputs = inputs;
        self.perform(now);
        self.drain_step(now);
        self.quiesce_step(now);
        self.seek_step(now);
        self.keep_links();
        self.parts.control.flush(now);
        self.checkpoint();
        self.levels();
        self.parts.activity.touch();
        Ok(())
    }

    /// A link to every replica that something is for, to every listed one that has had one, and to fixed
    /// addresses where nobody has been met.
    fn keep_links(&mut self) {
        let Parts { core, links, directory, .. } = &mut self.parts;
        for replica in core.wanted_peers() {
            if let Some(target) = directory.target(replica)
                && links.target(replica) != Some(target)
            {
                links.want(replica, target.clone());
            }
        }
        for (replica, target) in directory.unmet() {
            links.want(replica, target);
        }
    }

    /// After the bindings have changed: links that nobody needs are closed.
    fn drop_links(&mut self) {
        let Parts { core, links, directory, .. } = &mut self.parts;
        let wanted: BTreeSet<Incarnation> = core.wanted_peers().collect();
        let idle: Vec<Incarnation> =
            links.wanted().filter(|replica| !wanted.contains(replica) && !directory.lists(*replica)).collect();
        idle.into_iter().for_each(|replica| links.unwant(replica));
        directory.forget(&wanted);
    }

    fn checkpoint(&mut self) {
        let Parts { core, journal, .. } = &mut self.parts;
        if journal.bytes() < self.checkpoint_at {
            return;
        }
        let live: Vec<_> = core.checkpoint().into_iter().map(crate::record::Record::encode).collect();
        let size: u64 = live.iter().map(|record| record.len() as u64).sum();
        tracing::debug!(records = live.len(), bytes = size, "checkpoint of the journal");
        journal.checkpoint(live);
        // The figure counts the log as it is now; it drops once the writer has done it.
        self.checkpoint_at = CHECKPOINT.max(4 * size).max(journal.bytes() + CHECKPOINT);
    }

    fn levels(&self) {
        let Parts { core, calls, tables, control, metrics, .. } = &self.parts;
        metrics.levels(Levels {
            inflight: calls.running(),
            queued: core.queued(),
            held: core.held(),
            unanswered: core.unanswered(),
            remembered: core.remembered(),
            tables: tables.len(),
            version: self.bindings_version,
            flowd: control.is_linked() && self.greeted,
        });
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
