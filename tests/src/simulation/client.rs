//! Clients that start instances, and operators.

use std::collections::BTreeMap;

use control_plane::ledger::{
    Answer, Input, InstanceView, Operation, Operator, Reopening, Start, State, decode_instance, key, remains_of,
};
use routing::{InstanceId, Payload, TraceContext};

use super::faults::Fault;
use super::flowd::Asked;
use super::model::models;
use super::reference::Variables;
use super::world::{Event, World};

/// Someone who starts one instance.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) model: usize,
    pub(super) input: Variables,
    pub(super) key: Option<String>,
    pub(super) answered: Option<InstanceId>,
    pub(super) tried: Vec<InstanceId>,
    pub(super) cancelled: bool,
    pub(super) stopped: bool,
    again: bool,
}

impl World {
    pub(super) fn clients(&mut self, count: u64) {
        for number in 0..count {
            let model = self.random.below(models().len() as u64) as usize;
            let limit = self.random.between(1, 3) as i64;
            let key = self.random.chance(700_000).then(|| format!("order {number}"));
            let stopped = self.faults.hit(Fault::CreatedStopped, &mut self.random);
            let input = [("i".to_owned(), self.random.below(1000) as i64), ("limit".to_owned(), limit)].into();
            let client = Client {
                model,
                input,
                key,
                answered: None,
                tried: Vec::new(),
                cancelled: false,
                stopped,
                again: false,
            };
            self.clients.push(client);
            let at = self.random.below(4_000_000);
            self.at(at, Event::Client(number as usize));
        }
    }

    /// One attempt to start, or a cancel later on.
    pub(super) fn client(&mut self, number: usize) {
        let client = &self.clients[number];
        if client.answered.is_some() && !client.again {
            return;
        }
        let retry = self.random.between(500_000, 3_000_000);
        if self.flowd.process.is_none() {
            return self.after(retry, Event::Client(number)); // refused: surely not started
        }
        let client = &mut self.clients[number];
        client.again = false;
        if !client.tried.is_empty() && client.key.is_none() {
            return; // it may have been started
        }
        let model = &models()[client.model];
        let deployment = model.definition.deployment.clone();
        let instance = InstanceId::from(format!("{deployment}-{number:04x}{:02x}", client.tried.len()));
        client.tried.push(instance.clone());
        let known = client.key.as_ref().and_then(|k| {
            let found = self.flowd.store.get(&key::idempotency(k))?;
            Some(InstanceId::from(std::str::from_utf8(found).ok()?))
        });
        let start = Start {
            instance: instance.clone(),
            deployment,
            process: model.definition.process.clone(),
            definition: model.digest(),
            start_event: model.definition.start_events[0].clone(),
            payload: Payload::json(&serde_json::to_value(&client.input).unwrap_or_default()),
            metadata: BTreeMap::new(),
            idempotency_key: client.key.clone(),
            known,
            trace: TraceContext::default(),
            stopped: client.stopped,
            graphql_uri: None,
        };
        if client.key.is_some() {
            self.after(retry, Event::Client(number));
        }
        self.ask(Asked::Start(number), |r| Input::Start(r, Box::new(start)));
    }

    pub(super) fn start_answered(&mut self, number: usize, answer: Answer) {
        let client = &mut self.clients[number];
        if client.key.is_some() && self.faults.hit(Fault::AnswerLost, &mut self.random) {
            return;
        }
        let Answer::Started(instance) = answer else {
            return self.history.fail(format!("client {number} asked to start and was told {answer:?}"));
        };
        if let Some(before) = client.answered.replace(instance.clone())
            && before != instance
        {
            let key = client.key.clone().unwrap_or_default();
            self.history.fail(format!("two instances for key {key}: {before} and {instance}"));
        }
        if client.key.is_some() && self.faults.hit(Fault::StartTwice, &mut self.random) {
            client.again = true;
            let wait = self.random.below(6_000_000);
            self.after(wait, Event::Client(number));
        }
        if self.faults.hit(Fault::Cancel, &mut self.random) {
            self.clients[number].cancelled = true;
            self.ask(Asked::Operator, |r| Input::Cancel(r, instance, "not wanted".into()));
        }
    }

    /// Starts what waits for an operator: now and then while everything breaks, always afterwards.
    pub(super) fn operator(&mut self) {
        self.after(500_000, Event::Operator);
        if self.faults.on && !self.faults.hit(Fault::EarlyRestart, &mut self.random) {
            return;
        }
        let Some(process) = self.flowd.process.as_ref() else { return };
        let waits = |v: &InstanceView| !v.incidents.is_empty() || v.state == State::Stopped;
        let mut ids: Vec<InstanceId> = process.ledger.views().filter(waits).map(|v| v.id).collect();
        ids.sort_unstable();
        self.reopen_failed();
        for id in ids {
            let same_key = self.random.chance(500_000);
            self.ask(Asked::Operator, |r| {
                Input::Operate(r, id, Operator::default(), Operation::Start { payload: None, same_key })
            });
        }
    }
    /// Runs again what has ended as ERROR.
    fn reopen_failed(&mut self) {
        for view in self.failed() {
            let id = view.id.clone();
            if self.flowd.process.is_none() || self.reopens(&id) {
                continue;
            }
            let remains = self.flowd.store.iter().filter(|(key, _)| remains_of(key, &id));
            let remains = remains.map(|(key, value)| (key.clone(), value.clone())).collect();
            let same_key = self.random.chance(500_000);
            let reopening = Reopening { view, remains, by: Operator::default(), payload: None, same_key };
            self.ask(Asked::Reopen(id), |r| Input::Reopen(r, Box::new(reopening)));
        }
    }

    /// Instances that have ended as ERROR, as the store has them.
    pub(super) fn failed(&self) -> Vec<InstanceView> {
        let closed = self.flowd.store.range(key::CLOSED.to_vec()..).take_while(|(k, _)| k.starts_with(key::CLOSED));
        let views = closed.filter_map(|(_, value)| decode_instance(value).ok());
        views.filter(|it| it.state == State::Error).collect()
    }
}
