//! Delivers notices: each is posted to its address until it was taken there, or has waited for a day.
//!
//! Promises: those for one address are delivered in their order, one at a time, each at least once: its `idempotency-key` is the same each
//! time. An address that is away, or slow, holds up nobody else. What is posted, and to whom, is decided by the ledger.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use runtime::clock::Clock;
use runtime::drain::DrainWatcher;
use runtime::outbound::{Failed, Outbound, Response, Sent, Target, Times, shown};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::ledger::Notice;
use crate::ledger_task::{Handle, Refused};
use crate::metrics::Notices as Metrics;
use crate::topics::pump::Backoff;

/// Notices whose addresses are looked at together.
const BATCH: usize = 256;
/// Calls at a time.
const CALLS: usize = 64;
/// How long a notice is tried for, milliseconds.
const TRIED_FOR: u64 = 24 * 3_600_000;
/// How long a call may take.
const TIMES: Times = Times { connect: Duration::from_secs(5), read: Duration::from_secs(30) };
/// Bytes of an answer.
const MAX_ANSWER: usize = 1 << 20;

/// What deliveries work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Notices {
    pub(crate) ledger: Handle,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    calls: Arc<Semaphore>,
}

/// What came of a call.
enum Outcome {
    Taken,
    /// It may be another time.
    NotYet(String),
}

impl Notices {
    pub(crate) fn new(ledger: Handle, outbound: Outbound, metrics: Metrics, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, outbound: Arc::new(outbound), metrics, clock, calls: Arc::new(Semaphore::new(CALLS)) }
    }

    /// Delivers until the drain, or until the ledger has ended.
    pub(crate) async fn run(self, mut drain: DrainWatcher) {
        tokio::select! {
            () = drain.signaled() => {}
            // the ledger has ended, and flowd with it
            _ = self.deliver() => {}
        }
    }

    /// Keeps somebody at work for each address that there are notices for.
    async fn deliver(self) -> Result<(), Refused> {
        let mut come = self.ledger.notices_come();
        // by address: whether more has come since somebody began
        let mut busy: HashMap<Arc<str>, bool> = HashMap::new();
        let (mut working, mut after) = (JoinSet::new(), 0);
        loop {
            come.mark_unchanged();
            let (found, waiting) = self.ledger.notices(after, BATCH).await?;
            self.metrics.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
            if let Some((last, _)) = found.last() {
                after = *last;
                for (_, url) in found {
                    match busy.get_mut(&url) {
                        Some(more) => *more = true,
                        None => self.begin(&mut working, &mut busy, url),
                    }
                }
                continue;
            }
            tokio::select! {
                changed = come.changed() => changed.map_err(|_| Refused::Going)?,
                Some(done) = working.join_next() => {
                    let Ok(url) = done else { continue };
                    let url: Arc<str> = url?;
                    if busy.remove(&url) == Some(true) {
                        self.begin(&mut working, &mut busy, url);
                    }
                }
            }
        }
    }

    fn begin(
        &self,
        working: &mut JoinSet<Result<Arc<str>, Refused>>,
        busy: &mut HashMap<Arc<str>, bool>,
        url: Arc<str>,
    ) {
        busy.insert(url.clone(), false);
        let own = self.clone();
        working.spawn(async move {
            own.address(&url).await?;
            Ok(url)
        });
    }

    /// Delivers what there is for one address.
    async fn address(&self, url: &Arc<str>) -> Result<(), Refused> {
        let (mut backoff, mut away) = (Backoff::default(), false);
        while let Some(notice) = self.ledger.next_notice(url.clone()).await? {
            let age = self.clock.now().as_millis().saturating_sub(notice.since);
            let outcome = if age > TRIED_FOR { None } else { Some(self.post(&notice).await) };
            match outcome {
                Some(Outcome::Taken) => {
                    (backoff, away) = (Backoff::default(), false);
                    self.metrics.delivered.inc();
                    self.ledger.noticed(vec![notice.number]).await?;
                }
                Some(Outcome::NotYet(why)) => {
                    self.metrics.failed.inc();
                    if !std::mem::replace(&mut away, true) {
                        let (instance, to) = (&notice.instance, shown(url));
                        tracing::warn!(%instance, to, why, "a notification is not taken; it is tried again for a day");
                    }
                    tokio::time::sleep(backoff.next(rand::random())).await;
                }
                None => {
                    self.metrics.given_up.inc();
                    tracing::error!(instance = %notice.instance, to = shown(url), "a notification was not taken for a day: given up");
                    self.ledger.noticed(vec![notice.number]).await?;
                }
            }
        }
        Ok(())
    }

    async fn post(&self, notice: &Notice) -> Outcome {
        let target = match Target::parse(&notice.url) {
            Ok(target) => target,
            Err(why) => return Outcome::NotYet(why),
        };
        match self.send(notice, &target, &notice.body).await {
            // an interface made for the original's last release does not know entries of a task
            Ok(answer) if names_xid(&answer) => match without_xid(&notice.body) {
                Some(body) => outcome(self.send(notice, &target, &body).await),
                None => outcome(Ok(answer)),
            },
            answer => outcome(answer),
        }
    }

    async fn send(&self, notice: &Notice, target: &Target, body: &Bytes) -> Result<Response, Failed> {
        // it is never closed
        let _place = self.calls.acquire().await;
        let headers = headers(notice);
        let sent = Sent { method: &Method::POST, target, headers: &headers, body };
        self.outbound.send(sent, TIMES, MAX_ANSWER).await
    }
}

