//! What operators ask for: cancel, start again, suspend, resume, set variables, move tokens, migrate, delete.
//!
//! What changes how an open instance goes on is recorded in it, with who, when and why, in the same atomic group as the change itself.

use proto::v1;
use routing::evaluate::Variables;
use routing::instance::Run;
use routing::table::Timer;
use routing::{ActivationId, HopRecord, Payload, Timestamp};

use super::instance::State;
use serde_json::Value;

use super::arrive::Known;
use super::migrate::Target;
use super::stored::{encode_instance, key};
use super::{Answer, InstanceId, Ledger, Output, Request};

/// Operations that an instance remembers; of more, the last ones.
const MAX_OPERATIONS: usize = 100;

/// Moves in one operation.
const MAX_MOVES: usize = 100;

/// Elements and flows that are called otherwise in another version.
const MAX_NAMES: usize = 1000;

/// Bytes kept of who did something, and of why.
const MAX_WORDS: usize = 1024;

/// Who does something to an instance, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// As the caller says.
    pub who: String,
    /// Empty: unsaid.
    pub why: String,
}

impl Operator {
    pub(super) fn shortened(self) -> Self {
        Self { who: shortened(self.who), why: shortened(self.why) }
    }
}

impl From<&str> for Operator {
    /// Nobody in particular, for this reason.
    fn from(why: &str) -> Self {
        Self { who: String::new(), why: why.to_owned() }
    }
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// No token goes on, no timer fires.
    Suspend,
    /// They do again.
    Resume,
    /// Every incident starts again, each from the failed element.
    Start {
        /// What to go on with instead.
        payload: Option<Payload>,
        /// Whether tasks see the idempotency keys of the failed calls.
        same_key: bool,
    },
    /// Variables get other values.
    Set {
        /// The innermost open activity of this element or activation id; the process if there is none.
        scope: Option<String>,
        /// Their names and values.
        values: Variables,
    },
    /// Tokens go from one element to another, all of them or none.
    Move {
        /// From where, an element or activation id, to which element.
        moves: Vec<(String, String)>,
        /// What they write on their way.
        values: Variables,
    },
    /// Timers that it waits for get another time, all of them or none.
    Rearm {
        /// Each by its event, or by the activation that waits for it.
        timers: Vec<(String, Timer)>,
    },
    /// The instance goes on with another version of its process.
    Migrate {
        /// Which.
        to: Target,
        /// Elements and flows that are called otherwise there.
        names: Vec<(String, String)>,
    },
}

impl Operation {
    /// Variables are set as a JSON object says.
    ///
    /// # Errors
    /// The payload is none.
    pub fn set(scope: Option<String>, payload: &Payload) -> Result<Self, &'static str> {
        match payload.to_json() {
            Some(Value::Object(values)) if !values.is_empty() => Ok(Self::Set { scope, values }),
            _ => Err("give the variables as a JSON object that has some"),
        }
    }

    /// The instance goes on with another version.
    ///
    /// # Errors
    /// There are too many names.
    pub fn migrating(to: Target, names: Vec<(String, String)>) -> Result<Self, &'static str> {
        if names.len() > MAX_NAMES {
            return Err("give up to 1,000 elements and flows that are called otherwise");
        }
        Ok(Self::Migrate { to, names })
    }

    /// Timers get another time.
    ///
    /// # Errors
    /// There are none, or too many.
    pub fn rearming(timers: Vec<(String, Timer)>) -> Result<Self, &'static str> {
        if timers.is_empty() || timers.len() > MAX_MOVES {
            return Err("give 1 to 100 timers, each by its event, with a date, duration or cycle");
        }
        Ok(Self::Rearm { timers })
    }

    /// Tokens go from one element to another, with variables if a payload is given.
    ///
    /// # Errors
    /// There are no moves, or too many, or the payload is no JSON object.
    pub fn moving(moves: Vec<(String, String)>, payload: Option<&Payload>) -> Result<Self, &'static str> {
        if moves.is_empty() || moves.len() > MAX_MOVES {
            return Err("give 1 to 100 moves, each from an element to another");
        }
        match payload.map(Payload::to_json) {
            None => Ok(Self::Move { moves, values: Variables::new() }),
            Some(Some(Value::Object(values))) => Ok(Self::Move { moves, values }),
            Some(_) => Err("give the variables as a JSON object"),
        }
    }
}

