//! The one loop that owns the ledger: gathers what happens, commits it in batches, and lets effects go afterwards.
//!
//! ```text
//! handle --Command--> gather -> Ledger::handle -> batch --commit--> store
//! links  --Event---->                               |                 |
//! handle <--answers, acks, offers, waiters-- release <---- durable ---+
//! ```
//!
//! Promises: an effect goes when every write before it is durable, in order; while one batch is committed the next one
//! gathers, so that under load a commit carries many instances; a commit that fails ends the loop, and nothing that
//! depended on it was said to anybody. Decides nothing: that is [`crate::ledger`].

mod batch;
mod command;
mod handle;
mod release;
mod tasks;
mod waiters;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hop::identity::Accounts;
use hop::link::{self, Links};
use routing::{Incarnation, Timestamp};
use runtime::clock::{self, Clock};
use runtime::drain::DrainWatcher;
use runtime::memory::Activity;
use runtime::telemetry::Tracer;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

pub(crate) use command::{Refused, Settled};
pub(crate) use handle::Handle;

use crate::ledger::{Input, InstanceView, Ledger, Output};
use crate::mesh::Mesh;
use crate::metrics::Metrics;
use crate::store::{self, AnyStore, Store};
use crate::trace::Hops;
use batch::{Batch, Effect};
use command::{Command, ForCarriers, Pending};
use waiters::Waiters;

/// Commands that may wait; then starts are refused (429) and sidecars are read more slowly.
const QUEUE: usize = 8192;
/// Commands and events handled before a commit is begun.
const GATHER: usize = 2048;
/// Changes that a slow watcher may lag behind.
const CHANGES: usize = 4096;

/// What the loop works with.
pub(crate) struct Parts {
    pub(crate) ledger: Ledger,
    pub(crate) store: AnyStore,
    pub(crate) mesh: Mesh,
    pub(crate) hops: Hops,
    pub(crate) links: Links,
    /// What the links go by.
    pub(crate) accounts: Accounts,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) activity: Activity,
}

/// The loop, before it runs.
pub(crate) struct LedgerTask {
    parts: Parts,
    commands: mpsc::Receiver<Command>,
    changes: broadcast::Sender<Arc<InstanceView>>,
    /// Topics that have new records.
    appended: broadcast::Sender<Arc<str>>,
    carriers: ForCarriers,
    asked: HashMap<u64, Pending>,
    requests: u64,
    waiters: Waiters,
    gathering: Batch,
    committing: Option<Committing>,
    out: Vec<Output>,
    addresses: HashMap<Incarnation, link::Target>,
    spans: hop::spans::Hops,
    timed: hop::metrics::Hops,
}

struct Committing {
    done: Pin<Box<dyn Future<Output = Result<(), store::Error>> + Send>>,
    mark: u64,
    effects: Vec<Effect>,
    since: Instant,
}

impl LedgerTask {
    /// The loop and the handle to it.
    pub(crate) fn new(parts: Parts) -> (Self, Handle) {
        let (sender, commands) = mpsc::channel(QUEUE);
        let changes = broadcast::Sender::new(CHANGES);
        let appended = broadcast::Sender::new(CHANGES);
        let carriers = ForCarriers::default();
        let handle = Handle::new(sender, changes.clone(), appended.clone(), carriers.clone(), parts.store.clone());
        carriers.tells_hops.store(parts.ledger.tells_hops(), Ordering::Relaxed);
        let spans = hop::spans::Hops::new(parts.tracer.clone());
        let timed = hop::metrics::Hops::new(parts.metrics.hops.clone(), parts.tracer.is_exporting());
        let task = Self {
            parts,
            commands,
            changes,
            appended,
            carriers,
            asked: HashMap::new(),
            requests: 0,
            waiters: Waiters::default(),
            gathering: Batch::default(),
            committing: None,
            out: Vec::new(),
            addresses: HashMap::new(),
            spans,
            timed,
        };
        (task, handle)
    }

    /// Runs until `stop`, then commits what has gathered. At the drain, whoever waits for an end is told to come again.
    pub(crate) async fn run(
        mut self,
        mut drain: DrainWatcher,
        mut stop: oneshot::Receiver<()>,
    ) -> Result<(), store::Error> {
        let now = self.now();
        self.parts.ledger.begin(now, &mut self.out);
        self.sort();
        self.endpoints();
        self.flush();
        let mut commands = Vec::with_capacity(256);
        let mut draining = false;
        loop {
            let wake = self.sleep();
            tokio::select! {
                biased;
                done = committed(&mut self.committing) => self.durable(done)?,
                _ = self.commands.recv_many(&mut commands, GATHER) => {}
                event = self.parts.links.next() => self.event(event),
                () = wake => self.input(Input::Tick),
                () = drain.signaled(), if !draining => {
                    draining = true;
                    self.waiters.clear();
                }
                _ = &mut stop => break,
            }
            self.gather(&mut commands);
        }
        self.finish().await
    }

