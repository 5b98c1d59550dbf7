//! What is written down of a run, and what must hold of it (`docs`: one decision per activation, exactly one
//! end per instance, nothing lost, nothing left behind).

use std::collections::BTreeMap;

use bytes::Bytes;
use control_plane::ledger::{InstanceView, State, decode_instance, key};
use routing::{ActivationId, Digest, Incarnation, InstanceId, Timestamp, Token};
use sidecar::record::Record;

use super::model::{Block, models};
use super::reference::{self, Variables};
use super::world::World;

/// What is written down.
#[derive(Debug, Default)]
pub(super) struct History {
    decisions: BTreeMap<ActivationId, (Incarnation, Digest)>,
    inputs: BTreeMap<ActivationId, (String, Bytes)>,
    last_call: BTreeMap<InstanceId, Timestamp>,
    closed: BTreeMap<InstanceId, (State, Option<Bytes>)>,
    failures: Vec<String>,
    pub(super) calls: u64,
    /// How often an instance was run again that had ended as ERROR.
    pub(super) reopened: u64,
}

impl History {
    pub(super) fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    pub(super) fn alarm(&mut self, what: String) {
        self.fail(format!("alarm: {what}"));
    }

    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// A decision is on disk. What a checkpoint keeps of one has no products and says nothing new.
    pub(super) fn decided(&mut self, by: Incarnation, record: &Record) {
        let Record::Decided { activation, instance, products, .. } = record else { return };
        if products.is_empty() || *activation == ActivationId::default() {
            return;
        }
        let what = (by, Digest::of(&record.clone().encode()));
        let before = self.decisions.insert(*activation, what);
        if before.is_some_and(|b| b != what) {
            self.fail(format!("second decision of {activation:?} of {instance}"));
        }
    }

    /// A call begins: the same key, the same input.
    pub(super) fn called(&mut self, token: &Token, body: &Bytes, now: Timestamp) {
        self.calls += 1;
        let input = (token.element.to_string(), body.clone());
        let before = self.inputs.insert(token.key, input.clone());
        if before.is_some_and(|b| b != input) {
            self.fail(format!("two inputs for key {:?} at {} of {}", token.key, token.element, token.instance));
        }
        self.last_call.insert(token.instance.clone(), now);
    }

    pub(super) fn changed(&mut self, view: &InstanceView) {
        // whoever has ended as ERROR may be run again
        let failed = |(state, _): &(State, Option<Bytes>)| *state == State::Error;
        if self.closed.get(&view.id).is_some_and(failed) && view.state != State::Error {
            self.closed.remove(&view.id);
            self.reopened += 1;
        }
        if !view.state.is_closed() {
            if self.closed.contains_key(&view.id) {
                self.fail(format!("{} is {} after its end", view.id, view.state));
            }
            return;
        }
        let end = (view.state, view.result.as_ref().map(|p| p.body.clone()));
        let before = self.closed.insert(view.id.clone(), end.clone());
        if before.is_some_and(|b| b != end) {
            self.fail(format!("{} ended twice", view.id));
        }
    }
}

/// How instances ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    pub(super) started: u64,
    pub(super) completed: u64,
}

impl World {
    /// Whether everything has come to rest.
    pub(super) fn is_quiet(&self) -> bool {
        let ledger = self.flowd.process.as_ref().is_some_and(|p| p.ledger.open() == 0 && p.ledger.unanswered() == 0);
        let quiet = |h: &super::sidecar::Host| {
            h.process.as_ref().is_some_and(|p| p.core.held() == 0 && p.core.unanswered() == 0 && !p.core.is_leaving())
        };
        ledger
            && self.hosts.iter().skip(1).all(quiet)
            && self.failed().is_empty()
            && self.clients.iter().all(|c| c.answered.is_some() || (c.key.is_none() && !c.tried.is_empty()))
    }

