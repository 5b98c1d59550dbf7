//! The original's names for Kubernetes objects, still what `end_event` shows.

use sha2::{Digest, Sha256};

/// The longest name of a Kubernetes object that is a DNS label.
const LONGEST: usize = 63;

/// `name` as a DNS label, as the original made it: lower case; space, `.`, `_` and line breaks
/// become dashes, anything else but letters, digits and dashes is dropped, dashes are merged;
/// what is longer than 63 characters is cut and ends with 8 hex digits of its SHA-256. Empty if
/// nothing is left.
pub fn safe_name(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for character in name.trim().chars() {
        match character.to_ascii_lowercase() {
            ' ' | '.' | '_' | '-' | '\n' | '\r' | '\t' if safe.ends_with('-') => {}
            ' ' | '.' | '_' | '-' | '\n' | '\r' | '\t' => safe.push('-'),
            letter if letter.is_ascii_alphanumeric() => safe.push(letter),
            _ => {}
        }
    }
    let safe = safe.trim_matches('-');
    if safe.len() <= LONGEST {
        return safe.to_owned();
    }
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().take(4).map(|it| format!("{it:02x}")).collect();
    format!("{}{hex}", &safe[..LONGEST - hex.len()])
}

#[cfg(test)]
mod tests {
    use super::safe_name;

    #[test]
    fn names_become_dns_labels() {
        assert_eq!(safe_name("Dot dot dot..."), "dot-dot-dot");
        assert_eq!(safe_name("Profit!"), "profit");
        assert_eq!(safe_name("a_b\nc  d"), "a-b-c-d");
        assert_eq!(safe_name("\u{1f600}"), "");
        assert_eq!(safe_name("end-did-profit"), "end-did-profit");
    }

    #[test]
    fn long_names_are_cut_and_stay_distinct() {
        let (a, b) = (safe_name(&"a".repeat(64)), safe_name(&"a".repeat(65)));
        assert_eq!((a.len(), b.len()), (63, 63));
        assert_ne!(a, b);
    }
}
