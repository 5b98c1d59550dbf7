//! Names of things, one type each, so that no API takes a bare string where it means an element.
//!
//! Activation ids are deterministic: repeating a step makes the same ids, which is what lets every
//! receiver drop duplicates (design §4).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name as it is; nothing is checked.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }
        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Ok(Self(String::deserialize(d)?.into()))
            }
        }
    };
}

name!(
    /// Id of a BPMN process (or the `id` of its global annotation).
    ProcessId
);
name!(
    /// `<process id>-<8 hex of the content hash>`: one version of a process.
    DeploymentId
);
name!(
    /// Id of a flow node in its process.
    ElementId
);
name!(
    /// Id of a sequence flow.
    FlowId
);
name!(
    /// `<deployment id>-<UUIDv7 hex>`.
    InstanceId
);
name!(
    /// What a sidecar serves: an annotation's host (or `host:port`), or a task type.
    ServiceName
);

impl DeploymentId {
    /// The name of the process this deployment is of: all before the last dash.
    pub fn process(&self) -> &str {
        self.as_str().rsplit_once('-').map_or("", |(process, _)| process)
    }
}

impl InstanceId {
    /// The deployment this instance belongs to: all before the last dash.
    pub fn deployment(&self) -> DeploymentId {
        DeploymentId::from(self.as_str().rsplit_once('-').map_or("", |(d, _)| d))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u128);

        impl $name {
            /// Sixteen bytes, most significant first.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }
            /// Reads what [`Self::to_bytes`] wrote; `None` when it is not sixteen bytes.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.to_bytes()))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:08x}", (self.0 >> 96) as u32)
            }
        }
        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                u128::from_str_radix(s, 16).map(Self)
            }
        }
    };
}

number!(
    /// One entry of one token into one element. Deterministic, see [`ActivationId::product`].
    ActivationId
);
number!(
    /// One life of a journal (or of flowd's store): what a replica *is*, whatever its address.
    Incarnation
);

/// The activation that opened a scope; the instance's root scope is [`ActivationId::root`].
pub type ScopeId = ActivationId;

impl ActivationId {
    /// The root scope of an instance, parent of its start events' products.
    pub fn root(instance: &InstanceId) -> Self {
        hash(&[b"root", instance.as_str().as_bytes()])
    }

    /// The id of the `index`th product of `parent`, leaving by `flow`.
    pub fn product(instance: &InstanceId, parent: Self, flow: &str, index: u32) -> Self {
        hash(&[b"flow", instance.as_str().as_bytes(), &parent.to_bytes(), flow.as_bytes(), &index.to_be_bytes()])
    }

    /// The id of a join's firing: by what it consumed, so that a loop never reuses stale tokens.
    pub fn joined(instance: &InstanceId, scope: ScopeId, join: &ElementId, consumed: &[Self]) -> Self {
        let mut all: Vec<_> = consumed.iter().map(|a| a.to_bytes()).collect();
        all.sort_unstable();
        let flat = all.concat();
        hash(&[b"join", instance.as_str().as_bytes(), &scope.to_bytes(), join.as_str().as_bytes(), &flat])
    }

    /// The same entry on its way back to the ledger: a replica may hold both the offer that brought the token
    /// and the report that takes it away, and must not take one for the other.
    pub fn returned(self) -> Self {
        hash(&[b"back", &self.to_bytes()])
    }

    /// The same entry offered anew by the ledger: receivers must not take it for the one they remember.
    pub fn regenerated(self, generation: u32) -> Self {
        hash(&[b"again", &self.to_bytes(), &generation.to_be_bytes()])
    }
}

fn hash(parts: &[&[u8]]) -> ActivationId {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u32).to_be_bytes());
        sha.update(part);
    }
    let digest = sha.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    ActivationId(u128::from_be_bytes(first))
}

/// Bytes as hexadecimal digits, two each. Ids are written in every call and record: the formatter's way costs ten times as much.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS[usize::from(nibble & 15)];
    let digits: Vec<u8> = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect();
    String::from_utf8(digits).unwrap_or_default()
}

/// SHA-256 of a table's or a manifest's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
    /// Reads 32 raw bytes; `None` when there are more or fewer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
    /// The first eight hex digits, as used in deployment ids.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let mut bytes = [0; 32];
        let ok = text.len() == 64
            && bytes.iter_mut().enumerate().all(|(i, b)| {
                text.get(2 * i..2 * i + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).is_some_and(|v| {
                    *b = v;
                    true
                })
            });
        if ok { Ok(Self(bytes)) } else { Err(serde::de::Error::custom("a digest is 64 hexadecimal digits")) }
    }
}
