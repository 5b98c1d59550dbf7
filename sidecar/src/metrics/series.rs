//! Which counters are a token's: found by what the token itself says, made when its task is seen first.

use std::sync::Arc;

use foldhash::HashMap;
use hop::metrics::process_of;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::registry::Registry;
use routing::mapping::Answer;
use routing::step::CallFailure;
use routing::table::{Flow, NodeIx, Place};
use routing::{Compiled, Digest, ElementId, FlowId, RoutingTable, Token};
use runtime::metrics::{Family, Histogram};

/// The counters of every task that there was, and whose tokens go by which flow.
#[derive(Clone, Debug)]
pub(super) struct Series {
    took: Family,
    attempts: Labelled<Attempt, Counter>,
    requests: Labelled<Request, Counter>,
    of: HashMap<Digest, OfDefinition>,
}

/// Those of one version of a process.
#[derive(Clone, Debug, Default)]
struct OfDefinition {
    process: String,
    /// By which flows tokens leave, and from which task (or gateway, where several tasks share it).
    senders: HashMap<FlowId, ElementId>,
    tasks: HashMap<ElementId, Arc<OfTask>>,
}

/// Those of one task.
#[derive(Debug)]
pub(super) struct OfTask {
    first: Counter,
    again: Counter,
    ended: [Counter; End::ALL.len()],
    pub(super) took: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    process: String,
    task: String,
    attempt: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    process: String,
    task: String,
    code_class: &'static str,
    outcome: &'static str,
}

/// How a call ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Completed,
    Redirected,
    Error,
    Failed,
    Down,
    Broken,
    TimedOut,
    TooLarge,
    Impossible,
}

impl End {
    const ALL: [Self; 9] = [
        Self::Completed,
        Self::Redirected,
        Self::Error,
        Self::Failed,
        Self::Down,
        Self::Broken,
        Self::TimedOut,
        Self::TooLarge,
        Self::Impossible,
    ];

    fn of(result: &Result<Answer, CallFailure>) -> Self {
        match result {
            Ok(answer) => match answer.status / 100 {
                2 => Self::Completed,
                3 => Self::Redirected,
                4 => Self::Error,
                _ => Self::Failed,
            },
            Err(CallFailure::Down(_)) => Self::Down,
            Err(CallFailure::Broken(_) | CallFailure::Unanswered { .. }) => Self::Broken,
            Err(CallFailure::TimedOut) => Self::TimedOut,
            Err(CallFailure::TooLarge) => Self::TooLarge,
            Err(CallFailure::Impossible(_)) => Self::Impossible,
        }
    }

    /// Class of the status, and outcome.
    fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Completed => ("2xx", "completed"),
            Self::Redirected => ("3xx", "error"),
            Self::Error => ("4xx", "error"),
            Self::Failed => ("5xx", "failed"),
            Self::Down => ("none", "down"),
            Self::Broken => ("none", "broken"),
            Self::TimedOut => ("none", "timeout"),
            Self::TooLarge => ("none", "too_large"),
            Self::Impossible => ("none", "impossible"),
        }
    }
}

impl OfTask {
    pub(super) fn attempt(&self, again: bool) {
        if again { &self.again } else { &self.first }.inc();
    }

    pub(super) fn ended(&self, result: &Result<Answer, CallFailure>) {
        self.ended[End::of(result) as usize].inc();
    }
}

impl Series {
    pub(super) fn new(flow: &mut Registry) -> Self {
        let series = Self {
            took: Family::new("flow_task_duration_seconds", "Calls of the task, each for itself", &["process", "task"]),
            attempts: Labelled::default(),
            requests: Labelled::default(),
            of: HashMap::default(),
        };
        flow.register("task_attempts", "Calls of the task that began: first ones and retries", series.attempts.clone());
        let requests = "Calls of the task that ended, by class of the status and outcome";
        flow.register("task_requests", requests, series.requests.clone());
        series
    }

    /// The histograms.
    pub(super) fn family(&self) -> Family {
        self.took.clone()
    }

    /// See [`super::Metrics::learn`]. The counters of its tasks begin at zero, so that the first failure is seen as an increase.
    pub(super) fn learn<'a>(
        &mut self,
        definition: Digest,
        served: impl IntoIterator<Item = (&'a ElementId, &'a Compiled)>,
    ) {
        for (element, compiled) in served {
            let table = compiled.table();
            let of = self.of.entry(definition).or_default();
            of.process = table.process.as_str().to_owned();
            for flow in leaving(table, element) {
                let sender = of.senders.entry(flow.id.clone()).or_insert_with(|| element.clone());
                if sender != element {
                    sender.clone_from(&table.node(flow.source).id);
                }
            }
            if !of.tasks.contains_key(element) {
                let counters = counters(&self.attempts, &self.requests, &self.took, [&of.process, element.as_str()]);
                of.tasks.insert(element.clone(), Arc::new(counters));
            }
        }
    }

    pub(super) fn retired(&mut self, definitions: &[Digest]) {
        definitions.iter().for_each(|it| drop(self.of.remove(it)));
    }

    /// The counters of the task that a token is at.
    pub(super) fn task(&mut self, token: &Token, process: &str) -> Arc<OfTask> {
        let of = self.of.entry(token.definition).or_default();
        if let Some(known) = of.tasks.get(&token.element) {
            return known.clone();
        }
        if of.process.is_empty() {
            process.clone_into(&mut of.process);
        }
        let made = counters(&self.attempts, &self.requests, &self.took, [&of.process, token.element.as_str()]);
        let made = Arc::new(made);
        of.tasks.insert(token.element.clone(), made.clone());
        made
    }

    /// The process and the task that a token comes from. Empty names: its table is gone (a token from before a restart), or an operator put it
    /// there.
    pub(super) fn sender(&self, token: &Token) -> (String, String) {
        let Some(of) = self.of.get(&token.definition) else {
            return (process_of(token), String::new());
        };
        let from = token.flow.as_ref().and_then(|flow| of.senders.get(flow));
        (of.process.clone(), from.map_or("", |from| from.as_str()).to_owned())
    }
}

/// The flows that tokens go by from a task, through what is folded behind it.
fn leaving<'a>(table: &'a RoutingTable, task: &ElementId) -> Vec<&'a Flow> {
    let (mut flows, mut passed) = (Vec::new(), Vec::new());
    let mut next: Vec<NodeIx> = table.find(task.as_str()).into_iter().collect();
    while let Some(at) = next.pop() {
        if passed.contains(&at) {
            continue;
        }
        passed.push(at);
        let node = table.node(at);
        next.extend(&node.boundaries);
        for flow in node.outgoing.iter().map(|ix| table.flow(*ix)) {
            flows.push(flow);
            if table.node(flow.target).place == Place::Folded {
                next.push(flow.target);
            }
        }
    }
    flows
}

fn counters(
    attempts: &Labelled<Attempt, Counter>,
    requests: &Labelled<Request, Counter>,
    took: &Family,
    [process, task]: [&str; 2],
) -> OfTask {
    let attempt = |attempt| {
        attempts.get_or_create_owned(&Attempt { process: process.to_owned(), task: task.to_owned(), attempt })
    };
    let ended = End::ALL.map(|end| {
        let (code_class, outcome) = end.labels();
        let request = Request { process: process.to_owned(), task: task.to_owned(), code_class, outcome };
        requests.get_or_create_owned(&request)
    });
    OfTask { first: attempt("first"), again: attempt("retry"), ended, took: took.with(&[process, task]) }
}
