//! Tokens that come to the ledger: starts, ends, joins, catch events, incidents, long waits.

use routing::step::{self, Effect};
use routing::table::{Catch, NodeKind, Place, Trigger};
use routing::{ActivationId, Failure, FailureCode, HopRecord, Product, To, Token, Weight, Written, advance, timer};

use super::instance::{InstanceView, Open, State};
use super::stored::{Reason, Stay, encode_instance, key};
use super::{
    After, Answer, Arc, Compiled, InstanceId, Ledger, Output, Pending, Request, Start, Timestamp, assignment_key,
    is_start,
};

impl Ledger {
    pub(super) fn start(&mut self, now: Timestamp, request: Request, start: Start, out: &mut Vec<Output>) {
        let same = start.idempotency_key.as_ref().and_then(|k| self.keys.get(k)).or(start.known.as_ref());
        if let Some(instance) = same {
            out.push(Output::Answer(request, Answer::Started(instance.clone())));
            return;
        }
        let Some(table) = self.tables.get(&start.definition).cloned() else {
            out.push(Output::Answer(request, Answer::NotFound));
            return;
        };
        let Some(node) = table.find(start.start_event.as_str()) else {
            out.push(Output::Answer(
                request,
                Answer::WrongState(format!("there is no start event {}", start.start_event)),
            ));
            return;
        };
        let token = first_token(&start, now);
        let instance = start.instance.clone();
        if let Some(k) = &start.idempotency_key {
            self.keys.insert(k.clone(), instance.clone());
            self.put(key::idempotency(k), instance.as_str().as_bytes().to_vec());
        }
        let stopped = start.stopped;
        let view = first_view(start, now, if stopped { State::Stopped } else { State::Starting });
        self.put(key::open(&instance), encode_instance(&view));
        self.instances.insert(instance.clone(), Open::new(view));
        self.describe(now, &table, node, &token, "completed", out);
        if stopped {
            self.stay(now, token, Reason::Held);
        } else {
            self.leave_element(now, &table, node, &token, out);
        }
        out.push(Output::Answer(request, Answer::Started(instance)));
    }

    /// A sidecar's product. What was reported before, or belongs to a closed instance, is taken and forgotten.
    pub(super) fn report(&mut self, now: Timestamp, product: Product, out: &mut Vec<Output>) {
        let (instance, activation) = (product.token.instance.clone(), product.token.activation);
        match self.instances.get(&instance) {
            None => self.came_back_late(&product.token),
            Some(open) if open.knows(activation) => {}
            Some(_) => self.place(now, Pending::from([product]), out),
        }
    }

    /// Puts products where they belong; the ledger's own elements may yield more.
    pub(super) fn place(&mut self, now: Timestamp, mut pending: Pending, out: &mut Vec<Output>) {
        while let Some(Product { token, to }) = pending.pop_front() {
            if !self.instances.contains_key(&token.instance) {
                self.came_back_late(&token);
                continue;
            }
            match to {
                To::Service(_) => self.dispatch(Product { token, to }),
                To::Ledger => self.arrive(now, token, &mut pending, out),
                To::Incident(failure) => self.incident(now, token, *failure, out),
                To::Wait(until) => self.wait(now, token, Reason::Again(until)),
                To::Cancelled => self.alarm(&token, "was given back by a sidecar although its instance is open", out),
            }
        }
    }

    /// Assigns a product to a replica; it leaves when that is durable.
    pub(super) fn dispatch(&mut self, product: Product) {
        let activation = product.token.activation;
        let assignment = self.outbox.assign(product);
        self.put(assignment_key(&assignment), super::send::encode(&assignment));
        self.releases.push(After::Release(activation, assignment.seq));
    }

    fn arrive(&mut self, now: Timestamp, token: Token, pending: &mut Pending, out: &mut Vec<Output>) {
        let Some(table) = self.tables.get(&token.definition).cloned() else {
            let why = "the ledger has no table of this definition; apply the same file again, then `flowctl start`";
            let failure = Failure::new(FailureCode::ExpressionFailed, &token.element, why);
            return self.incident(now, token, failure, out);
        };
        let node = table.find(token.element.as_str());
        match node.map(|n| (n, &table.table().node(n).kind)) {
            Some((n, NodeKind::EndEvent(throws))) if throws.is_empty() => {
                self.describe(now, &table, n, &token, "completed", out);
                self.end(now, token, out);
            }
            Some((n, NodeKind::EndEvent(_))) => {
                self.describe(now, &table, n, &token, "completed", out);
                self.terminate(now, token, &table.table().node(n).safe_name, out);
            }
            Some((n, NodeKind::ParallelGateway)) => self.join(now, token, &table, n, pending, out),
            Some((_, NodeKind::CatchEvent(Catch { triggers, .. }))) if let [Trigger::Timer(timer)] = &triggers[..] => {
                match timer::due(timer, &token.payload, token.emitted.min(now)) {
                    Ok(due) => self.wait(now, token, Reason::Timer(due.at)),
                    Err(why) => {
                        let failure =
                            Failure::new(FailureCode::TimerFailed, &token.element, format!("set the timer: {why}"));
                        self.incident(now, token, failure, out);
                    }
                }
            }
            Some((n, NodeKind::Task(_))) => self.offer_to_service(&table, n, token),
            Some((n, NodeKind::StartEvent(_) | NodeKind::ExclusiveGateway | NodeKind::Boundary(_))) => {
                let left = advance(&table, n, &token, now);
                self.forget(&token.instance, token.activation);
                pending.extend(left.products);
            }
            Some(_) | None => {
                let why = "the ledger's table does not have this element: the sender's table and this one disagree";
                let failure = Failure::new(FailureCode::ExpressionFailed, &token.element, why);
                self.incident(now, token, failure, out);
            }
        }
    }

