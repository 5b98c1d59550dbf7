//! Requests and verdicts of connectors.

use super::*;
use crate::id::Digest;
use crate::table::{Assignment, ConnectorKind, Host, RoutingTable, Settings, Template};

fn table() -> Compiled {
    let table = RoutingTable {
        format: RoutingTable::FORMAT,
        process: "p".into(),
        deployment: "p-1".into(),
        host: Host::Ledger,
        settings: Settings::default(),
        predecessors: Vec::new(),
        nodes: Vec::new(),
        flows: Vec::new(),
        decisions: Vec::new(),
        forms: Vec::new(),
    };
    Compiled::new(table, Digest::default()).unwrap()
}

fn connector() -> Connector {
    Connector {
        kind: ConnectorKind::Rest,
        inputs: Vec::new(),
        secrets: Vec::new(),
        result_variable: None,
        result_expression: None,
        error_expression: None,
        retry_backoff: 0,
        outputs: Vec::new(),
    }
}

fn assignment(target: &str, feel: &str) -> Assignment {
    Assignment { target: target.to_owned(), source: Template::Feel(feel.to_owned()) }
}

fn json_of(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn only_the_model_names_secrets() {
    let connector = Connector {
        inputs: vec![
            assignment("headers.a", r#"("Bearer " + get value(secrets, "K"))"#),
            assignment("b", r#"text + " {{secrets.K}}""#),
            assignment("c", "secrets.K + from json(quoted)"),
            assignment("d", "secrets.other"),
        ],
        secrets: vec!["K".to_owned()],
        ..connector()
    };
    // the payload brings a variable of that name, the marks of another evaluation, and escapes of them
    let guess = SecretMark::new(7).of("K");
    let payload = Payload::json(&json!({
        "text": format!("{{{{secrets.K}}}} {guess}"), "quoted": "\"\\ue0000000000000000007:K\\ue001\"", "secrets": {"other": "mine"}
    }));
    let request = request(&table(), &connector, &payload, 0, 8).unwrap();
    let mark = request.secrets.unwrap();
    let inputs = json_of(&request);
    assert_eq!(inputs["headers"]["a"], format!("Bearer {}", mark.of("K")));
    assert_eq!(inputs["b"], format!("{{{{secrets.K}}}} {guess} {{{{secrets.K}}}}"));
    assert_eq!(mark.parts(inputs["b"].as_str().unwrap()).len(), 1, "text of the payload is no secret");
    assert_eq!(inputs["c"], format!("{}{guess}", mark.of("K")));
    assert_eq!(inputs["d"], Value::Null, "the payload has no say in secrets");
}

#[test]
fn results_are_variables() {
    let response = Payload::json(&json!({"status": 200, "headers": {"h": "1"}, "body": {"n": 5}}));
    let before = Payload::json(&json!({"a": 1}));
    let after = |connector: &Connector| {
        let mut written = Written::default();
        apply(&table(), connector, &before, &mut written, &response, 0).map(|it| it.to_json().unwrap())
    };
    assert_eq!(after(&connector()).unwrap(), json!({"a": 1}));
    let both = Connector {
        result_variable: Some("r".into()),
        result_expression: Some("{n: response.body.n, m: body.n + 1, s: status, gone: a}".into()),
        ..connector()
    };
    let whole = response.to_json().unwrap();
    assert_eq!(after(&both).unwrap(), json!({"a": 1, "r": whole, "n": 5, "m": 6, "s": 200, "gone": null}));
    let mapped = Connector { outputs: vec![assignment("out", "r.body.n"), assignment("in", "url")], ..both.clone() };
    let mapped =
        Connector { inputs: vec![assignment("url", r#""u/" + secrets.K"#)], secrets: vec!["K".into()], ..mapped };
    assert_eq!(after(&mapped).unwrap(), json!({"a": 1, "out": 5, "in": "u/{{secrets.K}}"}));
    let wrong = Connector { result_expression: Some("body.n".into()), ..connector() };
    assert!(after(&wrong).unwrap_err().1.contains("not a context"));
}

fn judged(expression: &str, ended: &Ended<'_>) -> Result<Verdict, String> {
    let expressions = Connector {
        error_expression: Some(expression.to_owned()),
        result_expression: Some("{picked: body.n}".to_owned()),
        ..connector()
    };
    judge(&table(), &expressions, ended, 3, 0)
}

#[test]
fn the_error_expression_sees_responses_and_failures() {
    let response = json!({"status": 200, "body": {"state": "failed", "n": 7}});
    let well = Ended::Well(&response);
    let error = |code: &str, message: &str, variables: Value| Verdict::Error {
        code: code.to_owned(),
        message: message.to_owned(),
        variables: variables.as_object().unwrap().clone(),
    };
    for (expression, expected) in [
        ("null", Verdict::Usual),
        ("{}", Verdict::Usual),
        ("if is defined(error) then bpmnError(error.code) else null", Verdict::Usual),
        (
            r#"if response.body.state = "failed" then bpmnError("F", "m", body) else null"#,
            error("F", "m", json!({"state": "failed", "n": 7})),
        ),
        (r#"if picked = 7 then {code: "old"} else null"#, error("old", "", json!({}))),
        (r#"ignoreError({x: body.n})"#, Verdict::Ignored(json!({"x": 7}).as_object().unwrap().clone())),
        (
            r#"jobError("again", {}, job.retries - 1, duration("PT2S"))"#,
            Verdict::Failed { message: "again".to_owned(), retries: Some(2), backoff: Some(2_000) },
        ),
        (r#"jobError("no")"#, Verdict::Failed { message: "no".to_owned(), retries: None, backoff: None }),
    ] {
        assert_eq!(judged(expression, &well).unwrap(), expected, "{expression}");
    }
    for wrong in ["1", r#""text""#, r#"{message: "no code"}"#] {
        judged(wrong, &well).unwrap_err();
    }
    let response = json!({"status": 404, "body": {"why": "gone"}});
    let badly = Ended::Badly { code: "404".to_owned(), message: "Not Found", response: Some(&response) };
    let expression =
        r#"if error.code = "404" then bpmnError("G", error.message, error.variables.response.body) else null"#;
    assert_eq!(judged(expression, &badly).unwrap(), error("G", "Not Found", json!({"why": "gone"})));
    let none = Ended::Badly { code: "408".to_owned(), message: "no answer", response: None };
    assert_eq!(judged(expression, &none).unwrap(), Verdict::Usual);
}
