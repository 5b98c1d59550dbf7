//! What happens to one instance, carried out: the engine runs, its records are stored, its effects leave.

use std::sync::Arc;

use routing::instance::{Effect, Reason, Run, Stay, Subscription, Tables};
use routing::table::{NodeIx, Version};
use routing::{ActivationId, Digest, HopRecord, Product, To, Token, Weight, Written};

use super::instance::{InstanceView, Open, State, Timed};
use super::message::Posted;
use super::stored::{self, encode_instance, key};
use super::{
    After, Answer, Compiled, HashMap, InstanceId, Ledger, Measure, Output, Pending, Request, Start, Timestamp,
    assignment_key, is_start,
};

/// The ledger's tables, for the engine.
pub(super) struct Known<'a> {
    pub(super) tables: &'a HashMap<Digest, Arc<Compiled>>,
    pub(super) processes: &'a [super::Deployed],
}

impl Tables for Known<'_> {
    fn table(&self, definition: Digest) -> Option<Arc<Compiled>> {
        self.tables.get(&definition).cloned()
    }

    fn called(&self, caller: Digest, process: &str, version: &Version) -> Option<Digest> {
        super::deployed::called(self.processes, caller, process, version)
    }
}

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
        if table.find(start.start_event.as_str()).is_none() {
            out.push(Output::Answer(
                request,
                Answer::WrongState(format!("there is no start event {}", start.start_event)),
            ));
            return;
        }
        let instance = start.instance.clone();
        if let Some(k) = &start.idempotency_key {
            self.keys.insert(k.clone(), instance.clone());
            self.put(key::idempotency(k), instance.as_str().as_bytes().to_vec());
        }
        let stopped = start.stopped;
        self.open_new(now, start, None, out, |run, token| if stopped { run.hold(token) } else { run.start(token) });
        out.push(Output::Answer(request, Answer::Started(instance)));
    }

    /// Opens an instance and lets its first token begin; `key` is that of the message that started it.
    pub(super) fn open_new(
        &mut self,
        now: Timestamp,
        start: Start,
        key: Option<&str>,
        out: &mut Vec<Output>,
        begin: impl FnOnce(Run<'_>, Token),
    ) {
        let (token, instance, stopped) = (first_token(&start, now), start.instance.clone(), start.stopped);
        let mut view = first_view(start, now, if stopped { State::Stopped } else { State::Starting });
        view.correlation_key = key.map(str::to_owned);
        if let Some(table) = self.tables.get(&view.definition) {
            for (key, value) in &table.table().settings.metadata {
                view.metadata.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        if let Some(k) = &view.correlation_key {
            self.exchange.singletons.insert((view.process.clone(), k.clone()), instance.clone());
        }
        self.put(key::open(&instance), encode_instance(&view));
        self.instances.insert(instance.clone(), Open::new(view));
        self.notify_begun(now, &instance, out);
        self.run(now, &instance, out, |run| begin(run, token));
    }

    /// Lets the engine run on one instance, and carries out what follows.
    pub(super) fn run(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        out: &mut Vec<Output>,
        act: impl FnOnce(Run<'_>),
    ) {
        let Some(open) = self.instances.get_mut(instance) else { return };
        let mut effects = Vec::new();
        let known = Known { tables: &self.tables, processes: &self.processes };
        act(Run::new(&mut open.inner, &known, now, &mut effects));
        let closes = |effect: &Effect| matches!(effect, Effect::Completed { .. } | Effect::Failed(_));
        self.note_changes(instance, effects.iter().any(closes));
        self.announce_tasks(now, instance, out);
        let incident = effects.iter().any(|effect| matches!(effect, Effect::Incident(_)));
        for effect in effects {
            self.carry_out(now, instance, effect, out);
        }
        self.settle_state(instance, out);
        self.measure_incidents(instance, out);
        // told last: who waits for the first incident reads the state with it
        if incident {
            self.changed(instance, out);
        }
    }

    fn carry_out(&mut self, now: Timestamp, instance: &InstanceId, effect: Effect, out: &mut Vec<Output>) {
        match effect {
            Effect::Offer(product) => self.dispatch(*product),
            Effect::Publish(message) => self.post(Posted::Message(message)),
            Effect::Broadcast { name, payload } => self.post(Posted::Signal(name, payload)),
            Effect::Passed { table, node, token, since, status } => {
                out.push(hop(&table, node, &token, since, now, status));
            }
            Effect::Joined { table, node, since } => {
                let (process, join) = (table.table().process.clone(), table.table().node(node).id.clone());
                out.push(Output::Measured(Measure::Joined(process, join, now.saturating_sub(since))));
            }
            Effect::Completed { result, end_event, timed } => {
                self.completed(now, instance, (result, end_event, timed), out);
            }
            Effect::Failed(activation) => self.fail(now, instance, activation, out),
            Effect::Incident(_) => {}
            Effect::Alarm(token, what) => self.alarm(&token, what, out),
        }
    }

    /// Stores what the engine changed, and keeps the indexes across instances. What closes at once is not stored first.
    fn note_changes(&mut self, instance: &InstanceId, closes: bool) {
        let Some(open) = self.instances.get_mut(instance) else { return };
        let (changes, gone) = open.inner.take_changes();
        let mut moved: Vec<(ActivationId, Vec<Subscription>, Option<Stay>)> = Vec::new();
        for (activation, before) in changes {
            moved.push((activation, before, open.inner.stay(activation).filter(|_| !closes).cloned()));
        }
        for (activation, before, after) in moved {
            self.unindex(instance, activation, &before);
            let stored = self.instances.get_mut(instance).is_some_and(|o| match after {
                Some(_) => !o.stored.insert(activation),
                None => o.stored.remove(&activation),
            });
            match after {
                Some(stay) => {
                    self.index(instance, &stay);
                    self.put(key::token(instance, activation), stored::encode_stay(&stay));
                }
                None if stored => self.remove(key::token(instance, activation)),
                None => {}
            }
        }
        if closes {
            return;
        }
        for activation in gone {
            self.put(key::seen(instance, activation), Vec::new());
            if let Some(open) = self.instances.get_mut(instance) {
                open.stored_seen.push(activation);
            }
        }
    }

    /// Times are hints, looked at when they come; names are exact.
    pub(super) fn index(&mut self, instance: &InstanceId, stay: &Stay) {
        self.index_times(instance, stay);
        if !stay.subscriptions.is_empty() {
            self.subscribed(instance, stay);
        }
    }

    pub(super) fn index_times(&mut self, instance: &InstanceId, stay: &Stay) {
        let activation = stay.token.activation;
        if let Reason::Again(at) = stay.reason {
            self.timers.insert((at, activation, instance.clone()));
        }
        for subscription in &stay.subscriptions {
            if let Some(at) = subscription.on.time() {
                self.timers.insert((at, activation, instance.clone()));
            }
        }
    }

    pub(super) fn unindex(&mut self, instance: &InstanceId, activation: ActivationId, before: &[Subscription]) {
        for subscription in before {
            if let Some(at) = subscription.on.time() {
                self.timers.remove(&(at, activation, instance.clone()));
            }
        }
        if !before.is_empty() {
            self.unsubscribed(instance, activation, before);
        }
    }

    /// A sidecar's product. What was reported before, or belongs to a closed instance, is taken and forgotten.
    pub(super) fn report(&mut self, now: Timestamp, product: Product, out: &mut Vec<Output>) {
        let instance = product.token.instance.clone();
        if self.instances.contains_key(&instance) {
            self.run(now, &instance, out, |run| run.report(product));
        } else {
            self.came_back_late(product);
        }
    }

    /// Puts products where they belong.
    pub(super) fn place(&mut self, now: Timestamp, pending: Pending, out: &mut Vec<Output>) {
        for product in pending {
            let open = self.instances.get(&product.token.instance);
            match &product.to {
                To::Service(_) if open.is_some_and(|it| !it.inner.is_suspended()) => self.dispatch(product),
                _ => self.report(now, product, out),
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

    pub(super) fn fire_timers(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some((at, activation, instance)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, activation, instance.clone()));
            // a suspended instance's timers are set again when it is resumed
            let Some(open) = self.instances.get(&instance).filter(|it| !it.inner.is_suspended()) else { continue };
            let Some(stay) = open.inner.stay(activation) else { continue };
            if matches!(stay.reason, Reason::Again(due) if due <= now) {
                self.run(now, &instance, out, |run| run.again(activation));
                continue;
            }
            let due = |s: &&Subscription| s.on.time().is_some_and(|at| at <= now);
            if let Some(what) = stay.subscriptions.iter().find(due).cloned() {
                // another timer of the same record may be due as well
                self.timers.insert((at, activation, instance.clone()));
                let due = what.on.time().unwrap_or(at);
                out.push(Output::Measured(Measure::Late(now.saturating_sub(due))));
                self.run(now, &instance, out, |run| {
                    run.fire(activation, &what, None);
                });
            }
        }
    }

    /// STOPPED when nothing can move, RUNNING when something can again. Nothing is settled of one that is about to be closed, or run again.
    pub(super) fn settle_state(&mut self, instance: &InstanceId, out: &mut Vec<Output>) {
        let Some(open) = self.instances.get_mut(instance).filter(|it| !it.inner.has_failed()) else { return };
        let state = match (open.state, open.inner.is_stuck()) {
            _ if open.inner.is_suspended() => State::Suspended,
            (_, true) => State::Stopped,
            (State::Stopped | State::Suspended, false) => State::Running,
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
        let told = |it: State| matches!(it, State::Stopped | State::Suspended);
        if told(state) || told(open.base.state) {
            open.base.state = state;
            let bytes = encode_instance(&open.base);
            self.put(key::open(instance), bytes);
        }
        self.changed(instance, out);
    }

    /// Tells how many tokens wait for an operator, when that has changed.
    pub(super) fn measure_incidents(&mut self, instance: &InstanceId, out: &mut Vec<Output>) {
        let Some(open) = self.instances.get_mut(instance) else { return };
        let now = open.inner.halted();
        let before = std::mem::replace(&mut open.halted, now);
        if before != now {
            out.push(Output::Measured(Measure::Incidents(instance.clone(), before, now)));
        }
    }

    pub(super) fn changed(&self, instance: &InstanceId, out: &mut Vec<Output>) {
        out.extend(self.view(instance).map(|view| Output::Changed(Box::new(view))));
    }

    pub(super) fn alarm(&self, token: &Token, what: &str, out: &mut Vec<Output>) {
        out.push(Output::Alarm(format!("instance {}: the token at {} {what}", token.instance, token.element)));
    }
}

fn hop(table: &Compiled, node: NodeIx, token: &Token, since: Timestamp, now: Timestamp, status: String) -> Output {
    let element = table.table().node(node);
    Output::Hop(HopRecord {
        instance: token.instance.clone(),
        element: element.id.clone(),
        name: element.name.clone(),
        kind: element.element.clone(),
        activation: token.activation,
        parent: if is_start(token) { ActivationId::default() } else { token.parent },
        started: since,
        ended: now,
        attempts: 0,
        status,
        warnings: Vec::new(),
        trace_id: token.trace.traceparent.split('-').nth(1).unwrap_or("").to_owned(),
    })
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
        pools: Vec::new(),
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
        correlation_key: None,
        graphql_uri: start.graphql_uri,
        operations: Vec::new(),
        timed: Timed::default(),
        incidents: Vec::new(),
        waiting: Vec::new(),
        tasks: Vec::new(),
        missing: Weight::one(),
    }
}
