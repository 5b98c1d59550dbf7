//! From bytes to a token, field by field.

use bytes::{Buf, Bytes};
use prost::DecodeError;
use prost::encoding::wire_type::WireType;
use prost::encoding::{self, DecodeContext};
use routing::{ElementId, FlowId, InstanceId, Token, Weight, Written};

use crate::convert::{Malformed, activation, digest, frame_in};
use crate::v1;

/// What has come so far. Ids are kept as they came: their lengths are judged at the end.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Read {
    instance: Option<InstanceId>,
    definition: Bytes,
    element: Option<ElementId>,
    flow: Option<FlowId>,
    activation: Bytes,
    key: Bytes,
    parent: Bytes,
    scope: Bytes,
    generation: u32,
    attempts: u32,
    weight: Bytes,
    written: Vec<v1::WrittenFrame>,
    pools: Vec<Bytes>,
    emitted: u64,
    trace: v1::TraceContext,
    payload: v1::Payload,
    /// A name was no text.
    garbled: bool,
}

// === impl Read ===

impl Read {
    /// Takes one field; one that is not known is passed over.
    pub(super) fn field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => self.instance = self.name(wire_type, buf, context)?,
            2 => encoding::bytes::merge(wire_type, &mut self.definition, buf, context)?,
            3 => self.element = self.name(wire_type, buf, context)?,
            4 => self.flow = self.name(wire_type, buf, context)?,
            5 => encoding::bytes::merge(wire_type, &mut self.activation, buf, context)?,
            6 => encoding::bytes::merge(wire_type, &mut self.parent, buf, context)?,
            7 => encoding::bytes::merge(wire_type, &mut self.scope, buf, context)?,
            8 => encoding::uint32::merge(wire_type, &mut self.generation, buf, context)?,
            9 => encoding::uint32::merge(wire_type, &mut self.attempts, buf, context)?,
            10 => encoding::bytes::merge(wire_type, &mut self.weight, buf, context)?,
            11 => encoding::message::merge_repeated(wire_type, &mut self.written, buf, context)?,
            12 => encoding::uint64::merge(wire_type, &mut self.emitted, buf, context)?,
            13 => encoding::message::merge(wire_type, &mut self.trace, buf, context)?,
            14 => encoding::message::merge(wire_type, &mut self.payload, buf, context)?,
            15 => encoding::bytes::merge(wire_type, &mut self.key, buf, context)?,
            16 => encoding::bytes::merge_repeated(wire_type, &mut self.pools, buf, context)?,
            _ => encoding::skip_field(wire_type, tag, buf, context)?,
        }
        Ok(())
    }

    /// A name, made of the frame's bytes.
    fn name<N: for<'a> From<&'a str>>(
        &mut self,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<Option<N>, DecodeError> {
        let mut bytes = Bytes::new();
        encoding::bytes::merge(wire_type, &mut bytes, buf, context)?;
        let name = str::from_utf8(&bytes).ok().map(N::from);
        self.garbled |= name.is_none();
        Ok(name)
    }

    pub(super) fn finish(self) -> Result<Token, Malformed> {
        let Self {
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
            pools,
            emitted,
            trace,
            payload,
            garbled,
        } = self;
        let malformed = |field, why| Malformed { field, why };
        if garbled {
            return Err(malformed("token", "a name is not UTF-8"));
        }
        let named =
            instance.zip(element).filter(|(it, element)| !it.as_str().is_empty() && !element.as_str().is_empty());
        let (instance, element) = named.ok_or(malformed("token", "no instance or element"))?;
        Ok(Token {
            instance,
            definition: digest(&definition)?,
            element,
            flow,
            activation: activation(&id)?,
            key: activation(if key.is_empty() { &id } else { &key })?,
            parent: activation(&parent)?,
            scope: activation(&scope)?,
            generation,
            attempts,
            weight: Weight::from_bytes(&weight).ok_or(malformed("weight", "not a dyadic number"))?,
            written: Written::from_frames(written.into_iter().map(frame_in).collect()),
            pools: pools.iter().map(|it| activation(it)).collect::<Result<_, _>>()?,
            emitted,
            trace: trace.into(),
            payload: payload.into(),
        })
    }
}