    pub(super) fn offer_to_service(&mut self, table: &Arc<Compiled>, node: u32, token: Token) {
        if let Place::Service(service) = &table.table().node(node).place {
            let to = To::Service(service.clone());
            self.dispatch(Product { token, to });
        }
    }

    fn join(
        &mut self,
        now: Timestamp,
        token: Token,
        table: &Arc<Compiled>,
        node: u32,
        pending: &mut Pending,
        out: &mut Vec<Output>,
    ) {
        let element = table.table().node(node);
        let incoming = element.incoming.iter().map(|f| table.table().flow(*f).id.clone());
        let (instance, scope) = (token.instance.clone(), token.scope);
        let Some(open) = self.instances.get_mut(&instance) else { return };
        let join =
            open.joins.entry((scope, token.element.clone())).or_insert_with(|| routing::join::Join::new(incoming));
        if !join.arrive(token.clone()) {
            return;
        }
        let fired = join.fire(&element.id);
        self.stay(now, token, Reason::Joining);
        let Some((merged, consumed)) = fired else {
            self.settle_state(now, &instance, out);
            return;
        };
        for activation in consumed {
            self.forget(&instance, activation);
        }
        self.describe(now, table, node, &merged, "completed", out);
        let left = advance(table, node, &merged, now);
        pending.extend(left.products);
    }

    pub(super) fn wait(&mut self, now: Timestamp, token: Token, reason: Reason) {
        if let Reason::Timer(at) | Reason::Again(at) = reason {
            self.timers.insert((at, token.activation, token.instance.clone()));
        }
        self.stay(now, token, reason);
    }

