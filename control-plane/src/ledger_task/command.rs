//! What the rest of flowd asks of the ledger's loop, and the handle by which it asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use routing::callback::Callback;
use routing::instance::Published;
use routing::{ActivationId, Compiled, DeploymentId, Digest, Incarnation, InstanceId, Payload, ProcessId, Product};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::LedgerTask;
use crate::ledger::{
    self, Answer, Consumed, Deployed, Input, InstanceView, Leaving, Operation, Operator, Position, Record, Reopening,
    Start, Thrown, TopicView, decode_instance, key,
};
use crate::metrics::OfProcess;
use crate::store::{self, AnyStore, Store};

/// Which open instances are asked for.
pub(crate) type Filter = Box<dyn Fn(&InstanceView) -> bool + Send>;

/// An open task, or why there is none.
type FoundTask = Result<(InstanceId, ActivationId), String>;

/// See [`Handle`].
pub(super) enum Command {
    Start(Box<Start>, oneshot::Sender<Result<InstanceId, Refused>>, Option<oneshot::Sender<Settled>>),
    Cancel(InstanceId, Operator, oneshot::Sender<Answer>),
    Operate(InstanceId, Operator, Operation, oneshot::Sender<Answer>),
    Reopen(Box<Reopening>, oneshot::Sender<Answer>),
    Delete(InstanceId, oneshot::Sender<Answer>),
    Reports(Incarnation, Vec<(u64, Product)>),
    Leave(Incarnation, Leaving, oneshot::Sender<Answer>),
    Whereabouts(Incarnation, Vec<ActivationId>, oneshot::Sender<Answer>),
    Wait(InstanceId, oneshot::Sender<Settled>),
    View(InstanceId, oneshot::Sender<Option<InstanceView>>),
    Views(Filter, oneshot::Sender<Vec<InstanceView>>),
    OpenOn(DeploymentId, oneshot::Sender<usize>),
    Tombstones(oneshot::Sender<Answer>),
    Deployed(Vec<Deployed>),
    Publish(Published, oneshot::Sender<Answer>),
    Signal(String, Payload, oneshot::Sender<Answer>),
    Offer(Option<ProcessId>, Payload, oneshot::Sender<Answer>),
    FindTask(Option<InstanceId>, String, oneshot::Sender<FoundTask>),
    CalledBack(InstanceId, ActivationId, Digest, Callback, oneshot::Sender<Answer>),
    CompleteTask(InstanceId, ActivationId, Result<Payload, (String, Payload)>, oneshot::Sender<Answer>),
    Records(String, u64, usize, oneshot::Sender<(Vec<Record>, u64)>),
    Topics(oneshot::Sender<Vec<TopicView>>),
    Consume(Vec<Consumed>, oneshot::Sender<usize>),
    Renewed(String, oneshot::Sender<()>),
    Produced(Vec<u64>, oneshot::Sender<()>),
    Thrown(u64, usize, oneshot::Sender<(Vec<Thrown>, usize)>),
    Positions(oneshot::Sender<BTreeMap<String, Position>>),
    Definition(Digest, Arc<Compiled>),
    Retired(Digest),
    Endpoints,
}

/// Who asked, by the ledger's request number.
pub(super) enum Pending {
    Start { own: InstanceId, reply: oneshot::Sender<Result<InstanceId, Refused>>, process: OfProcess },
    Do(oneshot::Sender<Answer>),
}

/// An instance has come to rest.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// So it is.
    Now(Arc<InstanceView>),
    /// It is not open: the store has it, or nobody.
    Stored(InstanceId),
}

/// Why an instance was not started, or nothing could be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The ledger lacks the definition: it was deleted meanwhile.
    #[error("the deployment was deleted meanwhile")]
    NotFound,
    /// It cannot be done in this state.
    #[error("{0}")]
    WrongState(String),
    /// Too much is waiting already.
    #[error("flowd has too much to do; try again in a moment")]
    Busy,
    /// The loop has ended.
    #[error("flowd is going; ask again when it is back")]
    Going,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What is stored cannot be read.
    #[error("read instance {instance} from the store: {reason}")]
    Unreadable {
        /// Which.
        instance: InstanceId,
        /// Why.
        reason: String,
    },
}

/// What a broker's client is told: that there is something new of a kind, and never what.
#[derive(Clone, Debug, Default)]
pub(super) struct ForBroker {
    pub(super) thrown: watch::Sender<()>,
    pub(super) listening: watch::Sender<()>,
}

