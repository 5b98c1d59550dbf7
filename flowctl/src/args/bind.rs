//! `--bind TYPE=URL`: where the service of a task type is.

use std::collections::HashMap;

/// One binding; TYPE may be `*`, and the URL may hold `{type}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl std::str::FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("`{text}` is not TYPE=URL, as in charge=http://127.0.0.1:7000/");
        let (name, url) = text.split_once('=').ok_or_else(bad)?;
        if name.is_empty() || !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(bad());
        }
        Ok(Self { name: name.to_owned(), url: url.to_owned() })
    }
}

/// As a map; the last one of a name wins.
pub(crate) fn map(bindings: impl IntoIterator<Item = Bind>) -> HashMap<String, String> {
    bindings.into_iter().map(|bind| (bind.name, bind.url)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_bound_to_a_url() {
        let bind: Bind = "*=http://127.0.0.1:7000/{type}?a=b".parse().unwrap();
        assert_eq!((bind.name.as_str(), bind.url.as_str()), ("*", "http://127.0.0.1:7000/{type}?a=b"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["charge", "=http://x/", "charge=", "charge=127.0.0.1:7000"] {
            assert!(text.parse::<Bind>().is_err(), "{text} was taken for a binding");
        }
    }
}
