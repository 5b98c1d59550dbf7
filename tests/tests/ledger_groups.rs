//! Instances that several events begin together: parallel-multiple start events, parallel instantiating gateways.

use control_plane::ledger::{Receipt, State};
use flow_tests::game::flow;
use flow_tests::solo::{NOW, SoloLedger, message, model};
use routing::InstanceId;
use serde_json::Value;

const ORDER: &str = r#"<messageEventDefinition messageRef="order"/>"#;
const PAID: &str = r#"<messageEventDefinition messageRef="paid"/>"#;
const ALARM: &str = r#"<signalEventDefinition signalRef="alarm"/>"#;
const SOON: &str = "<timerEventDefinition><timeDuration>PT10S</timeDuration></timerEventDefinition>";

fn all_of(definitions: &[&str]) -> SoloLedger {
    let start = format!(r#"<startEvent id="S" parallelMultiple="true">{}</startEvent>"#, definitions.concat());
    SoloLedger::new(&[model("P", "1", &format!("{start}{}", flow("f1", "S", "E")))])
}

fn gateway(definitions: &[&str]) -> SoloLedger {
    let mut inside = r#"<eventBasedGateway id="G" instantiate="true" eventGatewayType="Parallel"/>"#.to_owned();
    for (index, definition) in definitions.iter().enumerate() {
        inside += &format!(r#"<intermediateCatchEvent id="C{index}">{definition}</intermediateCatchEvent>"#);
        inside += &flow(&format!("g{index}"), "G", &format!("C{index}"));
        let end = if index + 1 == definitions.len() { "E".to_owned() } else { format!("E{index}") };
        if end != "E" {
            inside += &format!(r#"<endEvent id="{end}"/>"#);
        }
        inside += &flow(&format!("c{index}"), &format!("C{index}"), &end);
    }
    SoloLedger::new(&[model("P", "1", &inside)])
}

fn result(solo: &SoloLedger, instance: &InstanceId) -> Value {
    assert_eq!(solo.state(instance), State::Completed);
    solo.views[instance].result.as_ref().and_then(|it| it.to_json()).expect("a result")
}

#[test]
fn a_parallel_multiple_start_event_needs_all_of_its_triggers_of_one_conversation() {
    let mut solo = all_of(&[ORDER, PAID]);
    let seven = solo.send(message("order", Some("7"), 0)).started.remove(0);
    let eight = solo.send(message("paid", Some("8"), 0)).started.remove(0);
    assert_eq!(solo.ledger.open(), 2, "each waits for its other half");
    solo.crash();
    let rest = solo.send(message("paid", Some("7"), 0));
    assert_eq!(rest, Receipt { instances: vec![seven.clone()], ..Receipt::default() });
    assert_eq!(result(&solo, &seven)["by"], "paid");
    assert_eq!(solo.state(&eight), State::Starting);
    assert_eq!(solo.send(message("order", Some("8"), 0)).instances, [eight]);
    assert_eq!(solo.ledger.open(), 0);
}

#[test]
fn the_same_trigger_again_begins_another() {
    let mut solo = all_of(&[ORDER, PAID]);
    let first = solo.send(message("order", None, 0)).started;
    solo.now += 1;
    let second = solo.send(message("order", None, 0)).started;
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(solo.send(message("paid", None, 0)).instances, first);
    assert_eq!(solo.send(message("paid", None, 0)).instances, second);
}

#[test]
fn a_signal_completes_what_waits_for_it_and_begins_nothing_then() {
    let mut solo = all_of(&[ORDER, ALARM]);
    let waiting = solo.send(message("order", None, 0)).started;
    assert_eq!(solo.signal("alarm"), Receipt { instances: waiting, ..Receipt::default() });
    assert_eq!(solo.ledger.open(), 0);
    let begun = solo.signal("alarm").started;
    assert_eq!(solo.send(message("order", None, 0)).instances, begun);
}

#[test]
fn a_timer_counts_from_its_deployment_whichever_comes_first() {
    for before in [true, false] {
        let mut solo = all_of(&[ORDER, SOON]);
        let order = |solo: &mut SoloLedger| solo.send(message("order", None, 0));
        if before {
            order(&mut solo);
            assert_eq!(solo.ledger.open(), 1);
            solo.crash();
        }
        solo.until(NOW + 10_000);
        if !before {
            assert_eq!(solo.ledger.open(), 1, "it waits for the message");
            assert_eq!(order(&mut solo).instances.len(), 1);
        }
        assert_eq!(solo.ledger.open(), 0, "before: {before}");
        assert_eq!(solo.views.len(), 1);
    }
}

#[test]
fn a_parallel_instantiating_gateway_ends_when_all_its_events_have_happened() {
    let mut solo = gateway(&[ORDER, PAID]);
    let instance = solo.send(message("paid", Some("7"), 0)).started.remove(0);
    solo.crash();
    assert_eq!(solo.send(message("order", Some("8"), 0)).started.len(), 1, "another conversation");
    assert_eq!(solo.state(&instance), State::Starting, "it waits for its order");
    assert_eq!(solo.send(message("order", Some("7"), 0)).instances, std::slice::from_ref(&instance));
    assert_eq!(result(&solo, &instance)["by"], "paid", "the last end in document order has the last word");
    assert_eq!(solo.ledger.open(), 1);
}

#[test]
fn an_exclusive_instantiating_gateway_needs_one() {
    let inside = format!(
        r#"<eventBasedGateway id="G" instantiate="true"/><intermediateCatchEvent id="A">{ORDER}</intermediateCatchEvent><intermediateCatchEvent id="R">{PAID}</intermediateCatchEvent>{}{}{}{}"#,
        flow("f1", "G", "A"),
        flow("f2", "G", "R"),
        flow("f3", "A", "E"),
        flow("f4", "R", "E")
    );
    let mut solo = SoloLedger::new(&[model("P", "1", &inside)]);
    for name in ["order", "paid"] {
        let started = solo.send(message(name, Some("7"), 0)).started.remove(0);
        assert_eq!(result(&solo, &started)["by"], name);
    }
}
