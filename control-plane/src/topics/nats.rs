//! Topics as subjects of a NATS JetStream.
//!
//! A topic is the subject of its name. Whatever stream has the subject is used; without one flowd makes a stream of the topic's name
//! (`.` written as `:`) for it. A message's offset is its sequence in the stream, its id `Nats-Msg-Id`. Each followed topic has a durable
//! consumer, made anew behind the ledger's position whenever the feed is opened: it gives the messages in order, a gap breaks the feed,
//! and its acknowledgements only tell the server, and whoever watches it, how far this flowd is.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{
    ContextBuilder, GetStreamByNameErrorKind, PublishAckFuture, PublishError, PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Context};
use async_nats::{Client as Connection, ConnectOptions, HeaderMap, ServerAddr};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use routing::table::is_topic;
use routing::{Incarnation, Timestamp};

use super::address::Address;
use super::client::{Client, Fault, Listed, Options, Placed};
use super::message;
use super::pump::Backoff;
use crate::ledger::{Consumed, Position, Record, Thrown};

/// How long the server has for an answer.
const WITHIN: Duration = Duration::from_secs(5);
/// Messages that are given at a time.
const BATCH: usize = 64;
/// A feed without messages says so after this long; a server that is silent for longer is away.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a made stream knows an id, at most.
const DUPLICATES: Duration = Duration::from_secs(600);
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// See the module's documentation.
#[derive(Clone)]
pub(crate) struct Nats {
    context: Context,
    connection: Connection,
    address: Arc<str>,
    incarnation: Incarnation,
    retention: Duration,
    /// Topics that have a stream.
    known: Arc<Mutex<HashSet<String>>>,
}

impl Nats {
    /// A client that connects when it can.
    pub(super) async fn new(address: &Address, options: Options) -> anyhow::Result<Self> {
        let Options { incarnation, retention, metrics } = options;
        let url = |server: &String| format!("nats://{server}").parse::<ServerAddr>();
        let servers = address.servers.iter().map(url).collect::<Result<Vec<_>, _>>();
        let servers = servers.map_err(|error| anyhow::anyhow!("--topics {address}: {error}"))?;
        let told = address.to_string();
        let connect = ConnectOptions::new()
            .name("flowd")
            .retry_on_initial_connect()
            .connection_timeout(WITHIN)
            .request_timeout(Some(WITHIN))
            .reconnect_delay_callback(|tries| {
                let mut backoff = Backoff::after(tries);
                backoff.next(rand::random())
            })
            .event_callback(move |event| {
                match event {
                    async_nats::Event::Connected => {
                        metrics.connected.set(1);
                        tracing::info!(address = told, "connected with the broker of topics");
                    }
                    async_nats::Event::Disconnected => {
                        metrics.connected.set(0);
                        tracing::warn!(address = told, "the broker of topics is away");
                    }
                    other => tracing::debug!(%other, "the broker of topics"),
                }
                std::future::ready(())
            });
        let connection = connect.connect(servers).await?;
        let context = ContextBuilder::new().timeout(WITHIN).ack_timeout(WITHIN).build(connection.clone());
        let (address, retention) = (Arc::from(address.to_string()), Duration::from_millis(retention));
        Ok(Self { context, connection, address, incarnation, retention, known: Arc::default() })
    }

