//! Topics over HTTP: `POST /topics/<name>`, `GET /topics`, and the server-sent events of `GET /topics/<name>?from=`.
//!
//! What is published is durable when it is answered. An event stream gives every record from where it begins, in order, each with its
//! offset as the event's id, so that a client that comes again with `Last-Event-ID` goes on behind it. Streams are limited in number; one
//! whose client reads slowly holds no more than a page of records.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming as Body};
use routing::instance::Published;
use runtime::drain::DrainWatcher;
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::messages::{bad, body};
use super::query::{decoded, pairs};
use super::{Answer, failed, json_answer, not_allowed, told};
use crate::ledger::{Receipt, Record, TopicView};
use crate::operations::Operations;
use crate::topics::message::{MAX_HEADER, MAX_HEADERS, MESSAGE_ID};
use crate::topics::{Broker as _, Topics};

/// Event streams at the same time.
pub(super) const MAX_STREAMS: usize = 256;
/// Records read at a time for one stream.
const PAGE: usize = 16;
/// How long a stream may be silent: then a comment says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often is asked for what came, where nobody says so.
const POLL: Duration = Duration::from_millis(250);

/// A body that goes on as records come.
pub(super) type Events = UnsyncBoxBody<Bytes, Infallible>;

/// Whether this module answers a path.
pub(super) fn answers(path: &str) -> bool {
    path == "/topics" || path.starts_with("/topics/")
}

/// The topic whose events a request asks for.
pub(super) fn streamed<B>(request: &Request<B>) -> Option<String> {
    let name = request.uri().path().strip_prefix("/topics/")?;
    (*request.method() == Method::GET && !name.contains('/')).then(|| decoded(name))
}

pub(super) async fn answer(operations: &Operations, request: Request<Body>) -> Answer {
    let path = request.uri().path().to_owned();
    let segments: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let broker = Topics::of(operations);
    match (segments.as_slice(), request.method()) {
        (["topics"], &(Method::GET | Method::HEAD)) => match broker.list().await {
            Ok(topics) => {
                let topics: Vec<Value> = topics.iter().map(topic).collect();
                json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "topics": topics }))
            }
            Err(error) => told(&error),
        },
        (["topics"], _) => not_allowed("GET, HEAD"),
        (["topics", name], &Method::POST) => publish(&broker, name, request).await.unwrap_or_else(|refused| refused),
        (["topics", _], _) => not_allowed("GET, POST"),
        _ => failed(StatusCode::NOT_FOUND, "not here; there are /topics and /topics/<NAME>"),
    }
}

async fn publish(broker: &Topics, name: &str, request: Request<Body>) -> Result<Answer, Answer> {
    if let Some((key, _)) = pairs(request.uri().query()).into_iter().next() {
        return Err(bad(format!("there is no parameter {key:?} here; a message's id is its header {MESSAGE_ID}")));
    }
    let text = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let id = text(MESSAGE_ID).or_else(|| text("idempotency-key")).filter(|it| !it.is_empty());
    let headers = kept(request.headers()).map_err(bad)?;
    let payload = body(request).await?;
    let message = Published { name: name.to_owned(), id, headers, payload, ..Published::default() };
    let receipt = broker.publish(message).await.map_err(|error| told(&error))?;
    Ok(published(name, &receipt))
}

/// What of the headers goes along: those that begin with `x-`.
fn kept(headers: &HeaderMap) -> Result<BTreeMap<String, String>, String> {
    let mut kept = BTreeMap::new();
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-") || name == MESSAGE_ID {
            continue;
        }
        let value = value.to_str().map_err(|_| format!("the header {name} is not text"))?;
        if value.len() > MAX_HEADER || kept.len() == MAX_HEADERS {
            return Err(format!("a message has at most {MAX_HEADERS} headers of {MAX_HEADER} bytes"));
        }
        kept.insert(name.to_owned(), value.to_owned());
    }
    Ok(kept)
}

fn published(name: &str, receipt: &Receipt) -> Answer {
    let ids = |all: &[routing::InstanceId]| all.iter().map(|it| it.as_str().to_owned()).collect::<Vec<_>>();
    let answer = json!({
        "status": 0,
        "message": "Ok",
        "topic": name,
        "offset": receipt.offset,
        "instances": ids(&receipt.instances),
        "started": ids(&receipt.started),
        "known": receipt.known,
    });
    json_answer(StatusCode::OK, &answer)
}

fn topic(view: &TopicView) -> Value {
    let starts: Vec<&str> = view.starts.iter().map(|it| it.as_str()).collect();
    json!({
        "name": view.name,
        "first": view.first,
        "next": view.next,
        "records": view.records,
        "starts": starts,
    })
}

