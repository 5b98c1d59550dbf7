//! Activations: calls of the task, back-off, decisions.

use hop::Origin;
use routing::callback::Address;
use routing::mapping::{Answer, Request};
use routing::step::{self, CallFailure, Decision, Effect};
use routing::table::{Durability, NodeKind};
use routing::{HopRecord, Product, To};

use super::{
    ActivationId, After, Alarm, Arc, Call, Compiled, Core, Held, Output, Record, ServiceName, Timestamp, Token,
};

impl Core {
    pub(super) fn alarm(&mut self, now: Timestamp, activation: ActivationId, alarm: Alarm, out: &mut Vec<Output>) {
        match alarm {
            Alarm::Accept => self.record_held(activation, out),
            Alarm::Again => self.step(now, activation, step::Input::Again, out),
            Alarm::Boundary(node) => self.step(now, activation, step::Input::TimerFired(node), out),
        }
    }

    pub(super) fn step(&mut self, now: Timestamp, activation: ActivationId, input: step::Input, out: &mut Vec<Output>) {
        let random = self.next_random();
        let Some(held) = self.held.get_mut(&activation) else { return };
        if held.activity.callback.is_none() && !self.callbacks.is_empty() {
            let seal = self.config.callback_key.seal(activation);
            held.activity.callback = Some(Box::new(Address::new(&self.callbacks, &held.token, &seal)));
        }
        let effects = step::step(&held.table, held.node, &mut held.activity, &held.token, input, now, random);
        for effect in effects {
            match effect {
                Effect::Call(request) => self.call(now, activation, request, out),
                Effect::Again(at) => {
                    self.alarms.insert((at, activation, Alarm::Again), ());
                }
                Effect::Arm(node, at) => {
                    self.alarms.insert((at, activation, Alarm::Boundary(node)), ());
                }
                Effect::Decided(decision) => self.decide(now, activation, *decision, out),
            }
        }
    }

    fn call(&mut self, now: Timestamp, activation: ActivationId, request: Request, out: &mut Vec<Output>) {
        let Some(held) = self.held.get_mut(&activation) else { return };
        if held.calling || held.waiting.is_some() {
            return; // an alarm that was not worth searching for
        }
        if self.quiesced {
            // also when the task is down, which it is for a moment while its container is made anew
            held.waiting = Some(request);
            self.services.entry(held.service.clone()).or_default().queue.push_back(activation);
            return;
        }
        let service = self.services.entry(held.service.clone()).or_default();
        if let Some(why) = service.down.clone() {
            self.step(now, activation, step::Input::CallFailed(CallFailure::Down(why)), out);
            return;
        }
        if service.calling >= self.config.max_calls {
            held.waiting = Some(request);
            service.queue.push_back(activation);
            return;
        }
        service.calling += 1;
        held.calling = true;
        held.calls += 1;
        let NodeKind::Task(task) = &held.table.table().node(held.node).kind else { return };
        out.push(Output::Call(Call {
            activation,
            number: held.calls,
            attempt: held.activity.attempts,
            arrived: held.activity.activated,
            service: held.service.clone(),
            request,
            token: Arc::clone(&held.token),
            table: held.table.clone(),
            timeout: task.timeout,
            callback: held.activity.callback.as_ref().map(|it| it.url.clone()),
        }));
    }

    pub(super) fn called(
        &mut self,
        now: Timestamp,
        activation: ActivationId,
        number: u32,
        result: Result<Answer, CallFailure>,
        out: &mut Vec<Output>,
    ) {
        let Some(held) = self.held.get_mut(&activation) else { return };
        if !held.calling || held.calls != number {
            return;
        }
        held.calling = false;
        let service = held.service.clone();
        self.call_ended(now, &service, out);
        let input = match result {
            Ok(answer) => step::Input::Answered(answer),
            Err(failure) => step::Input::CallFailed(failure),
        };
        self.step(now, activation, input, out);
    }

    /// A place at the task is free: the next in the queue takes it.
    fn call_ended(&mut self, now: Timestamp, name: &ServiceName, out: &mut Vec<Output>) {
        let Some(service) = self.services.get_mut(name) else { return };
        service.calling = service.calling.saturating_sub(1);
        self.call_queued(now, name, out);
    }

    /// Calls of those that wait, as many as there are places for.
    fn call_queued(&mut self, now: Timestamp, name: &ServiceName, out: &mut Vec<Output>) {
        // more than one when the task is down: they wait for it elsewhere, not in the queue
        while let Some(next) = self.next_in_queue(name) {
            if let Some(request) = self.held.get_mut(&next).and_then(|h| h.waiting.take()) {
                self.call(now, next, request, out);
            }
        }
    }

    /// No call is started any more, those under way end; or calls go on, in the order in which they came. Tokens are taken all the time.
    pub(super) fn quiesce(&mut self, now: Timestamp, quiesced: bool, out: &mut Vec<Output>) {
        self.quiesced = quiesced;
        let mut services: Vec<ServiceName> = self.services.keys().cloned().collect();
        services.sort_unstable();
        services.iter().for_each(|name| self.call_queued(now, name, out));
    }

