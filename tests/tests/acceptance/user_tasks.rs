//! User tasks and forms as people and scripts use them: `flowctl`, HTTP, and a `kill -9` of flowd between.

use std::path::Path;

use flow_tests::harness::{Answer, Call, Mesh, Service, post, request};
use serde_json::{Value, json};

const MODEL: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="urn:test">
  <process id="loan" isExecutable="true">
    <startEvent id="start"/><userTask id="terms" name="Agree on terms"/><endEvent id="done"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="terms"/><sequenceFlow id="f2" sourceRef="terms" targetRef="done"/>
    <textAnnotation id="N"><text>rexflow: {fields: {file: terms.json}}</text></textAnnotation>
    <association id="A" sourceRef="terms" targetRef="N"/>
    <textAnnotation id="G"><text>rexflow_global_properties: {recoverable: true}</text></textAnnotation>
  </process></definitions>"#;

fn form() -> Value {
    json!([
        {"dataId": "title", "type": "COPY", "variant": "H1", "data": "Terms"},
        {"dataId": "principal", "type": "CURRENCY", "order": 2, "label": "Principal", "data": "", "encrypted": "False",
         "default": {"type": "EVAL", "value": "req_json['wish']"}, "validators": [{"type": "POSITIVE"}, {"type": "REQUIRED"}]},
        {"dataId": "interest", "type": "PERCENTAGE", "order": 1, "label": "Rate", "data": "", "encrypted": "False",
         "validators": [{"type": "INTERVAL", "constraint": "(0,20]"}, {"type": "REQUIRED", "constraint": "findrate == 'False'"}]},
        {"dataId": "findrate", "type": "BOOLEAN", "order": 3, "data": "False", "encrypted": "False", "validators": [{"type": "BOOLEAN"}]},
    ])
}

fn files(folder: &Path, form: &Value) -> String {
    std::fs::write(folder.join("loan.bpmn"), MODEL).unwrap();
    std::fs::write(folder.join("terms.json"), form.to_string()).unwrap();
    std::fs::write(folder.join("package.json"), "not a form").unwrap();
    folder.join("loan.bpmn").display().to_string()
}

async fn applied(mesh: &Mesh, model: &str) -> String {
    let applied = mesh.flowctl.json(&["apply", model, "-o", "json"]).await;
    let file = if applied.is_array() { &applied[0] } else { &applied };
    file["deployments"][0]["id"].as_str().unwrap_or_else(|| panic!("{applied}")).to_owned()
}

