//! The sidecar's core, moment by moment: what the simulation has found once must not come back.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use hop::{Backends, Endpoint, Refusal, Splits};
use routing::mapping::Answer;
use routing::{ActivationId, Compiled, Incarnation, Payload, Token, TraceContext, Weight, Written};
use sidecar::core::{Bindings, Config, Core, Input, Output, Sender};
use sidecar::record::Record;

const LEDGER: Incarnation = Incarnation(1);
const OWN: Incarnation = Incarnation(7);
const OTHER: Incarnation = Incarnation(8);
const MODEL: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"
  xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" targetNamespace="urn:test"><process id="P" isExecutable="true">
  <startEvent id="S"/><endEvent id="E"/>
  <serviceTask id="A"><extensionElements><zeebe:taskDefinition type="a"/></extensionElements></serviceTask>
  <serviceTask id="B"><extensionElements><zeebe:taskDefinition type="b"/></extensionElements></serviceTask>
  <sequenceFlow id="f1" sourceRef="S" targetRef="A"/><sequenceFlow id="f2" sourceRef="A" targetRef="B"/>
  <sequenceFlow id="f3" sourceRef="B" targetRef="E"/></process></definitions>"#;

/// A core, its records, and what it asked for and was not yet looked at.
struct Bench {
    core: Core,
    now: u64,
    records: Vec<(u64, Record)>,
    outputs: Vec<Output>,
}

fn definition() -> bpmn::ProcessDefinition {
    bpmn::check(MODEL.as_bytes(), &bpmn::Options::default()).unwrap().definitions.remove(0)
}

fn config(serves: &[&str]) -> Config {
    Config { serves: serves.iter().map(|s| (*s).into()).collect(), ..Config::default() }
}

impl Bench {
    /// Serves these names; the other replica serves `b`, unless this one does.
    fn new(serves: &[&str]) -> Self {
        Self::with(Core::new(config(serves)), if serves.contains(&"b") { OWN } else { OTHER })
    }

    fn with(core: Core, b: Incarnation) -> Self {
        let mut bench = Self { core, now: 1_000, records: Vec::new(), outputs: Vec::new() };
        let definition = definition();
        let table = |t: &bpmn::Table| Arc::new(Compiled::from_bytes(&t.bytes, t.digest).unwrap());
        let tables = definition.tasks.iter().map(|(e, t)| (e.clone(), table(t))).collect();
        bench.handle(Input::Tables(definition.digest, tables));
        let endpoint = Endpoint { incarnation: b, address: "1".into(), draining: false };
        let endpoints = HashMap::from([("b".into(), vec![endpoint])]);
        bench.handle(Input::Bindings(Bindings { endpoints, ..Bindings::default() }));
        bench.handle(Input::Linked(1, Sender { incarnation: LEDGER, ledger: true, serves: [].into() }));
        bench.handle(Input::PeerLinked(b));
        bench.handle(Input::LedgerLinked);
        bench
    }

    fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        self.core.handle(self.now, input, &mut out);
        for output in out {
            match output {
                Output::Write(mark, record) => self.records.push((mark, record)),
                output => self.outputs.push(output),
            }
        }
    }

    fn durable(&mut self) {
        let mark = self.records.last().unwrap().0;
        self.handle(Input::Written(mark));
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
        self.handle(Input::Tick);
    }

    fn offer(&mut self) {
        self.handle(Input::Offered(1, 0, vec![(1, token())]));
    }

    fn answer(&mut self, activation: ActivationId, status: u16) {
        let payload = Payload { content_type: "application/json".into(), body: Bytes::from_static(b"{}") };
        self.handle(Input::Called(activation, 1, Ok(Answer { status, payload, ..Answer::default() })));
    }

    /// The token that was offered to the replica of `b`.
    fn sent(&self) -> Token {
        let sent = self.outputs.iter().find_map(|o| match o {
            Output::Send(_, _, offers) => offers.first().map(|o| o.product.token.clone()),
            _ => None,
        });
        sent.unwrap()
    }

    fn calls(&self) -> usize {
        self.outputs.iter().filter(|o| matches!(o, Output::Call(_))).count()
    }

    fn leaves(&self) -> Vec<String> {
        let leave = |o: &Output| if let Output::Leave(leaving) = o { Some(format!("{leaving:?}")) } else { None };
        self.outputs.iter().filter_map(leave).collect()
    }
}

