//! The life of one activation of a task: call, back off, decide.
//!
//! [`step`] is given what happened and the time and answers with what to do. A [`Decision`] is final:
//! once its record is on disk, the activation never decides again.

mod connector;
mod document;

use document::{error_code, kept};
pub use document::{error_document, readable};

use crate::advance::{Passed, advance};
use crate::callback::{Address, Awaited};
use crate::compiled::Compiled;
use crate::failure::{Failure, FailureCode, Resume};
use crate::id::ActivationId;
use crate::mapping::{self, Answer, Request};
use crate::payload::Payload;
use crate::retry::backoff;
use crate::table::{DataMapping, Node, NodeIx, NodeKind, Task, Trigger};
use crate::timer;
use crate::token::{Product, Timestamp, To, Token};

/// A wait longer than this is moved to the ledger (design §3), milliseconds.
pub const LONGEST_LOCAL_WAIT: u64 = 60_000;

/// How often a task that is down is tried again, milliseconds.
const DOWN_RETRY: u64 = 250;

/// What is known of an activation besides its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Calls made.
    pub attempts: u32,
    /// Since when the task has been down, when it is.
    pub down_since: Option<Timestamp>,
    /// When the activation began; boundary timers count from here.
    pub activated: Timestamp,
    /// Where the task may answer later, when that is known.
    pub callback: Option<Box<Address>>,
}

impl Activity {
    /// A new activation of `token`.
    pub fn new(token: &Token, now: Timestamp) -> Self {
        Self { attempts: token.attempts, down_since: None, activated: now, callback: None }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The token has arrived, or was found in the journal.
    Activated,
    /// The task answered.
    Answered(Answer),
    /// The call gave no answer.
    CallFailed(CallFailure),
    /// A time set by [`Effect::Again`] has come.
    Again,
    /// A boundary timer has come.
    TimerFired(NodeIx),
}

/// A call without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// Nothing listens there, or its probe says DOWN: the request was not sent, no attempt is spent.
    Down(String),
    /// The connection broke, or what came back was not HTTP.
    Broken(String),
    /// No complete answer in time.
    TimedOut,
    /// The answer is larger than allowed.
    TooLarge,
    /// A connector's call had no whole answer: what was called, and why.
    Unanswered {
        /// Such as `GET api.example.com/orders`.
        call: String,
        /// What went wrong.
        why: String,
    },
    /// The call cannot be made as it is described, and trying again changes nothing.
    Impossible(String),
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Call the task.
    Call(Request),
    /// Give [`Input::Again`] at this time.
    Again(Timestamp),
    /// Give [`Input::TimerFired`] at this time.
    Arm(NodeIx, Timestamp),
    /// The activation has decided: abort the call, forget the timers.
    Decided(Box<Decision>),
}

/// What an activation led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The tokens that leave.
    pub products: Vec<Product>,
    /// Folded elements passed on the way.
    pub passed: Vec<Passed>,
    /// For the hop record: `completed`, `error CODE`, `incident CODE`, `interrupted`.
    pub status: String,
    /// Calls made.
    pub attempts: u32,
    /// Warnings of expressions.
    pub warnings: Vec<String>,
}

/// One step of the activation of `token` at `node`. `random` is any 64 random bits, for jitter.
/// `token.trace` should be the span under which products travel.
pub fn step(
    table: &Compiled,
    node: NodeIx,
    activity: &mut Activity,
    token: &Token,
    input: Input,
    now: Timestamp,
    random: u64,
) -> Vec<Effect> {
    let NodeKind::Task(task) = &table.table().node(node).kind else {
        let why = "this table's element is no task; the sender's table and this one disagree";
        return incident(table, node, token, activity, Failure::new(FailureCode::FailedTask, &token.element, why));
    };
    let activation = Activation { table, node, task, token, now, random };
    match input {
        Input::Activated => activation.begin(activity),
        Input::Again => activation.call(activity),
        Input::Answered(answer) => activation.answered(activity, &answer),
        Input::CallFailed(failure) => activation.failed(activity, failure),
        Input::TimerFired(boundary) => activation.interrupted(activity, boundary),
    }
}

struct Activation<'a> {
    table: &'a Compiled,
    node: NodeIx,
    task: &'a Task,
    token: &'a Token,
    now: Timestamp,
    random: u64,
}

