//! Topics as subjects of a real NATS JetStream (`tests/servers/nats.sh`): the original's tests, kills, and a server that is away.

use std::path::Path;

use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};
use flow_tests::harness::{Events, Mesh, Model, PATIENCE, Process, Service, eventually, free_port, post, request};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::scenarios::{self, Outside, completed};

struct Nats {
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Nats {
    async fn start() -> Self {
        let mut server = Self::absent();
        server.up().await;
        server
    }

    /// Not started yet.
    fn absent() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), port: free_port(), process: None }
    }

    /// Starts it, again on the same port and data.
    async fn up(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/nats.sh");
        let mut command = Command::new(script);
        command.arg("run").arg(self.folder.path()).arg(self.port.to_string());
        self.process = Some(Process::spawn("nats-server", command));
        eventually("NATS to answer", PATIENCE, async || {
            let context = self.context().await.map_err(|error| error.to_string())?;
            context.stream_names().try_next().await.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    async fn kill(&mut self) {
        self.process.take().unwrap().kill().await;
    }

    async fn context(&self) -> Result<Context, async_nats::ConnectError> {
        Ok(jetstream::new(async_nats::connect(format!("nats://127.0.0.1:{}", self.port)).await?))
    }

    async fn mesh(&self) -> Mesh {
        Mesh::start_with(&["--topics", &format!("nats://127.0.0.1:{}", self.port)], &[]).await
    }

    /// Publishes with an id; where it stands.
    async fn publish(context: &Context, topic: &str, id: &str, payload: &Value) -> u64 {
        let message = PublishMessage::build().payload(payload.to_string().into()).message_id(id);
        context.send_publish(topic.to_owned(), message).await.unwrap().await.unwrap().sequence
    }

    /// What a topic has had so far: id and payload.
    async fn read(context: &Context, topic: &str) -> Vec<(String, Value)> {
        let mut read = Vec::new();
        // flowd makes the stream with the first message
        let Ok(name) = context.stream_by_subject(topic).await else { return read };
        let stream = context.get_stream(name).await.unwrap();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let id = message.headers.get("Nats-Msg-Id").unwrap().as_str().to_owned();
            read.push((id, serde_json::from_slice(&message.payload).unwrap()));
        }
        read
    }
}

impl Outside for Nats {
    async fn doubles(&self, _: &Mesh, from: &str, to: &str) -> JoinHandle<()> {
        let (context, to) = (self.context().await.unwrap(), to.to_owned());
        // flowd makes it when it begins to follow it: until then nobody would have what is published
        eventually("the topic", PATIENCE, async || {
            context.stream_by_subject(&to).await.map_err(|error| error.to_string())
        })
        .await;
        // a stream of its own making, which flowd finds
        let config = Config { name: format!("of-{from}"), subjects: vec![from.to_owned()], ..Config::default() };
        let stream = context.get_or_create_stream(config).await.unwrap();
        let ordered = OrderedConfig { filter_subject: from.to_owned(), ..OrderedConfig::default() };
        let mut messages = stream.create_consumer(ordered).await.unwrap().messages().await.unwrap();
        tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                let mut data: Value = serde_json::from_slice(&message.payload).unwrap();
                data["val"] = (data["val"].as_i64().unwrap() * 2).into();
                let mut headers = message.headers.clone().unwrap();
                headers.insert("Nats-Msg-Id", format!("double-{}", headers.get("Nats-Msg-Id").unwrap()));
                let publish = PublishMessage::build().payload(data.to_string().into()).headers(headers);
                context.send_publish(to.clone(), publish).await.unwrap().await.unwrap();
            }
        })
    }
}

