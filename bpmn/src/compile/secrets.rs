//! Secrets that a connector's inputs name: `{{secrets.NAME}}`, and the older `secrets.NAME`, in the literals of the model.
//!
//! They become reads of a variable that the engine fills ([`routing::table::SECRETS`]), so that only what the model itself says can be a secret:
//! text that comes in with a payload is never looked at.

use std::collections::BTreeSet;

use routing::table::{SECRETS, Template};

/// A part of a literal.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Secret(&'a str),
}

/// The value with its secrets as reads of the variable; their names go to `names`.
///
/// # Errors
/// Braces that name no secret, and an expression that has secrets where FEEL wants a literal.
pub(super) fn read(template: Template, names: &mut BTreeSet<String>) -> Result<Template, String> {
    let before = names.len();
    let read = match &template {
        Template::Static(text) => {
            let pieces = pieces(text)?;
            if pieces.iter().all(|it| matches!(it, Piece::Text(_))) {
                return Ok(template);
            }
            Template::Feel(joined(&pieces, names, |text| serde_json::Value::from(text).to_string()))
        }
        Template::Feel(source) => Template::Feel(expression(source, names)?),
    };
    match &read {
        Template::Feel(feel) if names.len() > before => match feel::parse(feel) {
            Ok(_) => Ok(read),
            Err(_) => Err("a secret stands where FEEL wants a literal; put it into a value".to_owned()),
        },
        _ => Ok(read),
    }
}

/// The pieces as a sum of texts.
fn joined(pieces: &[Piece<'_>], names: &mut BTreeSet<String>, literal: impl Fn(&str) -> String) -> String {
    let terms: Vec<String> = (pieces.iter())
        .map(|piece| match piece {
            Piece::Text(text) => literal(text),
            Piece::Secret(name) => {
                names.insert((*name).to_owned());
                format!("get value({SECRETS}, \"{name}\")")
            }
        })
        .collect();
    format!("({})", terms.join(" + "))
}

/// An expression: its string literals are looked at, and the paths `secrets.NAME` outside of them.
fn expression(source: &str, names: &mut BTreeSet<String>) -> Result<String, String> {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while !rest.is_empty() {
        if rest.starts_with('"') {
            let end = literal_end(rest);
            let inside = rest[1..end].strip_suffix('"').unwrap_or(&rest[1..end]);
            let pieces = pieces(inside)?;
            match pieces.iter().any(|it| matches!(it, Piece::Secret(_))) {
                true => out.push_str(&joined(&pieces, names, |text| format!("\"{text}\""))),
                false => out.push_str(&rest[..end]),
            }
            rest = &rest[end..];
        } else {
            let end = passage_end(rest);
            let passage = &rest[..end];
            if !passage.starts_with(['/', '`']) || passage == "/" {
                names.extend(paths(passage).map(str::to_owned));
            }
            out.push_str(passage);
            rest = &rest[end..];
        }
    }
    Ok(out)
}

/// Where the literal at the start ends, behind its closing quote.
fn literal_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Where a comment, a quoted name, or what is none of these and no literal, ends.
fn passage_end(text: &str) -> usize {
    let behind = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        behind("\n", 2)
    } else if text.starts_with("/*") {
        behind("*/", 2)
    } else if text.starts_with('`') {
        behind("`", 1)
    } else {
        let first = text.chars().next().map_or(1, char::len_utf8);
        text[first..].find(['"', '`', '/']).map_or(text.len(), |at| first + at)
    }
}

/// A literal's text and secrets.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(found) = text[at..].find('s').map(|it| at + it) {
        at = found + 1;
        let Some(rest) = text[found..].strip_prefix("secrets.") else { continue };
        let braces = text[from..found].trim_end().strip_suffix("{{").map(|before| from + before.len());
        let (start, name, end) = match braces {
            Some(start) => {
                let (name, _) = rest.split_once("}}").ok_or("`{{secrets.` is not closed by `}}`")?;
                let end = found + "secrets.".len() + name.len() + 2;
                (start, name.trim(), end)
            }
            None => {
                let word = text[..found].chars().next_back().is_none_or(|it| it.is_whitespace());
                let name = leading(rest, |it| it.is_ascii_alphanumeric() || it == '_' || it == '-');
                if !word || name.is_empty() {
                    continue;
                }
                (found, name, found + "secrets.".len() + name.len())
            }
        };
        if !usable(name) {
            return Err(format!("`{name}` is no name of a secret: letters, digits, `_`, `-` and `.`"));
        }
        if start > from {
            pieces.push(Piece::Text(&text[from..start]));
        }
        pieces.push(Piece::Secret(name));
        (from, at) = (end, end);
    }
    if from < text.len() {
        pieces.push(Piece::Text(&text[from..]));
    }
    Ok(pieces)
}

/// The names in paths `secrets.NAME` of a piece of FEEL.
fn paths(passage: &str) -> impl Iterator<Item = &str> {
    passage.match_indices("secrets.").filter_map(|(at, path)| {
        let own = passage[..at].chars().next_back().is_none_or(|it| !it.is_alphanumeric() && it != '_' && it != '.');
        let name = leading(&passage[at + path.len()..], |it| it.is_ascii_alphanumeric() || it == '_');
        (own && !name.is_empty()).then_some(name)
    })
}