    pub(super) fn fire_timers(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some((at, activation, instance)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, activation, instance.clone()));
            let Some(stay) = self.instances.get_mut(&instance).and_then(|o| o.stays.get(&activation).cloned()) else {
                continue;
            };
            let Some(table) = self.tables.get(&stay.token.definition).cloned() else { continue };
            let Some(node) = table.find(stay.token.element.as_str()) else { continue };
            self.forget(&instance, activation);
            match stay.reason {
                Reason::Timer(_) => {
                    self.describe_since(stay.since, now, &table, node, &stay.token, "completed", out);
                    self.leave_element(now, &table, node, &stay.token, out);
                }
                Reason::Again(_) => self.offer_to_service(&table, node, stay.token.anew(false, now)),
                Reason::Ended | Reason::Joining | Reason::Incident(_) | Reason::Held => {}
            }
        }
    }

    pub(super) fn leave_element(
        &mut self,
        now: Timestamp,
        table: &Arc<Compiled>,
        node: u32,
        token: &Token,
        out: &mut Vec<Output>,
    ) {
        let left = advance(table, node, token, now);
        self.place(now, left.products.into(), out);
        self.settle_state(now, &token.instance, out);
    }

    /// Maps a kept answer and goes on from there: how a failure after the answer is resumed.
    pub(super) fn map_answer(
        &mut self,
        now: Timestamp,
        table: &Arc<Compiled>,
        node: u32,
        token: &Token,
        answer: &routing::Payload,
        out: &mut Vec<Output>,
    ) {
        for effect in step::complete(table, node, token, token.attempts, answer, now) {
            if let Effect::Decided(decision) = effect {
                self.place(now, decision.products.into(), out);
            }
        }
    }

    fn incident(&mut self, now: Timestamp, token: Token, failure: Failure, out: &mut Vec<Output>) {
        let instance = token.instance.clone();
        let recoverable = self.tables.get(&token.definition).is_none_or(|t| t.table().settings.recoverable);
        if recoverable {
            self.stay(now, token, Reason::Incident(Box::new(failure)));
            self.settle_state(now, &instance, out);
            self.changed(&instance, out);
        } else {
            self.fail(now, token, failure, out);
        }
    }

    /// A token stays at the ledger.
    pub(super) fn stay(&mut self, now: Timestamp, token: Token, reason: Reason) {
        let Some(open) = self.instances.get_mut(&token.instance) else { return };
        open.order += 1;
        let stay = Stay { token, reason, since: now, order: open.order };
        let (instance, activation) = (stay.token.instance.clone(), stay.token.activation);
        let bytes = stay.encode();
        open.stays.insert(activation, stay);
        self.put(key::token(&instance, activation), bytes);
    }

    /// A token that stayed has moved on; reports of it that come again are known.
    pub(super) fn forget(&mut self, instance: &InstanceId, activation: ActivationId) {
        let Some(open) = self.instances.get_mut(instance) else { return };
        let stayed = open.stays.remove(&activation).is_some();
        if open.seen.insert(activation) {
            self.put(key::seen(instance, activation), Vec::new());
        }
        if stayed {
            self.remove(key::token(instance, activation));
        }
    }

    /// STOPPED when nothing can move, RUNNING when something can again.
    pub(super) fn settle_state(&mut self, _now: Timestamp, instance: &InstanceId, out: &mut Vec<Output>) {
        let Some(open) = self.instances.get_mut(instance) else { return };
        let state = match (open.state, open.is_stuck()) {
            (_, true) => State::Stopped,
            (State::Stopped, false) => State::Running,
            (other, false) => other,
        };
        self.set_state(instance, state, out);
    }

    pub(super) fn set_state(&mut self, instance: &InstanceId, state: State, out: &mut Vec<Output>) {
        let Some(open) = self.instances.get_mut(instance) else { return };
        if std::mem::replace(&mut open.state, state) == state {
            return;
        }
        // RUNNING after STARTING needs no record: both mean the same to a restarted ledger
        if state == State::Stopped || open.base.state == State::Stopped {
            open.base.state = state;
            let bytes = encode_instance(&open.base);
            self.put(key::open(instance), bytes);
        }
        self.changed(instance, out);
    }

    pub(super) fn changed(&self, instance: &InstanceId, out: &mut Vec<Output>) {
        out.extend(self.view(instance).map(|view| Output::Changed(Box::new(view))));
    }

    pub(super) fn alarm(&self, token: &Token, what: &str, out: &mut Vec<Output>) {
        out.push(Output::Alarm(format!("instance {}: the token at {} {what}", token.instance, token.element)));
    }

    pub(super) fn describe(
        &self,
        now: Timestamp,
        table: &Arc<Compiled>,
        node: u32,
        token: &Token,
        status: &str,
        out: &mut Vec<Output>,
    ) {
        self.describe_since(token.emitted.min(now), now, table, node, token, status, out);
    }

    #[allow(clippy::too_many_arguments, reason = "a record has that many parts")]
    fn describe_since(
        &self,
        since: Timestamp,
        now: Timestamp,
        table: &Arc<Compiled>,
        node: u32,
        token: &Token,
        status: &str,
        out: &mut Vec<Output>,
    ) {
        let element = table.table().node(node);
        out.push(Output::Hop(HopRecord {
            instance: token.instance.clone(),
            element: element.id.clone(),
            name: element.name.clone(),
            kind: element.element.clone(),
            activation: token.activation,
            parent: if is_start(token) { ActivationId::default() } else { token.parent },
            started: since,
            ended: now,
            attempts: 0,
            status: status.to_owned(),
            warnings: Vec::new(),
            trace_id: token.trace.traceparent.split('-').nth(1).unwrap_or("").to_owned(),
        }));
    }
}

fn first_token(start: &Start, now: Timestamp) -> Token {
    let root = ActivationId::root(&start.instance);
    Token {
        instance: start.instance.clone(),
        definition: start.definition,
        element: start.start_event.clone(),
        flow: None,
        activation: root,
        key: root,
        parent: root,
        scope: root,
        generation: 0,
        attempts: 0,
        weight: Weight::one(),
        written: Written::default(),
        emitted: now,
        trace: start.trace.clone(),
        payload: start.payload.clone(),
    }
}

fn first_view(start: Start, now: Timestamp, state: State) -> InstanceView {
    InstanceView {
        id: start.instance,
        deployment: start.deployment,
        process: start.process,
        definition: start.definition,
        state,
        start_event: start.start_event,
        started: now,
        ended: None,
        metadata: start.metadata,
        trace: start.trace,
        idempotency_key: start.idempotency_key,
        input: start.payload,
        result: None,
        end_event: String::new(),
        failure: None,
        reason: String::new(),
        incidents: Vec::new(),
        waiting: Vec::new(),
        missing: Weight::one(),
    }
}
