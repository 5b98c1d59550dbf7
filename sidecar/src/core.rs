//! The sidecar's rules: what it does with offers, answers, times and the ledger's word.
//!
//! A pure state machine: [`Core::handle`] is given what happened and the time, and appends what is to be
//! done to a list of [`Output`]s. The shell (`app`) and the simulation execute them. Promises:
//! * nothing leaves before its record is durable ([`Input::Written`] says so);
//! * a token is accepted only when it is durable here;
//! * an activation decides once, in spite of restarts and repeated offers.

mod activity;
mod closed;
mod held;
mod leave;
mod receive;
mod recover;
mod send;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use hop::{Assignment, Endpoint, Inbox, Offer, Origin, Outbox, Refusal, Splits};
use routing::mapping::{Answer, Request};
use routing::step::CallFailure;
use routing::{
    ActivationId, Compiled, Digest, ElementId, HopRecord, Incarnation, InstanceId, Product, ServiceName, Timestamp,
    Token, TraceContext,
};

use crate::callback::CallbackKey;
use crate::record::Record;

pub use closed::Closed;
pub use hop::{Link, Sender};

use closed::AllClosed;
use held::{After, Alarm, Held, Service};

/// What the sidecar is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The services it serves.
    pub serves: BTreeSet<ServiceName>,
    /// Tokens it holds at most; the ledger's offers are refused at half of it.
    pub max_held: usize,
    /// Calls under way at most, per service.
    pub max_calls: usize,
    /// How long an offer waits for the task's answer before it is accepted by a record of its own, milliseconds.
    pub accept_after: u64,
    /// How long records that nobody waits for are gathered, milliseconds.
    pub lazy_for: u64,
    /// How long acceptances are gathered before their senders are told, milliseconds.
    pub accepts_for: u64,
    /// Seed of the jitter.
    pub seed: u64,
    /// Makes the seals of callback URLs.
    pub callback_key: CallbackKey,
    /// Rules switched off, by tests that show what they are for.
    pub switches: Switches,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            serves: BTreeSet::new(),
            max_held: 10_000,
            max_calls: 256,
            accept_after: 5,
            lazy_for: 50,
            accepts_for: 25,
            callback_key: CallbackKey::default(),
            seed: 1,
            switches: Switches::default(),
        }
    }
}

/// Rules that tests may switch off.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switches {
    /// Take every offer as new.
    pub no_dedup: bool,
    /// Act before the record is durable.
    pub no_wait: bool,
    /// Accept an offer before it is durable.
    pub early_accept: bool,
    /// Choose another replica whenever a link breaks.
    pub not_sticky: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A sender has connected.
    Linked(Link, Sender),
    /// A sender's connection is gone.
    Unlinked(Link),
    /// Offers, and the sender's watermark.
    Offered(Link, u64, Vec<(u64, Token)>),
    /// The ledger offers in the place of replicas that have left: what they sent themselves and is late is void.
    Replaced(Link, Vec<Incarnation>),
    /// The link to a replica is open.
    PeerLinked(Incarnation),
    /// The link to a replica is gone.
    PeerUnlinked(Incarnation),
    /// A link to a replica could not be opened.
    PeerUnreachable(Incarnation),
    /// A replica's answers.
    PeerAnswered(Incarnation, Vec<ActivationId>, Vec<(ActivationId, Refusal)>),
    /// The stream to flowd is open.
    LedgerLinked,
    /// The stream to flowd is gone.
    LedgerUnlinked,
    /// The ledger has every report up to this number.
    LedgerAcked(u64),
    /// Where replicas are, which have left, and which have settled.
    Bindings(Bindings),
    /// Which services do the work of others.
    Splits(Splits),
    /// Tables of a definition, checked and compiled.
    Tables(Digest, Vec<(ElementId, Arc<Compiled>)>),
    /// Definitions that no instance runs on any more.
    Retired(Vec<Digest>),
    /// Instances that were closed early.
    Closed(Vec<Closed>),
    /// The same, of a flowd that has just greeted: there are no others.
    AllClosed(Vec<Closed>),
    /// Closed instances that are open again.
    Reopened(Vec<InstanceId>),
    /// What became of offers to a replica that has left: taken, or free.
    Fates(Incarnation, Vec<(ActivationId, bool)>),
    /// The call of an activation ended; the number is that of [`Output::Call`].
    Called(ActivationId, u32, Result<Answer, CallFailure>),
    /// A task's probe: up, or down and why.
    Health(ServiceName, Option<String>),
    /// Start no call from now on, or go on with those that wait.
    Quiesce(bool),
    /// Every record up to this mark is durable.
    Written(u64),
    /// Time has passed.
    Tick,
    /// No more tokens: finish and go.
    Drain,
    /// The ledger has taken what was handed over.
    Left,
}

