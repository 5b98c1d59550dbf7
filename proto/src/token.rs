//! The token on the wire (`flow.v1.Token` of `types.proto`): written from `routing`'s own and read into it, with nothing in between.
//!
//! A token passes here four times a hop: into a record, onto the wire, from it, and into a report. What is written is shared with
//! whoever holds it, and what is read takes its payload from the frame it came in. Promises: the bytes are those of the message's
//! definition, each field in the order of its number; what cannot be a token is told by [`Token::into_routing`] and not by the
//! decoder, so that the rest of a frame can be read.

mod read;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, BufMut};
use prost::encoding::DecodeContext;
use prost::encoding::wire_type::WireType;
use prost::{DecodeError, Message};
use routing::{Product, Token as Routed};

use crate::convert::Malformed;
use read::Read;

/// See the module's documentation.
#[derive(Clone)]
pub struct Token {
    held: Held,
    /// Each message around it asks for its length.
    length: OnceLock<usize>,
}

#[derive(Clone, PartialEq)]
enum Held {
    /// To be written.
    Alone(Arc<Routed>),
    /// To be written, as a part of its product.
    Of(Arc<Product>),
    /// Read, as far as it is.
    Read(Box<Read>),
}

// === impl Token ===

impl Token {
    /// The token of a product, which goes on being shared.
    pub fn of(product: Arc<Product>) -> Self {
        Held::Of(product).into()
    }

    /// The token.
    ///
    /// # Errors
    /// What was read lacks a field, or has one that a token cannot have.
    pub fn into_routing(self) -> Result<Routed, Malformed> {
        match self.held {
            Held::Alone(token) => Ok(Arc::unwrap_or_clone(token)),
            Held::Of(product) => Ok(Arc::unwrap_or_clone(product).token),
            Held::Read(read) => read.finish(),
        }
    }

    /// What there is to write; nothing of something read that is no token.
    fn view(&self) -> Option<Cow<'_, Routed>> {
        match &self.held {
            Held::Alone(token) => Some(Cow::Borrowed(token)),
            Held::Of(product) => Some(Cow::Borrowed(&product.token)),
            Held::Read(read) => read.clone().finish().ok().map(Cow::Owned),
        }
    }
}

impl From<Held> for Token {
    fn from(held: Held) -> Self {
        Self { held, length: OnceLock::new() }
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.held == other.held
    }
}

impl From<Routed> for Token {
    fn from(token: Routed) -> Self {
        Arc::new(token).into()
    }
}

impl From<Arc<Routed>> for Token {
    fn from(token: Arc<Routed>) -> Self {
        Held::Alone(token).into()
    }
}

impl Default for Token {
    fn default() -> Self {
        Held::Read(Box::default()).into()
    }
}

impl fmt::Debug for Token {
    /// Which it is, and nothing of what it carries.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.view() {
            Some(token) => write!(formatter, "Token({} before {})", token.activation, token.element),
            None => formatter.write_str("Token(none)"),
        }
    }
}

impl Message for Token {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if let Some(token) = self.view() {
            write::token(&token, &mut write::Bytes(buf));
        }
    }

    fn encoded_len(&self) -> usize {
        *self.length.get_or_init(|| self.view().map_or(0, |token| write::length(|into| write::token(&token, into))))
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.length.take();
        if !matches!(self.held, Held::Read(_)) {
            self.clear();
        }
        match &mut self.held {
            Held::Read(read) => read.field(tag, wire_type, buf, context),
            Held::Alone(_) | Held::Of(_) => Ok(()),
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
