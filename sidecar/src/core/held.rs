//! What the core keeps of each token that it holds, of each service that it calls, and of what it waits for. Data alone.

use std::collections::VecDeque;
use std::sync::Arc;

use hop::Origin;
use routing::mapping::Request;
use routing::step::Activity;
use routing::table::NodeIx;
use routing::{ActivationId, Compiled, ServiceName, Token};

/// What waits for a record to be durable.
#[derive(Debug)]
pub(super) enum After {
    Accept(ActivationId),
    Decided(ActivationId, Vec<(ActivationId, u64)>),
    Release(ActivationId, u64),
    Done(ActivationId),
    Leave,
}

/// What is to be done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    Accept,
    Again,
    Boundary(NodeIx),
}

/// A token that is here until its products have left.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) token: Arc<Token>,
    pub(super) table: Arc<Compiled>,
    pub(super) node: NodeIx,
    /// The service of this sidecar that does it.
    pub(super) service: ServiceName,
    pub(super) activity: Activity,
    pub(super) origin: Origin,
    pub(super) recorded: bool,
    pub(super) calls: u32,
    pub(super) calling: bool,
    pub(super) waiting: Option<Request>,
}

/// The calls of a service.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) calling: usize,
    pub(super) queue: VecDeque<ActivationId>,
    pub(super) down: Option<String>,
}
