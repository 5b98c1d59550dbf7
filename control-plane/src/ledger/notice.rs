//! Notices: what is posted to an address outside, until it was delivered.
//!
//! The user interface that an instance was created by (the original's `graphql_uri`) is told of each user task that is entered, and of the
//! instance's end; a webhook of what its process says (`notification`). Promises: a notice is in the atomic group of what it tells, so that none
//! is lost and none tells of what has not happened; those for one address keep their order. They are kept in limits: of too many the oldest are
//! given up, and counted; no instance waits for them. How they are delivered is `notices`'s.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use proto::convert::Malformed;
use proto::v1;
use routing::{ActivationId, InstanceId, Timestamp};
use serde_json::{Value, json};

use super::stored::key;
use super::{InstanceView, Ledger, Output};

/// Notices that are kept.
const MAX_NOTICES: usize = 50_000;
/// Bytes of them.
const MAX_BYTES: usize = 64 << 20;
/// By this address the original's tests say that nobody is to be told.
const NOBODY: &str = "http://gndn.net/";

const START_TASK: &str = "mutation StartTask($startTaskInput: StartTaskInput!) { task { start(input: $startTaskInput) { status errors { message } } } }";
const COMPLETE_WORKFLOW: &str = "mutation CompleteWorkflow($completeWorkflowInput: CompleteWorkflowInput!) { workflow { complete(input: $completeWorkflowInput) { status errors { message } } } }";

/// What is to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Grows in the order of what happened, through all lives.
    pub number: u64,
    /// Where to.
    pub url: Arc<str>,
    /// JSON.
    pub body: Bytes,
    /// What it tells of.
    pub instance: InstanceId,
    /// Since when it waits.
    pub since: Timestamp,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Notices {
    all: BTreeMap<u64, Arc<Notice>>,
    by_url: HashMap<Arc<str>, BTreeSet<u64>>,
    bytes: usize,
}

impl Notices {
    fn add(&mut self, mut notice: Notice) {
        if let Some((known, _)) = self.by_url.get_key_value(&notice.url) {
            notice.url = known.clone();
        }
        self.bytes += notice.body.len();
        self.by_url.entry(notice.url.clone()).or_default().insert(notice.number);
        self.all.insert(notice.number, Arc::new(notice));
    }

    fn take(&mut self, number: u64) -> bool {
        let Some(notice) = self.all.remove(&number) else { return false };
        self.bytes -= notice.body.len();
        if let Some(numbers) = self.by_url.get_mut(&notice.url) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_url.remove(&notice.url);
            }
        }
        true
    }

    /// The oldest, when there are too many.
    fn surplus(&self) -> Option<u64> {
        let (number, _) = self.all.first_key_value()?;
        (self.all.len() > MAX_NOTICES || self.bytes > MAX_BYTES).then_some(*number)
    }

    /// From what was stored.
    pub(super) fn load(&mut self, number: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let bad = Malformed { field: "notice", why: "not protobuf" };
        let v1::StoredNotice { url, body, instance, since_ms } = v1::StoredNotice::decode(bytes).map_err(|_| bad)?;
        self.add(Notice { number, url: url.into(), body: body.into(), instance: instance.into(), since: since_ms });
        Ok(())
    }
}

impl Ledger {
    /// Posts to an address, once what it tells is durable.
    pub(super) fn notice(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        url: &str,
        body: &Value,
        out: &mut Vec<Output>,
    ) {
        let number = self.next_number();
        let notice =
            Notice { number, url: url.into(), body: body.to_string().into(), instance: instance.clone(), since: now };
        let stored = v1::StoredNotice {
            url: url.to_owned(),
            body: notice.body.to_vec(),
            instance: instance.as_str().to_owned(),
            since_ms: now,
        };
        self.put(key::notice(number), stored.encode_to_vec());
        self.notices.add(notice);
        while let Some(oldest) = self.notices.surplus() {
            self.forget_notice(oldest);
            out.push(Output::NoticeLost);
        }
        out.push(Output::Noticed);
    }

