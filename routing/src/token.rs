//! A BPMN token: here it *is* the in-flight request plus its journal entry.

use crate::callback::Awaited;
use crate::failure::Failure;
use crate::id::{ActivationId, Digest, ElementId, FlowId, InstanceId, ScopeId, ServiceName};
use crate::payload::{Payload, Written};
use crate::weight::Weight;

/// Milliseconds since the Unix epoch.
pub type Timestamp = u64;

/// Trace context as it travels: the headers' values, empty when absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// W3C `traceparent`.
    pub traceparent: String,
    /// W3C `tracestate`.
    pub tracestate: String,
    /// W3C `baggage`.
    pub baggage: String,
}

/// A token about to enter `element`.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The instance it belongs to.
    pub instance: InstanceId,
    /// The definition the instance started on; with `element` it names the receiver's table.
    pub definition: Digest,
    /// The element it is about to enter.
    pub element: ElementId,
    /// The sequence flow it came by; `None` when an operator put it there.
    pub flow: Option<FlowId>,
    /// This entry into `element`.
    pub activation: ActivationId,
    /// The task's `Idempotency-Key`: the activation's id, or that of the activation it repeats.
    pub key: ActivationId,
    /// The activation that produced it.
    pub parent: ActivationId,
    /// The innermost scope instance it is in.
    pub scope: ScopeId,
    /// 0, and one more each time the ledger offered it anew (started again, handed on, waited).
    pub generation: u32,
    /// Calls already made for this activation (not 0 after a long back-off at the ledger).
    pub attempts: u32,
    /// Its share of the instance.
    pub weight: Weight,
    /// The keys written since the forks it is inside of.
    pub written: Written,
    /// The waits of cycles that have let it go, outermost first: the original's token pools.
    pub pools: Vec<ActivationId>,
    /// When it left its sender's element.
    pub emitted: Timestamp,
    /// The span to be the parent of what happens next.
    pub trace: TraceContext,
    /// The variables, or an opaque body.
    pub payload: Payload,
}

/// A token and where it goes: what a decision yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// The token.
    pub token: Token,
    /// Where it goes.
    pub to: To,
}

/// Where a product goes.
#[derive(Clone, Debug, PartialEq)]
pub enum To {
    /// A replica of the service that serves `token.element`.
    Service(ServiceName),
    /// The ledger: ends, joins, catch events, whatever needs memory of its own.
    Ledger,
    /// The ledger, as an incident: the token waits there for an operator.
    Incident(Box<Failure>),
    /// The ledger, which offers it to the element again at the given time (long back-off).
    Wait(Timestamp),
    /// The ledger, which holds it until its task calls back.
    Callback(Awaited),
    /// The ledger, giving back the weight of a token whose scope was closed.
    Cancelled,
}

impl To {
    /// True when the ledger takes it.
    pub fn is_ledger(&self) -> bool {
        !matches!(self, Self::Service(_))
    }
}

impl Token {
    /// True inside of a sub-process or a called process: not in the outermost scope of its instance.
    pub fn is_inside(&self) -> bool {
        self.scope != ActivationId::root(&self.instance)
    }

    /// The same token with another payload.
    #[must_use]
    pub fn with(&self, payload: Payload, written: Written) -> Self {
        Self {
            instance: self.instance.clone(),
            definition: self.definition,
            element: self.element.clone(),
            flow: self.flow.clone(),
            activation: self.activation,
            key: self.key,
            parent: self.parent,
            scope: self.scope,
            generation: self.generation,
            attempts: self.attempts,
            weight: self.weight.clone(),
            written,
            pools: self.pools.clone(),
            emitted: self.emitted,
            trace: self.trace.clone(),
            payload,
        }
    }

    /// The same token as a new activation, which no receiver can take for the one it remembers. The task
    /// sees the same `Idempotency-Key`, unless `new_key`.
    #[must_use]
    pub fn anew(self, new_key: bool, now: Timestamp) -> Self {
        let generation = self.generation + 1;
        let activation = self.activation.regenerated(generation);
        let key = if new_key { activation } else { self.key };
        Self { activation, key, generation, emitted: now, ..self }
    }

    /// The same token, undecided, going to the ledger: as an incident, to wait, or because its instance is closed.
    #[must_use]
    pub fn returned(self) -> Self {
        Self { activation: self.activation.returned(), ..self }
    }
}
