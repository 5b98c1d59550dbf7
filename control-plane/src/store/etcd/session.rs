//! A flowd's life in etcd: it takes a lease, stands for leadership, waits by watching the leader's key, leads, and ends.
//!
//! Leading ends when the lease may have run out by this clock, when etcd says so, or when a guarded transaction is refused;
//! and then for good. The clock decides only when to stop trying: that nobody writes after its time is ensured by the guard
//! of each transaction, whatever the clocks say.

use std::{convert::Infallible, time::Duration};

use etcd_client::{Compare, CompareOp, EventType, PutOptions, Txn, TxnOp, TxnOpResponse, WatchOptions};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Cluster, Pending, committer::Committer, reason};
use crate::store::{Error, Leadership};

/// Between attempts while etcd is away.
const PAUSE: Duration = Duration::from_millis(200);
/// Batches taken from the queue at once.
const BATCHES: usize = 64;
/// History older than one to two of these is compacted away.
const COMPACT: Duration = Duration::from_secs(60);

pub(super) struct Session {
    cluster: Cluster,
    advertise: Vec<u8>,
    /// Time to live of the lease, whole seconds.
    lease: Duration,
    state: watch::Sender<Leadership>,
    commits: mpsc::Receiver<Pending>,
    close: CancellationToken,
}

/// How a lease ended.
enum End {
    /// The handle was closed.
    Closed,
    /// The lease ran out before anything was led; stand again.
    Expired,
    /// Leadership was lost.
    Lost(Error),
}

impl Session {
    pub(super) fn new(
        cluster: Cluster,
        advertise: &str,
        lease: Duration,
        state: watch::Sender<Leadership>,
        commits: mpsc::Receiver<Pending>,
        close: CancellationToken,
    ) -> Self {
        let lease =
            Duration::from_secs(lease.as_secs() + u64::from(lease.subsec_nanos() > 0)).max(Duration::from_secs(1));
        Self { cluster, advertise: advertise.as_bytes().to_vec(), lease, state, commits, close }
    }

    pub(super) async fn run(mut self) {
        loop {
            let granted = Instant::now();
            let mut leases = self.cluster.client.lease_client();
            let seconds = i64::try_from(self.lease.as_secs()).unwrap_or(i64::MAX);
            let grant = self.cluster.call("take a lease from", Box::pin(leases.grant(seconds, None)));
            let grant = tokio::select! {
                grant = grant => grant,
                () = self.close.cancelled() => break,
            };
            let lease = match grant {
                Ok(grant) => grant.id(),
                Err(error) => {
                    tracing::warn!(%error, "standing by");
                    tokio::select! {
                        () = sleep(PAUSE) => continue,
                        () = self.close.cancelled() => break,
                    }
                }
            };
            match Box::pin(self.hold(lease, granted)).await {
                End::Closed => {
                    self.revoke(lease).await;
                    break;
                }
                End::Expired => {
                    tracing::warn!("the lease ran out while standing by; taking another")
                }
                End::Lost(reason) => {
                    tracing::error!(%reason, "this flowd no longer leads");
                    self.state.send_replace(Leadership::Lost { reason: reason.clone() });
                    self.refuse(&reason);
                    self.revoke(lease).await;
                    break;
                }
            }
        }
        self.refuse(&Error::Closed);
    }

    /// Stands and leads under one lease, which a second future keeps alive.
    async fn hold(&mut self, lease: i64, granted: Instant) -> End {
        let keep_alive = keep_alive(self.cluster.clone(), lease, granted, self.lease);
        let state = self.state.clone();
        let expired = async move {
            let reason = Error::Fenced { reason: keep_alive.await };
            // Before the commit under way is dropped, so that who waited for it is told why.
            let led = state.send_if_modified(|state| {
                let led = matches!(state, Leadership::Leader { .. });
                if led {
                    *state = Leadership::Lost { reason: reason.clone() };
                }
                led
            });
            if led { End::Lost(reason) } else { End::Expired }
        };
        tokio::select! {
            end = self.stand_and_lead(lease) => end,
            end = expired => end,
        }
    }

    async fn stand_and_lead(&mut self, lease: i64) -> End {
        let close = self.close.clone();
        let mut committer = tokio::select! {
            committer = self.stand(lease) => match committer {
                Ok(committer) => committer,
                Err(Error::Fenced { .. }) => return End::Expired,
                Err(error) => return End::Lost(error),
            },
            () = close.cancelled() => return End::Closed,
        };
        let history = compact(self.cluster.clone());
        tokio::select! {
            result = self.lead(&mut committer) => match result {
                Ok(()) => End::Closed,
                Err(error) => End::Lost(error),
            },
            never = history => match never {},
        }
    }

