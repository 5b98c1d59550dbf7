//! Letting effects go, once what they depend on is durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use proto::convert::digest_bytes;
use proto::v1;
use routing::{Digest, ElementId, Incarnation, InstanceId};
use runtime::telemetry::{SpanKind, TraceContext};

use super::LedgerTask;
use super::batch::Effect;
use super::command::{Pending, Refused, Settled};
use crate::ledger::{Answer, Input, InstanceView, Measure, Output, Request, State};

impl LedgerTask {
    pub(super) fn release(&mut self, effects: Vec<Effect>) {
        let mut acks: HashMap<Incarnation, u64> = HashMap::new();
        let mut hops = Vec::new();
        for effect in effects {
            match effect {
                Effect::Reply(reply) => reply(),
                Effect::Ledger(output) => self.effect(output, &mut acks, &mut hops),
            }
        }
        for (sidecar, seq) in acks {
            if let Some(mailbox) = self.parts.mesh.mailbox(sidecar) {
                mailbox.acked(seq);
            }
        }
        if !hops.is_empty() {
            // the ledger has told of its own already
            let _ = self.parts.hops.add(hops);
        }
    }

    fn effect(&mut self, output: Output, acks: &mut HashMap<Incarnation, u64>, hops: &mut Vec<Vec<u8>>) {
        match output {
            // writes were committed, offers have gone
            Output::Write(..) | Output::Send(..) => {}
            Output::Answer(request, answer) => self.answer(request, answer),
            Output::Acked(sidecar, seq) => {
                let ack = acks.entry(sidecar).or_default();
                *ack = seq.max(*ack);
            }
            Output::HandTables(replica, definition, element) => self.hand_tables(replica, definition, &element),
            // nobody reads: nobody is told
            Output::Appended(topic) => drop(self.appended.send(Arc::from(topic))),
            Output::Thrown => self.carriers.thrown.send_replace(()),
            Output::Noticed => self.carriers.noticed.send_replace(()),
            Output::NoticeLost => drop(self.parts.metrics.notices.given_up.inc()),
            Output::Listening => self.carriers.listening.send_replace(()),
            Output::Started(instance) => self.parts.metrics.instances.started(&instance),
            Output::Changed(view) => self.changed(Arc::from(view)),
            Output::Tombstone(instance, kept) => {
                for mailbox in self.parts.mesh.mailboxes() {
                    mailbox.post(|letters| letters.close(instance.clone(), kept));
                }
            }
            Output::Reopened(instance) => {
                self.parts.metrics.instances.reopened(&instance);
                for mailbox in self.parts.mesh.mailboxes() {
                    mailbox.post(|letters| letters.reopen(instance.clone()));
                }
            }
            Output::Settled(replica) => {
                tracing::info!(sidecar = %replica, "nothing of a sidecar that has left is on its way any more");
                let (left, settled) = self.parts.ledger.left();
                self.parts.mesh.departed(left, settled);
            }
            Output::Hop(record) => hops.push(v1::HopRecord::from(record).encode_to_vec()),
            Output::Measured(measure) => self.measured(&measure),
            Output::Alarm(what) => {
                self.parts.metrics.alarms.inc();
                tracing::error!(what, "the ledger saw a broken rule: please report this");
            }
        }
    }

    fn answer(&mut self, request: Request, answer: Answer) {
        match (self.asked.remove(&request), answer) {
            (Some(Pending::Start { own, reply }), answer) => {
                let answer = match answer {
                    Answer::Started(id) => Ok(id),
                    Answer::NotFound => Err(Refused::NotFound),
                    Answer::WrongState(why) | Answer::Forbidden(why) => Err(Refused::WrongState(why)),
                    Answer::Done
                    | Answer::Fates(_)
                    | Answer::Tombstones(_)
                    | Answer::Published(_)
                    | Answer::Busy
                    | Answer::Invalid(_)
                    | Answer::Checked(_) => Err(Refused::WrongState("answered out of turn".to_owned())),
                };
                match &answer {
                    Ok(id) if *id == own => self.parts.metrics.instances.started(id),
                    // the same key, another instance: whoever waits does so for that one
                    Ok(id) => self.waiters.take(&own).into_iter().for_each(|waiter| self.wait(id.clone(), waiter)),
                    Err(_) => drop(self.waiters.take(&own)),
                }
                let _ = reply.send(answer);
            }
            (Some(Pending::Do(reply)), answer) => {
                let _ = reply.send(answer);
            }
            (None, _) => {}
        }
    }

    fn changed(&mut self, view: Arc<InstanceView>) {
        if view.state.is_closed() {
            self.ended(&view);
        }
        self.waiters.changed(&view);
        // no receiver: nobody watches
        let _ = self.changes.send(view);
    }