/// Asks the ledger's loop. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    changes: broadcast::Sender<Arc<InstanceView>>,
    appended: broadcast::Sender<Arc<str>>,
    broker: ForBroker,
    store: AnyStore,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        changes: broadcast::Sender<Arc<InstanceView>>,
        appended: broadcast::Sender<Arc<str>>,
        broker: ForBroker,
        store: AnyStore,
    ) -> Self {
        Self { commands, changes, appended, broker, store }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Refused> {
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

    /// Sees that there is something to be produced.
    pub(crate) fn throws(&self) -> watch::Receiver<()> {
        self.broker.thrown.subscribe()
    }

    /// Sees that other topics are listened to.
    pub(crate) fn listens(&self) -> watch::Receiver<()> {
        self.broker.listening.subscribe()
    }

    /// Broadcasts a signal; answers when what it does is durable.
    pub(crate) async fn signal(&self, name: String, payload: Payload) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Signal(name, payload, reply)).await
    }

    /// Offers variables to conditional start events; answers when what it does is durable.
    pub(crate) async fn offer(&self, process: Option<ProcessId>, payload: Payload) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Offer(process, payload, reply)).await
    }

    /// The open user task that is meant.
    pub(crate) async fn find_task(&self, instance: Option<InstanceId>, task: String) -> Result<FoundTask, Refused> {
        self.ask(|reply| Command::FindTask(instance, task, reply)).await
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

    /// Completes a user task, or fails it with a BPMN error.
    pub(crate) async fn complete_task(
        &self,
        instance: InstanceId,
        task: ActivationId,
        result: Result<Payload, (String, Payload)>,
    ) -> Result<Answer, Refused> {
        self.ask(|reply| Command::CompleteTask(instance, task, result, reply)).await
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

impl LedgerTask {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Start(start, reply, settled) => self.start(start, reply, settled),
            Command::Cancel(instance, by, reply) => self.asks(reply, |r| Input::Cancel(r, instance, by)),
            Command::Operate(instance, by, operation, reply) => {
                self.asks(reply, |r| Input::Operate(r, instance, by, operation));
            }
            Command::Reopen(reopening, reply) => self.asks(reply, |r| Input::Reopen(r, reopening)),
            Command::Delete(instance, reply) => self.asks(reply, |r| Input::Delete(r, instance)),
            Command::Reports(from, reports) => {
                self.parts.metrics.reports.inc_by(reports.len() as u64);
                for (seq, product) in reports {
                    self.input(Input::Report(from, seq, Box::new(product)));
                }
            }
            Command::Leave(replica, leaving, reply) => self.asks(reply, |r| Input::Leave(r, replica, leaving)),
            Command::Whereabouts(replica, of, reply) => self.asks(reply, |r| Input::Whereabouts(r, replica, of)),
            Command::Wait(instance, reply) => self.wait(instance, reply),
            Command::View(instance, reply) => {
                let view = self.parts.ledger.view(&instance);
                self.reply(move || drop(reply.send(view)));
            }
            Command::Views(filter, reply) => {
                let views = self.parts.ledger.views().filter(|it| filter(it)).collect();
                self.reply(move || drop(reply.send(views)));
            }
            Command::OpenOn(deployment, reply) => {
                let open = self.parts.ledger.open_on(&deployment);
                self.reply(move || {
                    let _ = reply.send(open);
                });
            }
            Command::Deployed(deployed) => self.input(Input::Deployed(deployed)),
            Command::Publish(message, reply) => self.asks(reply, |r| Input::Publish(r, message)),
            Command::Signal(name, payload, reply) => self.asks(reply, |r| Input::Signal(r, name, payload)),
            Command::Offer(process, payload, reply) => self.asks(reply, |r| Input::Offer(r, process, payload)),
            Command::FindTask(instance, task, reply) => {
                let found = self.parts.ledger.find_task(instance.as_ref(), &task);
                self.reply(move || drop(reply.send(found)));
            }
            Command::CalledBack(instance, activation, hash, with, reply) => {
                self.asks(reply, |r| Input::CalledBack(r, instance, activation, hash, with));
            }
            Command::CompleteTask(instance, task, result, reply) => {
                self.asks(reply, |r| Input::CompleteTask(r, instance, task, result));
            }
            Command::Records(topic, after, limit, reply) => {
                let found = self.parts.ledger.records(&topic, after, limit);
                self.reply(move || drop(reply.send(found)));
            }
            Command::Topics(reply) => {
                let topics = self.parts.ledger.topics();
                self.reply(move || drop(reply.send(topics)));
            }
            Command::Consume(messages, reply) => self.consume(messages, reply),
            Command::Renewed(topic, reply) => {
                self.input(Input::Renewed(topic));
                self.done(reply);
            }
            Command::Produced(numbers, reply) => {
                self.input(Input::Produced(numbers));
                self.done(reply);
            }
            Command::Thrown(after, limit, reply) => {
                let found = self.parts.ledger.thrown(after, limit);
                self.reply(move || drop(reply.send(found)));
            }
            Command::Positions(reply) => {
                let positions = self.parts.ledger.positions().clone();
                self.reply(move || drop(reply.send(positions)));
            }
            Command::Tombstones(reply) => self.asks(reply, Input::Tombstones),
            Command::Definition(digest, table) => self.input(Input::Definition(digest, table)),
            Command::Retired(digest) => self.input(Input::Retired(digest)),
            Command::Endpoints => self.endpoints(),
        }
    }

    fn done(&mut self, reply: oneshot::Sender<()>) {
        self.reply(move || {
            let _ = reply.send(());
        });
    }

    fn consume(&mut self, messages: Vec<Consumed>, reply: oneshot::Sender<usize>) {
        let mut taken = 0;
        for message in messages {
            if !self.parts.ledger.has_room() {
                break;
            }
            self.input(Input::Consumed(message));
            taken += 1;
        }
        self.reply(move || {
            let _ = reply.send(taken);
        });
    }

    fn start(
        &mut self,
        start: Box<Start>,
        reply: oneshot::Sender<Result<InstanceId, Refused>>,
        settled: Option<oneshot::Sender<Settled>>,
    ) {
        let own = start.instance.clone();
        if let Some(settled) = settled {
            self.waiters.add(own.clone(), settled);
        }
        let process = OfProcess { process: start.process.as_str().to_owned() };
        let request = self.request(Pending::Start { own, reply, process });
        self.input(Input::Start(request, start));
    }

    fn asks(&mut self, reply: oneshot::Sender<Answer>, input: impl FnOnce(ledger::Request) -> Input) {
        let request = self.request(Pending::Do(reply));
        self.input(input(request));
    }

    fn request(&mut self, pending: Pending) -> ledger::Request {
        self.requests += 1;
        self.asked.insert(self.requests, pending);
        self.requests
    }
}
