//! Topics of a real Kafka (`tests/servers/kafka.sh`): the original's tests, and kills.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use flow_tests::harness::{Mesh, Model, PATIENCE, Process, Service, eventually, free_port, post};
use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::scenarios::{self, Outside, completed};

const ID: &str = "x-rexflow-message-id";

struct Kafka {
    folder: TempDir,
    ports: [u16; 2],
    process: Option<Process>,
}

impl Kafka {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { folder, ports: [free_port(), free_port()], process: None };
        server.up().await;
        server
    }

    /// Starts it, again on the same ports and data.
    async fn up(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/kafka.sh");
        let mut command = Command::new(script);
        command.arg("run").arg(self.folder.path()).args(self.ports.map(|it| it.to_string()));
        self.process = Some(Process::spawn("kafka", command));
        eventually("Kafka to answer", PATIENCE, async || {
            let brief = BackoffConfig { deadline: Some(Duration::from_millis(500)), ..BackoffConfig::default() };
            let client = ClientBuilder::new(vec![self.address()]).backoff_config(brief).build().await;
            client.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    async fn mesh(&self) -> Mesh {
        Mesh::start_with(&["--topics", &format!("kafka://{}", self.address())], &[]).await
    }

    async fn client(&self) -> Client {
        ClientBuilder::new(vec![self.address()]).build().await.unwrap()
    }

    /// The only partition of a topic, which somebody makes.
    async fn topic(&self, topic: &str) -> PartitionClient {
        let client = self.client().await;
        eventually("the topic", PATIENCE, async || {
            let found = client.partition_client(topic, 0, UnknownTopicHandling::Error).await;
            found.map_err(|error| error.to_string())
        })
        .await
    }

    async fn make(&self, topic: &str) {
        // it may be there already
        let _ = self.client().await.controller_client().unwrap().create_topic(topic, 1, 1, 5_000).await;
    }
}

async fn publish(topic: &PartitionClient, key: Option<Vec<u8>>, headers: BTreeMap<String, Vec<u8>>, payload: &Value) {
    let timestamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let timestamp = DateTime::from_timestamp_millis(i64::try_from(timestamp).unwrap()).unwrap();
    let record = Record { key, value: Some(payload.to_string().into_bytes()), headers, timestamp };
    topic.produce(vec![record], Compression::NoCompression).await.unwrap();
}

fn body(record: &RecordAndOffset) -> Value {
    serde_json::from_slice(record.record.value.as_ref().unwrap()).unwrap()
}

impl Outside for Kafka {
    async fn doubles(&self, _: &Mesh, from: &str, to: &str) -> JoinHandle<()> {
        self.make(from).await;
        let (from, to) = (self.topic(from).await, self.topic(to).await);
        tokio::spawn(async move {
            let mut next = 0;
            loop {
                let (records, _) = from.fetch_records(next, 1..1 << 20, 500).await.unwrap();
                for record in records {
                    let mut data = body(&record);
                    data["val"] = (data["val"].as_i64().unwrap() * 2).into();
                    let mut headers = record.record.headers;
                    let id = [b"double-", &headers[ID][..]].concat();
                    headers.insert(ID.to_owned(), id);
                    publish(&to, record.record.key, headers, &data).await;
                    next = record.offset + 1;
                }
            }
        })
    }
}

#[tokio::test]
#[cfg_attr(no_kafka_server, ignore = "there is no Kafka (tests/servers/kafka.sh install)")]
async fn at3_with_flowd_killed_in_between() {
    let kafka = Kafka::start().await;
    scenarios::at3(kafka.mesh().await, &kafka, 2).await;
}

#[tokio::test]
#[cfg_attr(no_kafka_server, ignore = "there is no Kafka (tests/servers/kafka.sh install)")]
async fn at7() {
    let kafka = Kafka::start().await;
    scenarios::at7(kafka.mesh().await).await;
}

#[tokio::test]
#[cfg_attr(no_kafka_server, ignore = "there is no Kafka (tests/servers/kafka.sh install)")]
async fn at8_with_flowd_killed_in_between() {
    let kafka = Kafka::start().await;
    scenarios::at8(kafka.mesh().await, &kafka, 2).await;
}

#[tokio::test]
#[cfg_attr(no_kafka_server, ignore = "there is no Kafka (tests/servers/kafka.sh install)")]
async fn each_message_id_starts_one_instance_whatever_is_killed() {
    let mut kafka = Kafka::start().await;
    let profit = Service::adding("cashflow", "Positive!").await;
    let mut mesh = kafka.mesh().await;
    mesh.sidecar(&[("profit", &profit.url())]).await;
    let model = Model::new("seller").event("startEvent", "start", "", "topic: shop.orders").task("sell", "profit");
    let model = model.event("endEvent", "end", "", "topic: sold").path(&["start", "sell", "end"]);
    mesh.deploy(model.xml()).await;
    for round in 0..4u64 {
        let orders = kafka.topic("shop.orders").await;
        for n in 0..25 {
            let n = round * 25 + n;
            let id = || BTreeMap::from([(ID.to_owned(), format!("order-{n}").into_bytes())]);
            // every one twice: Kafka keeps both
            publish(&orders, None, id(), &json!({"n": n})).await;
            publish(&orders, None, id(), &json!({"n": n})).await;
        }
        if round == 1 {
            kafka.process.take().unwrap().kill().await;
            kafka.up().await;
        } else {
            mesh.flowd.kill().await;
            mesh.start_flowd_again().await;
        }
    }
    let all = completed(&mesh, 100).await;
    let mut numbers: Vec<u64> = all.values().map(|it| it["result"]["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());

    let sold = kafka.topic("sold").await;
    let by_id = eventually("all to be published", PATIENCE, async || {
        let (records, _) = sold.fetch_records(0, 1..8 << 20, 500).await.map_err(|error| error.to_string())?;
        let by_id: BTreeMap<Vec<u8>, u64> =
            records.iter().map(|it| (it.record.headers[ID].clone(), body(it)["n"].as_u64().unwrap())).collect();
        if by_id.len() >= 100 { Ok(by_id) } else { Err(by_id.len().to_string()) }
    })
    .await;
    let mut numbers: Vec<u64> = by_id.into_values().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "each under one id");
    let placed = post(&mesh.url("/topics/sold"), &[], &json!({"n": 100})).await.unwrap();
    assert_eq!(placed.status, 200, "{}", placed.text());
}
