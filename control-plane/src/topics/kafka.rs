//! Topics of a Kafka.
//!
//! A topic that is not there is made, with one partition and the broker's defaults. A message's id is its header
//! `x-rexflow-message-id`; what an instance throws goes to one partition, by the instance. Positions are the ledger's alone: no consumer
//! group is joined, and a feed reads every partition, each by a task of its own. For readers over HTTP an offset is one more than
//! Kafka's, so that it counts from one. After any failure connections are made anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use routing::instance::{INSTANCE_HEADER, Published};
use routing::{Digest, Timestamp};
use rskafka::BackoffConfig;
use rskafka::chrono::{DateTime, Utc};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client as Connection, ClientBuilder};
use rskafka::record::{Record as Raw, RecordAndOffset};
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::address::Address;
use super::client::{Client, Fault, Listed, Options, Placed};
use super::message::{self, MESSAGE_ID};
use crate::ledger::{Consumed, Position, Record, Thrown};
use crate::metrics::Topics as Metrics;

/// How long the brokers have for an answer.
const WITHIN: Duration = Duration::from_secs(8);
/// How long a call is tried again by the client itself.
const RETRIED: Duration = Duration::from_secs(2);
/// Milliseconds that a fetch waits for messages.
const WAIT: i32 = 500;
/// Bytes that a fetch asks for at most.
const FETCH: i32 = 4 << 20;
/// A feed without messages says so after this long.
const SILENCE: Duration = Duration::from_secs(5);
/// How often a feed looks for new partitions.
const LOOK: Duration = Duration::from_secs(60);

/// See the module's documentation.
#[derive(Clone)]
pub(crate) struct Kafka {
    inner: Arc<Inner>,
}

struct Inner {
    address: Address,
    metrics: Metrics,
    connected: Mutex<Connected>,
}

#[derive(Default)]
struct Connected {
    client: Option<Arc<Connection>>,
    topics: HashMap<String, Arc<Vec<PartitionClient>>>,
}

/// What an error means: what the brokers refuse stays refused, all else passes.
fn fault(what: &str, error: &Error) -> Fault {
    let why = format!("{what}: {error}");
    let refused = [
        ProtocolError::MessageTooLarge,
        ProtocolError::RecordListTooLarge,
        ProtocolError::InvalidTopicException,
        ProtocolError::TopicAuthorizationFailed,
        ProtocolError::ClusterAuthorizationFailed,
        ProtocolError::PolicyViolation,
    ];
    match error {
        Error::ServerError { protocol_error, .. } if refused.contains(protocol_error) => Fault::Refused(why),
        _ => Fault::Away(why),
    }
}

async fn within<T>(what: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
    match tokio::time::timeout(WITHIN, call).await {
        Ok(done) => done.map_err(|error| fault(what, &error)),
        Err(_) => Err(Fault::Away(format!("{what}: no answer within {WITHIN:?}"))),
    }
}

fn time(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(i64::try_from(at).unwrap_or(i64::MAX)).unwrap_or_default()
}

