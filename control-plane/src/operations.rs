//! What operators can do, each thing once: `flow`, `daemon` and `http` only translate to and from it.
//!
//! Promises: what was answered is durable; whatever is refused says why and what to do. Decides nothing about tokens
//! (the ledger) nor what sidecars hold (the mesh).

mod apply;
mod callbacks;
#[cfg(feature = "kubernetes")]
mod claims;
mod deployments;
mod instances;
mod list;
mod messages;
mod reopen;
mod resources;
mod swap;
mod tasks;
mod timers;
mod update;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bpmn::Diagnostic;
use routing::form::Checked;
use routing::{DeploymentId, ElementId, Incarnation, InstanceId};
use runtime::clock::Clock;
use runtime::drain::DrainWatcher;
use runtime::telemetry::Tracer;
use tokio::sync::Mutex;

pub(crate) use apply::{Applied, Apply, Verdict};
#[cfg(feature = "kubernetes")]
pub(crate) use claims::{Reach, Wish};
pub(crate) use deployments::Probed;
pub(crate) use instances::{Run, instance_name};
pub(crate) use list::Selection;
pub(crate) use messages::{MAX_PAYLOAD, Told};
pub(crate) use reopen::Again;
pub(crate) use resources::Resource;
pub(crate) use swap::{Outcome as SwapOutcome, Swap, SwapTo, Swapped};
pub(crate) use tasks::{TaskName, TaskSelection};
pub(crate) use update::Updated;

use crate::definitions::State;
use crate::definitions::resolve::Unresolved;
use crate::kubernetes::Gateway;
use crate::ledger_task::{Handle, Refused};
use crate::mesh::Mesh;
use crate::metrics::Metrics;
use crate::sidecars::Remembered;
use crate::store::{self, AnyStore, Batch, Store, Write};
use crate::topics::client::AnyClient;
use crate::trace::Hops;

/// Handles are cheap and share everything.
#[derive(Clone)]
pub(crate) struct Operations {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) mesh: Mesh,
    pub(crate) ledger: Handle,
    pub(crate) store: AnyStore,
    pub(crate) hops: Hops,
    pub(crate) tracer: Tracer,
    pub(crate) clock: Arc<dyn Clock>,
    /// Who the ledger is.
    pub(crate) incarnation: Incarnation,
    pub(crate) metrics: Metrics,
    pub(crate) drain: DrainWatcher,
    /// The broker of topics, if flowd does not keep them itself.
    pub(crate) broker: Option<AnyClient>,
    /// What takes instances, as the ledger knows it.
    pub(crate) told: Told,
    /// Whether the containers of tasks are run by an orchestrator.
    pub(crate) orchestrated: bool,
    /// The gateway that leads requests from outside to ways in.
    pub(crate) gateway: Option<Gateway>,
    /// One change of deployments at a time.
    pub(crate) deploying: Mutex<()>,
    /// One change of what has ended at a time.
    pub(crate) history: Mutex<()>,
}

impl std::ops::Deref for Operations {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Not in this state.
    #[error("{0}")]
    WrongState(String),
    /// A deployment that takes no instances.
    #[error("Deployment {deployment} is not RUNNING. It is {state}: {message}")]
    NotRunning {
        /// Which.
        deployment: DeploymentId,
        /// Its state.
        state: State,
        /// Why.
        message: String,
    },
    /// Several start events, none named.
    #[error("Must choose between following start events: {}. Use --start_event_id", names(.0))]
    ChooseStart(Vec<ElementId>),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Data that breaks a form.
    #[error("the data does not fit the form: {}", shortened(&.0.reasons()))]
    Unfit(Box<Checked>),
    /// A payload over the limit.
    #[error("the payload has {size} bytes and the limit is {limit}")]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// Too much to do.
    #[error("flowd has too much to do; try again in a moment")]
    Busy,
    /// Going, or standing by.
    #[error("{0}")]
    Unavailable(String),
    /// The store, or what it holds.
    #[error("{0}")]
    Store(String),
}

/// Characters of a message.
const MAX_MESSAGE: usize = 2_000;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}

fn names(elements: &[ElementId]) -> String {
    elements.iter().map(ElementId::as_str).collect::<Vec<_>>().join(", ")
}

impl From<Unresolved> for Error {
    fn from(error: Unresolved) -> Self {
        match error {
            Unresolved::Unknown(_) => Self::NotFound(error.to_string()),
            Unresolved::Ambiguous { .. } => Self::Invalid(error.to_string()),
        }
    }
}

impl From<Refused> for Error {
    fn from(error: Refused) -> Self {
        match error {
            Refused::NotFound => Self::NotFound(error.to_string()),
            Refused::WrongState(why) => Self::WrongState(why),
            Refused::Busy => Self::Busy,
            Refused::Going => Self::Unavailable(error.to_string()),
            Refused::Store(_) | Refused::Unreadable { .. } => Self::Store(error.to_string()),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error.to_string())
    }
}

impl Operations {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now().as_millis()
    }

    /// A sidecar is gone for good, and what it held is the ledger's: nobody looks for it any more.
    pub(crate) async fn sidecar_left(&self, incarnation: Incarnation) -> Result<(), store::Error> {
        self.mesh.left(incarnation);
        self.store.commit(Batch::one(vec![Write::delete(Remembered::key(incarnation))])).await
    }

    /// Waits until it is so of the mesh, at most so long; false when the time is over.
    async fn until(&self, within: Duration, so: impl Fn() -> bool) -> bool {
        let mut changes = self.mesh.changes();
        let all = async {
            loop {
                changes.mark_unchanged();
                if so() || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(within, all).await.is_ok()
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        Ok(self.store.commit(Batch::one(writes)).await?)
    }
}

/// Operations once this flowd leads; services hold it from the start.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    operations: Arc<OnceLock<Operations>>,
}

impl Gate {
    /// Opens it.
    pub(crate) fn open(&self, operations: Operations) {
        // only one caller, once
        let _ = self.operations.set(operations);
    }

    /// The operations, or that this flowd stands by.
    pub(crate) fn pass(&self) -> Result<&Operations, Error> {
        let standing_by = || Error::Unavailable("this flowd stands by until it leads; call the leader".to_owned());
        self.operations.get().ok_or_else(standing_by)
    }
}

/// An error that a diagnostic list tells best.
pub(crate) fn first_error(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|it| it.is_error()).count();
    match diagnostics.iter().find(|it| it.is_error()) {
        Some(first) if errors > 1 => format!("{first} (and {} more)", errors - 1),
        Some(first) => first.to_string(),
        None => String::new(),
    }
}

/// That there is no such instance.
pub(crate) fn no_instance(id: &InstanceId) -> Error {
    Error::NotFound(format!("there is no instance {id}; `flowctl ps` lists them"))
}