    fn gather(&mut self, commands: &mut Vec<Command>) {
        for command in commands.drain(..) {
            self.command(command);
        }
        for _ in 0..GATHER {
            match self.parts.links.try_next() {
                Some(event) => self.event(event),
                None => break,
            }
        }
        self.flush();
    }

    async fn finish(mut self) -> Result<(), store::Error> {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.command(command);
        }
        self.flush();
        while self.committing.is_some() {
            let done = committed(&mut self.committing).await;
            self.durable(done)?;
            self.flush();
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now().as_millis()
    }

    /// Until the ledger has something to do by itself.
    fn sleep(&self) -> impl Future<Output = ()> + use<> {
        let at = self.parts.ledger.next_tick();
        clock::sleep(at.map(|at| Duration::from_millis(at.saturating_sub(self.now()))))
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        self.parts.ledger.handle(now, input, &mut self.out);
        self.sort();
    }

    /// Offers carry only what is durable already, so they go at once; all else gathers, in order.
    fn sort(&mut self) {
        let now = self.now();
        for output in self.out.drain(..) {
            match output {
                Output::Send(replica, watermark, mut offers) => {
                    for offer in &mut offers {
                        self.spans.offered(offer, now);
                        let token = &offer.product.token;
                        self.timed.offered(token, || self.parts.ledger.sender(token));
                    }
                    self.parts.links.send(replica, watermark, offers);
                }
                other => self.gathering.take(other),
            }
        }
    }

    fn event(&mut self, event: link::Event) {
        if let link::Event::Answered { accepted, ago, .. } = &event {
            let now = self.now();
            for (activation, ago) in accepted.iter().zip(ago) {
                self.spans.accepted(*activation, now.saturating_sub((*ago).into()));
                self.timed.accepted(*activation, Duration::from_millis((*ago).into()), now);
            }
        }
        self.input(match event {
            link::Event::Linked(replica) => Input::Linked(replica),
            link::Event::Unlinked(replica) => Input::Unlinked(replica),
            link::Event::Unreachable { replica, found } => {
                let address = self.addresses.get(&replica).map(|it| it.address.as_str());
                tracing::debug!(sidecar = %replica, address, ?found, "cannot offer to a sidecar");
                Input::Unreachable(replica)
            }
            link::Event::Answered { replica, accepted, refused, .. } => Input::Answered(replica, accepted, refused),
        });
    }

    /// Begins the next commit unless one is under way; what needs none goes at once.
    fn flush(&mut self) {
        while self.committing.is_none() && !self.gathering.is_empty() {
            let Batch { groups, mark, effects } = std::mem::take(&mut self.gathering);
            if mark == 0 {
                self.release(effects);
                continue;
            }
            self.parts.metrics.batch.observe(groups.len() as f64);
            let store = self.parts.store.clone();
            let batch = store::Batch { groups };
            let done = Box::pin(async move { store.commit(batch).await });
            self.committing = Some(Committing { done, mark, effects, since: Instant::now() });
        }
    }

    fn durable(&mut self, done: Result<Committing, store::Error>) -> Result<(), store::Error> {
        let Committing { mark, effects, since, .. } = done?;
        self.parts.metrics.commits.observe(since.elapsed());
        self.release(effects);
        self.parts.activity.touch();
        self.input(Input::Written(mark));
        self.link();
        Ok(())
    }

    /// Keeps links to every replica that something is to be offered to.
    fn link(&mut self) {
        let links = &mut self.parts.links;
        for replica in self.parts.ledger.wanted_peers() {
            if let Some(target) = self.addresses.get(&replica) {
                links.want(replica, target.clone());
            }
        }
    }
}

/// Returns when the commit under way has ended; never if there is none.
async fn committed(committing: &mut Option<Committing>) -> Result<Committing, store::Error> {
    let Some(commit) = committing.as_mut() else { return std::future::pending().await };
    let result = commit.done.as_mut().await;
    let commit = committing.take().expect("it was there a moment ago");
    result.map(|()| commit)
}
