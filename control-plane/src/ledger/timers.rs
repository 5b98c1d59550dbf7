//! Timers that flowd waits for: listed, given another time by an operator, fired where they start instances, and what becomes of those that came
//! due while it was away.
//!
//! A timer of an instance is a subscription of one of its records; one that starts instances belongs to a deployment. A task's boundary timer
//! that its sidecar waits for is not known here.

use std::collections::BTreeSet;

use routing::instance::{On, Stay, Subscription, timer_signal};
use routing::table::{NodeKind, Recovery, Timer};
use routing::timer::{self, Cycle};
use routing::{ActivationId, Compiled, DeploymentId, Digest, ElementId, Failure, FailureCode, InstanceId, ProcessId};

use super::operate::{Operated, Operator, shortened};
use super::start::{StartEvent, TimerKey, nothing};
use super::{Answer, Ledger, Measure, Output, Request, Timestamp};

/// Firings of a cycle that are skipped one by one when flowd was away; beyond that it begins anew.
const CATCH_UP: usize = 10_000;

/// Operations that a start event's timer remembers; of more, the last ones.
const MAX_OPERATIONS: usize = 20;

/// A timer that is waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct TimerView {
    /// Whose it is; `None`: it starts instances.
    pub instance: Option<InstanceId>,
    /// The version.
    pub deployment: DeploymentId,
    /// The process.
    pub process: ProcessId,
    /// The event.
    pub element: ElementId,
    /// Its name.
    pub name: String,
    /// What kind of event it is, in BPMN's words.
    pub kind: String,
    /// The record that waits for it.
    pub activation: Option<ActivationId>,
    /// When it fires.
    pub due: Timestamp,
    /// What comes after that.
    pub again: Option<Cycle>,
    /// Of a start event's: what operators did to it, oldest first.
    pub operations: Vec<Operated>,
}

impl Ledger {
    /// Every timer of these instances and deployments, or of all if none is named; the next one due first.
    pub fn timers(&self, of: &[String]) -> Vec<TimerView> {
        let named: BTreeSet<&str> = of.iter().map(String::as_str).collect();
        let meant = |ids: [&str; 2]| named.is_empty() || ids.iter().any(|it| named.contains(it));
        let mut all = Vec::new();
        for open in self.instances.values().filter(|it| meant([it.base.id.as_str(), it.deployment.as_str()])) {
            all.extend(open.inner.timers().filter_map(|(stay, what)| self.timer_of(&open.base.id, stay, what)));
        }
        let starts = self.exchange.starts.due.iter().filter(|(key, due)| meant([key.0.as_str(), due.process.as_str()]));
        all.extend(starts.filter_map(|((deployment, element, _), due)| {
            let (name, kind) = self.described(due.definition, element)?;
            Some(TimerView {
                instance: None,
                deployment: deployment.clone(),
                process: due.process.clone(),
                element: element.clone(),
                name,
                kind,
                activation: None,
                due: due.at?,
                again: due.again.clone(),
                operations: due.operations.clone(),
            })
        }));
        all.sort_by(|a, b| (a.due, &a.instance, &a.element).cmp(&(b.due, &b.instance, &b.element)));
        all
    }

    fn timer_of(&self, instance: &InstanceId, stay: &Stay, what: &Subscription) -> Option<TimerView> {
        let On::Timer { at, again } = &what.on else { return None };
        let table = self.table_of(stay, what)?.table();
        let node = table.node(what.event);
        Some(TimerView {
            instance: Some(instance.clone()),
            deployment: table.deployment.clone(),
            process: table.process.clone(),
            element: node.id.clone(),
            name: node.name.clone(),
            kind: node.element.clone(),
            activation: Some(stay.token.activation),
            due: *at,
            again: again.clone(),
            operations: Vec::new(),
        })
    }

    /// The table of the event that is waited for, which a called process may have.
    fn table_of(&self, stay: &Stay, what: &Subscription) -> Option<&Compiled> {
        let definition = stay.definition_of(what)?;
        self.tables.get(&definition).map(AsRef::as_ref)
    }

