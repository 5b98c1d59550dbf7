//! Around a [`Log`]: the thread that takes what has gathered, commits it at once and announces it, and the way past
//! it, for an owner that has nothing else to do anyway.
//!
//! While one commit is on its way the next one gathers, and where commits come close after each other one is held back
//! for a moment, so that it carries several ([`Pace`]). The thread sleeps when nothing is queued; only a full disk
//! makes it look again every second. On a fast disk a commit is over before the thread would have run, so one that
//! nothing is before, and nothing is beside, is made where it is asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Disk, Error, FAST_SYNC, Log, Lsn, Pace, Status};
use crate::memory::{self, TRIM_AFTER};

/// How often a full disk is tried again, beside every time that something is appended.
const FULL_RETRY: Duration = Duration::from_secs(1);
/// Bytes of one commit that leave behind what is worth giving back, [`TRIM_AFTER`] the last of them. So does every checkpoint.
const MUCH: u64 = 256 << 10;

/// What the owner asks of the writer.
#[derive(Debug)]
pub(super) enum Command {
    Append(Vec<Bytes>),
    Checkpoint(Vec<Bytes>),
    /// A commit past the thread has failed: the journal ends.
    Fail(Error),
}

/// What owner and writer share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// The position up to which everything is durable.
    pub(super) durable: watch::Sender<Lsn>,
    pub(super) status: watch::Sender<Status>,
    /// Bytes appended that are not durable yet.
    backlog: AtomicU64,
    backlog_limit: u64,
    /// Bytes in the log since its last checkpoint.
    written: AtomicU64,
    ended: AtomicBool,
}

#[derive(Debug)]
struct Queue {
    commands: Vec<Command>,
    last: Lsn,
    /// The thread has taken commands and is not done with them.
    busy: bool,
    /// The thread should look after the log.
    attend: bool,
    closing: bool,
    pace: Pace,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(last: Lsn, written: u64, backlog_limit: u64, status: Status) -> Self {
        let (commands, pace) = (Vec::new(), Pace::default());
        Self {
            queue: Mutex::new(Queue { commands, last, busy: false, attend: false, closing: false, pace }),
            wake: Condvar::new(),
            durable: watch::Sender::new(last),
            status: watch::Sender::new(status),
            backlog: AtomicU64::new(0),
            backlog_limit,
            written: AtomicU64::new(written),
            ended: AtomicBool::new(false),
        }
    }

    pub(super) fn push(&self, command: Command) -> Lsn {
        let mut queue = self.queue();
        match &command {
            Command::Append(records) => {
                queue.pace.asked(Instant::now());
                queue.last.0 += records.len() as u64;
                self.backlog.fetch_add(size(records), Ordering::Relaxed);
            }
            Command::Checkpoint(_) | Command::Fail(_) => {}
        }
        let last = queue.last;
        // After its end nobody takes commands: they are dropped, and never become durable.
        if !self.ended.load(Ordering::Relaxed) {
            queue.commands.push(command);
            if queue.commands.len() == 1 {
                drop(queue);
                self.wake.notify_one();
            }
        }
        last
    }

    pub(super) fn close(&self) {
        self.queue().closing = true;
        self.wake.notify_one();
    }

    pub(super) fn last(&self) -> Lsn {
        self.queue().last
    }

    pub(super) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(super) fn keeps_up(&self) -> bool {
        self.backlog() < self.backlog_limit
    }

