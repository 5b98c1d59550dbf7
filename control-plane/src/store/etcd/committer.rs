//! The leader's writing half: packs groups into guarded transactions, one at a time and in order.
//!
//! A leader first carries out what its predecessors left half done ([`Committer::take_over`]): intents that were durable,
//! and pieces of large values that nothing refers to. It knows from then on, in memory, which keys hold large values, so
//! that replacing one deletes its pieces in the same transaction, and all other writes need no look first.

use std::{collections::BTreeMap, mem, time::Duration};

use bytes::Bytes;
use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, ResponseHeader, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    CALL, Cluster, Pending, behind,
    layout::{Generation, PIECE, Stored, decode_group, encode_group, prefix_end},
    reason,
};
use crate::store::{Batch, Error, FORMAT_VERSION, Write};

/// Operations of a transaction: etcd's default limit is 128, and one goes to the turn.
const TRANSACTION_OPERATIONS: usize = 127;
/// Bytes of a transaction; etcd's default limit for a request is 1.5 MiB.
const TRANSACTION_BYTES: usize = PIECE + PIECE / 4;
/// What an operation adds to its key and value, about.
const OPERATION_BYTES: usize = 64;
/// Keys per page while taking over.
const PAGE: i64 = 1000;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Committer {
    cluster: Cluster,
    term: i64,
    /// Number of the last large value written in this term.
    number: u64,
    /// The keys whose values lie in pieces.
    chunked: BTreeMap<Bytes, Generation>,
    /// Number of the last transaction of this term, and the revision it left behind in the turn key.
    turn: u64,
    turn_revision: i64,
}

/// What goes into the next transaction: the last write of each key.
#[derive(Default)]
struct Plan {
    writes: BTreeMap<Bytes, Option<Bytes>>,
    operations: usize,
    bytes: usize,
}

impl Plan {
    fn fits(&self, operations: usize, bytes: usize) -> bool {
        self.operations + operations <= TRANSACTION_OPERATIONS && self.bytes + bytes <= TRANSACTION_BYTES
    }

    fn add(&mut self, group: Vec<Write>, operations: usize, bytes: usize) {
        self.operations += operations;
        self.bytes += bytes;
        self.writes.extend(group.into_iter().map(|write| (write.key, write.value)));
    }
}

impl Committer {
    pub(super) fn new(cluster: Cluster, term: i64) -> Self {
        Self { cluster, term, number: 0, chunked: BTreeMap::new(), turn: 0, turn_revision: 0 }
    }

    /// Commits batches in order and answers each as soon as it is durable. An error is final: it is the answer of the
    /// batch it struck and of all behind it.
    pub(super) async fn commit(&mut self, pending: Vec<Pending>) -> Result<(), Error> {
        let (mut plan, mut waiting) = (Plan::default(), Vec::new());
        let mut result = Ok(());
        for Pending { batch, done } in pending {
            if result.is_ok() {
                result = self.add_batch(&mut plan, &mut waiting, batch).await;
            }
            waiting.push(done);
        }
        if result.is_ok() {
            result = self.flush(&mut plan).await;
        }
        answer(&mut waiting, &result);
        result
    }

    async fn add_batch(
        &mut self,
        plan: &mut Plan,
        waiting: &mut Vec<oneshot::Sender<Result<(), Error>>>,
        batch: Batch,
    ) -> Result<(), Error> {
        for group in batch.groups {
            let (mut operations, mut bytes) = self.cost(&group);
            if !plan.fits(operations, bytes) {
                self.flush(plan).await?;
                answer(waiting, &Ok(()));
                // The flush may have written large values, which cost more to replace.
                (operations, bytes) = self.cost(&group);
            }
            if plan.fits(operations, bytes) {
                plan.add(group, operations, bytes);
            } else {
                self.commit_large(group).await?;
            }
        }
        Ok(())
    }

    /// Operations and bytes, an upper bound: large values count as the reference that is written for them, and every
    /// write of a key that holds one, or may by then, as two operations.
    fn cost(&self, group: &[Write]) -> (usize, usize) {
        group.iter().fold((0, 0), |(operations, bytes), write| {
            let value = write.value.as_ref().map_or(0, Bytes::len);
            let again = usize::from(self.chunked.contains_key(&write.key) || value > PIECE);
            let weight = if value > PIECE { 0 } else { value };
            (operations + 1 + again, bytes + (write.key.len() + OPERATION_BYTES) * (1 + again) + weight)
        })
    }

    /// A group that no transaction can hold: durable and decided once the intent is, then carried out in parts.
    async fn commit_large(&mut self, group: Vec<Write>) -> Result<(), Error> {
        let generation = self.next_generation();
        let encoded = encode_group(&group);
        let name = generation.encode();
        self.write_pieces(&name, generation, &encoded).await?;
        let stored = Stored::chunked(generation, encoded.len());
        self.execute(vec![TxnOp::put(self.cluster.keys.intent(generation), stored, None)]).await?;
        self.carry_out(generation, group).await
    }

