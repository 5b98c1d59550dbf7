//! Cuts a source into tokens, one at a time, so that the parser can tell it the names it has met meanwhile.
//!
//! A word is one word: the parser joins `string length` and says which words are keywords. Names that hold other characters or keywords are
//! matched only when they are known (`known`) or stand in backticks.

use crate::error::ParseError;
use crate::number::Number;

/// A token and where it stands, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token<'s> {
    pub(crate) kind: Kind<'s>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind<'s> {
    /// One word, which may be a keyword.
    Word(&'s str),
    /// A whole name: in backticks, or known.
    Name(String),
    Number(Number),
    String(String),
    /// The text of `@"..."`.
    At(String),
    Op(&'static str),
    End,
}

/// Operators, longer ones before their beginnings.
const OPERATORS: [&str; 24] = [
    "..", "**", "<=", ">=", "!=", "->", "+", "-", "*", "/", "(", ")", "[", "]", "{", "}", ",", ":", ".", "<", ">", "=",
    ";", "|",
];

/// Reads the token at or after `position`.
pub(crate) fn next<'s>(source: &'s str, position: usize, known: &[String]) -> Result<Token<'s>, ParseError> {
    let start = skip_space(source, position)?;
    let rest = &source[start..];
    let Some(first) = rest.chars().next() else {
        return Ok(Token { kind: Kind::End, start, end: start });
    };
    let token = |kind, length: usize| Ok(Token { kind, start, end: start + length });
    if first == '?' {
        return token(Kind::Word("?"), 1);
    }
    if is_name_start(first) {
        if let Some((name, length)) = match_known(rest, known) {
            return token(Kind::Name(name), length);
        }
        let length = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
        return token(Kind::Word(&rest[..length]), length);
    }
    if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
        let length = number_length(rest);
        let number = Number::parse(&rest[..length])
            .ok_or_else(|| ParseError::new(start, format!("{} is beyond the range of numbers", &rest[..length])))?;
        return token(Kind::Number(number), length);
    }
    match first {
        '"' => {
            let (text, length) = string(rest, start)?;
            token(Kind::String(text), length)
        }
        '@' if rest[1..].starts_with('"') => {
            let (text, length) = string(&rest[1..], start + 1)?;
            token(Kind::At(text), length + 1)
        }
        '`' => {
            let end = rest[1..].find('`').ok_or_else(|| ParseError::new(start, "a name in backticks is not closed"))?;
            token(Kind::Name(rest[1..=end].to_owned()), end + 2)
        }
        _ => match OPERATORS.iter().find(|op| rest.starts_with(**op)) {
            Some(op) => token(Kind::Op(op), op.len()),
            None => Err(ParseError::new(start, format!("{first:?} starts nothing known here"))),
        },
    }
}

/// Skips white space and comments.
fn skip_space(source: &str, mut position: usize) -> Result<usize, ParseError> {
    loop {
        let rest = &source[position..];
        let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{180e}'));
        position += rest.len() - trimmed.len();
        if trimmed.starts_with("//") {
            position += trimmed.find('\n').unwrap_or(trimmed.len());
        } else if let Some(comment) = trimmed.strip_prefix("/*") {
            let end = comment.find("*/").ok_or_else(|| ParseError::new(position, "a comment is not closed"))?;
            position += end + 4;
        } else {
            return Ok(position);
        }
    }
}

/// Characters a name starts with (DMN 1.5, grammar rule 28), but for `?`.
pub(crate) fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic()
        || c == '_'
        || (c > '\u{bf}'
            && !c.is_whitespace()
            && matches!(u32::from(c),
                0xC0..=0xD6 | 0xD8..=0xF6 | 0xF8..=0x2FF | 0x370..=0x37D | 0x37F..=0x1FFF | 0x200C..=0x200D | 0x2070..=0x218F
                | 0x2C00..=0x2FEF | 0x3001..=0xD7FF | 0xF900..=0xFDCF | 0xFDF0..=0xFFFD | 0x1_0000..=0xE_FFFF))
}

/// Characters a name goes on with (rule 29).
pub(crate) fn is_name_part(c: char) -> bool {
    is_name_start(c) || c.is_ascii_digit() || matches!(u32::from(c), 0xB7 | 0x300..=0x36F | 0x203F..=0x2040)
}

/// The longest known name that stands at the start of `rest`, however its words are spaced.
fn match_known(rest: &str, known: &[String]) -> Option<(String, usize)> {
    known.iter().filter_map(|name| Some((name.clone(), known_length(rest, name)?))).max_by_key(|(_, length)| *length)
}

fn known_length(rest: &str, name: &str) -> Option<usize> {
    let mut left = rest;
    for c in name.chars() {
        if c == ' ' {
            left = left.trim_start();
        } else {
            left = left.strip_prefix(c).or_else(|| left.trim_start().strip_prefix(c))?;
        }
    }
    let ends = name.ends_with(|c| !is_name_part(c)) || !left.starts_with(is_name_part);
    ends.then(|| rest.len() - left.len())
}

/// The length of `12`, `1.5`, `.5`, `1e-3`; `1..5` is a number, two dots and a number.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1 + sign);
        }
    }
    end
}

/// Reads a string literal; `rest` starts with its quote.
fn string(rest: &str, start: usize) -> Result<(String, usize), ParseError> {
    let mut out = String::new();
    let mut at = 1;
    loop {
        let Some(c) = rest[at..].chars().next() else {
            return Err(ParseError::new(start, "a string is not closed"));
        };
        at += c.len_utf8();
        match c {
            '"' => return Ok((out, at)),
            '\\' => at += escape(&rest[at..], &mut out, start + at)?,
            c => out.push(c),
        }
    }
}

/// Takes the escape behind a backslash and says how long it was. A backslash before anything else stands for itself, as in `"\d"`.
fn escape(rest: &str, out: &mut String, offset: usize) -> Result<usize, ParseError> {
    let Some(c) = rest.chars().next() else { return Ok(0) };
    let plain = match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '"' | '\'' | '\\' => c,
        'u' | 'U' => return code_point(rest, out, offset),
        _ => {
            out.push('\\');
            return Ok(0);
        }
    };
    out.push(plain);
    Ok(1)
}

/// `uXXXX` or `UXXXXXX`; two of the first kind may be the halves of a surrogate pair.
fn code_point(rest: &str, out: &mut String, offset: usize) -> Result<usize, ParseError> {
    let hex = |from: usize, digits: usize| {
        let text = rest.get(from..from + digits)?;
        text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok()).flatten()
    };
    let bad = || ParseError::new(offset, "\\u takes 4 and \\U 6 hexadecimal digits of a character");
    if rest.starts_with('U') {
        out.push(hex(1, 6).and_then(char::from_u32).ok_or_else(bad)?);
        return Ok(7);
    }
    let first = hex(1, 4).ok_or_else(bad)?;
    if let Some(c) = char::from_u32(first) {
        out.push(c);
        return Ok(5);
    }
    let second = if rest.get(5..7) == Some("\\u") { hex(7, 4) } else { None };
    let joined = second
        .filter(|low| (0xDC00..0xE000).contains(low) && first < 0xDC00)
        .map(|low| 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00));
    out.push(joined.and_then(char::from_u32).ok_or_else(bad)?);
    Ok(11)
}