/// Where replicas are.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// By service.
    pub endpoints: std::collections::HashMap<ServiceName, Vec<Endpoint>>,
    /// Replicas that have left: ask what became of offers to them.
    pub left: BTreeSet<Incarnation>,
    /// Replicas in whose name nobody will offer again.
    pub settled: BTreeSet<Incarnation>,
    /// Where tasks call back; empty: not known yet.
    pub callbacks: String,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Append to the journal; [`Input::Written`] with this mark or a later one when durable.
    Write(u64, Record),
    /// Tell a sender that an activation is durable here, and since when.
    Accept(Link, ActivationId, Timestamp),
    /// Tell a sender that it is not taken.
    Refuse(Link, ActivationId, Refusal),
    /// Offer to a replica; an empty list only moves the watermark.
    Send(Incarnation, u64, Vec<Offer>),
    /// Report to the ledger.
    Report(u64, Arc<Product>),
    /// Call the task.
    Call(Call),
    /// The call's answer is not wanted any more.
    Abort(ActivationId),
    /// Something for people; the span of the activation ends here.
    Hop(HopRecord),
    /// Ask flowd for a definition's tables.
    WantTables(Digest),
    /// Hand a definition's tables to a replica that lacks them.
    HandTables(Incarnation, Digest, ElementId),
    /// Ask flowd what became of offers to a replica that has left.
    Whereabouts(Incarnation, Vec<ActivationId>),
    /// Hand everything over to the ledger.
    Leave(Leaving),
    /// Nothing is held and nothing unanswered: the process may end.
    Drained,
}

/// A call of the task.
#[derive(Clone, Debug)]
pub struct Call {
    /// For which activation.
    pub activation: ActivationId,
    /// Which call of it in this life, for [`Input::Called`].
    pub number: u32,
    /// Calls made before, over all lives.
    pub attempt: u32,
    /// When the activation began.
    pub arrived: Timestamp,
    /// The service.
    pub service: ServiceName,
    /// The request.
    pub request: Request,
    /// The token, for the headers.
    pub token: Arc<Token>,
    /// The table, for the headers and limits.
    pub table: Arc<Compiled>,
    /// Milliseconds.
    pub timeout: u64,
    /// Where the task may answer later.
    pub callback: Option<String>,
}

/// What a leaving sidecar hands over.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// Held, not decided.
    pub held: Vec<Product>,
    /// Decided, not accepted by their receivers.
    pub unfinished: Vec<Assignment>,
    /// Ids accepted whose senders have not released them.
    pub accepted: Vec<ActivationId>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Core {
    config: Config,
    inbox: Inbox,
    outbox: Outbox,
    held: HashMap<ActivationId, Held>,
    orphans: Vec<(Arc<Token>, Origin, Timestamp)>,
    services: HashMap<ServiceName, Service>,
    tables: HashMap<Digest, HashMap<ElementId, Arc<Compiled>>>,
    closed: AllClosed,
    links: HashMap<Link, Sender>,
    link_of: HashMap<Incarnation, Link>,
    peers: HashSet<Incarnation>,
    left: BTreeSet<Incarnation>,
    settled: BTreeSet<Incarnation>,
    replaced: BTreeSet<Incarnation>,
    callbacks: String,
    alarms: BTreeMap<(Timestamp, ActivationId, Alarm), ()>,
    mark: u64,
    after: VecDeque<(u64, After)>,
    lazy: Vec<(Record, Option<After>)>,
    lazy_since: Option<Timestamp>,
    /// Durable here; their senders, who only let go of a copy, are told in batches.
    accepts: Vec<(Link, ActivationId, Timestamp)>,
    quiet_peers: BTreeSet<Incarnation>,
    quiet_since: Option<Timestamp>,
    asked: Option<Timestamp>,
    random: u64,
    quiesced: bool,
    draining: bool,
    gone: bool,
    leaving: Option<Leaving>,
}

