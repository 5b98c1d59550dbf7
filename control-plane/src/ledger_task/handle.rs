//! The handle by which the rest of flowd asks the ledger's loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prost::Message as _;
use proto::v1;
use routing::callback::Callback;
use routing::instance::Published;
use routing::table::Timer;
use routing::{
    ActivationId, Compiled, DeploymentId, Digest, HopRecord, Incarnation, InstanceId, Payload, ProcessId, Product,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::command::{Addresses, Command, Filter, ForCarriers, Refused, Settled};
use crate::ledger::{
    Answer, Consumed, Deployed, InstanceView, Leaving, Notice, Operation, Operator, Position, Record, Reopening, Start,
    Thrown, TimerView, TopicView, decode_instance, key,
};
use crate::store::{AnyStore, Store};

/// Asks the ledger's loop. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    changes: broadcast::Sender<Arc<InstanceView>>,
    appended: broadcast::Sender<Arc<str>>,
    carriers: ForCarriers,
    store: AnyStore,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        changes: broadcast::Sender<Arc<InstanceView>>,
        appended: broadcast::Sender<Arc<str>>,
        carriers: ForCarriers,
        store: AnyStore,
    ) -> Self {
        Self { commands, changes, appended, carriers, store }
    }

    pub(super) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Refused::Going)?;
        answer.await.map_err(|_| Refused::Going)
    }

    async fn tell(&self, command: Command) -> Result<(), Refused> {
        self.commands.send(command).await.map_err(|_| Refused::Going)
    }

    /// Starts an instance; answers when it is durable. With `settled` its end is told there.
    pub(crate) async fn start(
        &self,
        mut start: Box<Start>,
        settled: Option<oneshot::Sender<Settled>>,
    ) -> Result<InstanceId, Refused> {
        if let Some(key) = &start.idempotency_key {
            start.known = self.known(key).await?;
        }
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(Command::Start(start, reply, settled)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Busy,
            mpsc::error::TrySendError::Closed(_) => Refused::Going,
        })?;
        answer.await.map_err(|_| Refused::Going)?
    }

    /// The retained instance that was started under an idempotency key.
    async fn known(&self, key: &str) -> Result<Option<InstanceId>, Refused> {
        let Some(id) = self.store.get(&key::idempotency(key)).await? else { return Ok(None) };
        let id = InstanceId::from(String::from_utf8_lossy(&id).into_owned());
        let retained =
            self.store.get(&key::closed(&id)).await?.is_some() || self.store.get(&key::open(&id)).await?.is_some();
        Ok(retained.then_some(id))
    }

    /// An instance, open or closed.
    pub(crate) async fn get(&self, instance: &InstanceId) -> Result<Option<InstanceView>, Refused> {
        match self.ask(|reply| Command::View(instance.clone(), reply)).await? {
            Some(view) => Ok(Some(view)),
            None => self.stored(instance).await,
        }
    }

    async fn stored(&self, instance: &InstanceId) -> Result<Option<InstanceView>, Refused> {
        let Some(bytes) = self.store.get(&key::closed(instance)).await? else { return Ok(None) };
        let view = decode_instance(&bytes);
        view.map(Some).map_err(|e| Refused::Unreadable { instance: instance.clone(), reason: e.to_string() })
    }

    /// The instance that a wait came to.
    pub(crate) async fn settled(&self, settled: Settled) -> Result<Option<Arc<InstanceView>>, Refused> {
        match settled {
            Settled::Now(view) => Ok(Some(view)),
            Settled::Stored(id) => Ok(self.stored(&id).await?.map(Arc::new)),
        }
    }

    /// Waits until an instance has ended or waits for an operator. `None`: there is no such instance.
    pub(crate) async fn wait(&self, instance: &InstanceId) -> Result<Option<Arc<InstanceView>>, Refused> {
        let settled = self.ask(|reply| Command::Wait(instance.clone(), reply)).await?;
        self.settled(settled).await
    }

    /// The open instances that `filter` lets pass.
    pub(crate) async fn open(&self, filter: Filter) -> Result<Vec<InstanceView>, Refused> {
        self.ask(|reply| Command::Views(filter, reply)).await
    }

    /// How many instances of a deployment are open.
    pub(crate) async fn open_on(&self, deployment: &DeploymentId) -> Result<usize, Refused> {
        self.ask(|reply| Command::OpenOn(deployment.clone(), reply)).await
    }

    /// Sees every change of an instance from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<InstanceView>> {
        self.changes.subscribe()
    }

    pub(crate) async fn cancel(&self, instance: &InstanceId, by: Operator) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Cancel(instance.clone(), by, reply)).await
    }

    /// Changes how an open instance goes on; answers when that is durable.
    pub(crate) async fn operate(
        &self,
        instance: &InstanceId,
        by: Operator,
        operation: Operation,
    ) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Operate(instance.clone(), by, operation, reply)).await
    }

    /// Timers of these instances and deployments, or of all; the next one due first.
    pub(crate) async fn timers(&self, of: Vec<String>) -> Result<Vec<TimerView>, Refused> {
        self.ask(|reply| Command::Timers(of, reply)).await
    }

    /// Gives timers of a deployment's start events another time; answers when that is durable.
    pub(crate) async fn rearm(
        &self,
        deployment: DeploymentId,
        by: Operator,
        timers: Vec<(String, Timer)>,
    ) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Rearm(deployment, by, timers, reply)).await
    }

    /// Runs an instance again that ended as ERROR; answers when that is durable.
    pub(crate) async fn reopen(&self, reopening: Reopening) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Reopen(Box::new(reopening), reply)).await
    }

    pub(crate) async fn delete(&self, instance: &InstanceId) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Delete(instance.clone(), reply)).await
    }

    /// Reports of a sidecar; their acknowledgement goes to its mailbox.
    pub(crate) async fn reports(&self, from: Incarnation, reports: Vec<(u64, Product)>) -> Result<(), Refused> {
        self.tell(Command::Reports(from, reports)).await
    }

    pub(crate) async fn leave(&self, replica: Incarnation, leaving: Leaving) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Leave(replica, leaving, reply)).await
    }

    pub(crate) async fn whereabouts(&self, replica: Incarnation, of: Vec<ActivationId>) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Whereabouts(replica, of, reply)).await
    }

    /// Instances closed early whose tokens may still be on their way, and whether what comes back of each is kept.
    pub(crate) async fn tombstones(&self) -> Result<Vec<(InstanceId, bool)>, Refused> {
        match self.ask(Command::Tombstones).await? {
            Answer::Tombstones(instances) => Ok(instances),
            _ => Ok(Vec::new()),
        }
    }

    /// What takes instances from now on, the newest last.
    pub(crate) async fn deployed(&self, deployed: Vec<Deployed>) -> Result<(), Refused> {
        self.tell(Command::Deployed(deployed)).await
    }

    /// Publishes a message; answers when what it does is durable.
    pub(crate) async fn publish(&self, message: Published) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Publish(message, reply)).await
    }

    /// Records of a topic behind an offset, and the offset of the next one that will come.
    pub(crate) async fn records(&self, topic: &str, after: u64, limit: usize) -> Result<(Vec<Record>, u64), Refused> {
        self.ask(|reply| Command::Records(topic.to_owned(), after, limit, reply)).await
    }

    /// Every topic.
    pub(crate) async fn topics(&self) -> Result<Vec<TopicView>, Refused> {
        self.ask(Command::Topics).await
    }

    /// Sees the names of topics as records are appended from now on.
    pub(crate) fn appended(&self) -> broadcast::Receiver<Arc<str>> {
        self.appended.subscribe()
    }

    /// Messages of a broker's topics, each partition's in order. How many of them were taken, from the first on; they are durable.
    pub(crate) async fn consume(&self, messages: Vec<Consumed>) -> Result<usize, Refused> {
        self.ask(|reply| Command::Consume(messages, reply)).await
    }

    /// A broker's topic has begun anew.
    pub(crate) async fn renewed(&self, topic: &str) -> Result<(), Refused> {
        self.ask(|reply| Command::Renewed(topic.to_owned(), reply)).await
    }

    /// A broker has these thrown messages; answers when they are durably forgotten.
    pub(crate) async fn produced(&self, numbers: Vec<u64>) -> Result<(), Refused> {
        self.ask(|reply| Command::Produced(numbers, reply)).await
    }

    /// What is durably thrown behind a number, at most so many, and how many there are in all.
    pub(crate) async fn thrown(&self, after: u64, limit: usize) -> Result<(Vec<Thrown>, usize), Refused> {
        self.ask(|reply| Command::Thrown(after, limit, reply)).await
    }

    /// The broker's topics that are listened to, and how far each was consumed.
    pub(crate) async fn positions(&self) -> Result<BTreeMap<String, Position>, Refused> {
        self.ask(Command::Positions).await
    }

    /// Hops that sidecars tell of, if any process wants to hear of hops.
    pub(crate) async fn hops<R: AsRef<[u8]>>(&self, records: &[R]) -> Result<(), Refused> {
        if !self.carriers.tells_hops.load(Ordering::Relaxed) {
            return Ok(());
        }
        let read = |it: &R| HopRecord::try_from(v1::HopRecord::decode(it.as_ref()).ok()?).ok();
        let records: Vec<HopRecord> = records.iter().filter_map(read).collect();
        if records.is_empty() { Ok(()) } else { self.tell(Command::Hops(records)).await }
    }

    /// Notices are over: delivered, or given up; answers when they are durably forgotten.
    pub(crate) async fn noticed(&self, numbers: Vec<u64>) -> Result<(), Refused> {
        self.ask(|reply| Command::Noticed(numbers, reply)).await
    }

    /// Addresses of durable notices behind a number, at most so many, each with the number, and how many notices there are in all.
    pub(crate) async fn notices(&self, after: u64, limit: usize) -> Result<Addresses, Refused> {
        self.ask(|reply| Command::Notices(after, limit, reply)).await
    }

    /// The oldest notice for an address.
    pub(crate) async fn next_notice(&self, url: Arc<str>) -> Result<Option<Arc<Notice>>, Refused> {
        self.ask(|reply| Command::NextNotice(url, reply)).await
    }

    /// Sees that there is a notice to be delivered.
    pub(crate) fn notices_come(&self) -> watch::Receiver<()> {
        self.carriers.noticed.subscribe()
    }

    /// Sees that there is something to be produced.
    pub(crate) fn throws(&self) -> watch::Receiver<()> {
        self.carriers.thrown.subscribe()
    }

    /// Sees that other topics are listened to.
    pub(crate) fn listens(&self) -> watch::Receiver<()> {
        self.carriers.listening.subscribe()
    }

    /// Broadcasts a signal; answers when what it does is durable.
    pub(crate) async fn signal(&self, name: String, payload: Payload) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Signal(name, payload, reply)).await
    }

    /// Offers variables to conditional start events; answers when what it does is durable.
    pub(crate) async fn offer(&self, process: Option<ProcessId>, payload: Payload) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Offer(process, payload, reply)).await
    }

    /// The task of a call (its activation, and the hash of the seal that it brings) calls back.
    pub(crate) async fn called_back(
        &self,
        instance: &InstanceId,
        call: (ActivationId, Digest),
        with: Callback,
    ) -> Result<Answer, Refused> {
        let (activation, hash) = call;
        self.ask(|reply| Command::CalledBack(instance.clone(), activation, hash, with, reply)).await
    }

    /// Instances may run on this definition from now on.
    pub(crate) async fn definition(&self, digest: Digest, table: Arc<Compiled>) -> Result<(), Refused> {
        self.tell(Command::Definition(digest, table)).await
    }

    /// No instance will run on it any more.
    pub(crate) async fn retired(&self, digest: Digest) -> Result<(), Refused> {
        self.tell(Command::Retired(digest)).await
    }

    /// Replicas have come, gone or moved.
    pub(crate) async fn endpoints(&self) -> Result<(), Refused> {
        self.tell(Command::Endpoints).await
    }
}
