//! Tokens on their way: through tasks, gateways, errors and retries.

use flow_sidecar::config::Config;
use flow_sidecar::tables::StaticDefinition;
use http::StatusCode;
use routing::{Incarnation, To};
use serde_json::{Value, json};

use crate::ledger::{LEDGER, Ledger, Starter};
use crate::mesh::{Folders, Reply, Sidecar, Task, ok};
use crate::model::{DEPLOYMENT, Model, linear, single, token};

fn payload(product: &routing::Product) -> Value {
    product.token.payload.to_json().unwrap()
}

fn with_flowd(config: Config, ledger: &Ledger) -> Config {
    Config { flowd: vec![ledger.address.to_string()], ..config }
}

/// A sidecar for a, and one for b behind it.
async fn two(
    folders: &Folders,
    ledger: &Ledger,
    definition: &StaticDefinition,
    tasks: [&Task; 2],
) -> (Sidecar, Sidecar) {
    let config = folders.with_tables("b", &tasks[1].url, definition, &[]);
    let b = Sidecar::start(with_flowd(config, ledger)).await;
    let config = folders.with_tables("a", &tasks[0].url, definition, &[("b", b.hop)]);
    (Sidecar::start(with_flowd(config, ledger)).await, b)
}

async fn one(folders: &Folders, ledger: &Ledger, definition: &StaticDefinition, task: &Task) -> (Sidecar, Starter) {
    let config = folders.with_tables("a", &task.url, definition, &[]);
    let a = Sidecar::start(with_flowd(config, ledger)).await;
    let starter = Starter::new(a.incarnation, a.hop).await;
    (a, starter)
}

