//! The original's GraphQL as its user interfaces use it, and what they are told, with a `kill -9` of flowd between.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flow_tests::harness::{Answer, Call, Mesh, PATIENCE, Reply, Service, eventually, post, request};
use serde_json::{Value, json};

const MODEL: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="urn:test">
  <process id="loan" isExecutable="true">
    <startEvent id="start"/><userTask id="terms" name="Agree on terms"/><userTask id="sign" name="Sign"/><endEvent id="done"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="terms"/><sequenceFlow id="f2" sourceRef="terms" targetRef="sign"/>
    <sequenceFlow id="f3" sourceRef="sign" targetRef="done"/>
    <textAnnotation id="N"><text>rexflow: {fields: {file: terms.json}}</text></textAnnotation>
    <association id="A" sourceRef="terms" targetRef="N"/>
  </process></definitions>"#;

fn form() -> Value {
    json!([
        {"dataId": "principal", "type": "CURRENCY", "order": 2, "label": "Principal", "data": "", "encrypted": "False",
         "default": {"type": "EVAL", "value": "'36'"}, "validators": [{"type": "POSITIVE"}, {"type": "REQUIRED"}]},
        {"dataId": "rate", "type": "PERCENTAGE", "order": 1, "label": "Rate", "data": "", "encrypted": "True",
         "validators": [{"type": "INTERVAL", "constraint": "(0,20]"}]},
    ])
}

async fn deployed(mesh: &Mesh, folder: &Path) -> String {
    let model = folder.join("loan.bpmn");
    std::fs::write(&model, MODEL).unwrap();
    std::fs::write(folder.join("terms.json"), form().to_string()).unwrap();
    let applied = mesh.flowctl.json(&["apply", model.to_str().unwrap(), "-o", "json"]).await;
    applied[0]["deployments"][0]["id"].as_str().unwrap_or_else(|| panic!("{applied}")).to_owned()
}

async fn ask(url: &str, query: &str, variables: Value) -> Reply {
    post(url, &[], &json!({ "query": query, "variables": variables })).await.unwrap()
}

/// The data of an answer without errors.
async fn data(url: &str, query: &str, variables: Value) -> Value {
    let reply = ask(url, query, variables).await;
    let mut answer = reply.json();
    assert!(reply.status == 200 && answer.get("errors").is_none(), "{query}: {answer}");
    answer["data"].take()
}

/// The input of the task, or of the end, that a call tells of.
fn told(call: &Call) -> Value {
    let body = call.json();
    assert!(body["query"].as_str().unwrap().starts_with("mutation "), "{body}");
    let variables = body["variables"].as_object().unwrap();
    json!([variables.keys().next().unwrap(), variables.values().next().unwrap()])
}

const CREATE: &str =
    "mutation M($input: CreateWorkflowInstanceInput!) { createInstance(input: $input) { did iid status tasks } }";
const INSTANCES: &str = "query Q($input: GetInstanceInput) { getInstances(input: $input) { did did_status tasks
  iid_list { iid iid_status graphqlUri meta_data { key value } tid_list { tid xid_list { xid xid_state } } } } }";
const FORM: &str = "mutation M($input: TaskMutationFormInput!) { tasks { form(input: $input) { iid tid status
  fields { dataId type order label data encrypted default { type value } validators { type constraint } } } } }";
const SAVE: &str = "mutation M($input: TaskMutationSaveInput!) { tasks { save(input: $input) { iid tid status passed
  results { dataId passed results { passed message validator { type constraint } } } } } }";
const VALIDATE: &str = "mutation M($input: TaskMutationValidateInput!) { tasks { validate(input: $input) { status passed results { dataId passed } } } }";
const COMPLETE: &str =
    "mutation M($input: TaskMutationCompleteInput!) { tasks { complete(input: $input) { iid tid status } } }";

