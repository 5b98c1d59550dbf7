//! Trace context in HTTP headers: W3C first, else B3 in one header, else B3 in several.
//!
//! B3 without a sampling decision counts as sampled: proxies put B3 on a request that they record, and tasks that
//! copy the ids often forget the decision. A B3 decision without ids (`b3: 0`) names no trace and is ignored.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::context::{Parent, TraceContext};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const B3_SINGLE: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Every header that carries trace context, in or out: a proxy takes them off before it puts its own on.
const ALL: [HeaderName; 8] = [TRACEPARENT, TRACESTATE, BAGGAGE, B3_SINGLE, B3_TRACE, B3_SPAN, B3_SAMPLED, B3_FLAGS];

/// In which of its forms B3 is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum B3 {
    /// The header `b3`.
    Single,
    /// The headers `x-b3-*`.
    Multi,
}

/// What is put into the headers of outgoing requests (`OTEL_PROPAGATORS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagators {
    /// `traceparent` and `tracestate`.
    pub w3c: bool,
    /// `baggage`.
    pub baggage: bool,
    /// B3, on top of the others.
    pub b3: Option<B3>,
}

impl Default for Propagators {
    /// W3C trace context and baggage.
    fn default() -> Self {
        Self { w3c: true, baggage: true, b3: None }
    }
}

impl Propagators {
    /// Reads `OTEL_PROPAGATORS`: a list of `tracecontext`, `baggage`, `b3`, `b3multi`, or `none`. W3C trace context
    /// is sent unless it says `none`; names that are not known are ignored with a warning.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let mut read = Self { w3c: true, baggage: false, b3: None };
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "tracecontext" => {}
                "baggage" => read.baggage = true,
                "b3" => read.b3 = Some(B3::Single),
                "b3multi" => read.b3 = Some(B3::Multi),
                "none" => {
                    return Self { w3c: false, baggage: false, b3: None };
                }
                other => tracing::warn!(
                    propagator = other,
                    "OTEL_PROPAGATORS names a propagator that is not known; use tracecontext, baggage, b3, b3multi"
                ),
            }
        }
        read
    }

    /// Puts `context` into `headers`, in place of any trace context there.
    pub fn inject(&self, context: &TraceContext, headers: &mut HeaderMap) {
        for name in &ALL {
            headers.remove(name);
        }
        self.each(context, |name, value| put(headers, name.clone(), value));
    }

    /// The same for a context that is passed on as it came: the values of `traceparent`, `tracestate` and `baggage`.
    pub fn pass_on(&self, [parent, state, baggage]: [&str; 3], mut put: impl FnMut(&HeaderName, &str)) {
        if self.b3.is_some() {
            return self.each(&TraceContext::parse(parent, state, baggage), put);
        }
        if self.w3c {
            put(&TRACEPARENT, parent);
            put(&TRACESTATE, state);
        }
        if self.baggage {
            put(&BAGGAGE, baggage);
        }
    }

    /// Each header that carries `context`, with its value; an empty one carries nothing.
    pub fn each(&self, context: &TraceContext, mut put: impl FnMut(&HeaderName, &str)) {
        if let Some(parent) = context.parent {
            if self.w3c {
                put(&TRACEPARENT, &context.traceparent());
                put(&TRACESTATE, context.tracestate());
            }
            match self.b3 {
                Some(B3::Single) => put(&B3_SINGLE, &b3_single(parent)),
                Some(B3::Multi) => b3_multi(parent, &mut put),
                None => {}
            }
        }
        if self.baggage {
            put(&BAGGAGE, context.baggage());
        }
    }
}

impl TraceContext {
    /// The trace context of a request with these headers; what is malformed counts as absent.
    #[must_use]
    pub fn extract(headers: &HeaderMap) -> Self {
        let baggage = joined(headers, &BAGGAGE);
        let w3c = Self::parse(single(headers, &TRACEPARENT), &joined(headers, &TRACESTATE), &baggage);
        if w3c.has_trace() {
            return w3c;
        }
        let parent = extract_b3_single(headers).or_else(|| extract_b3_multi(headers));
        Self::new(parent, "", &baggage)
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // A context holds printable ASCII only, so this cannot fail; an empty part is left out.
    if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

fn b3_single(parent: Parent) -> String {
    format!("{:032x}-{:016x}-{}", parent.trace_id, parent.span_id, u8::from(parent.sampled()))
}

fn b3_multi(parent: Parent, mut put: impl FnMut(&HeaderName, &str)) {
    put(&B3_TRACE, &format!("{:032x}", parent.trace_id));
    put(&B3_SPAN, &format!("{:016x}", parent.span_id));
    put(&B3_SAMPLED, if parent.sampled() { "1" } else { "0" });
}

/// The value of a header that may stand there once; empty if it is absent, repeated or no ASCII.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or_default().trim(),
        _ => "",
    }
}

/// The values of a header that is a list, as one list.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

fn extract_b3_single(headers: &HeaderMap) -> Option<Parent> {
    let mut parts = single(headers, &B3_SINGLE).split('-');
    let (trace, span) = (parts.next()?, parts.next()?);
    let sampled = match parts.next() {
        None | Some("1" | "d") => true,
        Some("0") => false,
        Some(_) => return None,
    };
    // What may follow is the parent's span id, which nobody needs.
    let grandparent = parts.next();
    if parts.next().is_some() || grandparent.is_some_and(|id| b3_hex(id, &[16]).is_none()) {
        return None;
    }
    b3_parent(trace, span, sampled)
}

fn extract_b3_multi(headers: &HeaderMap) -> Option<Parent> {
    let debug = single(headers, &B3_FLAGS) == "1";
    let sampled = match single(headers, &B3_SAMPLED) {
        "" | "1" | "true" => true,
        "0" | "false" => debug,
        _ => return None,
    };
    b3_parent(single(headers, &B3_TRACE), single(headers, &B3_SPAN), sampled)
}

fn b3_parent(trace: &str, span: &str, sampled: bool) -> Option<Parent> {
    let span_id = u64::try_from(b3_hex(span, &[16])?).ok()?;
    Parent::new(b3_hex(trace, &[16, 32])?, span_id, sampled)
}

fn b3_hex(text: &str, lengths: &[usize]) -> Option<u128> {
    let hex = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex { u128::from_str_radix(text, 16).ok() } else { None }
}