fn leading(text: &str, allowed: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|it| !allowed(it)).unwrap_or(text.len())]
}

/// Names that a file can have and that leave the folder of no other.
fn usable(name: &str) -> bool {
    let plain = name.chars().all(|it| it.is_ascii_alphanumeric() || "_-.".contains(it));
    !name.is_empty() && name.len() <= 253 && plain && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an expression gives where the secret `N` has the value `<N>`.
    fn evaluated(feel: &str, names: &BTreeSet<String>) -> serde_json::Value {
        let secrets = names.iter().map(|it| (it.clone(), serde_json::Value::from(format!("<{it}>"))));
        let scope = serde_json::json!({SECRETS: serde_json::Map::from_iter(secrets)});
        let env = feel::Env::at(jiff::Timestamp::UNIX_EPOCH);
        feel::parse(feel).unwrap().evaluate(&scope, &env).unwrap().value.to_json()
    }

    proptest! {
        /// Whatever stands around secrets comes out as it went in, from a text and from a literal of an expression.
        #[test]
        fn nothing_is_lost_around_secrets(
            parts in prop::collection::vec(
                prop::sample::select(vec!["{{secrets.A}}", "secrets.B", " ", "\"", "\\", "\u{e9}", "}}", "{{", "x", "\n", "secrets.", "//", "`"]),
                0..12,
            )
        ) {
            let text = parts.concat();
            let mut names = BTreeSet::new();
            let read = read(Template::Static(text.clone()), &mut names);
            let Ok(cut) = pieces(&text) else {
                prop_assert!(read.is_err());
                return Ok(());
            };
            let expected: String = cut.iter().map(|it| match it {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Secret(name) => format!("<{name}>"),
            }).collect();
            match read.unwrap() {
                Template::Static(same) => prop_assert_eq!(same, text.clone()),
                Template::Feel(feel) => prop_assert_eq!(evaluated(&feel, &names), serde_json::Value::from(expected)),
            }
            // as a literal: escapes are looked at before they are read
            let source = format!("{} + \"end\"", serde_json::Value::from(text));
            let mut names = BTreeSet::new();
            if let Ok(Template::Feel(feel)) = super::read(Template::Feel(source), &mut names) {
                let found = evaluated(&feel, &names);
                prop_assert!(found.as_str().is_some_and(|it| it.ends_with("end")), "{}: {}", feel, found);
            }
        }
    }

    fn feel(template: Template) -> (String, Vec<String>) {
        let mut names = BTreeSet::new();
        match read(template, &mut names).unwrap() {
            Template::Feel(feel) => (feel, names.into_iter().collect()),
            Template::Static(text) => (format!("static {text}"), names.into_iter().collect()),
        }
    }

    #[test]
    fn literals_name_secrets() {
        for (text, expected) in [
            ("{{secrets.KEY}}", r#"(get value(secrets, "KEY"))"#),
            ("{{ secrets.my-key.v2 }}", r#"(get value(secrets, "my-key.v2"))"#),
            ("secrets.KEY", r#"(get value(secrets, "KEY"))"#),
            ("Bearer secrets.KEY!", r#"("Bearer " + get value(secrets, "KEY") + "!")"#),
            ("a\"{{secrets.A}}{{secrets.B}}", r#"("a\"" + get value(secrets, "A") + get value(secrets, "B"))"#),
            ("https://x/mysecrets.html", "static https://x/mysecrets.html"),
            ("the secrets. of it", "static the secrets. of it"),
            ("{{other}}", "static {{other}}"),
        ] {
            assert_eq!(feel(Template::Static(text.to_owned())).0, expected, "{text}");
        }
    }

    #[test]
    fn expressions_name_them_in_their_literals_and_by_path() {
        for (source, expected, names) in [
            (
                r#"{"a": "Bearer {{secrets.K}}", b: x}"#,
                r#"{"a": ("Bearer " + get value(secrets, "K")), b: x}"#,
                &["K"][..],
            ),
            (
                r#""https://" + host + "/{{secrets.T}}/a\"b""#,
                r#""https://" + host + ("/" + get value(secrets, "T") + "/a\"b")"#,
                &["T"],
            ),
            ("\"x-\" + secrets.KEY", "\"x-\" + secrets.KEY", &["KEY"]),
            ("my.secrets.KEY // \"{{secrets.Z}}\"", "my.secrets.KEY // \"{{secrets.Z}}\"", &[]),
            ("a / b + /* \"{{secrets.Z}} */ c", "a / b + /* \"{{secrets.Z}} */ c", &[]),
            ("payload", "payload", &[]),
        ] {
            let (found, named) = feel(Template::Feel(source.to_owned()));
            assert_eq!(
                (found.as_str(), named),
                (expected, names.iter().map(|it| it.to_string()).collect()),
                "{source}"
            );
        }
    }

    #[test]
    fn what_names_no_secret_is_told() {
        for text in ["{{secrets.}}", "{{secrets.a/b}}", "{{secrets...}}", "{{secrets.K"] {
            read(Template::Static(text.to_owned()), &mut BTreeSet::new()).unwrap_err();
        }
        read(Template::Feel(r#"{"{{secrets.K}}": 1}"#.to_owned()), &mut BTreeSet::new()).unwrap_err();
    }
}