    /// Until this flowd leads and has put in order what its predecessor left.
    async fn stand(&mut self, lease: i64) -> Result<Committer, Error> {
        let term = loop {
            match self.campaign(lease).await {
                Ok(Some(term)) => break term,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot stand for leadership");
                    sleep(PAUSE).await;
                }
            }
        };
        let mut committer = Committer::new(self.cluster.clone(), term);
        loop {
            match committer.take_over().await {
                Ok(()) => break,
                Err(error @ Error::Unavailable { .. }) => {
                    tracing::warn!(%error, "cannot take over yet");
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.state.send_replace(Leadership::Leader { term: term.unsigned_abs() });
        tracing::info!(term, "this flowd leads");
        Ok(committer)
    }

    /// One attempt; behind another leader it returns once that one has gone, or after a lease's time to look again.
    async fn campaign(&mut self, lease: i64) -> Result<Option<i64>, Error> {
        let key = self.cluster.keys.leader();
        let transaction = Txn::new()
            .when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(key.clone(), self.advertise.clone(), Some(PutOptions::new().with_lease(lease)))])
            .or_else([TxnOp::get(key.clone(), None)]);
        let mut kv = self.cluster.kv();
        let answer = self.cluster.call("stand for leadership in", Box::pin(kv.txn(transaction))).await?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        if answer.succeeded() {
            return Ok(Some(revision));
        }
        for response in answer.op_responses() {
            let TxnOpResponse::Get(found) = response else {
                continue;
            };
            let Some(holder) = found.kvs().first() else {
                continue;
            };
            if holder.lease() == lease {
                // The key was put by an attempt whose answer was lost.
                return Ok(Some(holder.create_revision()));
            }
            let leader = Some(String::from_utf8_lossy(holder.value()).into_owned());
            self.state.send_replace(Leadership::Standby { leader });
        }
        // A watch that died without a word must not keep a standby waiting: it looks again.
        match timeout(self.lease, self.leader_gone(key, revision + 1)).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(None),
        }
    }

    async fn leader_gone(&self, key: Vec<u8>, revision: i64) -> Result<(), Error> {
        let mut watches = self.cluster.client.watch_client();
        let options = WatchOptions::new().with_start_revision(revision);
        let mut events = self.cluster.call("watch", Box::pin(watches.watch(key, Some(options)))).await?;
        loop {
            let answer = events.message().await.map_err(|error| self.cluster.unavailable("watch", reason(&error)))?;
            let Some(answer) = answer else { return Ok(()) };
            if answer.canceled() || answer.events().iter().any(|event| event.event_type() == EventType::Delete) {
                return Ok(());
            }
        }
    }

    async fn lead(&mut self, committer: &mut Committer) -> Result<(), Error> {
        let close = self.close.clone();
        let mut closing = false;
        loop {
            let mut pending = Vec::new();
            tokio::select! {
                taken = self.commits.recv_many(&mut pending, BATCHES) => if taken == 0 {
                    return Ok(());
                },
                // What is in the queue is still committed.
                () = close.cancelled(), if !closing => {
                    self.commits.close();
                    closing = true;
                }
            }
            Box::pin(committer.commit(pending)).await?;
        }
    }

    /// Answers what is left in the queue; later commits find it closed.
    fn refuse(&mut self, error: &Error) {
        self.commits.close();
        while let Ok(Pending { done, .. }) = self.commits.try_recv() {
            let _ = done.send(Err(error.clone()));
        }
    }

    /// Lets a standby take over at once. If etcd is away the lease runs out by itself.
    async fn revoke(&self, lease: i64) {
        let mut leases = self.cluster.client.lease_client();
        if let Err(error) = self.cluster.call("give back the lease to", Box::pin(leases.revoke(lease))).await {
            tracing::debug!(%error, "the lease will run out by itself");
        }
    }
}

/// Keeps the lease alive; returns why it must be taken for lost. The time of each request counts, not of its answer, so
/// this clock runs out before etcd's.
async fn keep_alive(cluster: Cluster, lease: i64, granted: Instant, ttl: Duration) -> String {
    let mut good_until = granted + ttl;
    let mut last = String::from("no answer");
    let mut pause = ttl / 3;
    loop {
        sleep(pause.min(good_until.saturating_duration_since(Instant::now()))).await;
        let sent = Instant::now();
        if sent >= good_until {
            return format!("etcd at {} did not renew the lease in time: {last}", cluster.endpoints);
        }
        let mut leases = cluster.client.lease_client();
        // A short stream for each beat: nothing to repair after a broken connection.
        match timeout((ttl / 3).min(good_until - sent), Box::pin(leases.keep_alive(lease))).await {
            Ok(Ok(_)) => {
                good_until = sent + ttl;
                pause = ttl / 3;
                continue;
            }
            Ok(Err(etcd_client::Error::LeaseKeepAliveError(_))) => {
                return "etcd says that the lease has run out".to_owned();
            }
            Ok(Err(error)) => last = reason(&error),
            Err(_) => last = "no answer".to_owned(),
        }
        pause = ttl / 20;
    }
}

/// Without this etcd keeps every version of every key and stops at its quota. Failing is harmless: another round follows.
async fn compact(cluster: Cluster) -> Infallible {
    let mut rounds = interval(COMPACT);
    let mut last_round = None;
    loop {
        rounds.tick().await;
        let Ok(answer) = cluster.read(cluster.keys.leader(), None).await else {
            continue;
        };
        let revision = answer.header().map(etcd_client::ResponseHeader::revision);
        if let Some(revision) = std::mem::replace(&mut last_round, revision) {
            let mut kv = cluster.kv();
            if let Err(error) = cluster.call("compact", Box::pin(kv.compact(revision, None))).await {
                tracing::debug!(%error, "history not compacted");
            }
        }
    }
}
