//! Tokens of a Python condition.

use crate::error::ParseError;

/// A token and its offset in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind<'s>,
    pub(super) offset: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'s> {
    Name(&'s str),
    Int(i128),
    Float(f64),
    Str(String),
    Op(&'static str),
    /// A character that starts nothing of the subset; the parser says so where it stands.
    Other(char),
    End,
}

const OPERATORS: [&str; 19] =
    ["//", "==", "!=", "<=", ">=", "**", "+", "-", "*", "/", "%", "<", ">", "(", ")", "[", "]", ",", "."];

/// All tokens of a source, the end last.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, ParseError> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else {
            found.push(Token { kind: Kind::End, offset: at });
            return Ok(found);
        };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) =
            if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
                number(rest, at)?
            } else if first.is_alphabetic() || first == '_' {
                let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                if rest[length..].starts_with(['\'', '"']) {
                    return Err(ParseError::new(at, "prefixed strings such as f\"..\" are not taken"));
                }
                (Kind::Name(&rest[..length]), length)
            } else if matches!(first, '\'' | '"') {
                string(rest, first, at)?
            } else {
                match OPERATORS.iter().find(|op| rest.starts_with(**op)) {
                    Some(op) => (Kind::Op(op), op.len()),
                    None => (Kind::Other(first), first.len_utf8()),
                }
            };
        found.push(Token { kind, offset: at });
        at += length;
    }
}

fn number(rest: &str, offset: usize) -> Result<(Kind<'static>, usize), ParseError> {
    let mut end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').unwrap_or(rest.len());
    // The sign of an exponent belongs to the number.
    if rest[..end].ends_with(['e', 'E']) && rest[end..].starts_with(['+', '-']) {
        end += 1 + rest[end + 1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - end - 1);
    }
    let text = &rest[..end];
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let kind = if plain && (text == "0" || !text.starts_with('0')) {
        text.parse().ok().map(Kind::Int)
    } else if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) && !plain {
        text.parse().ok().filter(|value: &f64| value.is_finite()).map(Kind::Float)
    } else {
        None
    };
    kind.map(|kind| (kind, end)).ok_or_else(|| ParseError::new(offset, format!("the number {text} is not taken")))
}

fn string(rest: &str, quote: char, offset: usize) -> Result<(Kind<'static>, usize), ParseError> {
    if rest[1..].starts_with(quote) && rest[2..].starts_with(quote) {
        return Err(ParseError::new(offset, "strings in triple quotes are not taken"));
    }
    let mut out = String::new();
    let mut at = 1;
    loop {
        let Some(c) = rest[at..].chars().next() else {
            return Err(ParseError::new(offset, "a string is not closed"));
        };
        at += c.len_utf8();
        if c == quote {
            return Ok((Kind::Str(out), at));
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        let escaped = rest[at..].chars().next();
        at += escaped.map_or(0, char::len_utf8);
        let digits = match escaped {
            Some('n') => return_char(&mut out, '\n'),
            Some('t') => return_char(&mut out, '\t'),
            Some('r') => return_char(&mut out, '\r'),
            Some(c @ ('\\' | '\'' | '"')) => return_char(&mut out, c),
            Some('x') => 2,
            Some('u') => 4,
            _ => return Err(ParseError::new(offset + at, "this escape is not taken in a string")),
        };
        if digits > 0 {
            let hex = rest.get(at..at + digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
            let c = hex.and_then(|text| u32::from_str_radix(text, 16).ok()).and_then(char::from_u32);
            out.push(c.ok_or_else(|| ParseError::new(offset + at, "this escape names no character"))?);
            at += digits;
        }
    }
}

/// Takes a plain escape; no hexadecimal digits follow it.
fn return_char(out: &mut String, c: char) -> usize {
    out.push(c);
    0
}
