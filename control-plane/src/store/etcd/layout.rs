//! Where things lie in etcd, and how values, pieces and intents are written as bytes. Pure.
//!
//! | key | value |
//! |---|---|
//! | `PREFIX/leader` | what the leader advertises; its create revision is the term |
//! | `PREFIX/turn` | term and number of the last transaction |
//! | `PREFIX/format` | the format version, decimal |
//! | `PREFIX/data/KEY` | `0` and the value, or `1` and where its pieces are |
//! | `PREFIX/piece/` length of KEY, KEY, generation, number | up to 1 MiB of a large value |
//! | `PREFIX/intent/` generation | like a data key: a large group, waiting to be carried out |

use std::fmt;

use bytes::{Buf, BufMut, Bytes};

use crate::store::Write;

/// Values up to this lie in one key, in bytes; larger ones in pieces of this size.
pub(super) const PIECE: usize = 1024 * 1024;

/// Identifies one writing of a large value: the term it was written in, and a number within the term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation {
    pub(super) term: u64,
    pub(super) number: u64,
}

/// Builds the keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn at(&self, folder: &str, rest: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), folder.as_bytes(), rest].concat()
    }

    pub(super) fn leader(&self) -> Vec<u8> {
        self.at("/leader", b"")
    }

    pub(super) fn turn(&self) -> Vec<u8> {
        self.at("/turn", b"")
    }

    pub(super) fn format(&self) -> Vec<u8> {
        self.at("/format", b"")
    }

    pub(super) fn data(&self, key: &[u8]) -> Vec<u8> {
        self.at("/data/", key)
    }

    /// The caller's key of a full data key.
    pub(super) fn strip(&self, full: &[u8]) -> Option<Bytes> {
        full.strip_prefix(self.data(b"").as_slice()).map(Bytes::copy_from_slice)
    }

    /// All pieces; or those of one writing of one key.
    pub(super) fn pieces(&self, of: Option<(&[u8], Generation)>) -> Vec<u8> {
        let mut full = self.at("/piece/", b"");
        if let Some((key, generation)) = of {
            // Lengths fit: keys are limited to `MAX_KEY`, and an intent's is 16 bytes.
            full.put_u32(u32::try_from(key.len()).unwrap_or(u32::MAX));
            full.extend_from_slice(key);
            full.extend_from_slice(&generation.encode());
        }
        full
    }

    pub(super) fn piece(&self, key: &[u8], generation: Generation, number: u32) -> Vec<u8> {
        let mut full = self.pieces(Some((key, generation)));
        full.put_u32(number);
        full
    }

    /// Whose piece a full key is; `None` if it is none.
    pub(super) fn piece_owner(&self, full: &[u8]) -> Option<(Bytes, Generation)> {
        let mut rest = full.strip_prefix(self.pieces(None).as_slice())?;
        let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
        let key = rest.get(..length)?;
        let generation = Generation::decode(rest.get(length..)?)?;
        Some((Bytes::copy_from_slice(key), generation))
    }

    pub(super) fn intents(&self) -> Vec<u8> {
        self.at("/intent/", b"")
    }

    pub(super) fn intent(&self, generation: Generation) -> Vec<u8> {
        self.at("/intent/", &generation.encode())
    }

    pub(super) fn intent_generation(&self, full: &[u8]) -> Option<Generation> {
        Generation::decode(full.strip_prefix(self.intents().as_slice())?)
    }
}

impl Generation {
    pub(super) fn encode(self) -> [u8; 16] {
        ((u128::from(self.term) << 64) | u128::from(self.number)).to_be_bytes()
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        Some(Self { term: bytes.try_get_u64().ok()?, number: bytes.try_get_u64().ok()? })
    }
}

/// What a data key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stored {
    Inline(Bytes),
    Chunked { generation: Generation, pieces: u32, bytes: u64 },
}

impl Stored {
    pub(super) fn inline(value: &[u8]) -> Vec<u8> {
        [&[0], value].concat()
    }

    pub(super) fn chunked(generation: Generation, bytes: usize) -> Vec<u8> {
        let mut out = vec![1];
        out.extend_from_slice(&generation.encode());
        out.put_u32(u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX));
        out.put_u64(bytes as u64);
        out
    }

    pub(super) fn decode(stored: Vec<u8>) -> Option<Self> {
        let mut rest = Bytes::from(stored);
        match rest.try_get_u8().ok()? {
            0 => Some(Self::Inline(rest)),
            1 => {
                let generation = Generation::decode(&rest)?;
                rest.advance(16);
                Some(Self::Chunked { generation, pieces: rest.try_get_u32().ok()?, bytes: rest.try_get_u64().ok()? })
            }
            _ => None,
        }
    }
}

/// A group as bytes: for each write the key's length, the key, whether there is a value, its length, the value.
pub(super) fn encode_group(group: &[Write]) -> Bytes {
    let mut out = Vec::with_capacity(group.iter().map(|write| write.bytes() + 13).sum());
    for write in group {
        out.put_u32(u32::try_from(write.key.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(&write.key);
        match &write.value {
            None => out.put_u8(0),
            Some(value) => {
                out.put_u8(1);
                out.put_u64(value.len() as u64);
                out.extend_from_slice(value);
            }
        }
    }
    out.into()
}

/// The reverse of [`encode_group`]; `None` if the bytes are no group.
pub(super) fn decode_group(mut rest: Bytes) -> Option<Vec<Write>> {
    let take = |rest: &mut Bytes, length: usize| (length <= rest.len()).then(|| rest.split_to(length));
    let mut group = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
        let key = take(&mut rest, length)?;
        let value = match rest.try_get_u8().ok()? {
            0 => None,
            1 => {
                let length = usize::try_from(rest.try_get_u64().ok()?).ok()?;
                Some(take(&mut rest, length)?)
            }
            _ => return None,
        };
        group.push(Write { key, value });
    }
    Some(group)
}

/// The first key behind all keys that begin with `prefix`; `None` if there is no such bound.
pub(super) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_comes_back_as_written_and_a_cut_one_does_not() {
        let group = vec![Write::put("a", vec![7; 300]), Write::delete("bb"), Write::put("c", "")];
        let bytes = encode_group(&group);
        assert_eq!(decode_group(bytes.clone()), Some(group));
        assert_eq!(decode_group(bytes.slice(..bytes.len() - 3)), None);
    }

    #[test]
    fn keys_and_values_come_back() {
        let keys = Keys::new("/p");
        let generation = Generation { term: 3, number: 9 };
        let owner = (Bytes::from_static(b"k/\xff"), generation);
        assert_eq!(keys.piece_owner(&keys.piece(b"k/\xff", generation, 4)), Some(owner));
        assert_eq!(keys.strip(&keys.data(b"k")), Some("k".into()));
        assert_eq!(keys.intent_generation(&keys.intent(generation)), Some(generation));
        assert_eq!(Stored::decode(Stored::inline(b"v")), Some(Stored::Inline("v".into())));
        let bytes = 3 * PIECE + 1;
        let chunked = Stored::Chunked { generation, pieces: 4, bytes: bytes as u64 };
        assert_eq!(Stored::decode(Stored::chunked(generation, bytes)), Some(chunked));
        assert_eq!(Stored::decode(vec![9]), None);
    }
}