#[tokio::test]
async fn a_token_goes_from_task_to_task_and_to_the_ledger() {
    let (folders, ledger, definition) = (Folders::new(), Ledger::new().await, linear());
    let (task_a, task_b) = (Task::answering(r#"{"a":1}"#).await, Task::answering(r#"{"b":2}"#).await);
    let (a, b) = two(&folders, &ledger, &definition, [&task_a, &task_b]).await;
    let mut starter = Starter::new(a.incarnation, a.hop).await;
    let start = token(&definition, "a", 1, &json!({"x": 0}));
    starter.offer(&start);
    assert_eq!(starter.answer().await.0, [start.activation]);

    let products = ledger.products(1).await;
    assert_eq!((&products[0].to, products[0].token.element.as_str()), (&To::Ledger, "end"));
    assert_eq!(payload(&products[0]), json!({"x": 0, "a": 1, "b": 2}));
    let first = &task_a.requests()[0];
    assert_eq!(first.header("idempotency-key"), format!("\"{}\"", start.activation));
    assert_eq!(first.header("x-rexflow-iid"), start.instance.as_str());
    assert_eq!((first.header("x-rexflow-did"), first.header("x-rexflow-tid")), (DEPLOYMENT, "a"));
    assert_eq!((first.header("x-rexflow-attempt"), first.header("content-type")), ("1", "application/json"));
    assert_eq!(first.header("traceparent"), start.trace.traceparent);
    assert_eq!(serde_json::from_slice::<Value>(&first.body).unwrap(), json!({"x": 0}));

    // everything is let go again
    for sidecar in [&a, &b] {
        sidecar.metric_becomes("flow_tokens_unanswered", 0.0).await;
        assert_eq!(sidecar.metric("flow_tokens_held").await, 0.0);
    }
    b.metric_becomes("flow_ids_remembered", 0.0).await;
    assert_eq!(a.metric("flow_hop_duration_seconds_count{process=\"order\",from=\"a\",to=\"b\"}").await, 1.0);
    for (sidecar, task) in [(&a, "a"), (&b, "b")] {
        let of = format!("process=\"order\",task=\"{task}\"");
        for (name, labels, value) in [
            ("task_attempts_total", ",attempt=\"first\"", 1.0),
            ("task_attempts_total", ",attempt=\"retry\"", 0.0),
            ("task_requests_total", ",code_class=\"2xx\",outcome=\"completed\"", 1.0),
            ("task_requests_total", ",code_class=\"5xx\",outcome=\"failed\"", 0.0),
            ("task_duration_seconds_count", "", 1.0),
        ] {
            assert_eq!(sidecar.metric(&format!("flow_{name}{{{of}{labels}}}")).await, value, "{name} {labels}");
        }
    }
    let told = ledger.told("hop records", |told| told.hops.len() >= 2).await;
    let mut hops: Vec<_> = told.hops.iter().map(|h| (h.element.as_str(), h.status.as_str(), h.attempts)).collect();
    hops.sort_unstable();
    assert_eq!(hops, [("a", "completed", 1), ("b", "completed", 1)]);
    let told = ledger.told("health", |told| told.health.iter().filter(|h| h.health == 1).count() >= 2).await;
    assert_eq!(told.hellos.len(), 2);
}

#[tokio::test]
async fn an_exclusive_gateway_decides_who_gets_it() {
    let (folders, ledger) = (Folders::new(), Ledger::new().await);
    let (task_a, task_b) = (Task::answering("{}").await, Task::answering(r#"{"b":2}"#).await);
    let model = Model::default().task("a").exclusive("gw").task("b").end("large").end("small");
    let model = model.flow("a", "gw", None).flow("gw", "b", Some("x > 5")).flow("gw", "small", None).by_default();
    let definition = model.flow("b", "large", None).compile(&[("a", &[]), ("b", &["a"])]);
    let (a, _b) = two(&folders, &ledger, &definition, [&task_a, &task_b]).await;
    let mut starter = Starter::new(a.incarnation, a.hop).await;
    starter.offer(&token(&definition, "a", 1, &json!({"x": 9})));
    starter.offer(&token(&definition, "a", 2, &json!({"x": 1})));
    let products = ledger.products(2).await;
    let mut ends: Vec<_> = products.iter().map(|p| (p.token.element.to_string(), payload(p)["x"].clone())).collect();
    ends.sort_by_key(|(end, _)| end.clone());
    assert_eq!(ends, [("large".to_owned(), json!(9)), ("small".to_owned(), json!(1))]);
    assert_eq!(task_b.requests().len(), 1);
}

#[tokio::test]
async fn a_failing_task_is_called_again_with_the_same_key() {
    let (folders, ledger, definition) = (Folders::new(), Ledger::new().await, single());
    let task = Task::new(|n| match n {
        0 | 1 => Reply::Answer(StatusCode::SERVICE_UNAVAILABLE, None, "busy".into()),
        _ => ok(r#"{"done":true}"#),
    });
    let task = task.await;
    let (a, mut starter) = one(&folders, &ledger, &definition, &task).await;
    starter.offer(&token(&definition, "a", 1, &json!({})));
    assert_eq!(payload(&ledger.products(1).await[0]), json!({"done": true}));
    assert_eq!(a.metric("flow_task_attempts_total{process=\"order\",task=\"a\",attempt=\"retry\"}").await, 2.0);
    let requests = task.requests();
    let attempts: Vec<_> = requests.iter().map(|r| r.header("x-rexflow-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    assert!(requests.iter().all(|r| r.header("idempotency-key") == requests[0].header("idempotency-key")));
}

#[tokio::test]
async fn an_error_leaves_by_the_boundary_event_that_catches_it_and_another_is_an_incident() {
    let (folders, ledger) = (Folders::new(), Ledger::new().await);
    let task = Task::new(|n| {
        let code = if n == 0 { "NO_STOCK" } else { "NO_IDEA" };
        Reply::Answer(StatusCode::UNPROCESSABLE_ENTITY, Some(code), "{}".into())
    });
    let task = task.await;
    let model = Model::default().task("a").error_boundary("caught", "a", "NO_STOCK").end("end").end("sorry");
    let definition = model.flow("a", "end", None).flow("caught", "sorry", None).compile(&[("a", &[])]);
    let (_a, mut starter) = one(&folders, &ledger, &definition, &task).await;
    starter.offer(&token(&definition, "a", 1, &json!({})));
    assert_eq!(ledger.products(1).await[0].token.element.as_str(), "sorry");
    starter.offer(&token(&definition, "a", 2, &json!({})));
    let products = ledger.products(2).await;
    let incident = products.iter().find_map(|p| if let To::Incident(why) = &p.to { Some(why) } else { None });
    assert_eq!(incident.unwrap().error_code.as_deref(), Some("NO_IDEA"));
}

#[tokio::test]
async fn a_token_offered_again_is_accepted_again_and_decided_once() {
    let (folders, ledger, definition) = (Folders::new(), Ledger::new().await, single());
    let task = Task::answering("{}").await;
    let (a, mut starter) = one(&folders, &ledger, &definition, &task).await;
    let start = token(&definition, "a", 1, &json!({}));
    let seq = starter.offer(&start);
    starter.offer_as(seq, &start);
    ledger.products(1).await;
    assert_eq!(starter.answer().await.0, [start.activation]);
    // by the same sender over a newer link, and by another sender
    for (sender, boot) in [(LEDGER, 2), (Incarnation(77), 1)] {
        let mut again = Starter::with(Starter::options(sender, boot), a.incarnation, a.hop).await;
        again.offer_as(seq, &start);
        assert_eq!(again.answer().await.0, [start.activation]);
    }
    assert_eq!((task.requests().len(), ledger.products(1).await.len()), (1, 1));
}

#[tokio::test]
async fn a_receiver_without_the_table_gets_it_from_the_sender() {
    let (folders, ledger, definition) = (Folders::new(), Ledger::new().await, linear());
    let (task_a, task_b) = (Task::answering("{}").await, Task::answering("{}").await);
    let b = Sidecar::start(with_flowd(folders.config("b", &task_b.url), &ledger)).await;
    let config = folders.with_tables("a", &task_a.url, &definition, &[("b", b.hop)]);
    let a = Sidecar::start(with_flowd(config, &ledger)).await;
    let mut starter = Starter::new(a.incarnation, a.hop).await;
    starter.offer(&token(&definition, "a", 1, &json!({})));
    assert_eq!(ledger.products(1).await[0].token.element.as_str(), "end");
    assert_eq!(b.metric("flow_definitions_known").await, 1.0);
}
