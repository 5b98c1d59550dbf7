//! User tasks at the ledger: claimed, filled in, completed; each entry by itself, across crashes.

use control_plane::ledger::{Actor, Answer, Input, State, TaskAction, TaskView};
use flow_tests::game::flow;
use flow_tests::solo::{SoloLedger, model};
use routing::form::{Checked, Judgement};
use routing::{ActivationId, InstanceId, Payload};
use serde_json::{Map, Value, json};

/// `term` must be a positive integer, `rate` is required unless `find` is `True`; `total` begins with a variable.
const FORM: &str = r#"<textAnnotation id="N"><text>rexflow:
  fields:
    desc:
    - {dataId: term, type: INTEGER, validators: [{type: POSITIVE}, {type: REQUIRED}]}
    - {dataId: rate, type: PERCENTAGE, validators: [{type: REQUIRED, constraint: "find == 'False'"}]}
    - {dataId: find, type: BOOLEAN, data: 'False'}
    - {dataId: total, type: CURRENCY, default: {type: EVAL, value: "req_json['price']"}}
</text></textAnnotation><association id="N1" sourceRef="U" targetRef="N"/>
<textAnnotation id="M"><text>rexflow_global_properties: {recoverable: true}</text></textAnnotation>"#;

fn task(inside: &str) -> String {
    let inside = format!(
        r#"<startEvent id="S"/><userTask id="U" name="Terms"><extensionElements><zeebe:userTask/></extensionElements>{inside}</userTask>{}{}{FORM}"#,
        flow("f1", "S", "U"),
        flow("f2", "U", "E")
    );
    model("P", "1", &inside)
}

fn one(inside: &str, payload: &Value) -> (SoloLedger, InstanceId, ActivationId) {
    let mut bench = SoloLedger::new(&[task(inside)]);
    let instance = bench.start("P", payload);
    let task = tasks(&bench, &instance)[0].activation;
    (bench, instance, task)
}