/// What was done to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operated {
    /// When.
    pub at: Timestamp,
    /// By whom, and why.
    pub by: Operator,
    /// What: `suspend`, `resume`, `cancel`, `start`, `set`, `move`, `rearm`, `migrate`, the last five with what they concern.
    pub what: String,
}

impl From<Operated> for v1::Operation {
    fn from(it: Operated) -> Self {
        Self { at_ms: it.at, who: it.by.who, why: it.by.why, what: it.what }
    }
}

impl From<v1::Operation> for Operated {
    fn from(it: v1::Operation) -> Self {
        Self { at: it.at_ms, by: Operator { who: it.who, why: it.why }, what: it.what }
    }
}

impl Ledger {
    /// Changes how an open instance goes on, or says why it cannot be.
    pub(super) fn operate(
        &mut self,
        now: Timestamp,
        request: Request,
        instance: &InstanceId,
        by: Operator,
        operation: Operation,
        out: &mut Vec<Output>,
    ) {
        let Some(open) = self.instances.get_mut(instance) else {
            out.push(Output::Answer(request, Answer::NotFound));
            return;
        };
        let answer = match (operation, open.inner.is_suspended()) {
            (Operation::Suspend, true) => Answer::WrongState(format!("{instance} is suspended already")),
            (Operation::Suspend, false) => {
                open.inner.set_suspended(true);
                self.record_operation(now, instance, by, "suspend", out);
                Answer::Done
            }
            (Operation::Resume, false) => Answer::WrongState(format!("{instance} is {}, not SUSPENDED", open.state)),
            (Operation::Resume, true) => {
                self.record_operation(now, instance, by, "resume", out);
                self.run(now, instance, out, |run| run.go_on());
                self.index_all_times(instance);
                Answer::Done
            }
            (Operation::Start { payload, same_key }, _) => {
                self.start_again(now, instance, by, payload.as_ref(), same_key, out)
            }
            (Operation::Set { scope, values }, _) => {
                let names: Vec<&str> = values.keys().map(String::as_str).collect();
                let within = scope.as_ref().map(|it| format!(" in {it}")).unwrap_or_default();
                let what = format!("set {}{within}", names.join(", "));
                self.intervene(now, instance, by, &what, out, |run| run.set_variables(scope.as_deref(), &values))
            }
            (Operation::Move { moves, values }, _) => {
                let all: Vec<String> = moves.iter().map(|(from, to)| format!("{from} to {to}")).collect();
                let what = format!("move {}", all.join(", "));
                self.intervene(now, instance, by, &what, out, |run| run.move_tokens(&moves, &values))
            }
            (Operation::Rearm { timers }, _) => {
                let all: Vec<String> = timers.iter().map(|(name, it)| format!("{name} to {}", it.text())).collect();
                let what = format!("rearm {}", all.join(", "));
                self.intervene(now, instance, by, &what, out, |run| run.rearm_timers(&timers))
            }
            (Operation::Migrate { to, names }, _) => self.migrate(now, instance, by, to, &names, out),
        };
        self.settle_state(instance, out);
        out.push(Output::Answer(request, answer));
    }

    /// Timers that came due while the instance was suspended fire now.
    pub(super) fn index_all_times(&mut self, instance: &InstanceId) {
        let open = self.instances.get(instance);
        let stays: Vec<_> = open.into_iter().flat_map(|it| it.inner.stays().cloned()).collect();
        stays.iter().for_each(|stay| self.index_times(instance, stay));
    }

    /// Who, when and why, for `describe` and the trace.
    pub(super) fn record_operation(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        by: Operator,
        what: &str,
        out: &mut Vec<Output>,
    ) {
        let by = by.shortened();
        let nth = self.next_number();
        out.push(Output::Hop(hop(now, instance, nth, &by, what)));
        let Some(open) = self.instances.get_mut(instance) else { return };
        let operations = &mut open.base.operations;
        operations.drain(..(operations.len() + 1).saturating_sub(MAX_OPERATIONS));
        operations.push(Operated { at: now, by, what: shortened(what.to_owned()) });
        let bytes = encode_instance(&open.base);
        self.put(key::open(instance), bytes);
    }

    pub(super) fn cancel(
        &mut self,
        now: Timestamp,
        request: Request,
        instance: &InstanceId,
        by: Operator,
        out: &mut Vec<Output>,
    ) {
        if !self.instances.contains_key(instance) {
            out.push(Output::Answer(request, Answer::NotFound));
            return;
        }
        let reason = by.why.clone();
        self.record_operation(now, instance, by, "cancel", out);
        self.cancelled(now, instance, reason, out);
        out.push(Output::Answer(request, Answer::Done));
    }

