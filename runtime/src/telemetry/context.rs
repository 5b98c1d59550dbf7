//! Where a request stands in its trace: the W3C Trace Context and Baggage headers, parsed once.

use std::fmt::{self, Write as _};

/// Bits of the trace flags that are understood and passed on: sampled, and "the trace id is random" (level 2).
const KNOWN_FLAGS: u8 = 0x03;
const SAMPLED: u8 = 0x01;

/// W3C Trace Context 3.3.1.1: at most 32 members.
const MAX_TRACESTATE_MEMBERS: usize = 32;
/// W3C Trace Context 3.3.1.5: at least 512 characters should be passed on; we take no more.
const MAX_TRACESTATE: usize = 512;
/// W3C Baggage 3.3.2: 64 members and 8192 bytes are the least that must be passed on; we take no more.
const MAX_BAGGAGE: usize = 8192;
const MAX_BAGGAGE_MEMBERS: usize = 64;

/// Trace id, span id and flags of a `traceparent`; both ids are never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    pub(crate) flags: u8,
}

impl Parent {
    pub(crate) fn new(trace_id: u128, span_id: u64, sampled: bool) -> Option<Self> {
        let flags = if sampled { SAMPLED } else { 0 };
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, flags })
    }

    pub(crate) fn sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// W3C Trace Context 3.2.2: unknown versions are read as far as version 00 goes.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fields = text.get(..55)?;
        let (version, rest) = (lower_hex(fields.get(..2)?)?, text.get(55..)?);
        if version == 0xff || (version == 0 && !rest.is_empty()) || !(rest.is_empty() || rest.starts_with('-')) {
            return None;
        }
        let mut parts = fields.split('-').skip(1);
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        if (trace.len(), span.len(), flags.len()) != (32, 16, 2) {
            return None;
        }
        let flags = u8::try_from(lower_hex(flags)?).ok()?;
        let span_id = u64::try_from(lower_hex(span)?).ok()?;
        let parent = Self::new(lower_hex(trace)?, span_id, false)?;
        Some(Self { flags: flags & KNOWN_FLAGS, ..parent })
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

fn lower_hex(text: &str) -> Option<u128> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if lower { u128::from_str_radix(text, 16).ok() } else { None }
}

/// The trace id of a `traceparent` whose trace is recorded somewhere.
#[must_use]
pub fn sampled_trace(traceparent: &str) -> Option<u128> {
    Parent::parse(traceparent).filter(|parent| parent.sampled()).map(|parent| parent.trace_id)
}

/// Trace context and baggage of a request. Without a trace (the default) it carries baggage at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    pub(crate) parent: Option<Parent>,
    tracestate: Box<str>,
    baggage: Box<str>,
}

impl TraceContext {
    /// From the values of the three headers; empty means absent. A part that is malformed or too large is dropped
    /// (a `tracestate` also without a valid `traceparent`), as the standards ask.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: &str, baggage: &str) -> Self {
        Self::new(Parent::parse(traceparent), tracestate, baggage)
    }

    pub(crate) fn new(parent: Option<Parent>, tracestate: &str, baggage: &str) -> Self {
        let tracestate = if parent.is_some() { valid_tracestate(tracestate) } else { "" };
        Self { parent, tracestate: tracestate.into(), baggage: valid_baggage(baggage).into() }
    }

    /// The same request at another span.
    pub(crate) fn at(&self, parent: Parent) -> Self {
        Self { parent: Some(parent), tracestate: self.tracestate.clone(), baggage: self.baggage.clone() }
    }

    /// The `traceparent` header; empty without a trace.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let mut text = String::new();
        if let Some(parent) = self.parent {
            text.reserve_exact(55);
            let _ = write!(text, "{parent}");
        }
        text
    }

    /// The `tracestate` header; empty if there is none.
    #[must_use]
    pub fn tracestate(&self) -> &str {
        &self.tracestate
    }

    /// The `baggage` header; empty if there is none.
    #[must_use]
    pub fn baggage(&self) -> &str {
        &self.baggage
    }

    /// True if there is a trace.
    #[must_use]
    pub fn has_trace(&self) -> bool {
        self.parent.is_some()
    }

    /// The trace id in 32 hexadecimal digits; empty without a trace.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.parent.map(|parent| format!("{:032x}", parent.trace_id)).unwrap_or_default()
    }

    /// True if somebody up the trace decided to record it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.parent.is_some_and(Parent::sampled)
    }
}

fn valid_tracestate(text: &str) -> &str {
    let text = text.trim();
    let members = text.split(',').filter(|member| !member.trim().is_empty());
    let valid = text.len() <= MAX_TRACESTATE
        && text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && members.clone().count() <= MAX_TRACESTATE_MEMBERS
        && members.clone().all(|member| member.split_once('=').is_some_and(|(key, _)| tracestate_key(key)));
    if valid { text } else { "" }
}

fn tracestate_key(key: &str) -> bool {
    let key = key.trim_start();
    let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    !key.is_empty() && key.len() <= 256 && key.bytes().all(known)
}

fn valid_baggage(text: &str) -> &str {
    let text = text.trim();
    let members = text.split(',').filter(|member| !member.trim().is_empty());
    let valid = text.len() <= MAX_BAGGAGE
        && text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && members.clone().count() <= MAX_BAGGAGE_MEMBERS
        && members.clone().all(|member| member.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty()));
    if valid { text } else { "" }
}
