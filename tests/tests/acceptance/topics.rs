//! Topics: the original's acceptance tests AT3, AT7 and AT8, and what the world outside sees of a topic.

mod kafka;
mod nats;
mod scenarios;

use std::time::Duration;

use flow_tests::harness::{Events, Mesh, Model, Service, post, request};
use serde_json::json;
use tokio::task::JoinHandle;

use scenarios::{Outside, completed};

/// Topics of flowd's own, reached over HTTP.
struct Http;

impl Outside for Http {
    async fn doubles(&self, mesh: &Mesh, from: &str, to: &str) -> JoinHandle<()> {
        let mut events = Events::open(&mesh.url(&format!("/topics/{from}?from=earliest")), None).await.unwrap();
        let to = mesh.url(&format!("/topics/{to}"));
        tokio::spawn(async move {
            while let Some((id, event)) = events.next().await {
                let mut data = event["data"].clone();
                data["val"] = (data["val"].as_i64().unwrap() * 2).into();
                let headers = event["headers"].as_object().unwrap();
                let mut headers: Vec<(&str, &str)> =
                    headers.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
                headers.push(("x-rexflow-message-id", &id));
                let reply = post(&to, &headers, &data).await.unwrap();
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
        })
    }
}

#[tokio::test]
async fn at3_a_catch_event_gets_the_message_of_its_own_instance() {
    scenarios::at3(Mesh::start().await, &Http, 0).await;
}

#[tokio::test]
async fn at7_an_end_event_starts_another_process_by_a_topic() {
    scenarios::at7(Mesh::start().await).await;
}

#[tokio::test]
async fn at8_everything_together() {
    scenarios::at8(Mesh::start().await, &Http, 0).await;
}

#[tokio::test]
async fn a_message_id_starts_one_instance_whatever_dies_and_a_reader_goes_on_where_it_was() {
    let profit = Service::adding("cashflow", "Positive!").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("profit", &profit.url())]).await;
    let model = Model::new("seller").event("startEvent", "start", "", "topic: orders").task("sell", "profit");
    let model = model.event("endEvent", "end", "", "topic: sold").path(&["start", "sell", "end"]);
    mesh.deploy(model.xml()).await;
    let (orders, sold) = (mesh.url("/topics/orders"), mesh.url("/topics/sold"));
    let mut events = Events::open(&sold, None).await.unwrap();

    let with_id = |n: u64| format!("order-{n}");
    for n in 0..5 {
        let id = with_id(n);
        let reply =
            post(&orders, &[("x-rexflow-message-id", &id), ("x-shop", "north")], &json!({"n": n})).await.unwrap();
        let answer = reply.json();
        assert_eq!(
            (reply.status, &answer["offset"], &answer["known"]),
            (200, &json!(n + 1), &json!(false)),
            "{answer}"
        );
        assert_eq!(answer["started"].as_array().unwrap().len(), 1, "{answer}");
    }
    let (seen, first) = events.next().await.unwrap();
    assert_eq!((seen.as_str(), &first["offset"], &first["data"]["cashflow"]), ("1", &json!(1), &json!("Positive!")));
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;

    for n in 0..5 {
        let again = post(&orders, &[("idempotency-key", &with_id(n))], &json!({"n": n})).await.unwrap();
        let answer = again.json();
        assert_eq!((again.status, &answer["known"]), (200, &json!(true)), "{answer}");
        assert_eq!(answer["started"], json!([]));
    }
    let all = completed(&mesh, 5).await;
    assert_eq!(all.values().map(|it| it["result"]["n"].as_u64().unwrap()).sum::<u64>(), 10);
    let mut events = Events::open(&sold, Some(&seen)).await.unwrap();
    let mut offsets = Vec::new();
    let mut numbers = vec![first["data"]["n"].as_u64().unwrap()];
    while numbers.len() < 5 {
        let (id, event) = events.next().await.unwrap();
        assert!(all.contains_key(event["headers"]["x-rexflow-iid"].as_str().unwrap()), "{event}");
        offsets.push(id);
        numbers.push(event["data"]["n"].as_u64().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!((offsets, numbers), (vec!["2".into(), "3".into(), "4".into(), "5".into()], vec![0, 1, 2, 3, 4]));
    assert!(events.silent(Duration::from_millis(200)).await, "nothing twice");

    let listed = request("GET", &mesh.url("/topics"), &[], "").await.unwrap().json();
    let topic = |name: &str| listed["topics"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone();
    assert_eq!(topic("orders"), json!({"name": "orders", "first": 1, "next": 6, "records": 5, "starts": ["seller"]}));
    let mut events = Events::open(&format!("{orders}?from=5"), None).await.unwrap();
    let (_, last) = events.next().await.unwrap();
    assert_eq!((&last["id"], &last["headers"]), (&json!("order-4"), &json!({"x-shop": "north"})));
    let left = tokio::spawn(async move { events.next().await });
    mesh.flowd.terminate().await;
    assert_eq!(left.await.unwrap(), None, "a drain ends the stream");
}

#[tokio::test]
async fn what_is_no_topic_or_too_much_is_refused() {
    let mesh = Mesh::start().await;
    let refused = async |method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>| {
        let reply = request(method, &mesh.url(path), headers, body).await.unwrap();
        (reply.status, reply.text())
    };
    let long = "x".repeat(1025);
    let far = "x".repeat(250);
    for (method, path, headers, body, status) in [
        ("POST", "/topics/a%20b", vec![], vec![], 400),
        ("POST", &format!("/topics/{far}"), vec![], vec![], 400),
        ("POST", "/topics/a?ttl=5", vec![], vec![], 400),
        ("POST", "/topics/a", vec![("x-a", long.as_str())], vec![], 400),
        ("POST", "/topics/a", vec![("x-rexflow-message-id", long.as_str())], vec![], 400),
        ("POST", "/topics/a", vec![], vec![b'1'; (1 << 20) + 1], 413),
        ("PUT", "/topics/a", vec![], vec![], 405),
        ("DELETE", "/topics", vec![], vec![], 405),
        ("GET", "/topics/a/b", vec![], vec![], 404),
        ("GET", "/topics/a%20b", vec![], vec![], 400),
        ("GET", "/topics/a?from=never", vec![], vec![], 400),
        ("GET", "/topics/a", vec![("last-event-id", "x")], vec![], 400),
    ] {
        let (found, text) = refused(method, path, &headers, body).await;
        assert_eq!(found, status, "{method} {path}: {text}");
    }
    let listed = request("GET", &mesh.url("/topics"), &[], "").await.unwrap().json();
    assert_eq!(listed["topics"], json!([]), "none of it made a topic");
}

#[tokio::test]
async fn update_subscribes_a_process_to_a_topic_and_ends_it() {
    let mut mesh = Mesh::start().await;
    let id = mesh.deploy(Model::new("plain").start("start").end("end").path(&["start", "end"]).xml()).await;
    let file = mesh.file("on.yaml", format!("action: subscribe_to_topic\ntopic: news\nwf_id: {id}\n"));
    mesh.flowctl.run(&["update", &file]).await.expect_code(0);
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    let news = mesh.url("/topics/news");
    let started = post(&news, &[], &json!({"n": 1})).await.unwrap().json()["started"].clone();
    assert_eq!(mesh.until(started[0].as_str().unwrap(), "COMPLETED").await["result"], json!({"n": 1}));
    let file = mesh.file("off.yaml", "action: unsubscribe_from_topic\ntopic: news\n");
    mesh.flowctl.run(&["update", &file]).await.expect_code(0);
    assert_eq!(post(&news, &[], &json!({"n": 2})).await.unwrap().json()["started"], json!([]));
    assert_ne!(mesh.flowctl.run(&["update", &file]).await.code, 0, "there is nothing to end");
}