    /// What has not come to rest, for people.
    pub(super) fn unrest(&self) -> String {
        let ledger = self.flowd.process.as_ref().map(|p| {
            let open: Vec<String> = p
                .ledger
                .views()
                .map(|v| {
                    format!(
                        "{} {} missing {} waits {:?} incidents {}",
                        v.id,
                        v.state,
                        v.missing,
                        v.waiting,
                        v.incidents.len()
                    )
                })
                .collect();
            format!(
                "ledger: {} unanswered, to services {:?}, open {open:?}",
                p.ledger.unanswered(),
                p.ledger.waiting_for()
            )
        });
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .enumerate()
            .skip(1)
            .map(|(i, h)| match &h.process {
                None => format!("{i} is down"),
                Some(p) => format!(
                    "{i} {:?} {:?}: holds {}, unanswered {}, leaving {}, draining {}, {}",
                    h.incarnation,
                    h.serves,
                    p.core.held(),
                    p.core.unanswered(),
                    p.core.is_leaving(),
                    p.core.is_draining(),
                    p.state()
                ),
            })
            .collect();
        format!("{}\n  {}", ledger.unwrap_or_else(|| "flowd is down".into()), hosts.join("\n  "))
    }

    /// Everything that must hold at the end.
    pub(super) fn check(&mut self) -> Ends {
        let mut ends = Ends::default();
        for number in 0..self.clients.len() {
            self.check_client(number, &mut ends);
        }
        let stored: Vec<InstanceView> = self
            .flowd
            .store
            .iter()
            .filter(|(k, _)| k.starts_with(key::CLOSED))
            .filter_map(|(_, v)| decode_instance(v).ok())
            .collect();
        for view in stored {
            self.history.changed(&view);
            if !self.clients.iter().any(|c| c.tried.contains(&view.id)) {
                self.history.fail(format!("{} was never started", view.id));
            }
        }
        for proc in 1..self.hosts.len() {
            let Some(process) = &self.hosts[proc].process else { continue };
            let remembered = process.core.remembered();
            if remembered > 0 {
                self.history.fail(format!("sidecar {proc} still remembers {remembered} ids"));
            }
        }
        ends
    }

    fn check_client(&mut self, number: usize, ends: &mut Ends) {
        let client = &self.clients[number];
        let ended = client.tried.iter().filter_map(|i| self.flowd.store.get(&key::closed(i)));
        let views: Vec<InstanceView> = ended.filter_map(|v| decode_instance(v).ok()).collect();
        if views.len() > 1 {
            return self.history.fail(format!("client {number} has {} instances", views.len()));
        }
        let Some(view) = views.into_iter().next() else {
            if let Some(instance) = &client.answered {
                self.history.fail(format!("{instance} is lost"));
            }
            return;
        };
        if client.answered.as_ref().is_some_and(|a| *a != view.id) {
            return self.history.fail(format!("client {number} was told of another instance than {}", view.id));
        }
        ends.started += 1;
        match view.state {
            State::Completed => ends.completed += 1,
            State::Cancelled if client.cancelled => return,
            state => return self.history.fail(format!("{} ended as {state}", view.id)),
        }
        let block = &models()[client.model].block;
        let body = view.result.as_ref().map(|p| p.body.clone()).unwrap_or_default();
        let found = serde_json::from_slice::<Variables>(&body).map_err(|e| e.to_string());
        if let Err(why) = found.and_then(|result| reference::check(block, &client.input, &result)) {
            self.history.fail(format!("{}: {why}", view.id));
        }
        let late = self.history.last_call.get(&view.id).is_some_and(|at| Some(*at) > view.ended);
        if late && !has_race(block) {
            self.history.fail(format!("a task of {} was called after its end", view.id));
        }
    }
}

/// Whether branches may be running when the instance ends.
fn has_race(block: &Block) -> bool {
    match block {
        Block::Race(_) => true,
        Block::Seq(blocks) | Block::Parallel(blocks) | Block::Fork(blocks) => blocks.iter().any(has_race),
        Block::Choice(_, a, b) => has_race(a) || has_race(b),
        Block::Caught(_, other) | Block::InTime(_, _, other) => has_race(other),
        Block::Task(..) | Block::Loop(_) | Block::Wait(_) => false,
    }
}
