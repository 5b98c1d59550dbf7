//! What the user interface of an instance is told, across crashes at every step.

use control_plane::ledger::{Answer, Input, Operator, TaskAction};
use flow_tests::game::flow;
use flow_tests::solo::{SoloLedger, model};
use serde_json::{Value, json};

const URL: &str = "http://ui/callback";

fn bench() -> SoloLedger {
    let inside = format!(
        r#"<startEvent id="S"/><userTask id="U"/><userTask id="V"/>{}{}{}{}"#,
        flow("f1", "S", "U"),
        flow("f2", "S", "U"),
        flow("f3", "U", "V"),
        flow("f4", "V", "E")
    );
    let mut bench = SoloLedger::new(&[model("P", "", &inside)]);
    bench.graphql_uri = Some(URL.to_owned());
    bench
}

/// What is to be told, oldest first, each as its input; delivered afterwards.
fn delivered(bench: &mut SoloLedger) -> Vec<Value> {
    let mut told = Vec::new();
    while let Some(notice) = bench.ledger.next_notice(URL) {
        let body: Value = serde_json::from_slice(&notice.body).unwrap();
        told.push(body["variables"].as_object().unwrap().values().next().unwrap().clone());
        bench.tell(Input::Noticed(vec![notice.number]));
    }
    assert_eq!(bench.ledger.notices(0, 10), (Vec::new(), 0));
    told
}

#[test]
fn each_entry_of_a_user_task_and_the_end_are_told_once_whatever_dies() {
    let mut bench = bench();
    let instance = bench.start("P", &json!({}));
    bench.crash();
    let (waiting, all) = bench.ledger.notices(0, 10);
    assert_eq!((waiting.len(), all), (2, 2), "both entries, although flowd died");
    let told = delivered(&mut bench);
    assert!(told.iter().all(|it| it["iid"] == instance.as_str() && it["tid"] == "U"), "{told:?}");
    assert_ne!(told[0]["xid"], told[1]["xid"]);
    bench.crash();
    assert_eq!(delivered(&mut bench), Vec::<Value>::new(), "what was delivered is forgotten");
    let entered = bench.ledger.view(&instance).unwrap().tasks;
    assert_eq!(bench.act(&instance, entered[0].activation, "ann", TaskAction::Claim), Answer::Done);
    assert_eq!(delivered(&mut bench), Vec::<Value>::new(), "a claim is no entry");
    for _ in 0..2 {
        let tasks = bench.ledger.view(&instance).unwrap().tasks;
        let task = tasks.iter().find(|it| it.element.as_str() == "U").unwrap().activation;
        let done = TaskAction::Complete(routing::Payload::json(&json!({})));
        assert_eq!(bench.act(&instance, task, "ann", done), Answer::Done);
        bench.crash();
        let told = delivered(&mut bench);
        assert_eq!((told.len(), &told[0]["tid"]), (1, &json!("V")), "{told:?}");
    }
    bench.tell(Input::Cancel(1, instance.clone(), Operator::default()));
    bench.crash();
    assert_eq!(delivered(&mut bench), [json!({"iid": instance.as_str()})]);
}

#[test]
fn what_the_originals_tests_give_as_an_interface_is_told_nothing() {
    for nobody in [Some("http://gndn.net/".to_owned()), None] {
        let mut bench = bench();
        bench.graphql_uri = nobody;
        let instance = bench.start("P", &json!({}));
        bench.tell(Input::Cancel(1, instance, Operator::default()));
        assert_eq!(bench.ledger.notices(0, 10).1, 0);
    }
}