fn tasks(bench: &SoloLedger, instance: &InstanceId) -> Vec<TaskView> {
    let mut tasks = bench.ledger.view(instance).expect("it is open").tasks;
    tasks.sort_by_key(|it| it.activation);
    tasks
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

fn save(value: Value) -> TaskAction {
    TaskAction::Save(object(value))
}

fn complete(value: &Value) -> TaskAction {
    TaskAction::Complete(Payload::json(value))
}

fn checked(answer: Answer) -> Checked {
    match answer {
        Answer::Checked(checked) => *checked,
        other => panic!("{other:?}"),
    }
}

/// What the fields of a task's form hold, in their order.
fn values(bench: &SoloLedger, instance: &InstanceId, task: ActivationId) -> Vec<Value> {
    let seen = bench.ledger.task_form(bench.now, instance, task).expect("it is open");
    seen.form.expect("it has a form").states.into_iter().map(|it| it.value).collect()
}

#[test]
fn data_that_breaks_a_form_changes_nothing_and_every_reason_is_told() {
    let (mut bench, instance, task) = one("", &json!({"price": 9.5}));
    let before = bench.disk.clone();
    let refused = checked(bench.act(&instance, task, "ann", complete(&json!({"term": "-3", "other": 1}))));
    let broken: Vec<&str> = refused.fields.iter().filter(|it| !it.passed()).map(|it| it.field.as_str()).collect();
    assert_eq!(broken, ["term", "rate", "other"]);
    let refused = checked(bench.act(&instance, task, "", save(json!({"find": "perhaps", "term": 0}))));
    assert_eq!(refused.fields.iter().filter(|it| !it.passed()).count(), 2, "{}", refused.reasons());
    assert_eq!(bench.disk, before, "nothing was written");
    assert_eq!(values(&bench, &instance, task), [json!(null), json!(null), json!("False"), json!(9.5)]);
    for no_object in ["[1]", "5", "x"] {
        let payload =
            Payload { content_type: "application/json".to_owned(), body: no_object.as_bytes().to_vec().into() };
        assert!(matches!(bench.act(&instance, task, "", TaskAction::Complete(payload)), Answer::Invalid(_)));
    }
    let checks = bench.ledger.check_task(bench.now, &instance, task, &object(json!({"term": 1})), Judgement::Whole);
    assert_eq!(checks.unwrap().reasons(), "rate: a value is required");
    assert_eq!(bench.act(&instance, task, "", complete(&json!({"term": 36, "find": "True"}))), Answer::Done);
    let result = bench.views[&instance].result.clone().unwrap().to_json().unwrap();
    assert_eq!(result, json!({"price": 9.5, "term": 36, "rate": null, "find": "True", "total": 9.5}));
}

#[test]
fn a_draft_outlives_a_crash_and_counts_at_the_end() {
    let (mut bench, instance, task) = one("", &json!({"price": 1}));
    assert!(checked(bench.act(&instance, task, "", save(json!({"term": "12", "rate": 4})))).passed());
    bench.crash();
    assert!(checked(bench.act(&instance, task, "", save(json!({"rate": null, "find": true})))).passed());
    bench.crash();
    assert_eq!(values(&bench, &instance, task), [json!("12"), json!(null), json!(true), json!(1)]);
    assert!(tasks(&bench, &instance)[0].assigned.draft.contains_key("term"));
    assert_eq!(bench.act(&instance, task, "", complete(&json!({"total": "3.50"}))), Answer::Done);
    let result = bench.views[&instance].result.clone().unwrap().to_json().unwrap();
    assert_eq!(result, json!({"price": 1, "term": "12", "rate": null, "find": true, "total": "3.50"}));
    assert_eq!(bench.act(&instance, task, "", save(json!({"term": 1}))), Answer::NotFound);
}

#[test]
fn a_task_that_somebody_has_is_refused_to_others_unless_asked() {
    let (mut bench, instance, task) = one("", &json!({"price": 1}));
    assert!(matches!(bench.act(&instance, task, "", TaskAction::Claim), Answer::Invalid(_)), "somebody must take it");
    assert_eq!(bench.act(&instance, task, "ann", TaskAction::Claim), Answer::Done);
    bench.crash();
    let assigned = tasks(&bench, &instance)[0].assigned.clone();
    assert_eq!((assigned.assignee.as_deref(), assigned.claimed), (Some("ann"), Some(bench.now)));
    let refused = |answer: Answer| match answer {
        Answer::WrongState(why) => assert!(why.contains("is ann's") && why.contains("--force"), "{why}"),
        other => panic!("{other:?}"),
    };
    refused(bench.act(&instance, task, "bob", TaskAction::Claim));
    refused(bench.act(&instance, task, "bob", TaskAction::Unclaim));
    refused(bench.act(&instance, task, "bob", save(json!({"term": 1}))));
    refused(bench.act(&instance, task, "bob", complete(&json!({"term": 1, "find": "True"}))));
    assert_eq!(bench.act(&instance, task, "ann", TaskAction::Claim), Answer::Done, "it is hers already");
    let force = Actor { who: "bob".to_owned(), force: true };
    bench.tell(Input::Task(1, instance.clone(), task, force, TaskAction::Claim));
    assert_eq!(bench.answers.pop(), Some(Answer::Done));
    assert_eq!(tasks(&bench, &instance)[0].assigned.assignee.as_deref(), Some("bob"));
    assert_eq!(bench.act(&instance, task, "bob", TaskAction::Unclaim), Answer::Done);
    let assigned = tasks(&bench, &instance)[0].assigned.clone();
    assert_eq!((assigned.assignee, assigned.claimed), (None, None));
    assert_eq!(bench.act(&instance, task, "cleo", complete(&json!({"term": 1, "find": "True"}))), Answer::Done);
    let done: Vec<(String, String)> =
        bench.views[&instance].operations.iter().map(|it| (it.by.who.clone(), it.what.clone())).collect();
    let expected =
        [("ann", "claim U"), ("ann", "claim U"), ("bob", "claim U"), ("bob", "unclaim U"), ("cleo", "complete U")];
    assert_eq!(done, expected.map(|(who, what)| (who.to_owned(), what.to_owned())));
}

#[test]
fn each_entry_of_a_task_has_its_own_id_claim_and_draft() {
    let each = r#"<multiInstanceLoopCharacteristics><extensionElements><zeebe:loopCharacteristics inputCollection="=prices" inputElement="price" outputCollection="terms" outputElement="=term"/></extensionElements></multiInstanceLoopCharacteristics>"#;
    let (mut bench, instance, _) = one(each, &json!({"prices": [10, 20, 30]}));
    let all = tasks(&bench, &instance);
    assert_eq!(all.len(), 3);
    for (nth, task) in all.iter().enumerate() {
        assert_eq!(bench.act(&instance, task.activation, &format!("p{nth}"), TaskAction::Claim), Answer::Done);
        let term = json!({"term": nth + 1, "find": "True"});
        assert!(checked(bench.act(&instance, task.activation, "", save(term))).passed());
    }
    bench.crash();
    let mut totals = Vec::new();
    for (nth, task) in tasks(&bench, &instance).iter().enumerate() {
        assert_eq!(task.assigned.assignee, Some(format!("p{nth}")));
        let values = values(&bench, &instance, task.activation);
        assert_eq!(values[0], json!(nth + 1));
        totals.push(values[3].clone());
    }
    totals.sort_by_key(|it| it.as_u64());
    assert_eq!(totals, [json!(10), json!(20), json!(30)], "each sees its own element");
    for task in &all {
        assert_eq!(bench.act(&instance, task.activation, "", complete(&json!({}))), Answer::Done);
        if bench.state(&instance) == State::Running {
            bench.crash();
        }
    }
    assert_eq!(bench.state(&instance), State::Completed);
    let result = bench.views[&instance].result.clone().unwrap().to_json().unwrap();
    let mut terms: Vec<u64> = result["terms"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    terms.sort_unstable();
    assert_eq!(terms, [1, 2, 3], "{result}");
}

#[test]
fn a_task_that_is_entered_again_begins_anew() {
    let again = r#"<standardLoopCharacteristics loopMaximum="2"/>"#;
    let (mut bench, instance, first) = one(again, &json!({"price": 1}));
    assert!(checked(bench.act(&instance, first, "", save(json!({"term": 1})))).passed());
    assert_eq!(bench.act(&instance, first, "ann", TaskAction::Claim), Answer::Done);
    assert_eq!(bench.act(&instance, first, "", complete(&json!({"find": "True"}))), Answer::Done);
    let second = tasks(&bench, &instance)[0].clone();
    assert_ne!(second.activation, first);
    assert_eq!((second.assigned.assignee.clone(), second.assigned.draft.is_empty()), (None, true));
    assert_eq!(values(&bench, &instance, second.activation)[0], json!(null));
    assert_eq!(bench.act(&instance, first, "", complete(&json!({}))), Answer::NotFound, "the first one is over");
    assert_eq!(
        bench.act(&instance, second.activation, "", complete(&json!({"term": 2, "find": "True"}))),
        Answer::Done
    );
    assert_eq!(bench.state(&instance), State::Completed);
}

#[test]
fn a_task_without_a_form_keeps_drafts_of_anything() {
    let inside = format!(r#"<startEvent id="S"/><userTask id="U"/>{}{}"#, flow("f1", "S", "U"), flow("f2", "U", "E"));
    let mut bench = SoloLedger::new(&[model("P", "1", &inside)]);
    let instance = bench.start("P", &json!({"a": 1}));
    let task = tasks(&bench, &instance)[0].activation;
    assert!(bench.ledger.task_form(bench.now, &instance, task).unwrap().form.is_none());
    assert!(checked(bench.act(&instance, task, "", save(json!({"b": [1, 2]})))).passed());
    bench.crash();
    let large = "x".repeat(2 << 20);
    assert!(
        matches!(bench.act(&instance, task, "", save(json!({"c": large}))), Answer::Invalid(_)),
        "a draft has a limit"
    );
    assert_eq!(bench.act(&instance, task, "", complete(&json!({"c": 3}))), Answer::Done);
    let result = bench.views[&instance].result.clone().unwrap().to_json().unwrap();
    assert_eq!(result, json!({"a": 1, "b": [1, 2], "c": 3}));
}