    fn connected(&self) -> Result<(), Fault> {
        match self.connection.connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err(Fault::Away(format!("{} is not connected", self.address))),
        }
    }

    /// What an error means: the server's own refusals stay, all else passes.
    fn fault(&self, what: &str, error: &(impl std::error::Error + ?Sized)) -> Fault {
        let why = format!("{what}: {error}");
        let refused = std::iter::successors(error.source(), |it| (*it).source())
            .any(|it| it.downcast_ref::<jetstream::Error>().is_some());
        let refused = refused || why.to_ascii_lowercase().contains("jetstream error");
        if refused && self.connected().is_ok() { Fault::Refused(why) } else { Fault::Away(why) }
    }

    /// The stream that has the topic, if there is one.
    async fn find(&self, topic: &str) -> Result<Option<Stream>, Fault> {
        self.connected()?;
        subject(topic)?;
        let name = match self.context.stream_by_subject(topic).await {
            Ok(name) => name,
            Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fault("look for a stream", &error)),
        };
        let stream = self.context.get_stream(name).await;
        stream.map(Some).map_err(|error| self.fault("look at a stream", &error))
    }

    /// The stream that has the topic; made if there is none.
    async fn stream(&self, topic: &str) -> Result<Stream, Fault> {
        if let Some(stream) = self.find(topic).await? {
            return Ok(stream);
        }
        let config = stream::Config {
            name: name(topic),
            subjects: vec![topic.to_owned()],
            max_age: self.retention,
            duplicate_window: DUPLICATES.min(self.retention),
            description: Some("a topic of flowd".to_owned()),
            ..stream::Config::default()
        };
        let made = self.context.get_or_create_stream(config).await;
        made.map_err(|error| self.fault("make a stream", &error))
    }

    /// That publishing to the topic finds a stream.
    async fn prepare(&self, topic: &str) -> Result<(), Fault> {
        if self.known().contains(topic) {
            return Ok(());
        }
        self.stream(topic).await?;
        self.known().insert(topic.to_owned());
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, thrown: &Thrown) -> Result<PublishAckFuture, Fault> {
        let message = &thrown.message;
        self.connected()?;
        self.prepare(&message.name).await?;
        let mut headers = HeaderMap::new();
        for (name, value) in message::headers(message) {
            let value: async_nats::HeaderValue =
                value.parse().map_err(|_| Fault::Refused(format!("the header {name} has a line break")))?;
            headers.insert(name, value);
        }
        let mut publish = PublishMessage::build().payload(message.payload.body.clone()).headers(headers);
        if let Some(id) = &message.id {
            publish = publish.message_id(id);
        }
        let sent = self.context.send_publish(message.name.clone(), publish).await;
        sent.map_err(|error| self.unpublished(&message.name, &error))
    }

    fn unpublished(&self, topic: &str, error: &PublishError) -> Fault {
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                Fault::Refused(format!("publish to {topic}: the server takes no message as large (max_payload)"))
            }
            PublishErrorKind::StreamNotFound => {
                self.known().remove(topic);
                Fault::Away(format!("publish to {topic}: its stream is gone"))
            }
            _ => self.fault("publish", error),
        }
    }

    fn consumer(&self, topic: &str) -> String {
        format!("flow-{}-{}", self.incarnation, name(topic))
    }
}

/// A stream's, and part of a consumer's, name: they have no dots.
fn name(topic: &str) -> String {
    topic.replace('.', ":")
}

/// That a topic's name is a subject.
fn subject(topic: &str) -> Result<(), Fault> {
    let empty = topic.split('.').any(str::is_empty);
    if empty {
        Err(Fault::Refused(format!("{topic:?} is no subject: nothing before, behind or between dots")))
    } else {
        Ok(())
    }
}

fn consumed(topic: &str, headers: Option<&HeaderMap>, body: Bytes) -> Option<routing::instance::Published> {
    let id = headers.and_then(|it| it.get(MESSAGE_ID)).map(|it| it.as_str().to_owned());
    let all = headers.into_iter().flat_map(HeaderMap::iter);
    let first = all.filter_map(|(name, values)| Some((name.as_ref() as &str, values.first()?.as_str().as_bytes())));
    message::published(topic, id, first, body)
}

impl Client for Nats {
    type Feed = Feed;

    async fn produce(&self, messages: &[Thrown]) -> Vec<Result<Placed, Fault>> {
        let mut sent = Vec::with_capacity(messages.len());
        for thrown in messages {
            let one = self.send(thrown).await;
            let away = matches!(one, Err(Fault::Away(_)));
            sent.push(one);
            if away {
                // those behind it keep their order
                break;
            }
        }
        let mut results = Vec::with_capacity(messages.len());
        for (thrown, sent) in messages.iter().zip(sent) {
            results.push(match sent {
                Ok(ack) => match ack.await {
                    Ok(ack) => Ok(Placed { offset: ack.sequence, known: ack.duplicate }),
                    Err(error) => Err(self.unpublished(&thrown.message.name, &error)),
                },
                Err(fault) => Err(fault),
            });
        }
        results
    }

    async fn open(&self, topic: &str, from: &Position) -> Result<Feed, Fault> {
        let stream = self.stream(topic).await?;
        let last = stream.cached_info().state.last_sequence;
        let deliver_policy = match from.next.get(&0) {
            Some(next) if *next > last + 1 => return Err(Fault::Renewed),
            Some(next) => DeliverPolicy::ByStartSequence { start_sequence: *next },
            None => {
                let since = async_nats::datetime::from_nanos(i128::from(from.since) * 1_000_000);
                let start_time = since.map_err(|error| Fault::Refused(format!("no time: {error}")))?;
                DeliverPolicy::ByStartTime { start_time }
            }
        };
        let name = self.consumer(topic);
        // none there is what is wanted; anything else shows when it is made
        let _ = stream.delete_consumer(&name).await;
        let config = pull::Config {
            durable_name: Some(name),
            description: Some("flowd follows a topic".to_owned()),
            deliver_policy,
            ack_policy: AckPolicy::All,
            filter_subject: topic.to_owned(),
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| self.fault("make a consumer", &error))?;
        let pulled = consumer.stream().max_messages_per_batch(BATCH).heartbeat(SILENCE).expires(SILENCE * 4);
        let messages = pulled.messages().await.map_err(|error| self.fault("follow a topic", &error))?;
        Ok(Feed { client: self.clone(), topic: topic.to_owned(), messages, given: 0, last: None })
    }