fn token() -> Token {
    let instance = "P-00000000-1".into();
    let root = ActivationId::root(&instance);
    let activation = ActivationId::product(&instance, root, "f1", 0);
    Token {
        instance,
        definition: definition().digest,
        element: "A".into(),
        flow: None,
        activation,
        key: activation,
        parent: root,
        scope: root,
        generation: 0,
        attempts: 0,
        weight: Weight::one(),
        written: Written::default(),
        pools: Vec::new(),
        emitted: 0,
        trace: TraceContext::default(),
        payload: Payload::default(),
    }
}

#[test]
fn a_checkpoint_keeps_a_done_that_is_on_its_way_to_the_disk() {
    let mut bench = Bench::new(&["a"]);
    bench.offer();
    bench.answer(token().activation, 200);
    bench.durable();
    let sent = bench.sent().activation;
    bench.handle(Input::PeerAnswered(OTHER, vec![sent], vec![]));
    bench.wait(1_000);
    assert!(matches!(bench.records.last(), Some((_, Record::Done(done))) if *done == sent));
    let recovered = Core::recover(config(&["a"]), bench.core.checkpoint());
    assert_eq!(recovered.unanswered(), 0, "the receiver may have forgotten it by now");
}

#[test]
fn a_checkpoint_keeps_the_id_of_a_decision_that_is_on_its_way_to_the_disk() {
    let mut bench = Bench::new(&["a"]);
    bench.offer();
    bench.answer(token().activation, 200);
    let mut again = Bench::with(Core::recover(config(&["a"]), bench.core.checkpoint()), OTHER);
    again.offer();
    assert_eq!(again.calls(), 0);
    assert!(again.outputs.iter().any(|o| matches!(o, Output::Accept(1, a, _) if *a == token().activation)));
}

#[test]
fn leaving_is_on_disk_before_it_is_said_and_survives_a_crash() {
    let mut bench = Bench::new(&["a"]);
    bench.offer();
    bench.wait(10); // the token has a record of its own now
    let mut out = Vec::new();
    bench.core.leave(bench.now, &mut out);
    assert!(!out.iter().any(|o| matches!(o, Output::Leave(_))));
    let Some(Output::Write(mark, record)) = out.last().cloned() else { panic!("{out:?}") };
    bench.records.push((mark, record));
    bench.durable();
    assert_eq!(bench.leaves().len(), 1);
    bench.handle(Input::LedgerLinked);
    assert_eq!(bench.leaves().len(), 2, "said again on a new stream");

    let records: Vec<Record> = bench.records.into_iter().map(|(_, r)| r).collect();
    let mut core = Core::recover(config(&["a"]), records);
    core.begin(2_000, &mut Vec::new());
    let mut again = Bench::with(core, OTHER);
    again.offer();
    assert_eq!(again.calls(), 0, "it holds nothing any more that it could decide");
    let said = again.leaves();
    assert!(said.len() == 1 && said[0].contains(&format!("accepted: [{:?}]", token().activation)), "{said:?}");
}

#[test]
fn what_was_decided_a_moment_before_leaving_counts_as_accepted() {
    let mut bench = Bench::new(&["a"]);
    bench.offer();
    bench.answer(token().activation, 200);
    let mut out = Vec::new();
    bench.core.leave(bench.now, &mut out);
    let Some(Output::Write(mark, _)) = out.last() else { panic!("{out:?}") };
    bench.handle(Input::Written(*mark));
    let said = bench.leaves();
    // the product is handed over, so nobody else may decide the activation
    assert!(said[0].contains(&format!("accepted: [{:?}]", token().activation)), "{said:?}");
}