    async fn carry_out(&mut self, intent: Generation, group: Vec<Write>) -> Result<(), Error> {
        let mut plan = Plan::default();
        // The last write of each key; then the order no longer matters and each may be repeated.
        let writes: BTreeMap<Bytes, Option<Bytes>> = group.into_iter().map(|write| (write.key, write.value)).collect();
        for (key, value) in writes {
            let write = vec![Write { key, value }];
            let (operations, bytes) = self.cost(&write);
            if !plan.fits(operations, bytes) {
                self.flush(&mut plan).await?;
            }
            plan.add(write, operations, bytes);
        }
        self.flush(&mut plan).await?;
        let pieces = self.delete_pieces(&intent.encode(), intent);
        self.execute(vec![TxnOp::delete(self.cluster.keys.intent(intent), None), pieces]).await
    }

    async fn flush(&mut self, plan: &mut Plan) -> Result<(), Error> {
        let writes = mem::take(plan).writes;
        if writes.is_empty() {
            return Ok(());
        }
        let (mut operations, mut chunked) = (Vec::with_capacity(writes.len()), Vec::new());
        for (key, value) in writes {
            let full = self.cluster.keys.data(&key);
            if let Some(&old) = self.chunked.get(&key) {
                operations.push(self.delete_pieces(&key, old));
                chunked.push((key.clone(), None));
            }
            operations.push(match value {
                None => TxnOp::delete(full, None),
                Some(value) if value.len() <= PIECE => TxnOp::put(full, Stored::inline(&value), None),
                Some(value) => {
                    let generation = self.next_generation();
                    self.write_pieces(&key, generation, &value).await?;
                    chunked.push((key, Some(generation)));
                    TxnOp::put(full, Stored::chunked(generation, value.len()), None)
                }
            });
        }
        self.execute(operations).await?;
        for (key, generation) in chunked {
            match generation {
                Some(generation) => self.chunked.insert(key, generation),
                None => self.chunked.remove(&key),
            };
        }
        Ok(())
    }

    fn next_generation(&mut self) -> Generation {
        self.number += 1;
        Generation { term: self.term.unsigned_abs(), number: self.number }
    }

    /// Pieces lie under a generation of their own: nobody reads them until a key refers to them.
    async fn write_pieces(&mut self, key: &[u8], generation: Generation, value: &Bytes) -> Result<(), Error> {
        for (number, piece) in (0u32..).zip(value.chunks(PIECE)) {
            let full = self.cluster.keys.piece(key, generation, number);
            self.execute(vec![TxnOp::put(full, piece, None)]).await?;
        }
        Ok(())
    }

    fn delete_pieces(&self, key: &[u8], generation: Generation) -> TxnOp {
        let start = self.cluster.keys.pieces(Some((key, generation)));
        let end = prefix_end(&start).unwrap_or_default();
        TxnOp::delete(start, Some(DeleteOptions::new().with_range(end)))
    }