impl Activation<'_> {
    fn begin(&self, activity: &mut Activity) -> Vec<Effect> {
        let mut effects = Vec::new();
        for boundary in &self.element().boundaries {
            let NodeKind::Boundary(event) = &self.table.table().node(*boundary).kind else { continue };
            let timers =
                event.catch.triggers.iter().filter_map(|t| if let Trigger::Timer(t) = t { Some(t) } else { None });
            // of a guarded task the ledger feeds all boundary events: there are none in its table
            let first = timers.map(|t| timer::due(t, &self.token.payload, activity.activated).map(|due| due.at)).min();
            match first.transpose() {
                Ok(None) => {}
                Ok(Some(at)) => effects.push(Effect::Arm(*boundary, at)),
                Err(why) => {
                    let element = &self.table.table().node(*boundary).id;
                    let failure =
                        Failure::new(FailureCode::TimerFailed, element, format!("set the timer {element}: {why}"));
                    return incident(self.table, self.node, self.token, activity, failure);
                }
            }
        }
        effects.extend(self.call(activity));
        effects
    }

    fn call(&self, activity: &mut Activity) -> Vec<Effect> {
        let callback = activity.callback.as_ref().map(|it| it.url.as_str());
        if self.task.asynchronous && callback.is_none() {
            return self.down(activity, "flowd has not said yet where callbacks go");
        }
        match mapping::request(self.table, self.task, &self.token.payload, callback, self.now, self.random) {
            Ok(request) => vec![Effect::Call(request)],
            Err((code, why)) => {
                let failure = Failure::new(
                    code,
                    &self.token.element,
                    format!("build the request of {}: {why}", self.element().name),
                );
                incident(self.table, self.node, self.token, activity, failure)
            }
        }
    }

    fn answered(&self, activity: &mut Activity, answer: &Answer) -> Vec<Effect> {
        activity.attempts += 1;
        activity.down_since = None;
        if let DataMapping::Connector(connector) = &self.task.data {
            return self.responded(activity, connector, answer);
        }
        let taken = answer.status == 202 && answer.asynchronous;
        match answer.status {
            200..=299 if self.task.asynchronous || taken => self.waits_for_callback(activity),
            200..=299 => {
                let answered = (&answer.payload, Some(answer.status));
                complete(self.table, self.node, self.token, activity.attempts, answered, self.now)
            }
            408 | 409 | 425 | 429 | 500..=599 | 0..=199 => {
                let why = format!("{} answered {}", self.element().name, answer.status);
                self.attempt_failed(activity, why, Some(answer), answer.retry_after)
            }
            _ => {
                let code = error_code(answer);
                self.bpmn_error(activity, &code, answer)
            }
        }
    }

    /// The task has taken the work: the token waits at the ledger for its answer.
    fn waits_for_callback(&self, activity: &Activity) -> Vec<Effect> {
        let Some(address) = &activity.callback else {
            let why = format!("{} wants to call back and was not told where", self.element().name);
            return self.attempt_failed(activity, why, None, None);
        };
        let awaited = Awaited { until: self.now.saturating_add(self.task.callback_timeout), hash: address.hash() };
        let token = Token { attempts: activity.attempts, ..self.token.clone() }.returned();
        decided(
            vec![Product { token, to: To::Callback(awaited) }],
            "waits for its callback".to_owned(),
            activity.attempts,
        )
    }

    fn failed(&self, activity: &mut Activity, failure: CallFailure) -> Vec<Effect> {
        let name = &self.element().name;
        match failure {
            CallFailure::Down(why) => self.down(activity, &why),
            CallFailure::TooLarge => {
                activity.attempts += 1;
                let why =
                    format!("the answer of {name} is larger than {} bytes", self.table.table().settings.max_payload);
                let failure = Failure {
                    resume: Resume::Call,
                    ..Failure::new(FailureCode::PayloadTooLarge, &self.token.element, why)
                };
                incident(self.table, self.node, self.token, activity, failure)
            }
            CallFailure::Broken(why) => {
                activity.attempts += 1;
                self.attempt_failed(activity, format!("the call of {name} broke: {why}"), None, None)
            }
            CallFailure::Unanswered { call, why } => {
                activity.attempts += 1;
                self.unanswered(activity, &call, &why)
            }
            CallFailure::Impossible(why) => {
                activity.attempts += 1;
                let failure = Failure::new(FailureCode::FailedTask, &self.token.element, format!("{name}: {why}"));
                incident(self.table, self.node, self.token, activity, failure)
            }
            CallFailure::TimedOut => {
                activity.attempts += 1;
                let why = format!("{name} did not answer within {} ms", self.task.timeout);
                self.attempt_failed(activity, why, None, None)
            }
        }
    }

    fn down(&self, activity: &mut Activity, why: &str) -> Vec<Effect> {
        let since = *activity.down_since.get_or_insert(self.now);
        let until = since + self.task.down_timeout;
        if self.now < until {
            return vec![Effect::Again((self.now + DOWN_RETRY).min(until))];
        }
        let seconds = self.task.down_timeout / 1000;
        let message = format!(
            "connect to {}: {why}, for {seconds} s; start its service, then `flowctl start`",
            self.task.service
        );
        incident(
            self.table,
            self.node,
            self.token,
            activity,
            Failure::new(FailureCode::FailedConnection, &self.token.element, message),
        )
    }

    fn attempt_failed(
        &self,
        activity: &Activity,
        why: String,
        answer: Option<&Answer>,
        retry_after: Option<u64>,
    ) -> Vec<Effect> {
        if activity.attempts < self.task.retry.attempts {
            return self.again(activity, retry_after);
        }
        let code = FailureCode::FailedTask;
        let failure = Failure {
            status: answer.map(|a| a.status),
            output: answer.map(|a| kept(&a.payload)),
            ..Failure::new(code, &self.token.element, format!("{why}, after {} attempts", activity.attempts))
        };
        match self.catching(code.as_str(), self.in_original_dialect()) {
            Some(boundary) => self.caught(activity, boundary, code.as_str(), &failure),
            None => incident(self.table, self.node, self.token, activity, failure),
        }
    }

    /// The next attempt, after the back-off, and after at least so many milliseconds.
    fn again(&self, activity: &Activity, at_least: Option<u64>) -> Vec<Effect> {
        let wait = backoff(&self.task.retry, activity.attempts, at_least, self.random);
        if wait <= LONGEST_LOCAL_WAIT {
            return vec![Effect::Again(self.now + wait)];
        }
        let token = Token { attempts: activity.attempts, ..self.token.clone() }.returned();
        let product = Product { token, to: To::Wait(self.now + wait) };
        decided(vec![product], format!("waits {} s", wait / 1000), activity.attempts)
    }

    fn bpmn_error(&self, activity: &Activity, code: &str, answer: &Answer) -> Vec<Effect> {
        if self.task.listener {
            let why = format!("the listener {} answered {}, error {code}", self.element().name, answer.status);
            let failure = Failure {
                status: Some(answer.status),
                output: Some(kept(&answer.payload)),
                ..Failure::new(FailureCode::FailedTask, &self.token.element, why)
            };
            return incident(self.table, self.node, self.token, activity, failure);
        }
        let failure = Failure {
            error_code: Some(code.to_owned()),
            status: Some(answer.status),
            output: Some(kept(&answer.payload)),
            ..Failure::new(
                if self.in_original_dialect() { FailureCode::FailedTask } else { FailureCode::UncaughtError },
                &self.token.element,
                format!("{} answered {}, error {code}, which nothing catches", self.element().name, answer.status),
            )
        };
        match self.catching(code, true) {
            Some(boundary) => self.caught(activity, boundary, code, &failure),
            None => incident(self.table, self.node, self.token, activity, failure),
        }
    }

    /// The error boundary event that catches `code`: a specific one before a catch-all (BPMN 10.5.6).
    fn catching(&self, code: &str, any: bool) -> Option<NodeIx> {
        let caught_by = |wanted: Option<&str>| {
            // of a guarded task the ledger feeds them
            let boundaries = if self.element().guarded { &[][..] } else { &self.element().boundaries };
            boundaries.iter().copied().find(|b| match &self.table.table().node(*b).kind {
                NodeKind::Boundary(event) => {
                    event.catch.triggers.iter().any(|t| matches!(t, Trigger::Error(c) if c.as_deref() == wanted))
                }
                _ => false,
            })
        };
        caught_by(Some(code)).or_else(|| if any { caught_by(None) } else { None })
    }

    fn caught(&self, activity: &Activity, boundary: NodeIx, code: &str, failure: &Failure) -> Vec<Effect> {
        let mut token = self.token.clone();
        if self.in_original_dialect() {
            let document = error_document(failure, &self.token.payload);
            token.written.replaced(&token.payload, &document);
            token.payload = document;
        }
        self.leave_by(activity, boundary, &token, format!("error {code}"))
    }

    fn interrupted(&self, activity: &Activity, boundary: NodeIx) -> Vec<Effect> {
        self.leave_by(activity, boundary, self.token, "interrupted".to_owned())
    }

    fn leave_by(&self, activity: &Activity, boundary: NodeIx, token: &Token, status: String) -> Vec<Effect> {
        let left = advance(self.table, boundary, token, self.now);
        let mut passed = vec![Passed { node: boundary, activation: token.activation, taken: Vec::new() }];
        passed.extend(left.passed);
        let decision =
            Decision { products: left.products, passed, status, attempts: activity.attempts, warnings: left.warnings };
        vec![Effect::Decided(Box::new(decision))]
    }

    fn element(&self) -> &Node {
        self.table.table().node(self.node)
    }

    fn in_original_dialect(&self) -> bool {
        !matches!(self.task.data, DataMapping::Merge { .. } | DataMapping::Mapped { .. } | DataMapping::Connector(_))
    }
}