fn headers(notice: &Notice) -> HeaderMap {
    let key = format!("\"{}.{:x}\"", notice.instance, notice.number);
    let named = [("idempotency-key", key), ("x-rexflow-iid", notice.instance.as_str().to_owned())];
    let mut headers: HeaderMap = named
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?)))
        .collect();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

fn outcome(answer: Result<Response, Failed>) -> Outcome {
    match answer {
        Ok(answer) if answer.status.is_success() => Outcome::Taken,
        Ok(answer) => Outcome::NotYet(format!("status {}", answer.status.as_u16())),
        Err(Failed::Refused(why) | Failed::Broken(why)) => Outcome::NotYet(why),
        Err(Failed::TooLarge) => Outcome::NotYet("the answer is too large".to_owned()),
    }
}

/// Whether a GraphQL server says that there is no `xid`.
fn names_xid(answer: &Response) -> bool {
    let asked = answer.status.is_success() || answer.status == StatusCode::BAD_REQUEST;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let errors = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
    let mut messages = errors.filter_map(|it| it.get("message").and_then(Value::as_str));
    asked && messages.any(|it| it.contains("xid"))
}

fn without_xid(body: &[u8]) -> Option<Bytes> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    body.pointer_mut("/variables/startTaskInput")?.as_object_mut()?.remove("xid")?;
    Some(body.to_string().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Response {
        let status = StatusCode::from_u16(status).unwrap();
        Response { status, headers: HeaderMap::new(), body: body.to_string().into() }
    }

    #[test]
    fn an_interface_that_knows_no_entries_is_told_without_them() {
        let unknown = json!({"errors": [{"message": "Field 'xid' is not defined by type 'StartTaskInput'."}]});
        assert!(names_xid(&answer(400, &unknown)) && names_xid(&answer(200, &unknown)));
        assert!(!names_xid(&answer(500, &unknown)));
        assert!(!names_xid(&answer(200, &json!({"data": {"task": {"start": {"status": "SUCCESS"}}}}))));
        let body = json!({"query": "q", "variables": {"startTaskInput": {"iid": "i", "tid": "t", "xid": "x"}}});
        let without = without_xid(body.to_string().as_bytes()).unwrap();
        let without: Value = serde_json::from_slice(&without).unwrap();
        assert_eq!(without["variables"]["startTaskInput"], json!({"iid": "i", "tid": "t"}));
        assert_eq!(without_xid(br#"{"variables": {"completeWorkflowInput": {"iid": "i"}}}"#), None);
    }

    #[test]
    fn only_a_success_is_taken() {
        for (status, taken) in [(200, true), (204, true), (301, false), (404, false), (410, false), (500, false)] {
            let found = matches!(outcome(Ok(answer(status, &Value::Null))), Outcome::Taken);
            assert_eq!(found, taken, "{status}");
        }
    }
}
