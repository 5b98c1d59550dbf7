//! Conversions between wire messages and `routing`, both ways, field by field.
//!
//! Destructuring is exhaustive, so a new field cannot be forgotten.

use std::sync::Arc;

use routing::payload::Frame;
use routing::{
    ActivationId, Digest, Failure, FailureCode, HopRecord, Incarnation, Payload, Product, Resume, To, TraceContext,
};

use crate::{Token, v1};

/// A message that cannot be read: which field, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read field {field} of a message: {why}")]
pub struct Malformed {
    /// The field.
    pub field: &'static str,
    /// Why.
    pub why: &'static str,
}

fn malformed(field: &'static str, why: &'static str) -> Malformed {
    Malformed { field, why }
}

/// An activation id from its sixteen bytes.
pub fn activation(bytes: &[u8]) -> Result<ActivationId, Malformed> {
    ActivationId::from_bytes(bytes).ok_or(malformed("activation", "not sixteen bytes"))
}

/// An incarnation from its sixteen bytes.
pub fn incarnation(bytes: &[u8]) -> Result<Incarnation, Malformed> {
    Incarnation::from_bytes(bytes).ok_or(malformed("incarnation", "not sixteen bytes"))
}

/// A digest from its 32 bytes.
pub fn digest(bytes: &[u8]) -> Result<Digest, Malformed> {
    Digest::from_bytes(bytes).ok_or(malformed("digest", "not 32 bytes"))
}

/// Sixteen bytes of an id.
pub fn id_bytes(id: ActivationId) -> Vec<u8> {
    id.to_bytes().to_vec()
}

/// Sixteen bytes of an incarnation.
pub fn incarnation_bytes(id: Incarnation) -> Vec<u8> {
    id.to_bytes().to_vec()
}

/// 32 bytes of a digest.
pub fn digest_bytes(digest: Digest) -> Vec<u8> {
    digest.0.to_vec()
}

impl From<Payload> for v1::Payload {
    fn from(Payload { content_type, body }: Payload) -> Self {
        Self { content_type, body }
    }
}

impl From<v1::Payload> for Payload {
    fn from(v1::Payload { content_type, body }: v1::Payload) -> Self {
        Self { content_type, body }
    }
}

impl From<TraceContext> for v1::TraceContext {
    fn from(TraceContext { traceparent, tracestate, baggage }: TraceContext) -> Self {
        Self { traceparent, tracestate, baggage }
    }
}

impl From<v1::TraceContext> for TraceContext {
    fn from(v1::TraceContext { traceparent, tracestate, baggage }: v1::TraceContext) -> Self {
        Self { traceparent, tracestate, baggage }
    }
}

pub(crate) fn frame_in(frame: v1::WrittenFrame) -> Frame {
    Frame { keys: frame.keys.into_iter().collect(), whole: frame.whole }
}

impl From<Failure> for v1::Failure {
    fn from(failure: Failure) -> Self {
        let Failure { code, error_code, message, element, resume, attempts, status, output } = failure;
        let resume = match resume {
            Resume::Call => v1::Resume::Call,
            Resume::Map => v1::Resume::Map,
            Resume::Leave => v1::Resume::Leave,
        };
        Self {
            code: code.as_str().to_owned(),
            error_code,
            message,
            element: element.as_str().to_owned(),
            resume: resume.into(),
            attempts,
            status: status.map(u32::from),
            output: output.map(Into::into),
        }
    }
}

impl TryFrom<v1::Failure> for Failure {
    type Error = Malformed;
    fn try_from(failure: v1::Failure) -> Result<Self, Malformed> {
        let resume = match failure.resume() {
            v1::Resume::Call => Resume::Call,
            v1::Resume::Map => Resume::Map,
            v1::Resume::Leave => Resume::Leave,
        };
        let v1::Failure { code, error_code, message, element, resume: _, attempts, status, output } = failure;
        Ok(Self {
            code: FailureCode::parse(&code).ok_or(malformed("failure.code", "unknown: upgrade this build"))?,
            error_code,
            message,
            element: element.into(),
            resume,
            attempts,
            status: status.and_then(|s| u16::try_from(s).ok()),
            output: output.map(Into::into),
        })
    }
}

impl From<Arc<Product>> for v1::Product {
    fn from(product: Arc<Product>) -> Self {
        use v1::product::To as Wire;
        let to = match &product.to {
            To::Service(name) => Wire::Service(name.as_str().to_owned()),
            To::Ledger => Wire::Ledger(v1::Empty {}),
            To::Incident(failure) => Wire::Incident((**failure).clone().into()),
            To::Wait(until) => Wire::WaitUntilMs(*until),
            To::Callback(it) => Wire::Callback(v1::Awaited { until_ms: it.until, hash: digest_bytes(it.hash) }),
            To::Cancelled => Wire::Cancelled(v1::Empty {}),
        };
        Self { token: Some(Token::of(product)), to: Some(to) }
    }
}

impl From<Product> for v1::Product {
    fn from(product: Product) -> Self {
        Arc::new(product).into()
    }
}

impl TryFrom<v1::Product> for Product {
    type Error = Malformed;
    fn try_from(product: v1::Product) -> Result<Self, Malformed> {
        use v1::product::To as Wire;
        let token = product.token.ok_or(malformed("product.token", "missing"))?.into_routing()?;
        let to = match product.to.ok_or(malformed("product.to", "missing"))? {
            Wire::Service(name) => To::Service(name.into()),
            Wire::Ledger(_) => To::Ledger,
            Wire::Incident(failure) => To::Incident(Box::new(failure.try_into()?)),
            Wire::WaitUntilMs(until) => To::Wait(until),
            Wire::Callback(it) => {
                To::Callback(routing::callback::Awaited { until: it.until_ms, hash: digest(&it.hash)? })
            }
            Wire::Cancelled(_) => To::Cancelled,
        };
        Ok(Self { token, to })
    }
}

impl From<HopRecord> for v1::HopRecord {
    fn from(record: HopRecord) -> Self {
        let HopRecord {
            instance,
            element,
            name,
            kind,
            activation,
            parent,
            started,
            ended,
            attempts,
            status,
            warnings,
            trace_id,
        } = record;
        Self {
            instance: instance.as_str().to_owned(),
            element: element.as_str().to_owned(),
            name,
            kind,
            activation: id_bytes(activation),
            parent: id_bytes(parent),
            started_ms: started,
            ended_ms: ended,
            attempts,
            status,
            warnings,
            trace_id,
        }
    }
}

impl TryFrom<v1::HopRecord> for HopRecord {
    type Error = Malformed;
    fn try_from(record: v1::HopRecord) -> Result<Self, Malformed> {
        Ok(Self {
            instance: record.instance.into(),
            element: record.element.into(),
            name: record.name,
            kind: record.kind,
            activation: activation(&record.activation)?,
            parent: activation(&record.parent)?,
            started: record.started_ms,
            ended: record.ended_ms,
            attempts: record.attempts,
            status: record.status,
            warnings: record.warnings,
            trace_id: record.trace_id,
        })
    }
}