#[tokio::test]
async fn a_user_interface_of_the_original_works_an_instance_through_and_is_told_although_flowd_is_killed() {
    let away = Arc::new(AtomicBool::new(true));
    let refuses = away.clone();
    let ui = Service::start(move |call: Call| {
        // an interface of the last release: it does not know entries of a task
        let knows = call.json()["variables"]["startTaskInput"]["xid"].is_null();
        let answer = match (refuses.load(Ordering::SeqCst), knows) {
            (true, _) => Answer::Other(503, "text/plain", "away".into()),
            (_, true) => Answer::Json(json!({"data": {"ok": true}})),
            _ => {
                let error = json!({"errors": [{"message": "Field 'xid' is not defined by type 'StartTaskInput'."}]});
                Answer::Other(400, "application/json", error.to_string().into())
            }
        };
        async move { answer }
    })
    .await;
    let mut mesh = Mesh::start().await;
    let folder = tempfile::tempdir().unwrap();
    let did = deployed(&mesh, folder.path()).await;
    let map = request("GET", &mesh.url("/wf_map"), &[], "").await.unwrap().json();
    let url = map["wf_map"]["loan"][0]["bridge_url"].as_str().unwrap_or_else(|| panic!("{map}")).to_owned();
    let ui_url = format!("{}/callback?of=me", ui.url());
    let meta = json!([{"key": "team", "value": "a"}]);
    let created = data(&url, CREATE, json!({"input": {"graphqlUri": ui_url, "meta_data": meta}})).await;
    let created = &created["createInstance"];
    let iid = created["iid"].as_str().unwrap().to_owned();
    assert_eq!(
        (&created["did"], &created["status"], &created["tasks"]),
        (&json!(did), &json!("SUCCESS"), &json!(["terms", "sign"]))
    );
    eventually("the interface is tried again", PATIENCE, async || match ui.calls().len() {
        0 | 1 => Err("not yet".to_owned()),
        _ => Ok(()),
    })
    .await;
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    away.store(false, Ordering::SeqCst);

    let url = format!("{url}/graphql");
    let found = data(&url, INSTANCES, json!({"input": {"iid": iid}})).await["getInstances"].take();
    let info = &found["iid_list"][0];
    let shown = (&found["did_status"], &info["iid_status"], &info["graphqlUri"], &info["meta_data"]);
    assert_eq!(shown, (&json!("RUNNING"), &json!("RUNNING"), &json!(ui_url), &meta), "{found}");
    assert_eq!(info["tid_list"][0]["xid_list"][0]["xid_state"], "STARTED", "{info}");
    for (pair, count) in [("a", 1), ("b", 0)] {
        let filter = json!({"input": {"meta_data": [{"key": "team", "value": pair}]}});
        let found = data(&url, INSTANCES, filter).await;
        assert_eq!(found["getInstances"]["iid_list"].as_array().unwrap().len(), count, "{found}");
    }

    let form = data(&url, FORM, json!({"input": {"iid": iid, "tid": "terms"}})).await["tasks"]["form"].take();
    // in the order of the file
    let principal = &form["fields"][0];
    assert_eq!(
        (&principal["dataId"], &principal["type"], &principal["data"]),
        (&json!("principal"), &json!("CURRENCY"), &json!("36"))
    );
    assert_eq!(form["fields"][1]["validators"], json!([{"type": "INTERVAL", "constraint": "(0,20]"}]), "{form}");
    let fields =
        |rate: &str| json!({"input": {"iid": iid, "tid": "terms", "fields": [{"dataId": "rate", "data": rate}]}});
    let wrong = data(&url, SAVE, fields("50")).await["tasks"]["save"].take();
    assert_eq!((&wrong["status"], &wrong["passed"]), (&json!("SUCCESS"), &json!(false)), "{wrong}");
    assert_eq!(wrong["results"][0]["results"][0]["message"], "\"50\" is not in (0,20]", "{wrong}");
    assert_eq!(data(&url, VALIDATE, fields("x")).await["tasks"]["validate"]["passed"], false);
    assert_eq!(data(&url, SAVE, fields("4.5")).await["tasks"]["save"]["passed"], true);
    let complete = |tid: &str| json!({"input": {"iid": iid, "tid": tid}});
    let not_there = data(&url, COMPLETE, complete("sign")).await;
    assert_eq!(not_there["tasks"]["complete"]["status"], "FAILURE", "it is not entered yet");
    for tid in ["terms", "sign"] {
        let done = data(&url, COMPLETE, complete(tid)).await;
        assert_eq!(done["tasks"]["complete"]["status"], "SUCCESS", "{tid}: {done}");
    }
    let ended = mesh.until(&iid, "COMPLETED").await;
    assert_eq!(ended["result"], json!({"principal": "36", "rate": "4.5"}));

    let expected = vec![
        json!(["startTaskInput", {"iid": iid, "tid": "terms"}]),
        json!(["startTaskInput", {"iid": iid, "tid": "sign"}]),
        json!(["completeWorkflowInput", {"iid": iid}]),
    ];
    // each at least once, and in their order
    let taken = eventually("the interface is told of the end", PATIENCE, async || {
        let calls = ui.calls();
        let last = calls.last().map(told);
        if last.as_ref() == expected.last() { Ok(calls) } else { Err(format!("{last:?}")) }
    })
    .await;
    let mut order: Vec<Value> = taken.iter().map(told).filter(|it| it[1].get("xid").is_none()).collect();
    order.dedup();
    assert_eq!(order, expected);
    assert!(taken.iter().all(|it| it.path == "/callback?of=me" && it.header("x-rexflow-iid") == iid), "{taken:?}");
    let first: Vec<&str> = taken.iter().filter(|it| told(it)[1]["tid"] == "terms").map(Call::key).collect();
    assert!(first.len() >= 3 && first.iter().all(|it| *it == first[0] && !it.is_empty()), "one key: {first:?}");
    eventually("nothing waits", PATIENCE, async || {
        let metrics = request("GET", &mesh.url("/metrics"), &[], "").await.unwrap().text();
        if metrics.contains("flow_notifications_waiting 0") { Ok(()) } else { Err(metrics) }
    })
    .await;
}

