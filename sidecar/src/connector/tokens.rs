//! Access tokens that token endpoints have given, for as long as they said (RFC 6749, 5.1). In memory only; a secret that is rotated,
//! or a scope that is changed, is another key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use routing::Digest;
use serde_json::Value;
use tokio::time::Instant;

use super::inputs::OAuth;

/// Tokens at most; when there are more, those that end first are forgotten.
const MOST: usize = 256;
/// A token is not used in the last part of its life: it has to arrive, too.
const MARGIN: Duration = Duration::from_secs(30);
/// Nothing is believed for longer.
const LONGEST: u64 = 24 * 3_600;

/// What has been given.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    kept: Mutex<HashMap<Digest, Kept>>,
}

struct Kept {
    token: String,
    until: Instant,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Tokens {
    /// One that is good for a while yet.
    pub(super) fn get(&self, key: &Digest) -> Option<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|it| it.until > Instant::now()).map(|it| it.token.clone())
    }

    /// Keeps one if its endpoint said for how long it is good.
    pub(super) fn keep(&self, key: Digest, token: &str, answer: &Value) {
        let seconds = match answer.get("expires_in") {
            Some(Value::String(text)) => text.parse().ok(),
            other => other.and_then(Value::as_u64),
        };
        let life = Duration::from_secs(seconds.unwrap_or(0).min(LONGEST)).saturating_sub(MARGIN);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if life.is_zero() {
            kept.remove(&key);
            return;
        }
        let now = Instant::now();
        if kept.len() >= MOST {
            kept.retain(|_, it| it.until > now);
        }
        if kept.len() >= MOST
            && let Some(first) = kept.iter().min_by_key(|(_, it)| it.until).map(|(key, _)| *key)
        {
            kept.remove(&first);
        }
        kept.insert(key, Kept { token: token.to_owned(), until: now + life });
    }

    /// Forgets one that has been refused, unless another has come in its place.
    pub(super) fn refused(&self, key: &Digest, token: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.get(key).is_some_and(|it| it.token == token) {
            kept.remove(key);
        }
    }
}

/// Whom a token was given to, by whom, and for what.
pub(super) fn key(oauth: &OAuth) -> Digest {
    let OAuth { endpoint, headers, form, id, secret } = oauth;
    let mut bytes = Vec::new();
    let authority = endpoint.authority();
    let scheme = if endpoint.https { "https" } else { "http" };
    let named = headers.iter().map(|(_, value)| value.as_bytes());
    let parts = [
        scheme.as_bytes(),
        authority.as_bytes(),
        endpoint.path.as_bytes(),
        form.as_bytes(),
        id.as_bytes(),
        secret.as_bytes(),
    ];
    for part in parts.into_iter().chain(named) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_used_until_shortly_before_its_end() {
        let (tokens, key) = (Tokens::default(), Digest::of(b"k"));
        for untold in [json!({}), json!({"expires_in": 30}), json!({"expires_in": -1}), json!({"expires_in": "soon"})] {
            tokens.keep(key, "a", &untold);
            assert_eq!(tokens.get(&key), None, "{untold}");
        }
        tokens.keep(key, "a", &json!({"expires_in": "90"}));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(tokens.get(&key).as_deref(), Some("a"));
        tokens.refused(&key, "older");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(tokens.get(&key), None);
        tokens.keep(key, "b", &json!({"expires_in": 3600}));
        tokens.refused(&key, "b");
        assert_eq!(tokens.get(&key), None);
        assert!(!format!("{tokens:?}").contains("token"));
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_than_the_limit() {
        let tokens = Tokens::default();
        let key = |n: usize| Digest::of(&n.to_be_bytes());
        for n in 0..=MOST {
            tokens.keep(key(n), "t", &json!({"expires_in": 1_000 + n}));
        }
        assert_eq!(tokens.kept.lock().unwrap().len(), MOST);
        assert_eq!(tokens.get(&key(0)), None, "it would have ended first");
        assert_eq!(tokens.get(&key(MOST)).as_deref(), Some("t"));
    }
}
