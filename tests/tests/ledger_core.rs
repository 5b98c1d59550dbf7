//! The ledger, moment by moment: what the simulation has found once must not come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use control_plane::ledger::{Answer, Change, Input, Ledger, Output, Start};
use routing::{Compiled, InstanceId, Payload, TraceContext};
use serde_json::json;

const MODEL: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"
  xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" targetNamespace="urn:test"><process id="P" isExecutable="true">
  <startEvent id="S"/><endEvent id="E"/>
  <serviceTask id="A"><extensionElements><zeebe:taskDefinition type="a"/></extensionElements></serviceTask>
  <sequenceFlow id="f1" sourceRef="S" targetRef="A"/><sequenceFlow id="f2" sourceRef="A" targetRef="E"/>
  </process></definitions>"#;

/// What a ledger asked for, in order, and what of it is on the disk.
struct Bench {
    ledger: Ledger,
    outputs: Vec<Output>,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn definition() -> bpmn::ProcessDefinition {
    bpmn::check(MODEL.as_bytes(), &bpmn::Options::default()).unwrap().definitions.remove(0)
}

fn table(definition: &bpmn::ProcessDefinition) -> Arc<Compiled> {
    Arc::new(Compiled::from_bytes(&definition.ledger.bytes, definition.ledger.digest).unwrap())
}

impl Bench {
    fn new() -> Self {
        let definition = definition();
        let mut bench = Self { ledger: Ledger::new(1), outputs: Vec::new(), disk: BTreeMap::new() };
        bench.handle(Input::Definition(definition.digest, table(&definition)));
        bench
    }

    fn handle(&mut self, input: Input) {
        self.ledger.handle(1_000, input, &mut self.outputs);
    }

    /// The disk has everything: its changes are there, and the effects that waited are told.
    fn durable(&mut self) -> Vec<Output> {
        let (writes, effects): (Vec<Output>, Vec<Output>) =
            std::mem::take(&mut self.outputs).into_iter().partition(|o| matches!(o, Output::Write(..)));
        for write in writes {
            let Output::Write(mark, changes) = write else { continue };
            for (key, value) in changes as Vec<Change> {
                match value {
                    Some(value) => self.disk.insert(key, value),
                    None => self.disk.remove(&key),
                };
            }
            self.handle(Input::Written(mark));
        }
        effects
    }

    fn start(&mut self, instance: &InstanceId) {
        let definition = definition();
        self.handle(Input::Start(
            1,
            Box::new(Start {
                instance: instance.clone(),
                deployment: definition.deployment.clone(),
                process: definition.process.clone(),
                definition: definition.digest,
                start_event: "S".into(),
                payload: Payload::json(&json!({})),
                metadata: BTreeMap::new(),
                idempotency_key: None,
                known: None,
                trace: TraceContext::default(),
                stopped: false,
                graphql_uri: None,
            }),
        ));
    }

    /// flowd dies and comes back: what is not on the disk is gone.
    fn crash(&mut self) {
        self.outputs.clear();
        let definition = definition();
        let tables = [(definition.digest, table(&definition))].into_iter().collect();
        self.ledger = Ledger::load(2, tables, self.disk.clone()).unwrap();
    }
}

fn told(outputs: &[Output], request: u64) -> Option<Vec<InstanceId>> {
    outputs.iter().find_map(|output| match output {
        Output::Answer(number, Answer::Tombstones(instances)) if *number == request => {
            Some(instances.iter().map(|(instance, _)| instance.clone()).collect())
        }
        _ => None,
    })
}

#[test]
fn a_sidecar_that_comes_back_hears_of_a_closed_instance_only_when_its_end_is_on_disk() {
    let (mut bench, instance) = (Bench::new(), InstanceId::from("P-00000000-1"));
    bench.start(&instance);
    bench.durable();
    bench.handle(Input::Cancel(2, instance.clone(), "enough".into()));
    bench.handle(Input::Tombstones(3));
    let write = bench.outputs.iter().position(|o| matches!(o, Output::Write(..))).unwrap();
    let answer = bench.outputs.iter().position(|o| matches!(o, Output::Answer(3, _))).unwrap();
    assert!(write < answer, "an answer waits for every write before it: {:#?}", bench.outputs);

    bench.crash();
    assert_eq!(bench.ledger.open(), 1, "the end was never on the disk: the instance goes on");
    bench.handle(Input::Tombstones(4));
    assert_eq!(told(&bench.durable(), 4), Some(Vec::new()), "or its tokens were given back although it is open");

    bench.handle(Input::Cancel(5, instance.clone(), "enough".into()));
    bench.durable();
    bench.crash();
    bench.handle(Input::Tombstones(6));
    assert_eq!(told(&bench.durable(), 6), Some(vec![instance]), "an end that is on the disk is told after a crash too");
}