#[tokio::test]
async fn an_interface_that_is_away_holds_nobody_up_and_a_cancelled_instance_is_told_as_ended() {
    let ui = Service::start(|_| async { Answer::Json(json!({"data": {}})) }).await;
    let mesh = Mesh::start().await;
    let folder = tempfile::tempdir().unwrap();
    let did = deployed(&mesh, folder.path()).await;
    let url = mesh.url("/graphql");
    let create = async |uri: &str| {
        let created = data(&url, CREATE, json!({"input": {"did": did, "graphqlUri": uri}})).await;
        created["createInstance"]["iid"].as_str().unwrap().to_owned()
    };
    // nobody listens there, and nobody may call there
    let nobody = create("http://127.0.0.1:9/").await;
    let forbidden = create("http://169.254.169.254/latest").await;
    let told_of = create(&ui.url()).await;
    let cancel = "mutation M($input: CancelWorkflowInstanceInput!) { cancelInstance(input: $input) { did iid iid_status status } }";
    for iid in [&nobody, &forbidden, &told_of] {
        let cancelled = data(&url, cancel, json!({"input": {"iid": iid}})).await;
        let cancelled = &cancelled["cancelInstance"];
        assert_eq!(
            (&cancelled["status"], &cancelled["iid_status"]),
            (&json!("SUCCESS"), &json!("ERROR")),
            "{cancelled}"
        );
        mesh.until(iid, "CANCELLED").await;
    }
    let gone = data(&url, cancel, json!({"input": {"iid": "loan-00000000-0"}})).await;
    assert_eq!(gone["cancelInstance"]["status"], "FAILURE", "{gone}");
    let end = eventually("the interface is told of the end", PATIENCE, async || {
        let calls = ui.calls();
        calls.iter().map(told).find(|it| it[0] == "completeWorkflowInput").ok_or_else(|| format!("{calls:?}"))
    })
    .await;
    assert_eq!(end[1]["iid"], told_of.as_str());
    let waiting = request("GET", &mesh.url("/metrics"), &[], "").await.unwrap().text();
    assert!(waiting.contains("flow_notifications_waiting 4"), "what is away is kept: {waiting}");
    let unusable = ask(&url, CREATE, json!({"input": {"did": did, "graphqlUri": "ftp://x"}})).await.json();
    assert!(unusable["errors"][0]["message"].as_str().unwrap().contains("graphqlUri"), "{unusable}");
}

