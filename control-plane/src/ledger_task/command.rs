//! What the rest of flowd asks of the ledger's loop, by its [`Handle`](super::Handle), and how it is passed on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use routing::callback::Callback;
use routing::evaluate::Variables;
use routing::form::{Checked, Judgement};
use routing::instance::Published;
use routing::table::Timer;
use routing::{
    ActivationId, Compiled, DeploymentId, Digest, HopRecord, Incarnation, InstanceId, Payload, ProcessId, Product,
};
use tokio::sync::{oneshot, watch};

use super::LedgerTask;
use crate::ledger::{
    self, Actor, Answer, Consumed, Deployed, Input, InstanceView, Leaving, Listed, Notice, Operation, Operator,
    Position, Record, Reopening, Seen, Start, TaskAction, Thrown, TimerView, TopicView,
};
use crate::store;

/// Which open instances are asked for.
pub(crate) type Filter = Box<dyn Fn(&InstanceView) -> bool + Send>;

/// Which user tasks are asked for.
pub(crate) type Wanted = Box<dyn Fn(&Listed) -> bool + Send>;

/// An open task, or why there is none.
pub(super) type FoundTask = Result<(InstanceId, ActivationId), String>;

/// Addresses of notices, each with the notice's number, and how many notices there are in all.
pub(crate) type Addresses = (Vec<(u64, Arc<str>)>, usize);

/// See [`Handle`](super::Handle).
pub(super) enum Command {
    Start(Box<Start>, oneshot::Sender<Result<InstanceId, Refused>>, Option<oneshot::Sender<Settled>>),
    Cancel(InstanceId, Operator, oneshot::Sender<Answer>),
    Operate(InstanceId, Operator, Operation, oneshot::Sender<Answer>),
    Reopen(Box<Reopening>, oneshot::Sender<Answer>),
    Timers(Vec<String>, oneshot::Sender<Vec<TimerView>>),
    Rearm(DeploymentId, Operator, Vec<(String, Timer)>, oneshot::Sender<Answer>),
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
    Tasks(Wanted, oneshot::Sender<Vec<Listed>>),
    TaskForm(InstanceId, ActivationId, oneshot::Sender<Option<Seen>>),
    CheckTask(InstanceId, ActivationId, Variables, Judgement, oneshot::Sender<Option<Checked>>),
    Task(InstanceId, ActivationId, Actor, TaskAction, oneshot::Sender<Answer>),
    CalledBack(InstanceId, ActivationId, Digest, Callback, oneshot::Sender<Answer>),
    Records(String, u64, usize, oneshot::Sender<(Vec<Record>, u64)>),
    Topics(oneshot::Sender<Vec<TopicView>>),
    Consume(Vec<Consumed>, oneshot::Sender<usize>),
    Renewed(String, oneshot::Sender<()>),
    Produced(Vec<u64>, oneshot::Sender<()>),
    Thrown(u64, usize, oneshot::Sender<(Vec<Thrown>, usize)>),
    Hops(Vec<HopRecord>),
    Noticed(Vec<u64>, oneshot::Sender<()>),
    Notices(u64, usize, oneshot::Sender<Addresses>),
    NextNotice(Arc<str>, oneshot::Sender<Option<Arc<Notice>>>),
    Positions(oneshot::Sender<BTreeMap<String, Position>>),
    Definition(Digest, Arc<Compiled>),
    Retired(Digest),
    Endpoints,
}

/// Who asked, by the ledger's request number.
pub(super) enum Pending {
    Start { own: InstanceId, reply: oneshot::Sender<Result<InstanceId, Refused>> },
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

/// What those that carry things outside are told: that there is something new of a kind, and never what.
#[derive(Clone, Debug, Default)]
pub(super) struct ForCarriers {
    pub(super) noticed: watch::Sender<()>,
    /// Whether hops are told at all.
    pub(super) tells_hops: Arc<AtomicBool>,
    pub(super) thrown: watch::Sender<()>,
    pub(super) listening: watch::Sender<()>,
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
            Command::Timers(of, reply) => {
                let timers = self.parts.ledger.timers(&of);
                self.reply(move || drop(reply.send(timers)));
            }
            Command::Rearm(deployment, by, timers, reply) => {
                self.asks(reply, |r| Input::Rearm(r, deployment, by, timers));
            }
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
            Command::Tasks(wanted, reply) => {
                let found = self.parts.ledger.user_tasks().filter(|it| wanted(it)).collect();
                self.reply(move || drop(reply.send(found)));
            }
            Command::TaskForm(instance, task, reply) => {
                let found = self.parts.ledger.task_form(self.now(), &instance, task);
                self.reply(move || drop(reply.send(found)));
            }
            Command::CheckTask(instance, task, given, judgement, reply) => {
                let checked = self.parts.ledger.check_task(self.now(), &instance, task, &given, judgement);
                self.reply(move || drop(reply.send(checked)));
            }
            Command::Task(instance, task, actor, action, reply) => {
                self.asks(reply, |r| Input::Task(r, instance, task, actor, action));
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
            Command::Hops(records) => self.input(Input::Hops(records)),
            Command::Noticed(numbers, reply) => {
                self.input(Input::Noticed(numbers));
                self.done(reply);
            }
            Command::Notices(after, limit, reply) => {
                let found = self.parts.ledger.notices(after, limit);
                self.reply(move || drop(reply.send(found)));
            }
            Command::NextNotice(url, reply) => {
                let found = self.parts.ledger.next_notice(&url);
                self.reply(move || drop(reply.send(found)));
            }
            Command::Positions(reply) => {
                let positions = self.parts.ledger.positions().clone();
                self.reply(move || drop(reply.send(positions)));
            }
            Command::Tombstones(reply) => self.asks(reply, Input::Tombstones),
            Command::Definition(digest, table) => self.defined(Input::Definition(digest, table)),
            Command::Retired(digest) => self.defined(Input::Retired(digest)),
            Command::Endpoints => self.endpoints(),
        }
    }

    pub(super) fn defined(&mut self, input: Input) {
        self.input(input);
        self.carriers.tells_hops.store(self.parts.ledger.tells_hops(), Ordering::Relaxed);
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
        let request = self.request(Pending::Start { own, reply });
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
