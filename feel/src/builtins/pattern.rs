//! Regular expressions: `matches`, `replace`, `split` and Camunda's `extract`, with the flags of XPath (DMN 1.5, table 74).
//!
//! Patterns run in linear time. Back-references and look-around, which cannot, are null and a warning.

mod xpath;

use regex::{Regex, RegexBuilder};

use super::{Builtin, refused, text};
use crate::eval::{Machine, Outcome};
use crate::value::Value;

/// The largest compiled pattern, in bytes.
const MAX_PROGRAM: usize = 512 * 1024;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("matches", &["input,pattern,flags?"], |m, v| {
        with_pattern(m, "matches", v, 2, |_, input, regex| Ok(Value::Bool(regex.is_match(input))))
    }),
    Builtin::new("replace", &["input,pattern,replacement,flags?"], replace),
    Builtin::new("split", &["string,delimiter"], |m, v| {
        with_pattern(m, "split", v, 2, |m, input, regex| {
            let parts: Vec<Value> = regex.split(input).map(Value::string).collect();
            m.list(parts)
        })
    }),
    Builtin::new("extract", &["input,pattern,flags?"], |m, v| {
        with_pattern(m, "extract", v, 2, |m, input, regex| {
            let found: Vec<Value> = regex.find_iter(input).map(|found| Value::string(found.as_str())).collect();
            m.list(found)
        })
    }),
];

/// Runs `run` with the input (first argument) and the compiled pattern (second); `flags` says which argument holds the flags.
fn with_pattern(
    machine: &mut Machine<'_>,
    name: &str,
    values: &[Value],
    flags: usize,
    run: impl FnOnce(&mut Machine<'_>, &str, &Regex) -> Outcome,
) -> Outcome {
    let flag_text = match values.get(flags) {
        None | Some(Value::Null) => "",
        Some(_) => match text(values, flags) {
            Some(text) => text,
            None => return refused(machine, name, values),
        },
    };
    let Some((input, pattern)) = text(values, 0).zip(text(values, 1)) else { return refused(machine, name, values) };
    // Compiling costs far more than an operator; a loop over patterns must not be cheap in fuel.
    // Matching takes steps by input and pattern; a counted repetition stands for a pattern many times as long.
    let states = (1 + pattern.len() / 64) * if pattern.contains('{') { 4 } else { 1 };
    machine.spend(64 + pattern.len() + (input.len() / 2).saturating_mul(states))?;
    match compile(pattern, flag_text) {
        Some(regex) => run(machine, input, &regex),
        None => machine.null(format!("{name} cannot take the pattern or its flags")),
    }
}

fn compile(pattern: &str, flags: &str) -> Option<Regex> {
    let mut literal = false;
    let mut extended = false;
    let (mut insensitive, mut multi, mut dot) = (false, false, false);
    for flag in flags.chars() {
        match flag {
            'i' => insensitive = true,
            's' => dot = true,
            'm' => multi = true,
            'x' => extended = true,
            'q' => literal = true,
            _ => return None,
        }
    }
    let pattern = if literal {
        regex::escape(pattern)
    } else if extended {
        xpath::translated(&without_space(pattern), dot)?
    } else {
        xpath::translated(pattern, dot)?
    };
    RegexBuilder::new(&pattern)
        .case_insensitive(insensitive)
        .multi_line(multi)
        .dot_matches_new_line(dot)
        .size_limit(MAX_PROGRAM)
        .nest_limit(64)
        .build()
        .ok()
}

/// XPath's flag `x`: white space in the pattern means nothing, except in a class.
fn without_space(pattern: &str) -> String {
    let mut class = 0_u32;
    let mut escaped = false;
    pattern
        .chars()
        .filter(|&c| {
            if !escaped {
                match c {
                    '[' => class += 1,
                    ']' => class = class.saturating_sub(1),
                    _ => {}
                }
            }
            escaped = c == '\\' && !escaped;
            class > 0 || !c.is_whitespace()
        })
        .collect()
}

fn replace(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let Some(replacement) = text(values, 2) else { return refused(machine, "replace", values) };
    let literal = values.get(3).is_some() && text(values, 3).is_some_and(|flags| flags.contains('q'));
    let replacement = if literal { Some(replacement.replace('$', "$$")) } else { groups(replacement) };
    let Some(replacement) = replacement else {
        return machine.null("replace takes $0 to $9, \\$ and \\\\ in its replacement");
    };
    with_pattern(machine, "replace", values, 3, |machine, input, regex| {
        let mut out = String::new();
        let mut last = 0;
        for captures in regex.captures_iter(input) {
            let Some(whole) = captures.get(0) else { continue };
            out.push_str(&input[last..whole.start()]);
            let before = out.len();
            captures.expand(&replacement, &mut out);
            machine.spend(1 + (out.len() - before) / 64)?;
            last = whole.end();
        }
        out.push_str(&input[last..]);
        machine.string(out)
    })
}

/// XPath's `$1` as the regex engine writes it, and its escapes undone; `None` for a lone `$`.
fn groups(replacement: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some('\\') => out.push('\\'),
                _ => return None,
            },
            '$' => {
                let digit = chars.next().filter(char::is_ascii_digit)?;
                out.push_str("${");
                out.push(digit);
                out.push('}');
            }
            c => out.push(c),
        }
    }
    Some(out)
}
