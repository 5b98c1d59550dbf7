//! Failed elements start again; also those of an instance that has ended as ERROR, which is open again then.

use routing::{InstanceId, Payload};
use tokio::time::{Duration, sleep};

use super::{Error, Operations};
use crate::ledger::{Answer, InstanceView, Operation, Operator, Reopening, State, key, remains_of};
use crate::store::{self, Entry, Store, Write};

/// Entries read at a time.
const PAGE: usize = 256;
/// How often, and how long after each other, the store is read again while it lacks what the ledger has.
const READ_AGAIN: (usize, Duration) = (100, Duration::from_millis(20));

/// How failed elements start again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Again {
    /// What to go on with instead.
    pub(crate) payload: Option<Payload>,
    /// Whether tasks see the idempotency keys of the failed calls.
    pub(crate) same_key: bool,
    /// Also of an instance that has ended as ERROR.
    pub(crate) force: bool,
}

impl Operations {
    /// Starts every failed element of an instance again.
    pub(crate) async fn start_again(&self, id: &InstanceId, by: Operator, again: Again) -> Result<(), Error> {
        let Again { payload, same_key, force } = again;
        let operation = Operation::Start { payload: payload.clone(), same_key };
        let ended = match self.operate(id, by.clone(), operation).await {
            Err(error @ Error::WrongState(_)) => error,
            done => return done,
        };
        let of_error = |it: &InstanceView| it.state == State::Error;
        match self.instance(id).await {
            Ok(view) if of_error(&view) && force => self.reopen(view, by, payload, same_key).await,
            Ok(view) if of_error(&view) => Err(Error::WrongState(format!(
                "{id} has ended already: it is ERROR; `flowctl start --force {id}` runs it again from the failed element"
            ))),
            _ => Err(ended),
        }
    }

    async fn reopen(
        &self,
        view: InstanceView,
        by: Operator,
        payload: Option<Payload>,
        same_key: bool,
    ) -> Result<(), Error> {
        let id = view.id.clone();
        self.accepting(view.deployment.as_str()).map_err(|error| match error {
            Error::NotFound(_) => Error::WrongState(format!(
                "the deployment {} of {id} is deleted; apply the same file again, and try again",
                view.deployment
            )),
            other => other,
        })?;
        // whoever comes second finds it open
        let _one = self.history.lock().await;
        let (times, wait) = READ_AGAIN;
        for _ in 0..times {
            let view = self.instance(&id).await?;
            if !view.state.is_closed() {
                return Err(Error::WrongState(format!("{id} is {} again already", view.state)));
            }
            let entries = self.remains(&id).await?.into_iter();
            let remains = entries.map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            let reopening = Reopening { view, remains, by: by.clone(), payload: payload.clone(), same_key };
            match self.ledger.reopen(reopening).await? {
                Answer::Busy => sleep(wait).await,
                answer => return super::instances::done(&id, answer),
            }
        }
        Err(Error::Busy)
    }

    /// What the store has of an instance that ended as ERROR, beside its record.
    async fn remains(&self, id: &InstanceId) -> Result<Vec<Entry>, store::Error> {
        let (prefix, mut after, mut all) = (key::remains(id), None, Vec::new());
        loop {
            let page = self.store.scan(&prefix, after.as_deref(), PAGE).await?;
            let full = page.len() == PAGE;
            after = page.last().map(|(key, _)| key.clone());
            all.extend(page.into_iter().filter(|(key, _)| remains_of(key, id)));
            if !full {
                return Ok(all);
            }
        }
    }

    /// What makes the store forget them. `history` is held.
    pub(crate) async fn forget_remains(&self, id: &InstanceId) -> Result<Vec<Write>, store::Error> {
        Ok(self.remains(id).await?.into_iter().map(|(key, _)| Write::delete(key)).collect())
    }
}
