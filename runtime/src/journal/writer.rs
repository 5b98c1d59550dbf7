//! The thread around a [`Log`]: takes what has gathered, commits it at once, announces it.
//!
//! No timer decides on a batch: while one commit is on its way the next one gathers. The thread
//! sleeps when nothing is queued; only a full disk makes it look again every second.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::{Disk, Error, Log, Lsn, Status};

/// How often a full disk is tried again, beside every time that something is appended.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// What the owner asks of the writer.
#[derive(Debug)]
pub(super) enum Command {
    Append(Vec<Bytes>),
    Checkpoint(Vec<Bytes>),
}

/// What owner and writer share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
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
    closing: bool,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(last: Lsn, written: u64, backlog_limit: u64) -> Self {
        Self {
            queue: Mutex::new(Queue { commands: Vec::new(), last, closing: false }),
            wake: Condvar::new(),
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
                queue.last.0 += records.len() as u64;
                self.backlog.fetch_add(size(records), Ordering::Relaxed);
            }
            Command::Checkpoint(_) => {}
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

    /// Waits for commands and swaps them into `taken`; true when the owner closes.
    fn wait(&self, taken: &mut Vec<Command>, full: bool) -> bool {
        let mut queue = self.queue();
        while queue.commands.is_empty() && !queue.closing {
            if full {
                let waited = self.wake.wait_timeout(queue, FULL_RETRY);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                break;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut queue.commands, taken);
        queue.closing
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The lock is held for pushes and swaps only, which leave it sound.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Publishes a failure if the thread ends in any other way than it should.
struct Ending<'a> {
    shared: &'a Shared,
    status: &'a watch::Sender<Status>,
    as_status: Status,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        self.shared.ended.store(true, Ordering::Relaxed);
        queue.commands.clear();
        drop(queue);
        self.status.send_replace(self.as_status.clone());
    }
}

/// Runs until the owner closes, or writing fails.
pub(super) fn run<D: Disk>(log: Log<D>, shared: &Shared, durable: &watch::Sender<Lsn>, status: &watch::Sender<Status>) {
    let as_status = Status::Failed("the journal's thread panicked".into());
    let mut ending = Ending { shared, status, as_status };
    let mut writer = Writer { log, shared, durable, status, waiting: 0 };
    ending.as_status = match writer.run() {
        Ok(status) => status,
        Err(error) => Status::Failed(Arc::from(error.to_string())),
    };
}

struct Writer<'a, D: Disk> {
    log: Log<D>,
    shared: &'a Shared,
    durable: &'a watch::Sender<Lsn>,
    status: &'a watch::Sender<Status>,
    /// Bytes given to the log that are not durable yet.
    waiting: u64,
}

// === impl Writer ===

impl<D: Disk> Writer<'_, D> {
    fn run(&mut self) -> Result<Status, Error> {
        let mut commands = Vec::new();
        loop {
            self.log.maintain()?;
            self.announce_status();
            let full = self.log.status() == Status::Full;
            let closing = self.shared.wait(&mut commands, full);
            for command in commands.drain(..) {
                match command {
                    Command::Append(records) => {
                        self.waiting += size(&records);
                        self.log.append(records);
                    }
                    Command::Checkpoint(live) => {
                        self.commit()?;
                        if self.log.checkpoint(&live)? {
                            self.announce(self.log.last());
                        }
                    }
                }
            }
            self.commit()?;
            if closing {
                let durable = self.log.close()?;
                self.announce(durable);
                let left = durable < self.log.last();
                return Ok(if left { Status::Full } else { Status::Closed });
            }
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        let durable = self.log.commit()?;
        self.announce(durable);
        self.announce_status();
        Ok(())
    }

    fn announce(&mut self, durable: Lsn) {
        self.shared.written.store(self.log.bytes(), Ordering::Relaxed);
        if durable == self.log.last() {
            self.shared.backlog.fetch_sub(self.waiting, Ordering::Relaxed);
            self.waiting = 0;
        }
        self.durable.send_if_modified(|announced| {
            let news = *announced != durable;
            *announced = durable;
            news
        });
    }

    fn announce_status(&self) {
        let now = self.log.status();
        self.status.send_if_modified(|status| {
            let news = *status != now;
            *status = now;
            news
        });
    }
}

fn size(records: &[Bytes]) -> u64 {
    records.iter().map(|record| record.len() as u64 + 4).sum()
}
