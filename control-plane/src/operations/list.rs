//! Lists of instances, one by one: open ones first, then closed ones from the store, newest first.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use routing::{DeploymentId, InstanceId, Timestamp};
use tokio::sync::{broadcast, mpsc};

use super::{Error, Operations};
use crate::ledger::{InstanceView, decode_instance, key};
use crate::store::Store;

/// Instances on their way to a slow reader.
const AHEAD: usize = 64;
/// Entries of the index read at a time.
const PAGE: usize = 1024;
/// The first span of time looked through for closed instances, milliseconds; it doubles.
const FIRST_SPAN: u64 = 60_000;

/// Which instances.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Empty: all.
    pub(crate) ids: Vec<String>,
    /// Pairs that an instance must have.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) deployment: Option<DeploymentId>,
    /// 0: no limit.
    pub(crate) limit: usize,
}

impl Selection {
    pub(crate) fn has(&self, view: &InstanceView) -> bool {
        let pairs = self.metadata.iter().all(|(key, value)| view.metadata.get(key) == Some(value));
        let named = self.ids.is_empty() || self.ids.iter().any(|id| id == view.id.as_str());
        pairs && named && self.deployment.as_ref().is_none_or(|it| *it == view.deployment)
    }
}

/// Where a list goes, one by one.
type Sink = mpsc::Sender<Result<Arc<InstanceView>, Error>>;

impl Operations {
    /// The instances that are selected, as they are; with `watch`, each one again as it changes, without end.
    pub(crate) async fn instances(
        &self,
        selection: Selection,
        watch: bool,
    ) -> Result<mpsc::Receiver<Result<Arc<InstanceView>, Error>>, Error> {
        let changes = watch.then(|| self.ledger.changes());
        let first = match selection.ids.is_empty() {
            true => self.open(&selection).await?,
            false => self.named(&selection).await?,
        };
        let (sink, list) = mpsc::channel(AHEAD);
        let operations = self.clone();
        tokio::spawn(async move {
            // an error here means that nobody reads any more
            let _ = operations.stream(selection, first, changes, sink).await;
        });
        Ok(list)
    }

    async fn open(&self, selection: &Selection) -> Result<Vec<InstanceView>, Error> {
        let filter = selection.clone();
        let mut open = self.ledger.open(Box::new(move |it| filter.has(it))).await?;
        open.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
        Ok(open)
    }

    async fn named(&self, selection: &Selection) -> Result<Vec<InstanceView>, Error> {
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        for id in &selection.ids {
            match self.ledger.get(&InstanceId::from(id.as_str())).await? {
                Some(view) if selection.has(&view) => found.push(view),
                Some(_) => {}
                None => unknown.push(id.as_str()),
            }
        }
        match unknown.as_slice() {
            [] => Ok(found),
            unknown => Err(Error::NotFound(format!("there is no instance {}", unknown.join(", ")))),
        }
    }

    async fn stream(
        self,
        selection: Selection,
        first: Vec<InstanceView>,
        changes: Option<broadcast::Receiver<Arc<InstanceView>>>,
        sink: Sink,
    ) -> Result<(), mpsc::error::SendError<Result<Arc<InstanceView>, Error>>> {
        let limit = if selection.limit == 0 { usize::MAX } else { selection.limit };
        let (mut sent, mut seen) = (0, HashSet::new());
        for view in first.into_iter().take(limit) {
            seen.insert(view.id.clone());
            sink.send(Ok(Arc::new(view))).await?;
            sent += 1;
        }
        if selection.ids.is_empty() {
            let mut recent = Recent::new(&self, self.now());
            while sent < limit {
                match recent.next().await {
                    Ok(Some(view)) if selection.has(&view) && !seen.contains(&view.id) => {
                        sink.send(Ok(Arc::new(view))).await?;
                        sent += 1;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => return sink.send(Err(error)).await,
                }
            }
        }
        drop(seen);
        let Some(mut changes) = changes else { return Ok(()) };
        let mut drain = self.drain.clone();
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = sink.closed() => return Ok(()),
                () = drain.signaled() => return Ok(()),
            };
            match change {
                Ok(view) if selection.has(&view) => sink.send(Ok(view)).await?,
                // what was missed is told again with its next change
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            }
        }
    }
}

/// Closed instances, the last to end first: the index is read in spans of time, from the newest back.
struct Recent<'a> {
    operations: &'a Operations,
    /// Everything from here on has been given.
    until: Timestamp,
    span: u64,
    ids: VecDeque<InstanceId>,
    done: bool,
}

impl<'a> Recent<'a> {
    fn new(operations: &'a Operations, now: Timestamp) -> Self {
        // clocks of two flowds may differ: look a little into the future
        Self { operations, until: now + FIRST_SPAN, span: 2 * FIRST_SPAN, ids: VecDeque::new(), done: false }
    }

    async fn next(&mut self) -> Result<Option<InstanceView>, Error> {
        loop {
            if let Some(id) = self.ids.pop_front() {
                let Some(bytes) = self.operations.store.get(&key::closed(&id)).await? else { continue };
                let view = decode_instance(&bytes);
                return view.map(Some).map_err(|e| Error::Store(format!("read instance {id} from the store: {e}")));
            }
            if self.done {
                return Ok(None);
            }
            self.back().await?;
        }
    }

    /// Reads the ids of the span before the last one.
    async fn back(&mut self) -> Result<(), Error> {
        let from = self.until.saturating_sub(self.span);
        let end = bound(self.until);
        let mut after = bound(from);
        'pages: loop {
            let page = self.operations.store.scan(key::BY_END, Some(&after), PAGE).await?;
            for (entry, _) in &page {
                if entry[..] >= end[..] {
                    break 'pages;
                }
                let id = entry.get(end.len() + 1..).unwrap_or_default();
                self.ids.push_front(InstanceId::from(String::from_utf8_lossy(id).into_owned()));
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = last.to_vec(),
                _ => break,
            }
        }
        (self.until, self.done) = (from, from == 0);
        self.span = self.span.saturating_mul(2);
        Ok(())
    }
}

/// The index's key of a time, before every instance that ended then.
fn bound(at: Timestamp) -> Vec<u8> {
    [key::BY_END, format!("{at:016x}").as_bytes()].concat()
}