/// The events of a topic: behind `Last-Event-ID`, else from `?from=`, an offset or `earliest`, else what comes from now on.
pub(super) async fn events(
    operations: &Operations,
    name: String,
    request: &Request<Body>,
    places: &Arc<Semaphore>,
) -> Result<Response<Events>, Answer> {
    let broker = Topics::of(operations);
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        return Err(failed(StatusCode::TOO_MANY_REQUESTS, &format!("{MAX_STREAMS} streams are open already")));
    };
    let appended = broker.appended();
    let (_, next) = broker.read(&name, u64::MAX, 0).await.map_err(|error| told(&error))?;
    let after = after(request, next).map_err(bad)?;
    let reader = Reader {
        broker,
        name,
        after,
        read: VecDeque::new(),
        appended,
        silent_since: Instant::now(),
        drain: operations.drain.clone(),
        greeted: false,
        _place: place,
    };
    let frames = stream::unfold(reader, |mut reader| async move {
        let bytes = reader.next().await?;
        Some((Ok(Frame::data(bytes)), reader))
    });
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// The offset that the stream begins behind.
fn after(request: &Request<Body>, next: u64) -> Result<u64, String> {
    let mut after = next.saturating_sub(1);
    for (key, value) in pairs(request.uri().query()) {
        match (key.as_str(), value.as_str()) {
            ("from", "earliest") => after = 0,
            ("from", "latest") => {}
            ("from", offset) => {
                let offset: u64 = offset.parse().map_err(|_| "from is an offset, earliest or latest".to_owned())?;
                after = offset.saturating_sub(1);
            }
            (other, _) => return Err(format!("there is no parameter {other:?}; there is from")),
        }
    }
    match request.headers().get("last-event-id").filter(|it| !it.is_empty()) {
        None => Ok(after),
        Some(id) => {
            let id = id.to_str().ok().and_then(|it| it.trim().parse().ok());
            id.ok_or_else(|| "Last-Event-ID is no offset".to_owned())
        }
    }
}

struct Reader {
    broker: Topics,
    name: String,
    after: u64,
    read: VecDeque<Record>,
    appended: Option<broadcast::Receiver<Arc<str>>>,
    silent_since: Instant,
    drain: DrainWatcher,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// What is to be sent next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            // a client knows that it is heard before anything happens
            return Some(Bytes::from_static(b": open\n\n"));
        }
        loop {
            if let Some(record) = self.read.pop_front() {
                (self.after, self.silent_since) = (record.offset, Instant::now());
                return Some(event(&record));
            }
            let (found, _) = self.broker.read(&self.name, self.after, PAGE).await.ok()?;
            if !found.is_empty() {
                self.read.extend(found);
                continue;
            }
            if !self.news().await? {
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    /// True when something was appended, false when it is time to say that the stream lives; none at the drain.
    async fn news(&mut self) -> Option<bool> {
        loop {
            tokio::select! {
                biased;
                () = self.drain.signaled() => return None,
                told = news_of(&mut self.appended) => match told {
                    Ok(name) if name.as_ref().is_some_and(|it| **it != *self.name) => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return Some(true),
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep_until(self.silent_since + HEARTBEAT) => {
                    self.silent_since = Instant::now();
                    return Some(false);
                }
            }
        }
    }
}

/// The topic that has a new record; without anybody who says so, after a while, perhaps any.
async fn news_of(appended: &mut Option<broadcast::Receiver<Arc<str>>>) -> Result<Option<Arc<str>>, RecvError> {
    match appended {
        Some(appended) => appended.recv().await.map(Some),
        None => {
            tokio::time::sleep(POLL).await;
            Ok(None)
        }
    }
}

/// One record as an event: one line of JSON.
fn event(record: &Record) -> Bytes {
    let mut line = json!({
        "offset": record.offset,
        "published": record.published,
        "id": record.id,
        "content_type": record.payload.content_type,
        "headers": record.headers,
    });
    match record.payload.to_json() {
        Some(value) => line["data"] = value,
        None => {
            line["body"] = Value::String(base64::engine::general_purpose::STANDARD.encode(&record.payload.body));
        }
    }
    Bytes::from(format!("id: {}\ndata: {line}\n\n", record.offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use routing::Payload;

    fn record(payload: Payload) -> Record {
        Record { offset: 7, published: 5, id: None, headers: BTreeMap::new(), payload }
    }

    #[test]
    fn an_event_is_one_line_whatever_it_carries() {
        let said = |payload| String::from_utf8(event(&record(payload)).to_vec()).unwrap();
        let line = said(Payload::json(&json!({"text": "a\nb"})));
        assert!(line.starts_with("id: 7\ndata: {") && line.ends_with("}\n\n") && line.lines().count() == 3, "{line}");
        let line = said(Payload { content_type: "text/plain".into(), body: Bytes::from_static(b"a\nb\xff") });
        assert!(line.contains(r#""body":"YQpi/w==""#) && line.lines().count() == 3, "{line}");
    }
}