    fn described(&self, definition: Digest, element: &ElementId) -> Option<(String, String)> {
        let table = self.tables.get(&definition)?;
        let node = table.table().node(table.find(element.as_str())?);
        Some((node.name.clone(), node.element.clone()))
    }

    /// This ledger begins: timers came due that nobody watched. What their models want becomes of them; all others fire as if they were
    /// on time.
    pub(super) fn recover_timers(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let overdue: Vec<_> = self.timers.iter().take_while(|(at, ..)| *at <= now).cloned().collect();
        let mut asked = BTreeSet::new();
        for (_, activation, instance) in overdue {
            if !asked.insert((instance.clone(), activation)) {
                continue;
            }
            for (what, recovery) in self.missed(now, &instance, activation) {
                self.run(now, &instance, out, |run| run.missed(activation, &what, recovery));
            }
        }
    }

    /// Timers of a record that came due and are not to fire. Those of a suspended instance are for when it is resumed.
    fn missed(&self, now: Timestamp, instance: &InstanceId, record: ActivationId) -> Vec<(Subscription, Recovery)> {
        let open = self.instances.get(instance).filter(|it| !it.inner.is_suspended());
        let Some(stay) = open.and_then(|it| it.inner.stay(record)) else { return Vec::new() };
        let due = stay.subscriptions.iter().filter(|it| matches!(it.on, On::Timer { at, .. } if at <= now));
        let with_recovery = |what: &Subscription| {
            let table = self.table_of(stay, what)?.table();
            match &table.node(what.event).kind {
                NodeKind::CatchEvent(catch) if catch.recovery != Recovery::Fire => Some((what.clone(), catch.recovery)),
                _ => None,
            }
        };
        due.filter_map(with_recovery).collect()
    }

    /// Timers that start instances came due before this ledger began: likewise.
    pub(super) fn recover_starts(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let overdue = self.exchange.starts.next.iter().take_while(|(at, _)| *at <= now);
        let overdue: Vec<TimerKey> = overdue.map(|(_, key)| key.clone()).collect();
        for key in overdue {
            let Some(definition) = self.exchange.starts.due.get(&key).map(|it| it.definition) else { continue };
            let recovery = self.tables.get(&definition).and_then(|table| {
                match &table.table().node(table.find(key.1.as_str())?).kind {
                    NodeKind::StartEvent(start) => Some(start.catch.recovery),
                    _ => None,
                }
            });
            match recovery.unwrap_or_default() {
                Recovery::Fire => {}
                Recovery::Forget => self.skip_start(now, &key, false, out),
                Recovery::Fail => self.skip_start(now, &key, true, out),
            }
        }
    }

    /// A timer start event's time has come: what is next of it is set.
    fn next_start(&mut self, now: Timestamp, key: &TimerKey) -> Option<StartEvent> {
        let starts = &mut self.exchange.starts;
        starts.next.retain(|(_, it)| it != key);
        let start = starts.timers.get(key).map(|it| starts.all[*it].clone())?;
        let due = starts.due.get_mut(key)?;
        (due.at, due.again) = following(due.at?, due.again.take(), now);
        let due = due.clone();
        starts.next.extend(due.at.map(|at| (at, key.clone())));
        self.store_start(key, Some(&due));
        Some(start)
    }

    /// A timer start event's time was missed, and it is not to fire for that. `failing`: the instance begins, and fails at once.
    pub(super) fn skip_start(&mut self, now: Timestamp, key: &TimerKey, failing: bool, out: &mut Vec<Output>) {
        let at = self.exchange.starts.due.get(key).and_then(|due| due.at).unwrap_or(now);
        let Some(start) = self.next_start(now, key).filter(|_| failing) else { return };
        let Some(begun) = self.begun_by(now, &start, nothing()) else { return };
        out.push(Output::Started(begun.instance.clone()));
        let due = routing::timer::written(at);
        let why = format!("the timer was due at {due}, while flowd was away (timer_recovery_policy: fail)");
        let failure = Failure::new(FailureCode::CanceledInstance, &start.element, why);
        self.open_new(now, begun, None, out, |run, token| run.begin_failed(token, failure));
    }