    /// Starts every incident of the instance again, each from the failed element, as often as it takes.
    pub(super) fn start_again(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        by: Operator,
        payload: Option<&Payload>,
        same_key: bool,
        out: &mut Vec<Output>,
    ) -> Answer {
        let Some(open) = self.instances.get(instance) else { return Answer::NotFound };
        let waiting: Vec<_> =
            open.incidents().map(|s| (s.token.activation, s.token.element.as_str().to_owned())).collect();
        if waiting.is_empty() {
            return Answer::WrongState(format!(
                "Can only start instances in STOPPED state, {instance} is {} and has no incident",
                open.state
            ));
        }
        let elements: Vec<&str> = waiting.iter().map(|(_, element)| element.as_str()).collect();
        let other = if payload.is_some() { " with another payload" } else { "" };
        self.record_operation(now, instance, by, &format!("start {}{other}", elements.join(", ")), out);
        for (stay, _) in waiting {
            self.run(now, instance, out, |run| run.resume(stay, payload, same_key));
        }
        Answer::Done
    }

    /// Tried on a copy first: it is recorded before it takes effect, which may end the instance, and not when it cannot be.
    fn intervene(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        by: Operator,
        what: &str,
        out: &mut Vec<Output>,
        act: impl Fn(Run<'_>) -> Result<(), String>,
    ) -> Answer {
        if let Err(refused) = self.attempt(now, instance, what, &act) {
            return refused;
        }
        self.record_operation(now, instance, by, what, out);
        self.run(now, instance, out, |run| {
            // as on the copy
            let _ = act(run);
        });
        Answer::Done
    }

    /// Whether it could be done, tried on a copy.
    pub(super) fn attempt(
        &self,
        now: Timestamp,
        instance: &InstanceId,
        what: &str,
        act: impl Fn(Run<'_>) -> Result<(), String>,
    ) -> Result<(), Answer> {
        let open = self.instances.get(instance).ok_or(Answer::NotFound)?;
        let known = Known { tables: &self.tables, processes: &self.processes };
        let mut copy = open.inner.clone();
        act(Run::new(&mut copy, &known, now, &mut Vec::new()))
            .map_err(|why| Answer::WrongState(format!("{instance} stays as it is, it cannot {what}: {why}")))
    }

    /// Forgets a closed instance. One that is open must be stopped first.
    pub(super) fn delete(&mut self, request: Request, instance: &InstanceId, out: &mut Vec<Output>) {
        let state = self.instances.get(instance).map(|o| o.state);
        let answer = match state {
            Some(State::Stopped) => {
                let (mut effects, now) = (Vec::new(), self.instances.get(instance).map_or(0, |o| o.base.started));
                self.cancelled(now, instance, "deleted".to_owned(), &mut effects);
                out.extend(effects.into_iter().filter(|e| matches!(e, Output::Tombstone(..) | Output::Changed(_))));
                Answer::Done
            }
            Some(state) => Answer::WrongState(format!("{instance} is {state}; `flowctl stop -i {instance}` it first")),
            None => Answer::Done,
        };
        if answer == Answer::Done {
            self.remove(key::closed(instance));
            self.remove(key::remains(instance));
            self.keep_no_more(instance);
            self.keys.retain(|_, i| i != instance);
        }
        out.push(Output::Answer(request, answer));
    }
}

pub(super) fn shortened(mut words: String) -> String {
    words.truncate(words.floor_char_boundary(MAX_WORDS));
    words
}

fn hop(now: Timestamp, instance: &InstanceId, nth: u64, by: &Operator, what: &str) -> HopRecord {
    let root = ActivationId::root(instance);
    let who = if by.who.is_empty() { String::new() } else { format!(" by {}", by.who) };
    let why = if by.why.is_empty() { String::new() } else { format!(": {}", by.why) };
    HopRecord {
        instance: instance.clone(),
        element: "operator".into(),
        name: what.to_owned(),
        kind: "operation".to_owned(),
        activation: ActivationId::product(instance, root, what, nth as u32),
        parent: root,
        started: now,
        ended: now,
        attempts: 0,
        status: format!("done{who}{why}"),
        warnings: Vec::new(),
        trace_id: String::new(),
    }
}