impl Core {
    /// A sidecar that holds nothing.
    pub fn new(config: Config) -> Self {
        let outbox = Outbox::with_switches(hop::Switches { not_sticky: config.switches.not_sticky });
        let random = config.seed | 1;
        Self {
            config,
            inbox: Inbox::default(),
            outbox,
            held: HashMap::new(),
            orphans: Vec::new(),
            services: HashMap::new(),
            tables: HashMap::new(),
            closed: AllClosed::default(),
            links: HashMap::new(),
            link_of: HashMap::new(),
            peers: HashSet::new(),
            left: BTreeSet::new(),
            settled: BTreeSet::new(),
            replaced: BTreeSet::new(),
            callbacks: String::new(),
            alarms: BTreeMap::new(),
            mark: 0,
            after: VecDeque::new(),
            lazy: Vec::new(),
            lazy_since: None,
            accepts: Vec::new(),
            quiet_peers: BTreeSet::new(),
            quiet_since: None,
            asked: None,
            random,
            quiesced: false,
            draining: false,
            gone: false,
            leaving: None,
        }
    }

    /// One thing that happened. A core that has handed everything over does nothing any more.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        if self.gone {
            return self.handle_gone(now, &input, out);
        }
        match input {
            Input::Linked(link, sender) => self.sender_linked(link, sender),
            Input::Unlinked(link) => self.sender_unlinked(link),
            Input::Offered(link, watermark, offers) => self.offered(now, link, watermark, offers, out),
            Input::Replaced(link, replicas) => self.replaced(link, replicas),
            Input::PeerLinked(replica) => self.peer_linked(replica, out),
            Input::PeerUnlinked(replica) => self.peer_unlinked(replica, out),
            Input::PeerUnreachable(replica) => self.peer_unreachable(replica, out),
            Input::PeerAnswered(replica, accepted, refused) => self.peer_answered(now, replica, accepted, refused, out),
            Input::LedgerLinked => self.peer_linked(Outbox::LEDGER, out),
            Input::LedgerUnlinked => self.peer_unlinked(Outbox::LEDGER, out),
            Input::LedgerAcked(seq) => self.ledger_acked(now, seq),
            Input::Bindings(bindings) => self.bindings(now, bindings, out),
            Input::Splits(splits) => self.outbox.split(splits),
            Input::Tables(definition, tables) => self.tables(now, definition, tables, out),
            Input::Retired(definitions) => self.retired(&definitions),
            Input::Closed(instances) => self.closed(now, instances, false, out),
            Input::AllClosed(instances) => self.closed(now, instances, true, out),
            Input::Reopened(instances) => self.reopened(&instances),
            Input::Fates(replica, fates) => self.fates(now, replica, fates, out),
            Input::Called(activation, number, result) => self.called(now, activation, number, result, out),
            Input::Health(service, down) => self.health(now, service, down, out),
            Input::Quiesce(quiesced) => self.quiesce(now, quiesced, out),
            Input::Written(mark) => self.written(now, mark, out),
            Input::Tick => {}
            Input::Drain => self.draining = true,
            Input::Left => {}
        }
        self.tick(now, out);
    }

    /// When [`Input::Tick`] has something to do.
    pub fn next_tick(&self) -> Option<Timestamp> {
        if self.gone {
            return None;
        }
        let alarm = self.alarms.first_key_value().map(|((at, _, _), ())| *at);
        let lazy = self.lazy_since.map(|at| at + self.config.lazy_for);
        let quiet = self.quiet_since.map(|at| at + 2 * self.config.lazy_for);
        let asked = self.asked.map(|at| at + leave::ASK_AGAIN);
        let accepts = self.accepts.first().map(|(_, _, since)| since + self.config.accepts_for);
        [alarm, lazy, accepts, quiet, asked, self.outbox.next_tick()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some(((at, activation, alarm), ())) = self.alarms.first_key_value().map(|(k, v)| (*k, *v)) {
            if at > now {
                break;
            }
            self.alarms.remove(&(at, activation, alarm));
            self.alarm(now, activation, alarm, out);
        }
        let moved = self.outbox.tick(now);
        self.record_moves(moved, out);
        if self.asked.is_some_and(|at| at + leave::ASK_AGAIN <= now) {
            self.ask_whereabouts(now, out);
        }
        if self.lazy_since.is_some_and(|at| at + self.config.lazy_for <= now) {
            self.flush_lazy(out);
        }
        self.tell_accepted(now, out);
        self.send_ready(now, out);
        self.go_if_drained(out);
    }

    /// Appends a record that something waits for; what was gathered lazily goes first, in order.
    fn write(&mut self, record: Record, after: After, out: &mut Vec<Output>) {
        self.flush_lazy(out);
        self.push(record, Some(after), out);
    }

    /// Gathers a record that nothing urgent waits for.
    fn write_lazily(&mut self, now: Timestamp, record: Record, after: Option<After>) {
        self.lazy.push((record, after));
        self.lazy_since.get_or_insert(now);
    }

    fn flush_lazy(&mut self, out: &mut Vec<Output>) {
        self.lazy_since = None;
        for (record, after) in std::mem::take(&mut self.lazy) {
            self.push(record, after, out);
        }
    }

    fn push(&mut self, record: Record, after: Option<After>, out: &mut Vec<Output>) {
        self.mark += 1;
        out.push(Output::Write(self.mark, record));
        self.after.extend(after.map(|a| (self.mark, a)));
    }

    fn written(&mut self, now: Timestamp, mark: u64, out: &mut Vec<Output>) {
        while self.after.front().is_some_and(|(m, _)| *m <= mark) {
            let Some((_, after)) = self.after.pop_front() else { break };
            self.act(now, after, out);
        }
    }

    fn act(&mut self, now: Timestamp, after: After, out: &mut Vec<Output>) {
        match after {
            // whoever hands everything over accepts nothing and offers nothing any more
            _ if self.gone && !matches!(after, After::Leave) => {}
            After::Accept(activation) => self.accept(now, activation),
            After::Decided(activation, products) => {
                self.accept(now, activation);
                products.into_iter().for_each(|(p, seq)| self.outbox.durable(p, seq));
            }
            After::Release(product, seq) => self.outbox.durable(product, seq),
            After::Leave => self.leave_durably(out),
            After::Done(product) => {
                let replica = self.outbox.entry_replica(product);
                self.outbox.done(product);
                self.note_watermark(now, replica);
            }
        }
    }

    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Tokens held, for metrics and for tests.
    pub fn held(&self) -> usize {
        self.held.len() + self.orphans.len()
    }

    /// Products not yet accepted by their receivers.
    pub fn unanswered(&self) -> usize {
        self.outbox.len()
    }

    /// Ids remembered for the sake of duplicates.
    pub fn remembered(&self) -> usize {
        self.inbox.len()
    }

    /// Services that something could be offered to, had they a replica that is there.
    pub fn seeking(&self) -> BTreeSet<ServiceName> {
        self.outbox.seeking()
    }

    /// Replicas that something is to be offered to, so that the shell keeps links to them.
    pub fn wanted_peers(&self) -> impl Iterator<Item = Incarnation> {
        self.outbox.wanted()
    }

    /// The products of a held activation travel under this trace context instead of its token's.
    pub fn travels_under(&mut self, activation: ActivationId, trace: TraceContext) {
        if let Some(held) = self.held.get_mut(&activation) {
            Arc::make_mut(&mut held.token).trace = trace;
        }
    }

    /// Reports up to it are DONE on this disk.
    pub fn ledger_watermark(&self) -> u64 {
        self.outbox.watermark(Outbox::LEDGER)
    }

    /// True when everything is being handed over, perhaps since an earlier life.
    pub fn is_leaving(&self) -> bool {
        self.gone
    }

    /// True once no more tokens are taken.
    pub fn is_draining(&self) -> bool {
        self.draining
    }
}