#[test]
fn an_incident_is_not_taken_for_the_offer_that_brought_the_token() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.offer();
    bench.answer(token().activation, 200);
    bench.durable();
    let sent = bench.sent();
    bench.handle(Input::Linked(2, Sender { incarnation: OWN, ledger: false, serves: ["a".into()].into() }));
    bench.handle(Input::Offered(2, 0, vec![(1, sent.clone())]));
    bench.wait(10);
    bench.durable();
    bench.handle(Input::PeerAnswered(OWN, vec![sent.activation], vec![]));
    bench.answer(sent.activation, 400);
    bench.durable();
    bench.wait(1_000);
    bench.durable();
    assert_eq!(bench.core.unanswered(), 1, "the incident waits for the ledger's word");
}

#[test]
fn an_offer_of_a_sender_that_is_settled_is_too_late() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.handle(Input::Linked(2, Sender { incarnation: OTHER, ledger: false, serves: ["a".into()].into() }));
    bench.handle(Input::Bindings(Bindings { settled: [OTHER].into(), ..Bindings::default() }));
    bench.handle(Input::Offered(2, 0, vec![(1, Token { element: "B".into(), ..token() })]));
    assert_eq!((bench.calls(), bench.core.remembered()), (0, 0));
}

#[test]
fn an_offer_that_the_ledger_makes_for_a_sender_that_left_voids_what_that_sender_sent() {
    let late = Token { element: "B".into(), ..token() };
    let mut bench = Bench::new(&["a", "b"]);
    bench.handle(Input::Linked(2, Sender { incarnation: OTHER, ledger: false, serves: ["a".into()].into() }));
    bench.handle(Input::Replaced(2, vec![LEDGER]));
    bench.handle(Input::Replaced(1, vec![OTHER]));
    bench.handle(Input::Offered(1, 0, vec![(5, late.clone())]));
    assert_eq!(bench.calls(), 1, "only the ledger may say so");
    bench.answer(late.activation, 200);
    bench.durable();
    bench.handle(Input::Offered(1, 5, Vec::new()));
    assert_eq!(bench.core.remembered(), 0);
    bench.handle(Input::Offered(2, 0, vec![(1, late)]));
    assert_eq!((bench.calls(), bench.core.remembered()), (1, 0));
}

#[test]
fn acceptances_wait_a_little_for_company_and_not_when_the_sidecar_goes() {
    let accepts = |bench: &Bench| bench.outputs.iter().filter(|o| matches!(o, Output::Accept(..))).count();
    let mut bench = Bench::new(&["a"]);
    bench.offer();
    bench.answer(token().activation, 200);
    bench.durable();
    assert!(!bench.sent().payload.content_type.is_empty(), "what is decided goes at once");
    assert_eq!(accepts(&bench), 0);
    assert_eq!(bench.core.next_tick(), Some(bench.now + 25));
    bench.wait(24);
    assert_eq!(accepts(&bench), 0);
    bench.wait(1);
    let since = bench.now - 25;
    let told = |o: &Output| matches!(o, Output::Accept(1, a, at) if *a == token().activation && *at == since);
    assert!(bench.outputs.iter().any(told));
    bench.offer();
    assert_eq!(accepts(&bench), 2, "who offers it again is told at once");

    let mut bench = Bench::new(&["a"]);
    bench.offer();
    bench.answer(token().activation, 200);
    bench.durable();
    bench.handle(Input::Drain);
    assert_eq!(accepts(&bench), 1, "nobody waits for a sidecar that goes");
    bench.wait(100);
    assert_eq!(accepts(&bench), 1, "told once");
}