    fn forget_notice(&mut self, number: u64) {
        if self.notices.take(number) {
            self.remove(key::notice(number));
        }
    }

    /// These are over: delivered, or given up.
    pub(super) fn noticed(&mut self, numbers: Vec<u64>) {
        numbers.into_iter().for_each(|it| self.forget_notice(it));
    }

    /// The user interface is told of user tasks that it has not been told of.
    pub(super) fn announce_tasks(&mut self, now: Timestamp, instance: &InstanceId, out: &mut Vec<Output>) {
        let Some(open) = self.instances.get(instance) else { return };
        let Some(url) = told(&open.base) else { return };
        let tasks: Vec<_> = open.tasks(&self.tables).map(|it| (it.activation, it.element)).collect();
        let new = tasks.iter().filter(|(activation, _)| !open.announced.contains(activation)).cloned();
        for (activation, element) in new.collect::<Vec<_>>() {
            let input = json!({ "iid": instance.as_str(), "tid": element.as_str(), "xid": activation.to_string() });
            let body = json!({
                "operationName": "StartTask",
                "query": START_TASK,
                "variables": { "startTaskInput": input },
            });
            self.notice(now, instance, &url, &body, out);
        }
        if let Some(open) = self.instances.get_mut(instance) {
            open.announced = tasks.into_iter().map(|(activation, _)| activation).collect();
        }
    }

    /// The user interface is told that the instance has ended.
    pub(super) fn announce_end(&mut self, now: Timestamp, view: &InstanceView, out: &mut Vec<Output>) {
        let Some(url) = told(view) else { return };
        let body = json!({
            "operationName": "CompleteWorkflow",
            "query": COMPLETE_WORKFLOW,
            "variables": { "completeWorkflowInput": { "iid": view.id.as_str() } },
        });
        self.notice(now, &view.id, &url, &body, out);
    }

    /// After a restart: which user tasks the user interface was told of.
    pub(super) fn recover_announced(&mut self) {
        let tables = &self.tables;
        for open in self.instances.values_mut().filter(|it| it.base.graphql_uri.is_some()) {
            let tasks: BTreeSet<ActivationId> = open.tasks(tables).map(|it| it.activation).collect();
            open.announced = tasks;
        }
    }

    /// Addresses of notices behind a number, at most so many, each with the number, and how many notices there are in all.
    pub fn notices(&self, after: u64, limit: usize) -> (Vec<(u64, Arc<str>)>, usize) {
        let behind = self.notices.all.range(after.saturating_add(1)..).take(limit);
        (behind.map(|(number, notice)| (*number, notice.url.clone())).collect(), self.notices.all.len())
    }

    /// The oldest notice for an address.
    pub fn next_notice(&self, url: &str) -> Option<Arc<Notice>> {
        self.notices.all.get(self.notices.by_url.get(url)?.first()?).cloned()
    }
}

/// Where an instance's user interface is told.
fn told(view: &InstanceView) -> Option<String> {
    view.graphql_uri.clone().filter(|it| it != NOBODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_oldest_are_given_up() {
        let mut notices = Notices::default();
        let notice = |number: u64, size: usize| Notice {
            number,
            url: format!("http://h/{}", number % 2).into(),
            body: vec![b' '; size].into(),
            instance: "i".into(),
            since: 0,
        };
        for number in 1..=4 {
            notices.add(notice(number, MAX_BYTES / 4));
        }
        assert_eq!(notices.surplus(), None);
        notices.add(notice(5, 1));
        assert_eq!(notices.surplus(), Some(1));
        assert!(notices.take(1) && !notices.take(1));
        assert_eq!((notices.surplus(), notices.by_url.len(), notices.bytes), (None, 2, MAX_BYTES / 4 * 3 + 1));
        (2..=5).for_each(|it| assert!(notices.take(it)));
        assert_eq!((notices.bytes, notices.by_url.len(), notices.surplus()), (0, 0, None));
    }
}