impl Kafka {
    /// A client that connects when it is used.
    pub(super) fn new(address: &Address, options: Options) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !address.servers.iter().any(|it| it.contains('@')),
            "--topics {address}: Kafka has no log-in here"
        );
        let connected = Mutex::default();
        let inner = Inner { address: address.clone(), metrics: options.metrics, connected };
        Ok(Self { inner: Arc::new(inner) })
    }

    async fn client(&self, connected: &mut Connected) -> Result<Arc<Connection>, Fault> {
        if let Some(client) = &connected.client {
            return Ok(client.clone());
        }
        let backoff = BackoffConfig { deadline: Some(RETRIED), ..BackoffConfig::default() };
        let builder = ClientBuilder::new(self.inner.address.servers.clone()).client_id("flowd").backoff_config(backoff);
        let client = Arc::new(within("connect", builder.build()).await?);
        tracing::info!(address = %self.inner.address, "connected with the broker of topics");
        self.inner.metrics.connected.set(1);
        connected.client = Some(client.clone());
        Ok(client)
    }

    /// The partitions of a topic; none if there is no such topic and it is not to be made.
    async fn partitions(&self, topic: &str, make: bool) -> Result<Arc<Vec<PartitionClient>>, Fault> {
        let mut connected = self.inner.connected.lock().await;
        if let Some(known) = connected.topics.get(topic) {
            return Ok(known.clone());
        }
        let client = self.client(&mut connected).await?;
        let found = look(&client, topic).await?;
        let numbers = match found.is_empty() && make {
            false => found,
            true => {
                let controller = client.controller_client().map_err(|error| fault("find the controller", &error))?;
                match tokio::time::timeout(WITHIN, controller.create_topic(topic, 1, -1, 5_000)).await {
                    Ok(Ok(())) => vec![0],
                    Ok(Err(Error::ServerError { protocol_error: ProtocolError::TopicAlreadyExists, .. })) => {
                        look(&client, topic).await?
                    }
                    Ok(Err(error)) => return Err(fault("make a topic", &error)),
                    Err(_) => return Err(Fault::Away(format!("make a topic: no answer within {WITHIN:?}"))),
                }
            }
        };
        let mut partitions = Vec::new();
        for number in numbers {
            let partition = client.partition_client(topic, number, UnknownTopicHandling::Error);
            partitions.push(within("find a partition", partition).await?);
        }
        let partitions = Arc::new(partitions);
        if !partitions.is_empty() {
            connected.topics.insert(topic.to_owned(), partitions.clone());
        }
        Ok(partitions)
    }

    /// Connections are made anew after a failure.
    async fn checked<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        if matches!(result, Err(Fault::Away(_))) {
            *self.inner.connected.lock().await = Connected::default();
        }
        result
    }

    /// Sends what goes to one partition; all of it is there or none.
    async fn send(&self, partition: &PartitionClient, messages: &[&Thrown]) -> Result<Vec<Placed>, Fault> {
        let records = messages.iter().map(|it| record(&it.message)).collect();
        let offsets = within("produce", partition.produce(records, Compression::NoCompression)).await?;
        let placed = offsets.into_iter().map(|it| Placed { offset: number(it) + 1, known: false });
        Ok(placed.collect())
    }

    async fn send_all(&self, topic: &str, messages: &[(usize, &Thrown)], into: &mut [Option<Result<Placed, Fault>>]) {
        let partitions = match self.partitions(topic, true).await {
            Ok(partitions) if !partitions.is_empty() => partitions,
            Ok(_) => return,
            Err(fault) => return messages.iter().for_each(|(at, _)| into[*at] = Some(Err(fault.clone()))),
        };
        let mut by_partition: BTreeMap<usize, Vec<(usize, &Thrown)>> = BTreeMap::new();
        for (at, thrown) in messages {
            by_partition.entry(place(&thrown.message, partitions.len())).or_default().push((*at, thrown));
        }
        for (partition, messages) in by_partition {
            let together: Vec<&Thrown> = messages.iter().map(|(_, it)| *it).collect();
            match self.send(&partitions[partition], &together).await {
                Ok(placed) => messages.iter().zip(placed).for_each(|((at, _), it)| into[*at] = Some(Ok(it))),
                Err(Fault::Refused(_)) if messages.len() > 1 => {
                    for (at, thrown) in messages {
                        let one = self.send(&partitions[partition], &[thrown]).await;
                        into[at] = one.map(|it| it.first().copied()).transpose();
                    }
                }
                Err(fault) => messages.iter().for_each(|(at, _)| into[*at] = Some(Err(fault.clone()))),
            }
        }
    }
}

async fn look(client: &Connection, topic: &str) -> Result<Vec<i32>, Fault> {
    let topics = within("look for a topic", client.list_topics()).await?;
    let found = topics.into_iter().find(|it| it.name == topic);
    Ok(found.map(|it| it.partitions.into_iter().collect()).unwrap_or_default())
}

/// Offsets and partitions are never negative, except for "none".
fn number(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}

/// Which of so many partitions a message goes to: those of one instance to one.
fn place(message: &Published, partitions: usize) -> usize {
    let key = message.headers.get(INSTANCE_HEADER).or(message.id.as_ref()).map_or("", String::as_str);
    let hash = Digest::of(key.as_bytes()).0;
    usize::from(u16::from_be_bytes([hash[0], hash[1]])) % partitions.max(1)
}

