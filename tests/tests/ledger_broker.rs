//! Topics at a broker, in the ledger alone: what is to be produced, how far was consumed, and what is known of it after a crash.

use control_plane::ledger::{Consumed, Input, Position, State};
use flow_tests::harness::Model;
use flow_tests::solo::{NOW, SoloLedger};
use routing::Payload;
use routing::instance::{INSTANCE_HEADER, Published};
use serde_json::{Value, json};

/// S listens to `news`; then E, which publishes to `said`.
fn listener(process: &str) -> String {
    let model = Model::new(process).event("startEvent", "S", "", "topic: news");
    model.event("endEvent", "E", "", "topic: said").path(&["S", "E"]).xml()
}

/// S, then a catch event on `answers`, then E.
fn catcher(process: &str) -> String {
    let model = Model::new(process).global("recoverable: true").start("S");
    model.catches("C", "answers", "").end("E").path(&["S", "C", "E"]).xml()
}

fn had(topic: &str, offset: u64, id: Option<&str>, payload: &Value) -> Consumed {
    let message = Published { name: topic.into(), id: id.map(Into::into), ..Published::default() };
    let message = Some(Published { payload: Payload::json(payload), ..message });
    Consumed { topic: topic.into(), partition: 0, offset, message }
}

fn next(bench: &SoloLedger, topic: &str) -> Option<u64> {
    bench.ledger.positions()[topic].next.get(&0).copied()
}

#[test]
fn what_is_thrown_stays_under_one_id_until_it_is_produced() {
    let mut bench = SoloLedger::beside_a_broker(&[listener("P")]);
    let instances = [bench.start("P", &json!({"n": 1})), bench.start("P", &json!({"n": 2}))];
    let (thrown, left) = bench.ledger.thrown(0, 10);
    assert_eq!((thrown.len(), left), (2, 2));
    for (thrown, instance) in thrown.iter().zip(&instances) {
        assert_eq!((bench.state(instance), thrown.message.name.as_str()), (State::Completed, "said"));
        assert_eq!(thrown.message.headers[INSTANCE_HEADER], instance.as_str());
        assert!(thrown.message.id.as_ref().unwrap().starts_with(instance.as_str()), "{thrown:?}");
    }
    assert_ne!(thrown[0].message.id, thrown[1].message.id);
    assert!(bench.ledger.records("said", 0, 10).0.is_empty(), "nothing of it is flowd's own");
    bench.crash();
    assert_eq!(bench.ledger.thrown(0, 10), (thrown.clone(), 2), "the same after a crash");
    assert_eq!(bench.ledger.thrown(thrown[0].number, 10).0, thrown[1..]);
    bench.tell(Input::Produced(vec![thrown[0].number]));
    bench.tell(Input::Produced(vec![thrown[0].number]));
    bench.crash();
    assert_eq!(bench.ledger.thrown(0, 10), (thrown[1..].to_vec(), 1));
}

#[test]
fn a_message_and_its_offset_are_one_and_what_comes_again_changes_nothing() {
    let mut bench = SoloLedger::beside_a_broker(&[listener("P")]);
    let since = Position { since: NOW, next: [].into() };
    assert_eq!(bench.ledger.positions(), &[("news".to_owned(), since)].into());
    bench.tell(Input::Consumed(had("news", 5, None, &json!({"n": 5}))));
    assert_eq!((bench.views.len(), next(&bench, "news")), (1, Some(6)));
    bench.crash();
    for offset in [3, 5] {
        bench.tell(Input::Consumed(had("news", offset, None, &json!({"n": offset}))));
    }
    assert_eq!((bench.views.len(), next(&bench, "news")), (1, Some(6)));
    for offset in [6, 9] {
        bench.tell(Input::Consumed(had("news", offset, Some("m-6"), &json!({"n": 6}))));
        bench.crash();
    }
    assert_eq!((bench.views.len(), next(&bench, "news")), (2, Some(10)), "an id starts one instance");
    bench.tell(Input::Consumed(Consumed { message: None, ..had("news", 10, None, &json!({})) }));
    let other = Consumed { partition: 1, ..had("news", 0, None, &json!({"n": 1})) };
    bench.tell(Input::Consumed(other.clone()));
    bench.tell(Input::Consumed(other));
    bench.tell(Input::Consumed(had("nobody", 1, None, &json!({}))));
    bench.crash();
    assert_eq!(bench.ledger.positions()["news"].next, [(0, 11), (1, 1)].into());
    assert_eq!((bench.views.len(), bench.ledger.positions().len()), (3, 1));
    bench.tell(Input::Renewed("news".into()));
    bench.crash();
    assert_eq!(bench.ledger.positions()["news"], Position { since: NOW, next: [].into() });
}

#[test]
fn a_catch_event_gets_what_came_before_it_waited() {
    let mut bench = SoloLedger::beside_a_broker(&[catcher("P")]);
    let future = format!("{}-1", bench.definitions[0].deployment);
    let mut message = had("answers", 1, Some("a"), &json!({"v": 4}));
    message.message.as_mut().unwrap().headers = [(INSTANCE_HEADER.to_owned(), future.clone())].into();
    bench.tell(Input::Consumed(message));
    bench.crash();
    let instance = bench.start("P", &json!({"v": 1}));
    assert_eq!((instance.as_str(), bench.state(&instance)), (future.as_str(), State::Completed));
    assert_eq!(bench.views[&instance].result.as_ref().unwrap().to_json(), Some(json!({"v": 4})));
}

#[test]
fn topics_are_followed_as_long_as_somebody_listens() {
    let mut bench = SoloLedger::beside_a_broker(&[listener("P"), catcher("Q")]);
    let topics = |bench: &SoloLedger| bench.ledger.positions().keys().cloned().collect::<Vec<_>>();
    assert_eq!(topics(&bench), ["answers", "news"]);
    bench.tell(Input::Consumed(had("news", 1, None, &json!({}))));
    let listens = bench.definitions.remove(0);
    bench.now += 1_000;
    bench.tell(Input::Retired(listens.digest));
    bench.deployed();
    assert_eq!(topics(&bench), ["answers"]);
    bench.crash();
    assert_eq!(topics(&bench), ["answers"]);
    bench.apply(&listener("P"));
    let since = Position { since: NOW + 1_000, next: [].into() };
    assert_eq!(bench.ledger.positions()["news"], since, "from now on, not from where it was");
}

#[test]
fn without_the_broker_what_was_thrown_is_told_here() {
    let mut bench = SoloLedger::beside_a_broker(&[listener("P")]);
    bench.start("P", &json!({"n": 1}));
    bench.set_broker(false);
    bench.until(bench.now + 1_000);
    assert_eq!((bench.ledger.thrown(0, 10).1, bench.ledger.positions().len()), (0, 0));
    assert_eq!(bench.ledger.records("said", 0, 10).0.len(), 1);
    bench.set_broker(true);
    assert_eq!(bench.ledger.records("said", 0, 10).0.len(), 1, "what the log has stays");
    assert_eq!(bench.ledger.positions().keys().collect::<Vec<_>>(), ["news"]);
}