    /// One transaction, guarded by the term and the turn. Sent again until it is answered, however often the answer is lost:
    /// while the term holds nobody else writes, and each transaction moves the turn on, so that it takes effect once and a
    /// copy that the network delivers late takes none. The lease ends the repetition, not a count (see `session`).
    async fn execute(&mut self, mut operations: Vec<TxnOp>) -> Result<(), Error> {
        let (leader, turn) = (self.cluster.keys.leader(), self.cluster.keys.turn());
        self.turn += 1;
        let mine = Generation { term: self.term.unsigned_abs(), number: self.turn }.encode();
        operations.push(TxnOp::put(turn.clone(), mine, None));
        let transaction = Txn::new()
            .when([
                Compare::create_revision(leader.clone(), CompareOp::Equal, self.term),
                Compare::mod_revision(turn.clone(), CompareOp::Equal, self.turn_revision),
            ])
            .and_then(operations)
            .or_else([TxnOp::get(leader, None), TxnOp::get(turn, None)]);
        let mut pause = FIRST_PAUSE;
        loop {
            let mut kv = self.cluster.kv();
            match timeout(CALL, Box::pin(kv.txn(transaction.clone()))).await {
                Ok(Ok(answer)) => {
                    self.turn_revision = self.outcome(&answer, &mine)?;
                    return Ok(());
                }
                Ok(Err(error)) if is_refusal(&error) => {
                    return Err(self.cluster.unavailable("commit to", reason(&error)));
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = reason(&error), "etcd did not commit, trying again")
                }
                Err(_) => tracing::warn!("etcd did not answer a commit, trying again"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The revision at which the transaction took effect, now or when it was sent before.
    fn outcome(&self, answer: &TxnResponse, mine: &[u8]) -> Result<i64, Error> {
        if answer.succeeded() {
            return Ok(answer.header().map_or(0, ResponseHeader::revision));
        }
        let fenced = |reason: &str| Err(Error::Fenced { reason: reason.to_owned() });
        let found = answer.op_responses();
        let [TxnOpResponse::Get(leader), TxnOpResponse::Get(turn)] = &found[..] else {
            return fenced("etcd refused a transaction without saying why");
        };
        if leader.kvs().first().is_none_or(|leader| leader.create_revision() != self.term) {
            return fenced("etcd holds the key of another leader, or none");
        }
        match turn.kvs().first() {
            Some(turn) if turn.value() == mine => Ok(turn.mod_revision()),
            _ => fenced("something else writes below the prefix in this flowd's name"),
        }
    }

    /// What a new leader does before its first commit. Fails where etcd does; the caller tries again.
    pub(super) async fn take_over(&mut self) -> Result<(), Error> {
        let turn = self.cluster.read(self.cluster.keys.turn(), None).await?;
        self.turn_revision = turn.kvs().first().map_or(0, KeyValue::mod_revision);
        if self.cluster.check_format().await?.is_none() {
            let put = TxnOp::put(self.cluster.keys.format(), FORMAT_VERSION.to_string(), None);
            self.execute(vec![put]).await?;
        }
        self.chunked.clear();
        let mut intents = Vec::new();
        for entry in self.list(self.cluster.keys.intents(), false).await? {
            let generation = self.cluster.keys.intent_generation(entry.key());
            intents.push((generation.ok_or_else(|| self.cluster.corrupt("an intent has no name"))?, entry));
        }
        self.sort_out_pieces(&intents).await?;
        for (generation, entry) in intents {
            let (stored, revision) = (entry.value().to_vec(), entry.mod_revision());
            let encoded = self.cluster.resolve(&generation.encode(), stored, revision).await?;
            let group = encoded.and_then(decode_group);
            let group = group.ok_or_else(|| self.cluster.corrupt("an intent cannot be read"))?;
            tracing::info!(writes = group.len(), "carrying out a large group that the last leader had decided");
            self.carry_out(generation, group).await?;
        }
        Ok(())
    }

    /// Learns which keys have pieces, and deletes pieces that nothing refers to.
    async fn sort_out_pieces(&mut self, intents: &[(Generation, KeyValue)]) -> Result<(), Error> {
        let pieces = self.list(self.cluster.keys.pieces(None), true).await?;
        let mut owners: Vec<_> = pieces.iter().filter_map(|entry| self.cluster.keys.piece_owner(entry.key())).collect();
        owners.sort();
        owners.dedup();
        for (key, generation) in owners {
            if intents.iter().any(|(intent, _)| *intent == generation && key[..] == intent.encode()) {
                continue;
            }
            let answer = self.cluster.read(self.cluster.keys.data(&key), None).await?;
            let stored = answer.kvs().first().and_then(|entry| Stored::decode(entry.value().to_vec()));
            match stored {
                Some(Stored::Chunked { generation: current, .. }) if current == generation => {
                    self.chunked.insert(key, generation);
                }
                _ => {
                    let delete = self.delete_pieces(&key, generation);
                    self.execute(vec![delete]).await?;
                }
            }
        }
        Ok(())
    }

    async fn list(&self, prefix: Vec<u8>, keys_only: bool) -> Result<Vec<KeyValue>, Error> {
        let end = prefix_end(&prefix).unwrap_or_default();
        let (mut start, mut found) = (prefix, Vec::new());
        loop {
            let mut options = GetOptions::new().with_range(end.clone()).with_limit(PAGE);
            if keys_only {
                options = options.with_keys_only();
            }
            let mut answer = self.cluster.read(start.clone(), Some(options)).await?;
            let more = answer.more();
            found.extend(answer.take_kvs());
            match found.last() {
                Some(last) if more => start = behind(last.key().to_vec()),
                _ => return Ok(found),
            }
        }
    }
}

fn answer(waiting: &mut Vec<oneshot::Sender<Result<(), Error>>>, result: &Result<(), Error>) {
    for done in waiting.drain(..) {
        // A caller that has gone does not need the answer.
        let _ = done.send(result.clone());
    }
}

/// True if sending the same again cannot help.
fn is_refusal(error: &etcd_client::Error) -> bool {
    use tonic::Code;
    match error {
        etcd_client::Error::GRpcStatus(status) => matches!(
            status.code(),
            Code::InvalidArgument
                | Code::ResourceExhausted
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::Unimplemented
                | Code::FailedPrecondition
        ),
        etcd_client::Error::InvalidArgs(_) | etcd_client::Error::InvalidUri(_) => true,
        _ => false,
    }
}
