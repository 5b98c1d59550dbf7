//! Timers as the original computes them: `{key}` is the payload's value, and `NOW()`, `ADD(x, y)`, `SUB(x, y)` reckon with ISO 8601 dates and
//! durations. Innermost first; nothing else is evaluated.

use jiff::Span;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{LONGEST, after, instant};
use crate::payload::Payload;
use crate::token::Timestamp;

/// Replacements in one timer at most.
const STEPS: usize = 64;

/// Whether a timer's text is to be computed.
pub(crate) fn is_dynamic(text: &str) -> bool {
    text.contains(['{', '('])
}

/// Whether the text can be computed, whatever the payload.
///
/// # Errors
/// What is wrong with it.
pub fn check(text: &str) -> Result<(), String> {
    let (mut braces, mut brackets) = (0_i32, 0_i32);
    for (at, it) in text.char_indices() {
        match it {
            '{' => braces += 1,
            '}' => braces -= 1,
            '(' => {
                brackets += 1;
                function(name_before(text, at))?;
            }
            ')' => brackets -= 1,
            _ => {}
        }
        if braces < 0 || brackets < 0 {
            break;
        }
    }
    if braces != 0 || brackets != 0 {
        return Err(format!("{text:?} has a brace or bracket without its other half"));
    }
    Ok(())
}

/// The text with every key and function replaced.
pub(super) fn resolve(text: &str, payload: &Payload, now: Timestamp) -> Result<String, String> {
    check(text)?;
    let variables = payload.to_json().unwrap_or(Value::Null);
    let mut text = text.to_owned();
    for _ in 0..STEPS {
        if text.len() > LONGEST {
            return Err(format!("the timer has more than {LONGEST} characters when computed"));
        }
        let (open, close) = if let Some(pair) = innermost(&text, '{', '}') {
            pair
        } else if let Some(pair) = innermost(&text, '(', ')') {
            pair
        } else {
            return Ok(text.trim().to_owned());
        };
        let inside = text[open + 1..close].trim().to_owned();
        if text[open..].starts_with('{') {
            let value = value(&variables, &inside)?;
            text.replace_range(open..=close, &value);
        } else {
            let name = name_before(&text, open).to_owned();
            let result = function(&name)?.apply(&inside, now)?;
            text.replace_range(open - name.len()..=close, &result);
        }
    }
    Err(format!("the timer needs more than {STEPS} steps to compute"))
}

/// The first pair with nothing of its kind inside.
fn innermost(text: &str, open: char, close: char) -> Option<(usize, usize)> {
    let close = text.find(close)?;
    Some((text[..close].rfind(open)?, close))
}

fn value(variables: &Value, key: &str) -> Result<String, String> {
    match variables.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(_) => Err(format!("{key:?} of the payload is neither a text nor a number")),
        None => Err(format!("the payload has no {key:?}")),
    }
}

fn name_before(text: &str, at: usize) -> &str {
    let start = text[..at].rfind(|it: char| !it.is_ascii_alphabetic()).map_or(0, |it| it + 1);
    // what is before is a whole character: its last byte plus one may not be a boundary
    text.get(start..at).unwrap_or_default()
}

/// A function of the original.
#[derive(Clone, Copy)]
enum Function {
    Now,
    Add,
    Sub,
}

fn function(name: &str) -> Result<Function, String> {
    match name.to_ascii_uppercase().as_str() {
        "NOW" => Ok(Function::Now),
        "ADD" => Ok(Function::Add),
        "SUB" => Ok(Function::Sub),
        _ => Err(format!("{name:?} is no function of a timer: there are NOW(), ADD(x, y) and SUB(x, y)")),
    }
}

/// What functions reckon with.
enum Operand {
    At(Timestamp),
    Lasts(String),
}

impl Operand {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('P') { Ok(Self::Lasts(text.to_owned())) } else { instant(text).map(Self::At) }
    }
}

impl Function {
    fn apply(self, inside: &str, now: Timestamp) -> Result<String, String> {
        let operands: Vec<&str> = if inside.is_empty() { Vec::new() } else { inside.split(',').collect() };
        match (self, operands.as_slice()) {
            (Self::Now, []) => date(now),
            (Self::Add | Self::Sub, [left, right]) => {
                self.reckon(Operand::parse(left)?, Operand::parse(right)?, now).ok_or_else(|| {
                    format!("{inside:?} cannot be reckoned with: a date and a duration, or two durations; SUB takes two dates too")
                })?
            }
            _ => Err(format!("NOW() takes nothing, ADD and SUB take two values, not ({inside})")),
        }
    }