/// A number of `/metrics`.
async fn metric(mesh: &Mesh, name: &str) -> String {
    let text = request("GET", &mesh.url("/metrics"), &[], "").await.unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[tokio::test]
#[cfg_attr(no_nats_server, ignore = "there is no `nats-server` (tests/servers/nats.sh install)")]
async fn at3_with_flowd_killed_in_between() {
    let nats = Nats::start().await;
    scenarios::at3(nats.mesh().await, &nats, 2).await;
}

#[tokio::test]
#[cfg_attr(no_nats_server, ignore = "there is no `nats-server` (tests/servers/nats.sh install)")]
async fn at7() {
    let nats = Nats::start().await;
    scenarios::at7(nats.mesh().await).await;
}

#[tokio::test]
#[cfg_attr(no_nats_server, ignore = "there is no `nats-server` (tests/servers/nats.sh install)")]
async fn at8_with_flowd_killed_in_between() {
    let nats = Nats::start().await;
    scenarios::at8(nats.mesh().await, &nats, 2).await;
}

/// Orders start a seller each, whose end publishes what is sold.
async fn seller(mesh: &mut Mesh, profit: &Service) {
    mesh.sidecar(&[("profit", &profit.url())]).await;
    let model = Model::new("seller").event("startEvent", "start", "", "topic: shop.orders").task("sell", "profit");
    let model = model.event("endEvent", "end", "", "topic: sold").path(&["start", "sell", "end"]);
    mesh.deploy(model.xml()).await;
}

#[tokio::test]
#[cfg_attr(no_nats_server, ignore = "there is no `nats-server` (tests/servers/nats.sh install)")]
async fn each_message_id_starts_one_instance_whatever_is_killed() {
    let mut nats = Nats::start().await;
    let profit = Service::adding("cashflow", "Positive!").await;
    let mut mesh = nats.mesh().await;
    seller(&mut mesh, &profit).await;
    let context = nats.context().await.unwrap();
    eventually("the topic", PATIENCE, async || {
        context.stream_by_subject("shop.orders").await.map_err(|e| e.to_string())
    })
    .await;
    for round in 0..5u64 {
        for n in 0..40 {
            let n = round * 40 + n;
            Nats::publish(&context, "shop.orders", &format!("order-{n}"), &json!({"n": n})).await;
        }
        match round {
            1 | 3 => {
                mesh.flowd.kill().await;
                mesh.start_flowd_again().await;
            }
            2 => {
                nats.kill().await;
                nats.up().await;
            }
            _ => {}
        }
    }
    let again = Nats::publish(&context, "shop.orders", "order-7", &json!({"n": 7})).await;
    assert_eq!(again, 8, "the server knows the id");
    let all = completed(&mesh, 200).await;
    let mut numbers: Vec<u64> = all.values().map(|it| it["result"]["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());

    let sold = eventually("all to be published", PATIENCE, async || {
        let sold = Nats::read(&context, "sold").await;
        if sold.len() >= 200 { Ok(sold) } else { Err(sold.len().to_string()) }
    })
    .await;
    let mut numbers: Vec<u64> = sold.iter().map(|(_, it)| it["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>(), "each once");
    eventually("nothing to be left", PATIENCE, async || match metric(&mesh, "flow_topics_outbox").await.as_str() {
        "0" => Ok(()),
        left => Err(left.to_owned()),
    })
    .await;
    // the server knows how far flowd is
    let name = context.stream_by_subject("shop.orders").await.unwrap();
    let stream = context.get_stream(name).await.unwrap();
    let mut consumers = stream.consumers();
    let consumer = consumers.next().await.unwrap().unwrap();
    assert_eq!((consumer.num_pending, consumer.ack_floor.stream_sequence), (0, 200), "{}", consumer.name);
    assert!(consumers.next().await.is_none());
}

#[tokio::test]
#[cfg_attr(no_nats_server, ignore = "there is no `nats-server` (tests/servers/nats.sh install)")]
async fn flowd_goes_on_while_the_server_is_away() {
    let mut nats = Nats::absent();
    let mut mesh = nats.mesh().await;
    let model = Model::new("speaker").start("start").event("endEvent", "end", "", "topic: said");
    let id = mesh.deploy(model.path(&["start", "end"]).xml()).await;
    mesh.complete(&id, &json!({"n": 1})).await;
    assert_eq!(metric(&mesh, "flow_topics_connected").await, "0");
    assert_eq!(metric(&mesh, "flow_topics_outbox").await, "1");
    let refused = post(&mesh.url("/topics/said"), &[], &json!({})).await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    nats.up().await;
    let context = nats.context().await.unwrap();
    let said = async |count: usize| {
        eventually("all to be said", PATIENCE, async || {
            if context.stream_by_subject("said").await.is_err() {
                return Err("no stream".to_owned());
            }
            let said = Nats::read(&context, "said").await;
            if said.len() == count { Ok(said) } else { Err(format!("{said:?}")) }
        })
        .await
    };
    let first = said(1).await;
    assert!(first[0].0.starts_with(&id) && first[0].1 == json!({"n": 1}), "{first:?}");
    nats.kill().await;
    mesh.complete(&id, &json!({"n": 2})).await;
    nats.up().await;
    assert_eq!(said(2).await[1].1, json!({"n": 2}));
    assert_eq!(metric(&mesh, "flow_topics_connected").await, "1");
}

#[tokio::test]
#[cfg_attr(no_nats_server, ignore = "there is no `nats-server` (tests/servers/nats.sh install)")]
async fn the_world_outside_reaches_it_through_flowd_too() {
    let nats = Nats::start().await;
    let profit = Service::adding("cashflow", "Positive!").await;
    let mut mesh = nats.mesh().await;
    seller(&mut mesh, &profit).await;
    let orders = mesh.url("/topics/shop.orders");
    eventually("the broker", PATIENCE, async || {
        let reply = post(&orders, &[("x-rexflow-message-id", "a")], &json!({"n": 1})).await.unwrap();
        if reply.status == 200 { Ok(()) } else { Err(reply.text()) }
    })
    .await;
    let mut sold = Events::open(&mesh.url("/topics/sold?from=earliest"), None).await.unwrap();
    let again = post(&orders, &[("x-rexflow-message-id", "a")], &json!({"n": 1})).await.unwrap().json();
    assert_eq!((&again["known"], &again["offset"]), (&json!(true), &json!(1)));
    let (id, event) = sold.next().await.unwrap();
    assert_eq!((id.as_str(), &event["data"]["cashflow"]), ("1", &json!("Positive!")), "{event}");
    let instance = event["headers"]["x-rexflow-iid"].as_str().unwrap();
    assert_eq!(mesh.until(instance, "COMPLETED").await["result"]["n"], 1);
    let listed = request("GET", &mesh.url("/topics"), &[], "").await.unwrap().json();
    let orders = listed["topics"].as_array().unwrap().iter().find(|it| it["name"] == "shop.orders").unwrap();
    assert_eq!(*orders, json!({"name": "shop.orders", "first": 1, "next": 2, "records": 1, "starts": ["seller"]}));
    let refused = post(&mesh.url("/topics/a..b"), &[], &json!({})).await.unwrap();
    assert_eq!(refused.status, 400, "{}", refused.text());
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_once() {
    for (address, why) in [("amqp://h:1", "is no broker"), ("nats://h", "is no HOST:PORT")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(flow_tests::harness::Programs::get().flowd());
        command.args(["--topics", address, "--port", "0", "--http-port", "0", "--data-dir"]).arg(folder.path());
        let mut flowd = Process::spawn("flowd", command);
        assert!(!flowd.ended().await.success());
        eventually(
            "the reason",
            PATIENCE,
            async || {
                if flowd.stderr().contains(why) { Ok(()) } else { Err(flowd.stderr()) }
            },
        )
        .await;
    }
}