fn record(message: &Published) -> Raw {
    let own = message::headers(message).into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let id = message.id.iter().map(|it| (MESSAGE_ID.to_owned(), it.as_bytes().to_vec()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Raw {
        key: message.headers.get(INSTANCE_HEADER).map(|it| it.as_bytes().to_vec()),
        value: Some(message.payload.body.to_vec()),
        headers: own.chain(id).collect(),
        timestamp: time(Timestamp::try_from(now).unwrap_or(0)),
    }
}

fn published(topic: &str, record: Raw) -> Option<Published> {
    let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    message::published(topic, None, headers, Bytes::from(record.value.unwrap_or_default()))
}

impl Client for Kafka {
    type Feed = Feed;

    async fn produce(&self, messages: &[Thrown]) -> Vec<Result<Placed, Fault>> {
        let mut by_topic: BTreeMap<&str, Vec<(usize, &Thrown)>> = BTreeMap::new();
        for (at, thrown) in messages.iter().enumerate() {
            by_topic.entry(thrown.message.name.as_str()).or_default().push((at, thrown));
        }
        let mut results = vec![None; messages.len()];
        for (topic, messages) in by_topic {
            self.send_all(topic, &messages, &mut results).await;
        }
        let none = || Err(Fault::Away("produce: not all offsets were told".to_owned()));
        let results: Vec<_> = results.into_iter().map(|it| it.unwrap_or_else(none)).collect();
        let away = results.iter().find_map(|it| it.as_ref().err().filter(|it| matches!(it, Fault::Away(_))).cloned());
        if let Some(away) = away {
            let _ = self.checked::<()>(Err(away)).await;
        }
        results
    }

    async fn open(&self, topic: &str, from: &Position) -> Result<Feed, Fault> {
        let opened = self.opened(topic, from).await;
        self.checked(opened).await
    }

    async fn read(&self, topic: &str, after: u64, limit: usize) -> Result<(Vec<Record>, u64), Fault> {
        let read = self.read_one(topic, after, limit).await;
        self.checked(read).await
    }

    async fn list(&self) -> Result<Vec<Listed>, Fault> {
        let listed = async {
            let client = self.client(&mut *self.inner.connected.lock().await).await?;
            let mut listed = Vec::new();
            for topic in within("list topics", client.list_topics()).await? {
                let (mut first, mut next) = (0, 0);
                for partition in self.partitions(&topic.name, false).await?.iter() {
                    first += number(within("find an offset", partition.get_offset(OffsetAt::Earliest)).await?);
                    next += number(within("find an offset", partition.get_offset(OffsetAt::Latest)).await?);
                }
                let records = next.saturating_sub(first);
                listed.push(Listed { name: topic.name, first: first + 1, next: next + 1, records });
            }
            Ok(listed)
        };
        let listed = listed.await;
        self.checked(listed).await
    }

    async fn leave(&self, _: &str) {}
}

impl Kafka {
    async fn read_one(&self, topic: &str, after: u64, limit: usize) -> Result<(Vec<Record>, u64), Fault> {
        let partitions = self.partitions(topic, false).await?;
        let partition = match partitions.as_slice() {
            [] => return Ok((Vec::new(), 1)),
            [partition] => partition,
            several => {
                let why = format!("{topic} has {} partitions: read it with a client of Kafka's", several.len());
                return Err(Fault::Refused(why));
            }
        };
        let first = number(within("find an offset", partition.get_offset(OffsetAt::Earliest)).await?);
        let next = number(within("find an offset", partition.get_offset(OffsetAt::Latest)).await?);
        let at = after.max(first);
        if limit == 0 || at >= next {
            return Ok((Vec::new(), next + 1));
        }
        let offset = i64::try_from(at).unwrap_or(i64::MAX);
        let (found, _) = within("read messages", partition.fetch_records(offset, 1..FETCH, WAIT)).await?;
        let read = |it: RecordAndOffset| {
            let published_at = Timestamp::try_from(it.record.timestamp.timestamp_millis()).unwrap_or(0);
            let message = published(topic, it.record)?;
            let (id, headers, payload) = (message.id, message.headers, message.payload);
            Some(Record { offset: number(it.offset) + 1, published: published_at, id, headers, payload })
        };
        Ok((found.into_iter().filter_map(read).take(limit).collect(), next + 1))
    }

    async fn opened(&self, topic: &str, from: &Position) -> Result<Feed, Fault> {
        let partitions = self.partitions(topic, true).await?;
        let (sender, messages) = mpsc::channel(1);
        let mut tasks = Vec::new();
        for (at, partition) in partitions.iter().enumerate() {
            let next = start(topic, partition, from).await?;
            let follow = follow(topic.to_owned(), partitions.clone(), at, next, sender.clone());
            tasks.push(AbortOnDropHandle::new(tokio::spawn(follow)));
        }
        let (client, count, own) = (self.clone(), partitions.len(), topic.to_owned());
        tasks.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let fault = client.other_partitions(&own, count).await;
            let _ = sender.send(Err(fault)).await;
        })));
        Ok(Feed { client: self.clone(), messages, _tasks: tasks })
    }

    /// Returns when the topic has other partitions than before, or nobody can tell.
    async fn other_partitions(&self, topic: &str, count: usize) -> Fault {
        loop {
            tokio::time::sleep(LOOK).await;
            let client = self.client(&mut *self.inner.connected.lock().await).await;
            let found = match client {
                Ok(client) => look(&client, topic).await,
                Err(fault) => Err(fault),
            };
            match found {
                Ok(found) if found.len() == count => {}
                Ok(found) => return Fault::Away(format!("{topic} has {} partitions now", found.len())),
                Err(fault) => return fault,
            }
        }
    }
}