    fn reckon(self, left: Operand, right: Operand, now: Timestamp) -> Option<Result<String, String>> {
        use Operand::{At, Lasts};
        Some(match (self, left, right) {
            (Self::Add, At(at), Lasts(time)) | (Self::Add, Lasts(time), At(at)) => after(&time, at).and_then(date),
            (Self::Sub, At(at), Lasts(time)) => before(&time, at).and_then(date),
            (Self::Sub, At(later), At(earlier)) => Ok(lasting(later.saturating_sub(earlier))),
            (Self::Add, Lasts(one), Lasts(other)) => {
                after(&one, now).and_then(|at| after(&other, at)).map(|at| lasting(at.saturating_sub(now)))
            }
            (Self::Sub, Lasts(one), Lasts(other)) => {
                let both = after(&one, now).and_then(|one| Ok((one, after(&other, now)?)));
                both.map(|(one, other)| lasting(one.saturating_sub(other)))
            }
            _ => return None,
        })
    }
}

pub(super) fn date(at: Timestamp) -> Result<String, String> {
    let stamp = i64::try_from(at).ok().and_then(|it| jiff::Timestamp::from_millisecond(it).ok());
    stamp.map(|it| it.to_string()).ok_or_else(|| "a date out of range".to_owned())
}

fn lasting(milliseconds: u64) -> String {
    format!("PT{}S", milliseconds as f64 / 1000.0)
}

/// `from` less an ISO 8601 duration, by the calendar, in UTC.
fn before(text: &str, from: Timestamp) -> Result<Timestamp, String> {
    let wrong = |e: jiff::Error| format!("{text:?} is not an ISO 8601 duration: {e}");
    let span: Span = text.parse().map_err(wrong)?;
    let start = jiff::Timestamp::from_millisecond(from as i64).map_err(wrong)?;
    let begin = start.to_zoned(TimeZone::UTC).checked_sub(span).map_err(wrong)?;
    Ok(begin.timestamp().as_millisecond().max(0) as Timestamp)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NOW: Timestamp = 1_767_225_600_000;

    fn computed(text: &str) -> Result<String, String> {
        let payload =
            Payload::json(&json!({"a": "5", "n": 7, "n_5": "PT9S", "when": "2026-03-01T00:00:00Z", "list": []}));
        resolve(text, &payload, NOW)
    }

    #[test]
    fn keys_are_replaced_innermost_first_and_functions_reckon() {
        for (text, expected) in [
            ("PT{a}S", "PT5S"),
            ("R3/PT{n}S", "R3/PT7S"),
            ("{n_{a}}", "PT9S"),
            ("NOW()", "2026-01-01T00:00:00Z"),
            ("now()", "2026-01-01T00:00:00Z"),
            ("ADD(NOW(), PT{a}S)", "2026-01-01T00:00:05Z"),
            ("ADD(P1D, {when})", "2026-03-02T00:00:00Z"),
            ("SUB({when}, P1M)", "2026-02-01T00:00:00Z"),
            ("SUB({when}, NOW())", "PT5097600S"),
            ("ADD(PT1S, PT0.5S)", "PT1.5S"),
            ("SUB(PT1H, PT1M)", "PT3540S"),
            ("SUB(PT1M, PT1H)", "PT0S"),
            ("R2/ADD(PT1S,PT1S)", "R2/PT2S"),
        ] {
            assert_eq!(computed(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        for (text, why) in [
            ("{b}", "no \"b\""),
            ("{list}", "neither a text nor a number"),
            ("PT{a", "without its other half"),
            ("}{", "without its other half"),
            ("EVAL(1)", "no function"),
            ("(1)", "no function"),
            ("ADD(NOW(), NOW())", "cannot be reckoned with"),
            ("ADD(PT1S)", "two values"),
            ("NOW(PT1S)", "takes nothing"),
            ("ADD(soon, PT1S)", "not an ISO 8601 date"),
            ("ADD(NOW(), P99999999999Y)", "not an ISO 8601 duration"),
            ("é(1)", "no function"),
        ] {
            let told = computed(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
        let endless = Payload::json(&json!({"a": "{a}{a}"}));
        assert!(resolve("{a}", &endless, NOW).unwrap_err().contains("steps"));
    }
}