/// Maps a 2xx answer into the payload and lets the token leave. Also how the ledger resumes a failure
/// after the answer ([`Resume::Map`]).
pub fn complete(
    table: &Compiled,
    node: NodeIx,
    token: &Token,
    attempts: u32,
    (answer, status): (&Payload, Option<u16>),
    now: Timestamp,
) -> Vec<Effect> {
    let NodeKind::Task(task) = &table.table().node(node).kind else { return Vec::new() };
    let mut written = token.written.clone();
    let noted = !table.table().settings.linear || token.is_inside();
    match mapping::apply(table, task, &token.payload, (&mut written, noted), answer, now) {
        Ok(payload) if payload.body.len() as u64 > table.table().settings.max_payload => {
            let why = format!(
                "the payload after {} has {} bytes, {} are allowed",
                token.element,
                payload.body.len(),
                table.table().settings.max_payload
            );
            let failure = Failure {
                attempts,
                resume: Resume::Map,
                ..Failure::new(FailureCode::PayloadTooLarge, &token.element, why)
            };
            decided_incident(token, failure)
        }
        Ok(payload) => leave(table, node, token.with(payload, written), attempts, now),
        Err((code, why)) => {
            let message = format!("map the answer of {}: {why}", table.table().node(node).name);
            let failure = Failure {
                attempts,
                resume: Resume::Map,
                status,
                output: Some(answer.clone()),
                ..Failure::new(code, &token.element, message)
            };
            decided_incident(token, failure)
        }
    }
}

