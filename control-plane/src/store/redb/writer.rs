//! Commits into the log, and the thread that applies them to redb.
//!
//! ```text
//! commit --(nobody waits, the disk is fast)--> append, sync, overlay      on the caller's thread
//!        --queue--> "flow-store": gathers, then the same                  otherwise
//! overlay --(8 MiB, or quiet for a while)--> "flow-apply": one transaction, then the log's segments go
//! ```
//!
//! On a fast disk a sync is over before another thread would have been woken; on a slow one the caller has other
//! things to do meanwhile, and where commits come close after each other the thread holds one back for the next ([`Pace`]). What is put and deleted again before it is applied costs redb nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use runtime::journal::{FAST_SYNC, Pace};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{Batch, Error, Leadership};
use super::log::Appends;
use super::overlay::Overlay;
use super::record;
use super::table::Table;

/// Without a commit for so long, what is not applied yet is.
const QUIET: Duration = Duration::from_secs(2);
/// One append takes no further batch once it has this many bytes.
const APPEND_BYTES: usize = 16 << 20;
/// Times the overlay's limit that may wait while redb is behind; then commits wait for it.
const BEHIND: usize = 8;

/// What the handles and both threads share.
pub(super) struct Shared {
    pub(super) table: Table,
    log: Mutex<Option<Box<dyn Appends>>>,
    overlay: RwLock<Overlay>,
    leadership: watch::Sender<Leadership>,
    /// Commands sent to the store's thread and not done.
    queued: AtomicUsize,
    /// How long a sync takes when nothing else holds the CPU, in microseconds: what is longer counts little.
    sync: AtomicU64,
    commits: AtomicU64,
    pace: Mutex<Pace>,
    /// Bytes of the overlay that are worth a transaction.
    apply_bytes: usize,
    due: Mutex<Due>,
    wake: Condvar,
    /// Whether the applying thread sleeps until it is woken.
    asleep: AtomicBool,
}

#[derive(Debug, Default)]
struct Due {
    now: bool,
    closing: bool,
}

pub(super) enum Command {
    Commit(Batch, Answer),
    Close(Answer),
}

pub(super) type Answer = oneshot::Sender<Result<(), Error>>;

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked has left the store unusable in a way that the next sync or transaction tells.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(table: Table, log: Box<dyn Appends>, apply_bytes: usize) -> Self {
        Self {
            table,
            log: Mutex::new(Some(log)),
            overlay: RwLock::default(),
            leadership: watch::Sender::new(Leadership::Leader { term: 0 }),
            queued: AtomicUsize::new(0),
            sync: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            pace: Mutex::default(),
            apply_bytes,
            due: Mutex::default(),
            wake: Condvar::new(),
            asleep: AtomicBool::new(false),
        }
    }

    pub(super) fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    pub(super) fn overlay(&self) -> RwLockReadGuard<'_, Overlay> {
        self.overlay.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        self.overlay.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing can be committed any more.
    pub(super) fn ended(&self) -> Error {
        match &*self.leadership.borrow() {
            Leadership::Lost { reason } => reason.clone(),
            Leadership::Standby { .. } | Leadership::Leader { .. } => Error::Closed,
        }
    }

    fn is_lost(&self) -> bool {
        matches!(*self.leadership.borrow(), Leadership::Lost { .. })
    }

    fn lose(&self, reason: &Error) {
        tracing::error!(error = %reason, "the store has failed");
        self.leadership.send_if_modified(|state| {
            let first = !matches!(state, Leadership::Lost { .. });
            if first {
                *state = Leadership::Lost { reason: reason.clone() };
            }
            first
        });
    }

    /// Commits on this thread, unless somebody is before it or the disk is slow; then the batch is given back.
    pub(super) fn at_once(&self, batch: Batch) -> Result<Result<(), Error>, Batch> {
        let slow = self.sync() > FAST_SYNC || self.held_back().is_some();
        if slow || self.queued.load(Relaxed) > 0 || self.is_behind() {
            return Err(batch);
        }
        match self.log.try_lock() {
            Ok(mut log) => {
                held(&self.pace).asked(Instant::now());
                Ok(self.commit(&mut log, vec![batch]))
            }
            Err(_) => Err(batch),
        }
    }

    fn sync(&self) -> Duration {
        Duration::from_micros(self.sync.load(Relaxed))
    }

    /// How long a commit is held back for the next.
    fn held_back(&self) -> Option<Duration> {
        held(&self.pace).holds(self.sync())
    }

    /// Announces a command before it is sent, so that nothing overtakes it.
    pub(super) fn queue(&self) {
        held(&self.pace).asked(Instant::now());
        self.queued.fetch_add(1, Relaxed);
    }

    /// Records into the log, one sync, and into the overlay.
    fn commit(&self, log: &mut Option<Box<dyn Appends>>, batches: Vec<Batch>) -> Result<(), Error> {
        let Some(open) = log.as_mut().filter(|_| !self.is_lost()) else { return Err(self.ended()) };
        let records: Vec<Bytes> = batches.iter().filter(|it| !it.is_empty()).map(record::encode).collect();
        if records.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        if let Err(reason) = open.append(records) {
            // Before the answer, so that whoever sees it also sees that it is final.
            self.lose(&reason);
            return Err(reason);
        }
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let before = self.sync.load(Relaxed);
        self.sync.store(if took < before { took } else { before + (took - before).min(1 << 32) / 16 }, Relaxed);
        self.commits.fetch_add(1, Relaxed);
        let mut overlay = self.overlay_mut();
        batches.into_iter().for_each(|batch| overlay.commit(batch));
        let full = overlay.bytes() >= self.apply_bytes;
        drop(overlay);
        if full || open.bytes() >= super::LOG_BYTES {
            held(&self.due).now = true;
            self.wake.notify_all();
        } else if self.asleep.swap(false, Relaxed) {
            // it looks again by itself from now on; holding the lock it cannot be about to sleep
            let _due = held(&self.due);
            self.wake.notify_all();
        }
        Ok(())
    }

    fn is_behind(&self) -> bool {
        self.overlay().bytes() > BEHIND * self.apply_bytes
    }

    /// Waits while redb is far behind.
    fn let_it_catch_up(&self) {
        while self.is_behind() && !self.is_lost() {
            let due = held(&self.due);
            let _ = self.wake.wait_timeout(due, Duration::from_millis(20));
        }
    }

    /// Sets aside what has gathered, applies it, and lets the log forget it.
    fn apply(&self) -> Result<(), Error> {
        let mut log = held(&self.log);
        // a log that failed has given out positions that it may not hold
        let nothing = self.is_lost() || self.overlay().is_empty();
        let Some(open) = log.as_mut().filter(|_| !nothing) else { return Ok(()) };
        let upto = open.roll()?;
        let frozen = self.overlay_mut().freeze();
        drop(log);
        self.table.apply(&frozen, upto)?;
        let thawed = self.overlay_mut().thaw();
        // freeing so many takes a moment that nobody should have to wait for
        drop((frozen, thawed));
        held(&self.log).as_mut().map_or(Ok(()), |log| log.forget(upto))
    }

    /// Takes what the log held when it was opened.
    pub(super) fn replay(&self, batches: Vec<Batch>) -> Result<(), Error> {
        let mut overlay = self.overlay_mut();
        batches.into_iter().for_each(|batch| overlay.commit(batch));
        drop(overlay);
        self.apply()
    }

    /// Bytes of the log.
    pub(super) fn log_bytes(&self) -> u64 {
        held(&self.log).as_ref().map_or(0, |log| log.bytes())
    }

    fn close(&self) -> Result<(), Error> {
        let log = held(&self.log).take();
        let closed = match log {
            Some(mut log) if !self.is_lost() => log.close(),
            _ => Ok(()),
        };
        closed.and(self.table.close())
    }
}

