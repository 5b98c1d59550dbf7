//! From a token to bytes, field by field. Destructuring is exhaustive, so a new field cannot be forgotten.

use bytes::BufMut;
use prost::encoding::wire_type::WireType;
use prost::encoding::{encode_varint, encoded_len_varint};
use routing::payload::Frame;
use routing::{Payload, Token, TraceContext};

/// Where bytes go: into a buffer, or only counted. One walk says what there is to write, for both.
pub(super) trait Sink {
    fn varint(&mut self, value: u64);
    fn slice(&mut self, bytes: &[u8]);
}

/// Into a buffer.
pub(super) struct Bytes<'a, B>(pub(super) &'a mut B);

impl<B: BufMut> Sink for Bytes<'_, B> {
    fn varint(&mut self, value: u64) {
        encode_varint(value, self.0);
    }
    fn slice(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }
}

/// Only counted.
pub(super) struct Count(usize);

impl Sink for Count {
    fn varint(&mut self, value: u64) {
        self.0 += encoded_len_varint(value);
    }
    fn slice(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// How many bytes something is.
pub(super) fn length(write: impl FnOnce(&mut Count)) -> usize {
    let mut count = Count(0);
    write(&mut count);
    count.0
}

pub(super) fn token(token: &Token, into: &mut impl Sink) {
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
        pools,
        emitted,
        trace,
        payload,
    } = token;
    text(1, instance.as_str(), into);
    bytes(2, &definition.0, into);
    text(3, element.as_str(), into);
    if let Some(flow) = flow {
        bytes(4, flow.as_str().as_bytes(), into);
    }
    bytes(5, &activation.to_bytes(), into);
    bytes(6, &parent.to_bytes(), into);
    bytes(7, &scope.to_bytes(), into);
    number(8, u64::from(*generation), into);
    number(9, u64::from(*attempts), into);
    weight.with_bytes(|weight| bytes(10, weight, into));
    written.frames().iter().for_each(|it| nested(11, into, |into| frame(it, into), |into| frame(it, into)));
    number(12, *emitted, into);
    nested(13, into, |into| context(trace, into), |into| context(trace, into));
    nested(14, into, |into| body(payload, into), |into| body(payload, into));
    if key != activation {
        bytes(15, &key.to_bytes(), into);
    }
    pools.iter().for_each(|it| bytes(16, &it.to_bytes(), into));
}

fn frame(frame: &Frame, into: &mut impl Sink) {
    let Frame { keys, whole } = frame;
    keys.iter().for_each(|key| bytes(1, key.as_bytes(), into));
    number(2, u64::from(*whole), into);
}

fn context(trace: &TraceContext, into: &mut impl Sink) {
    let TraceContext { traceparent, tracestate, baggage } = trace;
    text(1, traceparent, into);
    text(2, tracestate, into);
    text(3, baggage, into);
}

fn body(payload: &Payload, into: &mut impl Sink) {
    let Payload { content_type, body } = payload;
    text(1, content_type, into);
    if !body.is_empty() {
        bytes(2, body, into);
    }
}

fn key(tag: u32, wire_type: WireType, into: &mut impl Sink) {
    into.varint(u64::from(tag << 3 | wire_type as u32));
}

/// A field that is there even if it is empty.
fn bytes(tag: u32, value: &[u8], into: &mut impl Sink) {
    key(tag, WireType::LengthDelimited, into);
    into.varint(value.len() as u64);
    into.slice(value);
}

/// Empty is the same as absent (proto3).
fn text(tag: u32, value: &str, into: &mut impl Sink) {
    if !value.is_empty() {
        bytes(tag, value.as_bytes(), into);
    }
}

/// Zero is the same as absent (proto3).
fn number(tag: u32, value: u64, into: &mut impl Sink) {
    if value != 0 {
        key(tag, WireType::Varint, into);
        into.varint(value);
    }
}

/// A message within: its length first, so it is walked twice.
fn nested<S: Sink>(tag: u32, into: &mut S, count: impl FnOnce(&mut Count), write: impl FnOnce(&mut S)) {
    key(tag, WireType::LengthDelimited, into);
    into.varint(length(count) as u64);
    write(into);
}