    /// Calls that wait for a place at their task, or for the task itself.
    pub fn queued(&self) -> usize {
        self.services.values().map(|service| service.queue.len()).sum()
    }

    fn next_in_queue(&mut self, name: &ServiceName) -> Option<ActivationId> {
        if self.quiesced {
            return None;
        }
        let service = self.services.get_mut(name).filter(|s| s.calling < self.config.max_calls)?;
        service.queue.pop_front()
    }

    pub(super) fn health(&mut self, now: Timestamp, name: ServiceName, down: Option<String>, out: &mut Vec<Output>) {
        let came_up = down.is_none();
        let was_down = std::mem::replace(&mut self.services.entry(name.clone()).or_default().down, down).is_some();
        if !(was_down && came_up) {
            return;
        }
        let mut waiting: Vec<_> = self
            .held
            .iter()
            .filter(|(_, h)| h.service == name && h.activity.down_since.is_some())
            .map(|(a, _)| *a)
            .collect();
        waiting.sort_unstable();
        for activation in waiting {
            self.drop_alarms(activation, |alarm| alarm == Alarm::Again);
            self.step(now, activation, step::Input::Again, out);
        }
    }

    /// Removes an activation that has decided or was dropped: no call, no timers.
    pub(super) fn take_out(&mut self, now: Timestamp, activation: ActivationId, out: &mut Vec<Output>) -> Option<Held> {
        let held = self.held.remove(&activation)?;
        self.drop_alarms(activation, |_| true);
        if held.calling {
            out.push(Output::Abort(activation));
            self.call_ended(now, &held.service, out);
        }
        Some(held)
    }

    fn drop_alarms(&mut self, activation: ActivationId, which: impl Fn(Alarm) -> bool) {
        if self.alarms.len() < 1024 {
            self.alarms.retain(|(_, a, alarm), ()| *a != activation || !which(*alarm));
        } // else they fire for nothing, which is cheaper than the search
    }

    fn decide(&mut self, now: Timestamp, activation: ActivationId, decision: Decision, out: &mut Vec<Output>) {
        let Some(held) = self.take_out(now, activation, out) else { return };
        self.describe(now, &held, &decision, out);
        self.conclude(now, &held.token, Some(held.origin), decision.products, &held.table, out);
    }

    /// A token of a closed instance goes back to the ledger with its weight; with what it carries only if the instance may be run again.
    pub(super) fn give_back(
        &mut self,
        token: Arc<Token>,
        origin: Option<Origin>,
        table: &Arc<Compiled>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let mut back = Token::clone(&token).returned();
        if !self.closed.keeps(&token.instance) {
            back.payload = routing::Payload::default();
        }
        self.conclude(now, &token, origin, vec![Product { token: back, to: To::Cancelled }], table, out);
    }

    fn conclude(
        &mut self,
        now: Timestamp,
        token: &Token,
        origin: Option<Origin>,
        products: Vec<Product>,
        table: &Arc<Compiled>,
        out: &mut Vec<Output>,
    ) {
        let assigned: Vec<_> = products.into_iter().map(|p| self.outbox.assign(p)).collect();
        let ids = assigned.iter().map(|a| (a.product.token.activation, a.seq)).collect();
        let record = Record::Decided {
            activation: token.activation,
            instance: token.instance.clone(),
            origin,
            products: assigned,
        };
        let after = After::Decided(token.activation, ids);
        let fsync = table.table().settings.durability == Durability::Fsync && !self.config.switches.no_wait;
        if fsync {
            self.write(record, after, out);
        } else {
            self.flush_lazy(out);
            self.push(record, None, out);
            self.act(now, after, out);
        }
    }

    fn describe(&self, now: Timestamp, held: &Held, decision: &Decision, out: &mut Vec<Output>) {
        let (table, token) = (held.table.table(), &held.token);
        let node = table.node(held.node);
        let record = HopRecord {
            instance: token.instance.clone(),
            element: token.element.clone(),
            name: node.name.clone(),
            kind: node.element.clone(),
            activation: token.activation,
            parent: token.parent,
            started: held.activity.activated,
            ended: now,
            attempts: decision.attempts,
            status: decision.status.clone(),
            warnings: decision.warnings.clone(),
            trace_id: trace_id(&token.trace.traceparent),
        };
        for passed in &decision.passed {
            let node = table.node(passed.node);
            out.push(Output::Hop(HopRecord {
                element: node.id.clone(),
                name: node.name.clone(),
                kind: node.element.clone(),
                activation: passed.activation,
                parent: token.activation,
                started: now,
                attempts: 0,
                status: "completed".to_owned(),
                warnings: Vec::new(),
                ..record.clone()
            }));
        }
        out.push(Output::Hop(record));
    }
}

/// The trace id of a W3C `traceparent`.
pub(crate) fn trace_id(traceparent: &str) -> String {
    traceparent.split('-').nth(1).unwrap_or("").to_owned()
}