/// Starts both threads.
pub(super) fn start(shared: &Arc<Shared>, commands: mpsc::Receiver<Command>) -> std::io::Result<()> {
    let applying = {
        let shared = Arc::clone(shared);
        thread::Builder::new().name("flow-apply".to_owned()).spawn(move || apply_until_closed(&shared))?
    };
    let writer = Writer { shared: Arc::clone(shared), commands, applying: Some(applying) };
    thread::Builder::new().name("flow-store".to_owned()).spawn(move || writer.run())?;
    Ok(())
}

/// Applies when there is enough, or when it has been quiet for a while; the rest at the end.
fn apply_until_closed(shared: &Shared) {
    loop {
        let closing = wait_until_due(shared);
        if shared.is_lost() {
            return;
        }
        if let Err(reason) = shared.apply() {
            shared.lose(&reason);
            return;
        }
        shared.wake.notify_all();
        if closing {
            return;
        }
    }
}

fn wait_until_due(shared: &Shared) -> bool {
    let mut due = held(&shared.due);
    let mut seen = shared.commits.load(Relaxed);
    loop {
        if due.now || due.closing {
            due.now = false;
            return due.closing;
        }
        // said before looking, so that a commit behind the look sees it
        shared.asleep.store(true, Relaxed);
        if shared.overlay().is_empty() {
            due = shared.wake.wait(due).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        shared.asleep.store(false, Relaxed);
        let waited = shared.wake.wait_timeout(due, QUIET).unwrap_or_else(PoisonError::into_inner);
        due = waited.0;
        let commits = shared.commits.load(Relaxed);
        if waited.1.timed_out() && commits == seen {
            return due.closing;
        }
        seen = commits;
    }
}

/// The thread that commits what could not be committed at once.
struct Writer {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    applying: Option<JoinHandle<()>>,
}

impl Writer {
    fn run(mut self) {
        while let Some(first) = self.commands.blocking_recv() {
            self.shared.let_it_catch_up();
            if let Some(wait) = self.shared.held_back() {
                thread::sleep(wait);
            }
            let log = &self.shared.log;
            let mut log = held(log);
            let (batches, waiting, close) = gather(&mut self.commands, first);
            let outcome = self.shared.commit(&mut log, batches);
            drop(log);
            self.shared.queued.fetch_sub(waiting.len() + usize::from(close.is_some()), Relaxed);
            for done in waiting {
                // A caller that has gone does not need the answer.
                let _ = done.send(outcome.clone());
            }
            if let Some(done) = close {
                self.commands.close();
                let _ = done.send(self.close());
            }
            if self.shared.is_lost() {
                break;
            }
        }
        self.commands.close();
        // Those still queued learn from their dropped channels why (`Shared::ended`).
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the store was not closed cleanly; its log will be applied when it is opened again");
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        held(&self.shared.due).closing = true;
        self.shared.wake.notify_all();
        if let Some(applying) = self.applying.take() {
            // a panic in it is a transaction that did not take place: the log still has it
            let _ = applying.join();
        }
        self.shared.close()
    }
}

/// Whatever waits, up to a bound; a `Close` ends the gathering.
fn gather(commands: &mut mpsc::Receiver<Command>, first: Command) -> (Vec<Batch>, Vec<Answer>, Option<Answer>) {
    let (mut batches, mut waiting, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(command) = next {
        match command {
            Command::Commit(batch, done) => {
                bytes += batch.bytes();
                batches.push(batch);
                waiting.push(done);
            }
            Command::Close(done) => return (batches, waiting, Some(done)),
        }
        next = (bytes < APPEND_BYTES).then(|| commands.try_recv().ok()).flatten();
    }
    (batches, waiting, None)
}