    /// The queue, if nothing in it and nothing taken from it is still to be done.
    fn quiet(&self) -> Option<MutexGuard<'_, Queue>> {
        let queue = self.queue();
        let quiet = queue.commands.is_empty() && !queue.busy && !queue.closing;
        (quiet && !self.ended.load(Ordering::Relaxed)).then_some(queue)
    }

    /// Has the thread look after the log.
    fn attend(&self) {
        self.queue().attend = true;
        self.wake.notify_one();
    }

    /// Waits for something to do, but not longer than `most`, and swaps commands into `taken`; true when the owner closes.
    fn wait(&self, taken: &mut Vec<Command>, most: Option<Duration>) -> bool {
        let mut queue = self.queue();
        queue.busy = false;
        while queue.commands.is_empty() && !queue.closing && !queue.attend {
            if let Some(most) = most {
                let waited = self.wake.wait_timeout(queue, most);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                break;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut queue.commands, taken);
        (queue.busy, queue.attend) = (true, false);
        queue.closing
    }

    /// Holds a commit of `taken` back for what comes meanwhile, if that is worth it; true when the owner closes.
    fn hold(&self, taken: &mut Vec<Command>, takes: Duration) -> bool {
        let wait = if taken.is_empty() { None } else { self.queue().pace.holds(takes) };
        let Some(wait) = wait else { return false };
        std::thread::sleep(wait);
        let mut queue = self.queue();
        taken.append(&mut queue.commands);
        queue.closing
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The lock is held for pushes and swaps only, which leave it sound.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log, held by whoever commits.
pub(super) struct Writing<D: Disk> {
    log: Log<D>,
    /// Bytes given to the log that are not durable yet.
    waiting: u64,
    /// How long a commit takes when nothing else holds the CPU: what is longer counts little.
    takes: Duration,
}

/// The log of any disk, for the owner's thread.
pub(super) trait AtOnce: Send + Sync {
    /// Commits on this thread; gives the records back if that is not possible now, or not fast.
    fn append(&self, shared: &Shared, records: Vec<Bytes>) -> Result<Lsn, Vec<Bytes>>;
}

// === impl Writing ===

impl<D: Disk> Writing<D> {
    pub(super) fn new(log: Log<D>) -> Self {
        Self { log, waiting: 0, takes: Duration::ZERO }
    }

    fn append(&mut self, records: Vec<Bytes>) {
        self.waiting += size(&records);
        self.log.append(records);
    }

    fn commit(&mut self, shared: &Shared) -> Result<(), Error> {
        let began = Instant::now();
        let durable = self.log.commit()?;
        let took = began.elapsed();
        if self.waiting > 0 {
            self.takes =
                if took < self.takes { took } else { self.takes + (took - self.takes).min(FAST_SYNC * 8) / 16 };
        }
        self.announce(shared, durable);
        self.announce_status(shared);
        Ok(())
    }

    /// What one command asks for.
    fn take(&mut self, shared: &Shared, command: Command) -> Result<(), Error> {
        match command {
            Command::Append(records) => self.append(records),
            Command::Checkpoint(live) => {
                self.commit(shared)?;
                if self.log.checkpoint(&live)? {
                    self.announce(shared, self.log.last());
                }
            }
            Command::Fail(error) => return Err(error),
        }
        Ok(())
    }

    fn announce(&mut self, shared: &Shared, durable: Lsn) {
        shared.written.store(self.log.bytes(), Ordering::Relaxed);
        if durable == self.log.last() {
            shared.backlog.fetch_sub(self.waiting, Ordering::Relaxed);
            self.waiting = 0;
        }
        shared.durable.send_if_modified(|announced| std::mem::replace(announced, durable) != durable);
    }

    fn announce_status(&self, shared: &Shared) {
        let now = self.log.status();
        shared.status.send_if_modified(|status| {
            let news = *status != now;
            *status = now;
            news
        });
    }
}

impl<D> AtOnce for Mutex<Writing<D>>
where
    D: Disk + Send,
    D::File: Send,
{
    fn append(&self, shared: &Shared, records: Vec<Bytes>) -> Result<Lsn, Vec<Bytes>> {
        let Some(mut queue) = shared.quiet() else { return Err(records) };
        let Ok(mut writing) = self.try_lock() else { return Err(records) };
        let slow = writing.takes > FAST_SYNC || queue.pace.holds(writing.takes).is_some();
        if slow || writing.log.status() != Status::Running {
            return Err(records);
        }
        queue.pace.asked(Instant::now());
        queue.last.0 += records.len() as u64;
        let last = queue.last;
        // Whatever is queued from here on finds the log held, and so comes after this.
        drop(queue);
        shared.backlog.fetch_add(size(&records), Ordering::Relaxed);
        writing.append(records);
        let committed = writing.commit(shared);
        let attend = writing.log.needs_care() || writing.log.status() != Status::Running;
        drop(writing);
        match committed {
            Err(error) => drop(shared.push(Command::Fail(error))),
            Ok(()) if attend => shared.attend(),
            Ok(()) => {}
        }
        Ok(last)
    }
}

/// Publishes a failure if the thread ends in any other way than it should.
struct Ending<'a> {
    shared: &'a Shared,
    as_status: Status,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        self.shared.ended.store(true, Ordering::Relaxed);
        queue.commands.clear();
        drop(queue);
        self.shared.status.send_replace(self.as_status.clone());
    }
}

/// Runs until the owner closes, or writing fails.
pub(super) fn run<D: Disk>(writing: &Mutex<Writing<D>>, shared: &Shared) {
    let panicked = || Status::Failed("whoever wrote the journal panicked".into());
    let mut ending = Ending { shared, as_status: panicked() };
    ending.as_status = match until_closed(writing, shared) {
        Ok(status) => status.unwrap_or_else(panicked),
        Err(error) => Status::Failed(Arc::from(error.to_string())),
    };
}

/// `None` when the log was left in the middle of something.
fn until_closed<D: Disk>(log: &Mutex<Writing<D>>, shared: &Shared) -> Result<Option<Status>, Error> {
    let mut commands = Vec::new();
    let mut much = false;
    loop {
        let Ok(mut writing) = log.lock() else { return Ok(None) };
        writing.log.maintain()?;
        writing.announce_status(shared);
        let (full, takes) = (writing.log.status() == Status::Full, writing.takes);
        drop(writing);
        let most = if full { Some(FULL_RETRY) } else { much.then_some(TRIM_AFTER) };
        let closing = shared.wait(&mut commands, most) || shared.hold(&mut commands, takes);
        if commands.is_empty() && most == Some(TRIM_AFTER) {
            memory::trim();
            much = false;
        }
        let Ok(mut writing) = log.lock() else { return Ok(None) };
        for command in commands.drain(..) {
            much |= matches!(command, Command::Checkpoint(_));
            writing.take(shared, command)?;
        }
        much |= writing.waiting > MUCH;
        writing.commit(shared)?;
        if closing {
            let durable = writing.log.close()?;
            writing.announce(shared, durable);
            let left = durable < writing.log.last();
            return Ok(Some(if left { Status::Full } else { Status::Closed }));
        }
    }
}

fn size(records: &[Bytes]) -> u64 {
    records.iter().map(|record| record.len() as u64 + 4).sum()
}
