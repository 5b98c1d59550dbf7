//! Conversions between wire messages and `routing`, both ways, field by field.
//!
//! Destructuring is exhaustive, so a new field cannot be forgotten.

use bytes::Bytes;
use routing::payload::Frame;
use routing::{
    ActivationId, Digest, Failure, FailureCode, HopRecord, Incarnation, Payload, Product, Resume, To, Token,
    TraceContext, Weight, Written,
};

use crate::v1;

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
pub fn id_bytes(id: ActivationId) -> Bytes {
    Bytes::copy_from_slice(&id.to_bytes())
}

/// Sixteen bytes of an incarnation.
pub fn incarnation_bytes(id: Incarnation) -> Bytes {
    Bytes::copy_from_slice(&id.to_bytes())
}

/// 32 bytes of a digest.
pub fn digest_bytes(digest: Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
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

fn frames_out(written: &Written) -> Vec<v1::WrittenFrame> {
    let frame = |f: &Frame| v1::WrittenFrame { keys: f.keys.iter().cloned().collect(), whole: f.whole };
    written.frames().iter().map(frame).collect()
}

fn frames_in(frames: Vec<v1::WrittenFrame>) -> Written {
    Written::from_frames(
        frames.into_iter().map(|f| Frame { keys: f.keys.into_iter().collect(), whole: f.whole }).collect(),
    )
}

impl From<Token> for v1::Token {
    fn from(token: Token) -> Self {
        let Token {
            instance,
            definition,
            element,
            flow,
            activation,
            key,
            parent,
            scope,
            generation,
            attempts,
            weight,
            written,
            emitted,
            trace,
            payload,
        } = token;
        Self {
            instance: instance.as_str().to_owned(),
            definition: digest_bytes(definition),
            element: element.as_str().to_owned(),
            flow: flow.map(|f| f.as_str().to_owned()),
            activation: id_bytes(activation),
            key: if key == activation { Bytes::new() } else { id_bytes(key) },
            parent: id_bytes(parent),
            scope: id_bytes(scope),
            generation,
            attempts,
            weight: weight.to_bytes().into(),
            written: frames_out(&written),
            emitted_ms: emitted,
            trace: Some(trace.into()),
            payload: Some(payload.into()),
        }
    }
}

impl TryFrom<v1::Token> for Token {
    type Error = Malformed;
    fn try_from(token: v1::Token) -> Result<Self, Malformed> {
        let v1::Token {
            instance,
            definition,
            element,
            flow,
            activation: id,
            key,
            parent,
            scope,
            generation,
            attempts,
            weight,
            written,
            emitted_ms,
            trace,
            payload,
        } = token;
        if instance.is_empty() || element.is_empty() {
            return Err(malformed("token", "no instance or element"));
        }
        Ok(Self {
            instance: instance.into(),
            definition: digest(&definition)?,
            element: element.into(),
            flow: flow.map(Into::into),
            activation: activation(&id)?,
            key: activation(if key.is_empty() { &id } else { &key })?,
            parent: activation(&parent)?,
            scope: activation(&scope)?,
            generation,
            attempts,
            weight: Weight::from_bytes(&weight).ok_or(malformed("weight", "not a dyadic number"))?,
            written: frames_in(written),
            emitted: emitted_ms,
            trace: trace.unwrap_or_default().into(),
            payload: payload.unwrap_or_default().into(),
        })
    }
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

impl From<Product> for v1::Product {
    fn from(Product { token, to }: Product) -> Self {
        use v1::product::To as Wire;
        let to = match to {
            To::Service(name) => Wire::Service(name.as_str().to_owned()),
            To::Ledger => Wire::Ledger(v1::Empty {}),
            To::Incident(failure) => Wire::Incident((*failure).into()),
            To::Wait(until) => Wire::WaitUntilMs(until),
            To::Callback(it) => Wire::Callback(v1::Awaited { until_ms: it.until, hash: it.hash.0.to_vec().into() }),
            To::Cancelled => Wire::Cancelled(v1::Empty {}),
        };
        Self { token: Some(token.into()), to: Some(to) }
    }
}

impl TryFrom<v1::Product> for Product {
    type Error = Malformed;
    fn try_from(product: v1::Product) -> Result<Self, Malformed> {
        use v1::product::To as Wire;
        let token = product.token.ok_or(malformed("product.token", "missing"))?.try_into()?;
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