    /// Timer start events whose time has come.
    pub(super) fn fire_starts(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some((at, key)) = self.exchange.starts.next.first().cloned().filter(|(at, _)| *at <= now) {
            let Some(start) = self.next_start(now, &key) else { continue };
            out.push(Output::Measured(Measure::Late(now.saturating_sub(at))));
            let told = start.grouped.then(|| {
                let signal = timer_signal(&start.process, &start.element, start.number.unwrap_or(0) as usize);
                self.broadcast(now, &signal, &nothing(), out)
            });
            if told.is_none_or(|it| it.instances.is_empty()) {
                self.start_by_event(now, &start, &nothing(), None, out);
            }
        }
    }

    /// An operator gives timers of a deployment's start events another time.
    pub(super) fn rearm_starts(
        &mut self,
        now: Timestamp,
        request: Request,
        deployment: &DeploymentId,
        by: Operator,
        timers: &[(String, Timer)],
        out: &mut Vec<Output>,
    ) {
        let by = by.shortened();
        let answer = match self.planned(now, deployment, timers) {
            Ok(planned) => {
                for (key, timer, (at, again)) in planned {
                    let what = format!("rearm {} to {}", key.1, timer.text());
                    let operated = Operated { at: now, by: by.clone(), what: shortened(what) };
                    self.set_start(&key, at, again, operated);
                }
                Answer::Done
            }
            Err(why) => Answer::WrongState(format!("no timer of {deployment} is changed: {why}")),
        };
        out.push(Output::Answer(request, answer));
    }

    /// All of them, or why not.
    #[allow(clippy::type_complexity, reason = "a key, what it is set to, and when that is")]
    fn planned<'t>(
        &self,
        now: Timestamp,
        deployment: &DeploymentId,
        timers: &'t [(String, Timer)],
    ) -> Result<Vec<(TimerKey, &'t Timer, (Timestamp, Option<Cycle>))>, String> {
        let of = |element: &str| {
            let keys = self.exchange.starts.due.keys();
            let mut keys = keys.filter(|key| key.0 == *deployment && key.1.as_str() == element);
            match (keys.next(), keys.next()) {
                (Some(only), None) => Ok(only.clone()),
                (Some(_), Some(_)) => Err(format!("{element} has several timers")),
                (None, _) => {
                    Err(format!("it has no start event {element:?} with a timer; `flowctl timers` lists them"))
                }
            }
        };
        let one = |(element, timer): &'t (String, Timer)| {
            let due = timer::due(timer, &nothing(), now)?;
            Ok((of(element)?, timer, (due.at, due.again)))
        };
        timers.iter().map(one).collect()
    }

    fn set_start(&mut self, key: &TimerKey, at: Timestamp, again: Option<Cycle>, operated: Operated) {
        let starts = &mut self.exchange.starts;
        let Some(due) = starts.due.get_mut(key) else { return };
        starts.next.retain(|(_, it)| it != key);
        (due.at, due.again) = (Some(at), again);
        due.operations.drain(..(due.operations.len() + 1).saturating_sub(MAX_OPERATIONS));
        due.operations.push(operated);
        let due = due.clone();
        // of an older deployment's nobody is told
        if starts.timers.contains_key(key) {
            starts.next.insert((at, key.clone()));
        }
        self.store_start(key, Some(&due));
    }
}

/// When a timer that fired is due again: the next time on its grid that is not over.
fn following(fired: Timestamp, mut again: Option<Cycle>, now: Timestamp) -> (Option<Timestamp>, Option<Cycle>) {
    let mut at = fired;
    for _ in 0..CATCH_UP {
        match again.as_ref().and_then(|cycle| cycle.next(at).ok().flatten()) {
            None => return (None, None),
            Some(due) => (at, again) = (due.at, due.again),
        }
        if at > now {
            return (Some(at), again);
        }
    }
    (Some(now + 1), again)
}