    fn measured(&self, measure: &Measure) {
        let metrics = &self.parts.metrics;
        match measure {
            Measure::Incidents(instance, before, now) => {
                metrics.instances.halted(instance, *before, *now);
                if now > before {
                    self.incident(instance);
                }
            }
            Measure::Joined(process, join, waited) => {
                metrics.joins.with(&[process.as_str(), join.as_str()]).observe(Duration::from_millis(*waited));
            }
            Measure::Late(by) => metrics.timers.observe(Duration::from_millis(*by)),
        }
    }

    /// Says which token waits for an operator now; what it carries is never in a log.
    fn incident(&self, instance: &InstanceId) {
        let Some(view) = self.parts.ledger.view(instance) else { return };
        let Some(newest) = view.incidents.iter().max_by_key(|it| it.since) else { return };
        let (process, trace_id) = (view.process.as_str(), trace_id(&view));
        let (element, code) = (newest.failure.element.as_str(), newest.failure.code.as_str());
        tracing::warn!(%instance, process, element, code, trace_id, "a token waits for an operator");
    }

    fn ended(&mut self, view: &InstanceView) {
        let InstanceView { id: instance, process, state, .. } = view;
        let trace_id = trace_id(view);
        match &view.failure {
            Some((failure, _)) if *state == State::Error => {
                let (element, code) = (failure.element.as_str(), failure.code.as_str());
                tracing::warn!(%instance, %process, element, code, trace_id, "an instance has ended as ERROR");
            }
            _ => tracing::debug!(%instance, %process, %state, trace_id, "an instance has ended"),
        }
        let traced = self.parts.tracer.is_exporting();
        self.parts.metrics.instances.ended(view, traced);
        if !traced {
            return;
        }
        let parent = TraceContext::parse(&view.trace.traceparent, &view.trace.tracestate, &view.trace.baggage);
        let at = self.parts.clock.now().as_system_time();
        let name = if view.end_event.is_empty() { view.state.as_str() } else { view.end_event.as_str() };
        let mut span = self.parts.tracer.span(format_args!("endEvent {name}"), SpanKind::Internal, &parent, at);
        span.set("bpmn.process.id", view.process.as_str());
        span.set("bpmn.process.version", view.deployment.as_str());
        span.set("bpmn.process.instance.id", view.id.as_str());
        span.set("bpmn.element.id", name);
        span.set("bpmn.element.type", "endEvent");
        span.set("bpmn.instance.state", view.state.as_str());
        if let Some((failure, _)) = &view.failure {
            span.error(failure.code.as_str());
        }
        span.end(at);
    }

    fn hand_tables(&mut self, replica: Incarnation, definition: Digest, element: &ElementId) {
        let Some(deployment) = self.parts.mesh.of_digest(definition) else { return };
        let Some(task) = deployment.definition.tasks.get(element) else { return };
        let bundle = v1::TableBundle {
            definition: digest_bytes(definition),
            manifest: deployment.definition.manifest.clone(),
            tables: vec![v1::Table { element: element.as_str().to_owned(), bytes: task.table.clone() }],
        };
        self.parts.links.hand_tables(replica, bundle);
    }

    /// Registers a wait; an instance that is at rest already answers at once.
    pub(super) fn wait(&mut self, instance: routing::InstanceId, waiter: tokio::sync::oneshot::Sender<Settled>) {
        match self.parts.ledger.view(&instance) {
            Some(view) if super::waiters::has_settled(&view) => {
                self.reply(move || drop(waiter.send(Settled::Now(Arc::new(view)))));
            }
            Some(_) => self.waiters.add(instance, waiter),
            None => self.reply(move || drop(waiter.send(Settled::Stored(instance)))),
        }
    }

    /// An answer that may tell what is not durable yet waits for it.
    pub(super) fn reply(&mut self, reply: impl FnOnce() + Send + 'static) {
        self.gathering.effects.push(Effect::Reply(Box::new(reply)));
    }

    /// Where replicas are now.
    pub(super) fn endpoints(&mut self) {
        let endpoints = self.parts.mesh.endpoints();
        if let Some(listed) = self.parts.mesh.listed() {
            self.parts.accounts.list(listed);
        }
        self.addresses.clear();
        for (service, replicas) in &endpoints {
            for replica in replicas {
                let target = self.addresses.entry(replica.incarnation).or_insert_with(|| hop::link::Target {
                    address: replica.address.clone(),
                    services: Default::default(),
                });
                target.services.insert(service.clone());
            }
        }
        let gone: Vec<Incarnation> = self.parts.links.wanted().filter(|it| !self.addresses.contains_key(it)).collect();
        gone.into_iter().for_each(|it| self.parts.links.unwant(it));
        self.input(Input::Splits(self.parts.mesh.splits()));
        self.input(Input::Endpoints(endpoints));
        self.link();
    }
}

/// As log lines have it.
fn trace_id(view: &InstanceView) -> &str {
    view.trace.traceparent.split('-').nth(1).unwrap_or_default()
}