/// The token with its results leaves the element.
fn leave(table: &Compiled, node: NodeIx, token: Token, attempts: u32, now: Timestamp) -> Vec<Effect> {
    if table.table().node(node).guarded {
        return decided(vec![given_back(token, now)], "completed".to_owned(), attempts);
    }
    let left = advance(table, node, &token, now);
    let status = match left.products.iter().find_map(|p| if let To::Incident(f) = &p.to { Some(f) } else { None }) {
        Some(failure) if failure.element == token.element => format!("incident {}", failure.code),
        _ => "completed".to_owned(),
    };
    let decision = Decision { products: left.products, passed: left.passed, status, attempts, warnings: left.warnings };
    vec![Effect::Decided(Box::new(decision))]
}

/// A guarded activity's result: the ledger, which holds the activity, lets it leave.
fn given_back(token: Token, now: Timestamp) -> Product {
    let activation = ActivationId::product(&token.instance, token.activation, "", 0);
    let parent = token.activation;
    let token = Token { activation, key: activation, parent, flow: None, attempts: 0, emitted: now, ..token };
    Product { token, to: To::Ledger }
}

fn incident(table: &Compiled, node: NodeIx, token: &Token, activity: &Activity, failure: Failure) -> Vec<Effect> {
    debug_assert_eq!(table.table().node(node).id, token.element);
    decided_incident(token, Failure { attempts: activity.attempts, ..failure })
}

fn decided_incident(token: &Token, failure: Failure) -> Vec<Effect> {
    let (status, attempts) = (format!("incident {}", failure.code), failure.attempts);
    decided(vec![Product { token: token.clone().returned(), to: To::Incident(Box::new(failure)) }], status, attempts)
}

fn decided(products: Vec<Product>, status: String, attempts: u32) -> Vec<Effect> {
    vec![Effect::Decided(Box::new(Decision { products, passed: Vec::new(), status, attempts, warnings: Vec::new() }))]
}
