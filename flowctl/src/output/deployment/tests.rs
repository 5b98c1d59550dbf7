use super::*;
use crate::output::tests::{NOW, every_form, time_at};

pub(crate) fn degraded() -> Deployment {
    let task = |element: &str, name: &str, health: &str| Task {
        element: element.into(),
        name: name.into(),
        service: format!("{element}-service"),
        health: health.into(),
        reason: String::new(),
        replicas: 2,
        ready_replicas: 1,
        url: String::new(),
        conditions: Vec::new(),
    };
    let drift = Condition {
        kind: "ImageDrift".into(),
        message: "1 of 2 pods run charge:2, their Deployment has charge:1".into(),
    };
    let drifted = Task { conditions: vec![drift], ..task("charge", "Charge the card", "DOWN") };
    Deployment {
        id: "order-1a2b3c4d".into(),
        process: "order".into(),
        state: "DEGRADED".into(),
        reason: "task `charge` is DOWN".into(),
        tasks: vec![task("collect", "Collect", "UP"), drifted],
        start_events: vec!["begin".into(), "begin-late".into()],
        running: 3,
        applied: Some(time_at(-7_300_000)),
        metadata: json!({"team": "orders"}),
        ingress: vec![Ingress {
            host: "shop.example".into(),
            path: "/orders".into(),
            start_event: "begin".into(),
            ..Ingress::default()
        }],
        workflow: "shop/order".into(),
    }
}

#[test]
fn a_list_of_deployments_in_every_form() {
    let mut other = degraded();
    (other.id, other.process, other.state) = ("ship-5e6f7a8b".into(), "ship".into(), "RUNNING".into());
    (other.reason, other.metadata) = (String::new(), Value::Null);
    other.ingress.clear();
    other.workflow.clear();
    other.tasks.truncate(1);
    insta::assert_snapshot!(every_form(&List { deployments: vec![degraded(), other] }));
}

#[test]
fn no_deployments_is_an_empty_list() {
    let list = List { deployments: Vec::new() };
    assert_eq!(list.json(), json!([]));
    assert_eq!(list.original(), json!({}));
    assert_eq!(list.text(false, NOW), "");
}

#[test]
fn a_way_in_says_which_gateway_leads_there_or_why_none_does() {
    let of = |gateway: &str, message: &str| {
        let way = Ingress {
            host: "shop.example".into(),
            path: "/orders".into(),
            start_event: "begin".into(),
            ..Ingress::default()
        };
        Ingress { gateway: gateway.into(), message: message.into(), ..way }.to_string()
    };
    assert_eq!(of("", ""), "shop.example/orders to begin");
    assert_eq!(of("edge/main", ""), "shop.example/orders to begin (by gateway edge/main)");
    assert_eq!(of("", "no gateway leads here"), "shop.example/orders to begin (no gateway leads here)");
    assert_eq!(of("edge/main", "not taken"), "shop.example/orders to begin (gateway edge/main: not taken)");
}