/// An instance and its task.
async fn started(mesh: &Mesh, deployment: &str) -> (String, String) {
    let run = mesh.flowctl.json(&["run", deployment, r#"{"wish": 1000}"#, "-o", "json"]).await;
    let instance = run["id"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned();
    let tasks = mesh.flowctl.json(&["tasks", "-i", &instance, "-o", "json"]).await;
    (instance, tasks[0]["id"].as_str().unwrap_or_else(|| panic!("{tasks}")).to_owned())
}

#[tokio::test]
async fn a_form_is_filled_in_by_flowctl_across_a_kill_of_flowd() {
    let mut mesh = Mesh::start().await;
    let folder = tempfile::tempdir().unwrap();
    let model = files(folder.path(), &form());
    let deployment = applied(&mesh, &model).await;
    let (instance, task) = started(&mesh, &deployment).await;

    let listed = mesh.flowctl.run(&["tasks"]).await.expect_code(0);
    assert!(
        [task.as_str(), "terms", "terms.json", &instance].iter().all(|it| listed.stdout.contains(it)),
        "{listed:?}"
    );
    assert_eq!(mesh.flowctl.run(&["tasks", "-o", "name"]).await.expect_code(0).stdout, format!("task/{task}\n"));
    mesh.flowctl.run(&["claim", &task, "--by", "ann"]).await.expect_code(0);
    mesh.flowctl.run(&["claim", &task, "--by", "bob"]).await.expect_code(1).says(&["ann's", "--force"]);
    let by = |who: &'static str| ["tasks", "--assignee", who, "-o", "json"];
    assert_eq!(mesh.flowctl.json(&by("ann")).await[0]["id"], task.as_str());
    assert_eq!(mesh.flowctl.json(&by("bob")).await, json!([]));
    assert_eq!(mesh.flowctl.json(&["tasks", "--unassigned", "-o", "json"]).await, json!([]));

    let shown = mesh.flowctl.run(&["form", &task]).await.expect_code(0);
    assert!(
        ["principal", "1000", "POSITIVE, REQUIRED", "REQUIRED if findrate"].iter().all(|it| shown.stdout.contains(it)),
        "{shown:?}"
    );
    assert!(shown.stdout.find("interest") < shown.stdout.find("principal"), "in the form's order: {shown:?}");
    mesh.flowctl.run(&["form", &task, "--save", r#"{"interest": "4.5"}"#]).await.expect_code(0);
    let refused =
        mesh.flowctl.run(&["form", &task, "--save", r#"{"interest": 50, "findrate": "x"}"#]).await.expect_code(65);
    assert!(refused.stdout.contains("50 is not in (0,20]") && refused.stdout.contains("findrate"), "{refused:?}");

    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    let form = mesh.flowctl.json(&["form", "terms", "-i", &instance, "-o", "json"]).await;
    let value =
        |id: &str| form["fields"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap()["value"].clone();
    assert_eq!((value("interest"), value("principal"), value("findrate")), (json!("4.5"), json!(1000), json!("False")));
    assert_eq!((&form["task"]["assignee"], &form["task"]["has_draft"]), (&json!("ann"), &json!(true)));

    let wrong = r#"{"principal": -1, "interest": null, "speed": 5}"#;
    let refused = mesh.flowctl.run(&["complete", &task, "-d", wrong, "-o", "json"]).await.expect_code(65);
    let verdict: Value = serde_json::from_str(&refused.stdout).unwrap();
    let fields: Vec<&str> = verdict["fields"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["passed"] == false)
        .filter_map(|it| it["field"].as_str())
        .collect();
    assert_eq!(fields, ["principal", "interest", "speed"], "{verdict}");
    mesh.flowctl.run(&["form", &task, "--check", r#"{"principal": 5}"#]).await.expect_code(0);
    mesh.flowctl.run(&["complete", &task, "--by", "bob"]).await.expect_code(1).says(&["ann's"]);
    mesh.flowctl.run(&["complete", &task, "--by", "ann", "-d", r#"{"principal": 500.25}"#]).await.expect_code(0);
    let ended = mesh.until(&instance, "COMPLETED").await;
    assert_eq!(ended["result"], json!({"wish": 1000, "principal": 500.25, "interest": "4.5", "findrate": "False"}));
    let described = mesh.flowctl.run(&["describe", &instance]).await.expect_code(0);
    assert!(described.stdout.contains("claim terms") && described.stdout.contains("complete terms"), "{described:?}");
    mesh.flowctl.run(&["form", &task]).await.expect_code(3);
}

#[tokio::test]
async fn a_form_is_filled_in_over_http() {
    let mesh = Mesh::start().await;
    let folder = tempfile::tempdir().unwrap();
    let deployment = applied(&mesh, &files(folder.path(), &form())).await;
    let (instance, task) = started(&mesh, &deployment).await;
    let get = async |path: &str| request("GET", &mesh.url(path), &[], "").await.unwrap();
    let send = async |path: &str, data: Value| post(&mesh.url(path), &[], &data).await.unwrap();

    let one = get(&format!("/tasks/{task}")).await.json();
    assert_eq!((&one["task"]["element"], &one["task"]["form"]), (&json!("terms"), &json!("terms.json")), "{one}");
    let by_element = get(&format!("/tasks/terms/form?instance={instance}")).await.json();
    let field = &by_element["fields"][1];
    assert_eq!(
        (&field["id"], &field["type"], &field["value"]),
        (&json!("principal"), &json!("CURRENCY"), &json!(1000))
    );
    assert_eq!(
        field["validators"],
        json!([{"type": "POSITIVE", "constraint": null}, {"type": "REQUIRED", "constraint": null}])
    );
    assert_eq!(send(&format!("/tasks/{task}/claim"), json!({})).await.status, 400, "somebody must take it");
    assert_eq!(send(&format!("/tasks/{task}/claim?by=ann"), json!({})).await.json()["task"]["assignee"], "ann");
    assert_eq!(send(&format!("/tasks/{task}/claim?by=bob"), json!({})).await.status, 409);
    assert_eq!(
        send(&format!("/tasks/{task}/claim?by=bob&force=true"), json!({})).await.json()["task"]["assignee"],
        "bob"
    );
    assert_eq!(send(&format!("/tasks/{task}/unclaim"), json!({})).await.json()["task"]["assignee"], Value::Null);
    assert_eq!(
        get("/tasks?unassigned=true&process=loan&element=terms").await.json()["tasks"].as_array().unwrap().len(),
        1
    );
    assert_eq!(get("/tasks?candidate_group=nobody").await.json()["tasks"], json!([]));

    let saved = send(&format!("/tasks/{task}/save"), json!({"interest": 3})).await;
    assert_eq!((saved.status, &saved.json()["passed"]), (200, &json!(true)), "{}", saved.text());
    let refused = send(&format!("/tasks/{task}/save"), json!({"interest": "much"})).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let results = &refused.json()["fields"][0];
    assert_eq!((&results["field"], &results["passed"]), (&json!("interest"), &json!(false)), "{results}");
    assert_eq!(results["results"][0]["message"], "\"much\" is not a number", "{results}");
    let judged = send(&format!("/tasks/{task}/validate"), json!({"principal": 0})).await;
    assert_eq!((judged.status, &judged.json()["passed"]), (200, &json!(false)), "{}", judged.text());
    assert_eq!(
        send(&format!("/tasks/{task}/validate?draft=true"), json!({"findrate": true})).await.json()["passed"],
        true
    );
    let refused = send(&format!("/tasks/{task}/complete"), json!({"principal": "0"})).await;
    assert_eq!((refused.status, &refused.json()["status"]), (422, &json!(-1)), "{}", refused.text());
    for (path, status) in [
        (format!("/tasks/{task}/save"), 400),
        (format!("/tasks/{task}/complete?color=red"), 400),
        ("/tasks/0000000000000000/form".to_owned(), 405),
        ("/tasks/0000000000000000/save".to_owned(), 404),
        (format!("/tasks/{task}/forget"), 404),
    ] {
        let body = if path.ends_with("save") && status == 404 { json!({}) } else { json!([1]) };
        assert_eq!(send(&path, body).await.status, status, "{path}");
    }
    assert_eq!(send(&format!("/tasks/{task}/complete"), json!({})).await.status, 200);
    let ended = mesh.until(&instance, "COMPLETED").await;
    assert_eq!(ended["result"], json!({"wish": 1000, "principal": 1000, "interest": 3, "findrate": "False"}));
}

#[tokio::test]
async fn another_form_is_another_deployment_and_a_bad_one_is_refused() {
    let mesh = Mesh::start().await;
    let folder = tempfile::tempdir().unwrap();
    let first = applied(&mesh, &files(folder.path(), &form())).await;
    let mut other = form();
    other[3]["label"] = json!("Find the best rate");
    assert_ne!(applied(&mesh, &files(folder.path(), &other)).await, first);
    assert_eq!(applied(&mesh, &files(folder.path(), &form())).await, first);

    other[3]["validators"] = json!([{"type": "REGEX", "constraint": "(?!x)"}]);
    let model = files(folder.path(), &other);
    let refused = mesh.flowctl.run(&["apply", &model]).await.expect_code(65);
    assert!(refused.stderr.contains("terms.json") && refused.stderr.contains("look-around"), "{refused:?}");
    let judged = mesh.flowctl.run(&["validate", &model]).await.expect_code(65);
    assert!(judged.stderr.contains("form-invalid") && judged.stderr.contains("findrate"), "{judged:?}");
    std::fs::remove_file(folder.path().join("terms.json")).unwrap();
    let warned = mesh.flowctl.run(&["apply", &model]).await.expect_code(0);
    assert!(warned.stderr.contains("form-missing"), "{warned:?}");
}

#[tokio::test]
async fn a_claim_or_completion_that_a_listener_denies_is_answered_as_such() {
    let judge = Service::start(|call: Call| {
        let task = call.json();
        let denied = task["userTask"]["assignee"] == "eve" || task["little"] == true;
        async move { Answer::Json(json!({"denied": denied, "deniedReason": "not so"})) }
    })
    .await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("judge", &judge.url())]).await;
    let listener = |event: &str| format!(r#"<zeebe:taskListener eventType="{event}" type="judge"/>"#);
    let model = format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:zeebe="http://camunda.org/schema/zeebe/1.0"
          targetNamespace="urn:test"><process id="asks" isExecutable="true"><startEvent id="S"/>
        <userTask id="U"><extensionElements><zeebe:userTask/><zeebe:taskListeners>{}{}</zeebe:taskListeners></extensionElements></userTask>
        <endEvent id="E"/><sequenceFlow id="f" sourceRef="S" targetRef="U"/><sequenceFlow id="g" sourceRef="U" targetRef="E"/>
        </process></definitions>"#,
        listener("assigning"),
        listener("completing")
    );
    let id = mesh.deploy(model).await;
    let instance = mesh.begin(&id, &json!({})).await;
    let claim = async |who: &str| mesh.flowctl.run(&["claim", "U", "-i", &instance, "--by", who, "-o", "json"]).await;
    claim("eve").await.expect_code(1).says(&["a listener denied the claim of U"]);
    assert_eq!(claim("ann").await.expect_code(0).json()["assignee"], "ann");
    let complete = async |data: &str| mesh.flowctl.run(&["complete", "U", "-i", &instance, "-d", data]).await;
    complete(r#"{"little": true}"#).await.expect_code(1).says(&["a listener denied the completion of U"]);
    complete(r#"{"little": false}"#).await.expect_code(0);
    mesh.until(&instance, "COMPLETED").await;
}