/// Where a partition is read from.
async fn start(topic: &str, partition: &PartitionClient, from: &Position) -> Result<i64, Fault> {
    // the end is asked for first: what comes meanwhile is found by its time
    let end = within("find an offset", partition.get_offset(OffsetAt::Latest)).await?;
    let key = u32::try_from(partition.partition()).unwrap_or(0);
    let Some(next) = from.next.get(&key).map(|it| i64::try_from(*it).unwrap_or(i64::MAX)) else {
        let since = within("find an offset", partition.get_offset(OffsetAt::Timestamp(time(from.since)))).await?;
        return Ok(if since < 0 { end } else { since });
    };
    if next > end {
        return Err(Fault::Renewed);
    }
    let first = within("find an offset", partition.get_offset(OffsetAt::Earliest)).await?;
    if next < first {
        tracing::error!(topic, partition = key, next, first, "messages were removed before they were consumed");
    }
    Ok(next.max(first))
}

type Came = Result<Vec<Consumed>, Fault>;

/// Reads one partition, a batch ahead of who takes them.
async fn follow(
    topic: String,
    partitions: Arc<Vec<PartitionClient>>,
    at: usize,
    mut next: i64,
    into: mpsc::Sender<Came>,
) {
    let partition = &partitions[at];
    let number_of = u32::try_from(partition.partition()).unwrap_or(0);
    loop {
        let fetched = within("fetch messages", partition.fetch_records(next, 1..FETCH, WAIT)).await;
        let came = fetched.map(|(records, _)| {
            let consumed = |it: RecordAndOffset| {
                let (topic, offset) = (topic.clone(), number(it.offset));
                let message = published(&topic, it.record);
                Consumed { topic, partition: number_of, offset, message }
            };
            records.into_iter().map(consumed).collect::<Vec<_>>()
        });
        match &came {
            Ok(messages) => match messages.last() {
                Some(last) => next = i64::try_from(last.offset + 1).unwrap_or(i64::MAX),
                // only marks of transactions: they are no messages, and the fetch did not wait
                None => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            Err(_) => {
                let _ = into.send(came).await;
                return;
            }
        }
        if into.send(came).await.is_err() {
            return;
        }
    }
}

/// See [`Client::Feed`].
pub(crate) struct Feed {
    client: Kafka,
    messages: mpsc::Receiver<Came>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl super::client::Feed for Feed {
    async fn next(&mut self) -> Came {
        match tokio::time::timeout(SILENCE, self.messages.recv()).await {
            Err(_) => Ok(Vec::new()),
            Ok(Some(came)) => self.client.checked(came).await,
            Ok(None) => Err(Fault::Away("the feed has ended".to_owned())),
        }
    }

    async fn taken(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_comes_back_and_an_instance_keeps_its_partition() {
        let message = |instance: &str, id: &str| Published {
            name: "t".into(),
            id: Some(id.into()),
            headers: [(INSTANCE_HEADER.to_owned(), instance.to_owned())].into(),
            topic: true,
            payload: routing::Payload::json(&serde_json::json!({"n": 1})),
            ..Published::default()
        };
        let one = message("i-1", "a");
        assert_eq!(published("t", record(&one)), Some(one.clone()));
        assert_eq!(place(&one, 7), place(&message("i-1", "b"), 7));
        let places: std::collections::BTreeSet<_> =
            (0..50).map(|n| place(&message(&format!("i-{n}"), "a"), 3)).collect();
        assert_eq!(places.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