    async fn read(&self, topic: &str, after: u64, limit: usize) -> Result<(Vec<Record>, u64), Fault> {
        let Some(stream) = self.find(topic).await? else { return Ok((Vec::new(), 1)) };
        let mut next = stream.cached_info().state.last_sequence + 1;
        let mut records: Vec<Record> = Vec::new();
        let mut at = after.saturating_add(1);
        while records.len() < limit && at < next {
            let found = stream.raw_message_builder().sequence(at).next_by_subject(topic).send().await;
            let found: jetstream::message::StreamMessage = match found {
                Ok(found) => found,
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(self.fault("read a message", &error)),
            };
            at = found.sequence + 1;
            next = next.max(at);
            let Some(message) = consumed(topic, Some(&found.headers), found.payload) else { continue };
            records.push(Record {
                offset: found.sequence,
                published: Timestamp::try_from(found.time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0),
                id: message.id,
                headers: message.headers,
                payload: message.payload,
            });
        }
        Ok((records, next))
    }

    async fn list(&self) -> Result<Vec<Listed>, Fault> {
        self.connected()?;
        let all: Vec<stream::Info> =
            self.context.streams().try_collect().await.map_err(|error| self.fault("list streams", &error))?;
        let listed = all.into_iter().filter_map(|it| match it.config.subjects.as_slice() {
            [topic] if is_topic(topic) => Some(Listed {
                name: topic.clone(),
                first: it.state.first_sequence.max(1),
                next: it.state.last_sequence + 1,
                records: it.state.messages,
            }),
            _ => None,
        });
        Ok(listed.collect())
    }

    async fn leave(&self, topic: &str) {
        let left = async {
            let Some(stream) = self.find(topic).await? else { return Ok(()) };
            stream
                .delete_consumer(&self.consumer(topic))
                .await
                .map_err(|error| self.fault("delete a consumer", &error))?;
            Ok::<(), Fault>(())
        };
        if let Err(fault) = left.await {
            tracing::debug!(topic, %fault, "a consumer that is not needed any more stays");
        }
    }
}

/// See [`Client::Feed`].
pub(crate) struct Feed {
    client: Nats,
    topic: String,
    messages: pull::Stream,
    /// Messages that the consumer has given: without a gap, or one was lost on the way.
    given: u64,
    last: Option<jetstream::Message>,
}

impl Feed {
    fn take(&mut self, message: jetstream::Message) -> Result<Consumed, Fault> {
        let broken = |why: String| Fault::Away(format!("{}: {why}", self.topic));
        let info = message.info().map_err(|error| broken(error.to_string()))?;
        if info.consumer_sequence != self.given + 1 {
            return Err(broken("a message was lost on the way; they are read again".to_owned()));
        }
        let offset = info.stream_sequence;
        self.given += 1;
        let published = consumed(&self.topic, message.headers.as_ref(), message.payload.clone());
        self.last = Some(message);
        Ok(Consumed { topic: self.topic.clone(), partition: 0, offset, message: published })
    }
}

impl super::client::Feed for Feed {
    async fn next(&mut self) -> Result<Vec<Consumed>, Fault> {
        let Ok(first) = tokio::time::timeout(SILENCE, self.messages.next()).await else {
            self.client.connected()?;
            return Ok(Vec::new());
        };
        let mut next = Some(first);
        let mut taken = Vec::new();
        while let Some(came) = next {
            let message = came.ok_or_else(|| Fault::Away(format!("{}: the feed has ended", self.topic)))?;
            let message = message.map_err(|error| self.client.fault("follow a topic", &error))?;
            taken.push(self.take(message)?);
            next = if taken.len() < BATCH { self.messages.next().now_or_never() } else { None };
        }
        Ok(taken)
    }

    async fn taken(&mut self) -> Result<(), Fault> {
        let Some(last) = self.last.take() else { return Ok(()) };
        last.ack().await.map_err(|error| Fault::Away(format!("{}: acknowledge: {error}", self.topic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_subject_unless_it_is_none() {
        assert_eq!(name("shop.orders"), "shop:orders");
        assert!(subject("shop.orders").is_ok());
        for topic in [".a", "a.", "a..b"] {
            assert!(matches!(subject(topic), Err(Fault::Refused(_))), "{topic}");
        }
    }
}