#[tokio::test]
async fn a_task_that_is_entered_twice_has_two_exchanges() {
    let model = MODEL
        .replace(r#"<sequenceFlow id="f1" sourceRef="start" targetRef="terms"/>"#, r#"<sequenceFlow id="f1" sourceRef="start" targetRef="terms"/><sequenceFlow id="again" sourceRef="start" targetRef="terms"/>"#);
    let mesh = Mesh::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("loan.bpmn"), model).unwrap();
    std::fs::write(folder.path().join("terms.json"), form().to_string()).unwrap();
    let file = folder.path().join("loan.bpmn").display().to_string();
    mesh.flowctl.run(&["apply", &file]).await.expect_code(0);
    let url = mesh.url("/graphql");
    let created = data(&url, CREATE, json!({"input": {"graphqlUri": ""}})).await;
    let iid = created["createInstance"]["iid"].clone();
    let found = data(&url, INSTANCES, json!({})).await;
    let entered = found["getInstances"]["iid_list"][0]["tid_list"][0]["xid_list"].clone();
    let xids: Vec<&str> = entered.as_array().unwrap().iter().map(|it| it["xid"].as_str().unwrap()).collect();
    assert_eq!(xids.len(), 2, "{found}");
    let save = "mutation M($input: TaskExchangeMutationSaveInput!) { tasks { exchange { save(input: $input) { iid tid xid passed } } } }";
    let saved = data(&url, save, json!({"input": {"xid": xids[1], "fields": [{"dataId": "rate", "data": "7"}]}})).await;
    assert_eq!(saved["tasks"]["exchange"]["save"], json!({"iid": iid, "tid": "terms", "xid": xids[1], "passed": true}));
    let form = "mutation M($input: TaskExchangeMutationFormInput!) { tasks { exchange { form(input: $input) { fields { dataId data } } } } }";
    for (xid, rate) in [(xids[0], json!("")), (xids[1], json!("7"))] {
        let shown = data(&url, form, json!({"input": {"xid": xid}})).await;
        assert_eq!(shown["tasks"]["exchange"]["form"]["fields"][1]["data"], rate, "{shown}");
    }
    let complete = "mutation M($input: TaskExchangeMutationCompleteInput!) { tasks { exchange { complete(input: $input) { status } } } }";
    for xid in &xids {
        let done = data(&url, complete, json!({"input": {"xid": xid}})).await;
        assert_eq!(done["tasks"]["exchange"]["complete"]["status"], "SUCCESS", "{done}");
    }
    let found = data(&url, INSTANCES, json!({})).await;
    assert_eq!(found["getInstances"]["iid_list"][0]["tid_list"][0]["tid"], "sign", "{found}");
}

#[tokio::test]
async fn what_asks_for_too_much_is_refused_and_the_schema_can_be_asked_for() {
    let mesh = Mesh::start().await;
    let folder = tempfile::tempdir().unwrap();
    deployed(&mesh, folder.path()).await;
    let url = mesh.url("/graphql");
    let schema = request("GET", &url, &[], "").await.unwrap();
    let names = ["createInstance(", "TaskMutation", "WorkflowDeployemntId", "graphqlUri: String!"];
    assert!(schema.status == 200 && names.iter().all(|it| schema.text().contains(it)), "{}", schema.text());
    // as clients ask for it
    let of_type = (0..7).fold("kind name".to_owned(), |inner, _| format!("kind name ofType {{ {inner} }}"));
    let asked = format!(
        "query IntrospectionQuery {{ __schema {{ queryType {{ name }} mutationType {{ name }}
         types {{ kind name fields(includeDeprecated: true) {{ name args {{ name type {{ {of_type} }} }} type {{ {of_type} }} }}
         inputFields {{ name type {{ {of_type} }} }} enumValues {{ name }} }} }} }}"
    );
    let introspected = data(&url, &asked, Value::Null).await;
    assert_eq!(introspected["__schema"]["mutationType"]["name"], "Mutation");

    let many = format!("{{ {} }}", (0..20).map(|n| format!("a{n}: getInstances {{ did }} ")).collect::<String>());
    let nested = format!("mutation {{ tasks {}{} }}", "{ exchange ".repeat(40), "}".repeat(40));
    let documents = [
        many,
        nested,
        "{".repeat(100_000),
        "{ nothing }".to_owned(),
        "query A { version } query B { version }".to_owned(),
    ];
    for document in documents {
        let refused = ask(&url, &document, Value::Null).await;
        let start: String = document.chars().take(60).collect();
        assert_eq!(refused.status, 400, "{start}: {}", refused.text());
        assert!(!refused.json()["errors"].as_array().unwrap().is_empty(), "{start}");
    }
    for (body, status) in [("not json".to_owned(), 400), ("[]".to_owned(), 400), ("x".repeat((1 << 20) + 1), 413)] {
        assert_eq!(request("POST", &url, &[], body).await.unwrap().status, status);
    }
    let elsewhere = ask(&mesh.url("/graphql/nothing-00000000"), "{ version }", Value::Null).await;
    assert_eq!(elsewhere.status, 404, "{}", elsewhere.text());
    assert_eq!(ask(&mesh.url("/graphql?color=red"), "{ version }", Value::Null).await.status, 400);
    assert_eq!(request("DELETE", &url, &[], "").await.unwrap().status, 405);
    assert!(data(&url, "{ version }", Value::Null).await["version"].is_string());
}
