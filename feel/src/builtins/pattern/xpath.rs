//! XPath's dialect of regular expressions (XQuery functions 5.6.1, XML Schema part 2, appendix F) in the syntax of the engine used here.
//!
//! Translated are subtraction of classes, blocks of Unicode, names of XML, and what `.` leaves out. Everything else is the same in both, or
//! is refused when the pattern is compiled.

/// Blocks by the names of XML Schema, with their first and last character.
const BLOCKS: [(&str, &str); 22] = [
    ("BasicLatin", r"\x{0}-\x{7F}"),
    ("Latin-1Supplement", r"\x{80}-\x{FF}"),
    ("LatinExtended-A", r"\x{100}-\x{17F}"),
    ("LatinExtended-B", r"\x{180}-\x{24F}"),
    ("IPAExtensions", r"\x{250}-\x{2AF}"),
    ("SpacingModifierLetters", r"\x{2B0}-\x{2FF}"),
    ("CombiningDiacriticalMarks", r"\x{300}-\x{36F}"),
    ("Greek", r"\x{370}-\x{3FF}"),
    ("GreekandCoptic", r"\x{370}-\x{3FF}"),
    ("Cyrillic", r"\x{400}-\x{4FF}"),
    ("Armenian", r"\x{530}-\x{58F}"),
    ("Hebrew", r"\x{590}-\x{5FF}"),
    ("Arabic", r"\x{600}-\x{6FF}"),
    ("Devanagari", r"\x{900}-\x{97F}"),
    ("Thai", r"\x{E00}-\x{E7F}"),
    ("GeneralPunctuation", r"\x{2000}-\x{206F}"),
    ("CurrencySymbols", r"\x{20A0}-\x{20CF}"),
    ("Arrows", r"\x{2190}-\x{21FF}"),
    ("MathematicalOperators", r"\x{2200}-\x{22FF}"),
    ("Hiragana", r"\x{3040}-\x{309F}"),
    ("Katakana", r"\x{30A0}-\x{30FF}"),
    ("CJKUnifiedIdeographs", r"\x{4E00}-\x{9FFF}"),
];

/// The pattern in the engine's syntax; `None` if it names a block that is unknown. `dot` says that `.` is any character at all.
pub(super) fn translated(pattern: &str, dot: bool) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut classes = 0_usize;
    // whether the class under way has an item that something can be taken from
    let mut filled = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let (piece, left) = match c {
            '\\' => escape(after, classes > 0)?,
            '[' => {
                classes += 1;
                filled = false;
                let negated = after.strip_prefix('^');
                (if negated.is_some() { "[^" } else { "[" }.to_owned(), negated.unwrap_or(after))
            }
            ']' if classes > 0 => {
                classes -= 1;
                filled = true;
                ("]".to_owned(), after)
            }
            '-' if classes > 0 && filled && after.starts_with('[') => ("--".to_owned(), after),
            // the engine's own operators on classes, which XPath does not have
            '&' | '~' if classes > 0 => (format!("\\{c}"), after),
            '.' if classes == 0 && !dot => (r"[^\n\r]".to_owned(), after),
            other => (other.to_string(), after),
        };
        filled = filled || c != '[';
        out.push_str(&piece);
        rest = left;
    }
    Some(out)
}

/// What stands behind a backslash, and what is left of the pattern.
fn escape(after: &str, in_class: bool) -> Option<(String, &str)> {
    let Some(c) = after.chars().next() else { return Some(("\\".to_owned(), after)) };
    let left = &after[c.len_utf8()..];
    let class = |items: &str, negated: bool| match (in_class, negated) {
        (true, false) => items.to_owned(),
        (_, true) => format!("[^{items}]"),
        (false, false) => format!("[{items}]"),
    };
    let piece = match c {
        'i' | 'I' => class(r"\p{L}_:", c == 'I'),
        'c' | 'C' => class(r"\p{L}\p{M}\p{Nd}_:.\-", c == 'C'),
        'p' | 'P' if left.starts_with("{Is") => {
            let (name, left) = left[3..].split_once('}')?;
            let block = BLOCKS.iter().find(|(known, _)| *known == name)?.1;
            return Some((class(block, c == 'P'), left));
        }
        other => format!("\\{other}"),
    };
    Some((piece, left))
}
