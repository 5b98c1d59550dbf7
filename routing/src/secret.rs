//! Marks that stand for secrets until the moment of the call.
//!
//! A model names secrets in its literals; their values are known only to the sidecar that calls. Between both, the inputs are
//! evaluated over a payload that nobody trusts. So each evaluation draws a number, and a secret is a mark that holds it: the payload
//! was there before the number, so no text of it, whatever functions it goes through, is a mark.

/// How the marks of one evaluation look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretMark(u64);

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// As it stands.
    Text(&'a str),
    /// The secret of this name.
    Secret(&'a str),
}

/// Code points of the private use area, which have no meaning to anybody else.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

impl SecretMark {
    /// `random` must not be known to who wrote the payload.
    #[must_use]
    pub fn new(random: u64) -> Self {
        Self(random)
    }

    /// The mark of a secret.
    #[must_use]
    pub fn of(self, name: &str) -> String {
        format!("{}{name}{CLOSE}", self.opening())
    }

    /// The parts of a text, in order. A mark that is cut off is text.
    #[must_use]
    pub fn parts(self, mut text: &str) -> Vec<Part<'_>> {
        let opening = self.opening();
        let mut parts = Vec::new();
        while let Some((before, rest)) = text.split_once(&opening) {
            let Some((name, after)) = rest.split_once(CLOSE) else { break };
            if !before.is_empty() {
                parts.push(Part::Text(before));
            }
            parts.push(Part::Secret(name));
            text = after;
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        parts
    }

    fn opening(self) -> String {
        format!("{OPEN}{:016x}:", self.0)
    }
}

/// What people see where a secret stands: what the model says.
#[must_use]
pub fn placeholder(name: &str) -> String {
    format!("{{{{secrets.{name}}}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marks_of_the_same_evaluation_are_secrets() {
        let (mine, other) = (SecretMark::new(7), SecretMark::new(8));
        let text = format!("Bearer {}, {}{{{{secrets.C}}}}", mine.of("A"), other.of("B"));
        let rest = format!(", {}{{{{secrets.C}}}}", other.of("B"));
        assert_eq!(mine.parts(&text), [Part::Text("Bearer "), Part::Secret("A"), Part::Text(&rest)]);
        assert_eq!(mine.parts(""), []);
        assert_eq!(mine.parts("plain"), [Part::Text("plain")]);
        let cut = mine.of("A");
        let cut = cut.trim_end_matches(CLOSE);
        assert_eq!(mine.parts(cut), [Part::Text(cut)]);
    }
}