#[test]
fn a_sidecar_does_the_work_of_another_service_when_it_is_in_its_split_and_hands_it_over_as_that() {
    let mut bench = Bench::new(&["c"]);
    bench.offer();
    let refused = |bench: &Bench| bench.outputs.iter().any(|o| matches!(o, Output::Refuse(_, _, Refusal::NotServed)));
    assert!(refused(&bench), "{:?}", bench.outputs);
    bench.outputs.clear();
    // no share any more: what is on its way here is done here
    bench.handle(Input::Splits(split("a", "c", 0)));
    bench.offer();
    let called =
        bench.outputs.iter().find_map(|o| if let Output::Call(call) = o { Some(call.service.clone()) } else { None });
    assert_eq!(called.unwrap().as_str(), "c", "its own task is called");
    bench.wait(10);
    let mut out = Vec::new();
    bench.core.leave(bench.now, &mut out);
    let Some(Output::Write(mark, _)) = out.last() else { panic!("{out:?}") };
    bench.handle(Input::Written(*mark));
    let leaves = bench.leaves();
    assert!(leaves.iter().any(|it| it.contains(r#"Service("a")"#)), "for the service of the model: {leaves:?}");
}

#[test]
fn a_product_goes_to_the_service_that_a_split_chooses_and_a_token_comes_from_whoever_is_in_one() {
    let mut bench = Bench::new(&["a"]);
    let next = Endpoint { incarnation: Incarnation(9), address: "2".into(), draining: false };
    let old = Endpoint { incarnation: OTHER, address: "1".into(), draining: false };
    let endpoints = HashMap::from([("b".into(), vec![old]), ("b-next".into(), vec![next])]);
    bench.handle(Input::Splits(split("b", "b-next", 100)));
    bench.handle(Input::Bindings(Bindings { endpoints, ..Bindings::default() }));
    bench.handle(Input::PeerLinked(Incarnation(9)));
    bench.offer();
    bench.answer(token().activation, 200);
    bench.durable();
    let to = bench.outputs.iter().filter_map(|o| match o {
        Output::Send(to, _, offers) if !offers.is_empty() => Some(*to),
        _ => None,
    });
    assert_eq!(to.collect::<Vec<_>>(), [Incarnation(9)]);

    let sent = bench.sent();
    let mut after = Bench::new(&["b"]);
    after.handle(Input::Linked(2, Sender { incarnation: OTHER, ledger: false, serves: ["a-next".into()].into() }));
    after.handle(Input::Offered(2, 0, vec![(1, sent.clone())]));
    assert_eq!(after.calls(), 0, "a-next is no predecessor");
    after.handle(Input::Splits(split("a", "a-next", 10)));
    after.handle(Input::Offered(2, 0, vec![(1, sent)]));
    assert_eq!(after.calls(), 1);
}

fn split(service: &str, backend: &str, weight: u8) -> Splits {
    Splits::new([(service.into(), Backends::from([(backend.into(), weight)]))])
}

#[test]
fn a_sidecar_that_stands_still_takes_tokens_and_calls_nobody_until_it_goes_on() {
    let mut bench = Bench::new(&["a"]);
    bench.handle(Input::Quiesce(true));
    bench.offer();
    // its container is away for a moment: no attempt and no patience is spent on that
    bench.handle(Input::Health("a".into(), Some("refused".into())));
    bench.wait(100_000);
    assert_eq!(bench.calls(), 0);
    bench.durable();
    bench.wait(100);
    let accepted = |o: &Output| matches!(o, Output::Accept(1, a, _) if *a == token().activation);
    assert!(bench.outputs.iter().any(accepted), "the sender may let go of it");
    bench.handle(Input::Health("a".into(), None));
    assert_eq!(bench.calls(), 0, "that its task answers is for flowd to judge");
    bench.handle(Input::Quiesce(false));
    assert_eq!(bench.calls(), 1);
    bench.answer(token().activation, 200);
    bench.durable();
    assert_eq!(bench.sent().element.as_str(), "B");
}

#[test]
fn calls_under_way_end_while_a_sidecar_stands_still_and_a_failed_one_waits() {
    let mut bench = Bench::new(&["a"]);
    bench.offer();
    bench.handle(Input::Quiesce(true));
    bench.answer(token().activation, 503);
    bench.wait(60_000);
    assert_eq!(bench.calls(), 1, "not again before it goes on");
    bench.handle(Input::Quiesce(false));
    assert_eq!(bench.calls(), 2);
}
