//! When a timer is due (ISO 8601 dates and durations, static or by FEEL).

mod between;
pub mod dynamic;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::env;
use crate::payload::Payload;
use crate::table::{Template, Timer};
use crate::token::Timestamp;

impl Timer {
    /// A timer as people write it: a date, a duration (`P...`), or a cycle (`R...`, or cron). `kind` is the name of the model's element where
    /// the text alone does not tell.
    ///
    /// # Errors
    /// There is no such kind, or the text is too long.
    pub fn written(kind: Option<&str>, text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.len() > LONGEST {
            return Err(format!("a timer has 1 to {LONGEST} characters, such as PT10S"));
        }
        let template = Template::Static(text.to_owned());
        let cron = || text.split_whitespace().count() >= 5 || text.starts_with('@');
        match kind {
            Some("timeDate") => Ok(Self::Date(template)),
            Some("timeDuration") => Ok(Self::Duration(template)),
            Some("timeCycle") => Ok(Self::Cycle(template)),
            Some(other) => {
                Err(format!("{other:?} is no kind of timer: there are timeDate, timeDuration and timeCycle"))
            }
            None if text.starts_with('P') => Ok(Self::Duration(template)),
            None if text.starts_with('R') || cron() => Ok(Self::Cycle(template)),
            None => Ok(Self::Date(template)),
        }
    }

    /// A text in braces, or of functions, tells what it is only when it is computed: read as [`Timer::written`] reads it. Others stay as they are.
    ///
    /// # Errors
    /// It cannot be computed.
    pub fn computed(&self, payload: &Payload, now: Timestamp) -> Result<Self, String> {
        match self {
            Self::Date(Template::Static(text)) if dynamic::is_dynamic(text) => {
                Self::written(None, &dynamic::resolve(text.trim(), payload, now)?)
            }
            Self::Date(_) | Self::Duration(_) | Self::Cycle(_) | Self::Between(_) => Ok(self.clone()),
        }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        let (Self::Date(it) | Self::Duration(it) | Self::Cycle(it) | Self::Between(it)) = self;
        let (Template::Static(text) | Template::Feel(text)) = it;
        text
    }
}

/// A time as people read it.
pub fn written(at: Timestamp) -> String {
    dynamic::date(at).unwrap_or_else(|_| at.to_string())
}

/// How often a cycle of the original's dialect fires at most, as far as its text tells; `None`: without end.
///
/// # Errors
/// It is none.
pub fn firings(text: &str) -> Result<Option<u32>, String> {
    let due = between::cycle(text.trim(), 0)?;
    let left = |cycle: Cycle| cycle.left.map(|it| it.saturating_add(1));
    Ok(due.again.map_or(Some(1), left))
}

/// Characters of a timer's text at most.
const LONGEST: usize = 4096;

/// When a timer fires, and whether it fires again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The instant.
    pub at: Timestamp,
    /// What comes after it.
    pub again: Option<Cycle>,
}

/// What is left of a cycle after its next firing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// An ISO 8601 duration, or a cron expression.
    pub every: String,
    /// Further firings; `None` without end.
    pub left: Option<u32>,
}

impl Cycle {
    /// The firing after the one at `fired`. The grid is kept: late firings do not move it.
    ///
    /// # Errors
    /// The interval cannot be added.
    pub fn next(&self, fired: Timestamp) -> Result<Option<Due>, String> {
        let left = match self.left {
            Some(0) => return Ok(None),
            left => left.map(|n| n - 1),
        };
        let at = if self.every.starts_with('P') { after(&self.every, fired)? } else { cron(&self.every, fired)? };
        Ok(Some(Due { at, again: Some(Self { every: self.every.clone(), left }) }))
    }
}

impl Cycle {
    /// The first firing after `now` of those that come after the one at `fired`.
    pub fn next_after(&self, fired: Timestamp, now: Timestamp) -> Option<Due> {
        let mut due = self.next(fired).ok().flatten()?;
        while due.at <= now {
            due = due.again.as_ref()?.next(due.at).ok().flatten()?;
        }
        Some(due)
    }
}

/// When `timer`, started at `from`, fires. Never before `from`.
///
/// # Errors
/// It is no date, duration or cycle of ISO 8601 and no cron expression, or its expression fails.
pub fn due(timer: &Timer, payload: &Payload, from: Timestamp) -> Result<Due, String> {
    let once = |at: Timestamp| Due { at: at.max(from), again: None };
    match timer {
        Timer::Date(template) => Ok(once(instant(&text(template, payload, from)?)?)),
        Timer::Duration(template) => Ok(once(after(&text(template, payload, from)?, from)?)),
        Timer::Cycle(template) => cycle(&text(template, payload, from)?, from),
        Timer::Between(template) => between::cycle(&text(template, payload, from)?, from),
    }
}

/// `R[n]/[start/]duration`, `R[n]/start/end`, or cron. A start in the past fires at its next time on the grid.
fn cycle(text: &str, from: Timestamp) -> Result<Due, String> {
    let wrong = || format!("{text:?} is no repeating interval such as R3/PT10S, and no cron expression");
    let Some(rest) = text.strip_prefix('R') else {
        return Ok(Due { at: cron(text, from)?, again: Some(Cycle { every: text.to_owned(), left: None }) });
    };
    let (count, rest) = rest.split_once('/').ok_or_else(wrong)?;
    let count: Option<u32> = match count {
        "" | "-1" => None,
        n => Some(n.parse().map_err(|_| wrong())?),
    };
    if count == Some(0) {
        return Err(format!("{text:?} never fires"));
    }
    let left = count.map(|n| n - 1);
    match rest.split_once('/') {
        None => Ok(Due { at: after(rest, from)?, again: Some(Cycle { every: rest.to_owned(), left }) }),
        Some((start, every)) if every.starts_with('P') => {
            let start = if start.is_empty() { from } else { instant(start)? };
            on_grid(start, every, left, from)
        }
        Some((every, end)) if every.starts_with('P') => {
            let (end, step) = (instant(end)?, after(every, from)?.saturating_sub(from).max(1));
            let fits = u32::try_from(end.saturating_sub(from) / step).unwrap_or(u32::MAX);
            let times = count.unwrap_or(u32::MAX).min(fits);
            if times == 0 {
                return Err(format!("{text:?} is over"));
            }
            Ok(Due { at: after(every, from)?, again: Some(Cycle { every: every.to_owned(), left: Some(times - 1) }) })
        }
        Some((start, end)) => {
            let (start, end) = (instant(start)?, instant(end)?);
            let every = format!("PT{}S", end.saturating_sub(start) as f64 / 1000.0);
            on_grid(start, &every, left, from)
        }
    }
}

fn on_grid(start: Timestamp, every: &str, mut left: Option<u32>, from: Timestamp) -> Result<Due, String> {
    let mut at = start;
    let step = after(every, start)?.saturating_sub(start);
    if step == 0 {
        return Err(format!("{every:?} is no time at all"));
    }
    let mut passed = from.saturating_sub(at) / step;
    if let Some(n) = left {
        // a cycle that is over fires its last time now
        passed = passed.min(u64::from(n));
    }
    at += passed * step;
    if at < from && left.is_none_or(|n| u64::from(n) > passed) {
        at += step;
        passed += 1;
    }
    left = left.map(|n| n.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX)));
    Ok(Due { at: at.max(from), again: Some(Cycle { every: every.to_owned(), left }) })
}

/// The first instant after `from` that a cron expression names, in UTC; seconds come first if there are six fields.
fn cron(text: &str, from: Timestamp) -> Result<Timestamp, String> {
    let wrong =
        |why: String| format!("{text:?} is neither an ISO 8601 repeating interval nor a cron expression: {why}");
    let cron: croner::Cron = text.parse().map_err(|e: croner::errors::CronError| wrong(e.to_string()))?;
    let start =
        chrono::DateTime::from_timestamp_millis(from as i64).ok_or_else(|| wrong("a time out of range".into()))?;
    let next = cron.find_next_occurrence(&start, false).map_err(|e| wrong(e.to_string()))?;
    Ok(next.timestamp_millis().max(0) as Timestamp)
}

fn text(template: &Template, payload: &Payload, now: Timestamp) -> Result<String, String> {
    match template {
        Template::Static(text) if dynamic::is_dynamic(text) => dynamic::resolve(text.trim(), payload, now),
        Template::Static(text) => Ok(text.trim().to_owned()),
        Template::Feel(source) => {
            let expression = feel::parse(source).map_err(|e| format!("expression {source:?}: {e}"))?;
            let variables = payload.to_json().unwrap_or(Value::Null);
            let evaluated =
                expression.evaluate(&variables, &env(now)).map_err(|e| format!("expression {source:?}: {e}"))?;
            match evaluated.value.to_json() {
                Value::String(text) => Ok(text),
                other => Err(format!("expression {source:?} gives {other}, not a date or duration")),
            }
        }
    }
}

/// An ISO 8601 instant; without an offset it is UTC.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{text:?} is not an ISO 8601 date and time");
    let stamp = if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        stamp
    } else if let Ok(zoned) = text.parse::<Zoned>() {
        zoned.timestamp()
    } else {
        let civil: DateTime = text.parse().map_err(|_| wrong())?;
        civil.to_zoned(TimeZone::UTC).map_err(|_| wrong())?.timestamp()
    };
    Ok(stamp.as_millisecond().max(0) as Timestamp)
}

/// `from` plus an ISO 8601 duration; years and months by the calendar, in UTC.
pub fn after(text: &str, from: Timestamp) -> Result<Timestamp, String> {
    let wrong = |e: jiff::Error| format!("{text:?} is not an ISO 8601 duration: {e}");
    let span: Span = text.parse().map_err(wrong)?;
    let start = jiff::Timestamp::from_millisecond(from as i64).map_err(wrong)?;
    let end = start.to_zoned(TimeZone::UTC).checked_add(span).map_err(wrong)?;
    Ok(end.timestamp().as_millisecond().max(0) as Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(text: &str, date: bool, from: Timestamp) -> Result<Timestamp, String> {
        let template = Template::Static(text.into());
        due(&if date { Timer::Date(template) } else { Timer::Duration(template) }, &Payload::default(), from)
            .map(|due| due.at)
    }

    #[test]
    fn durations_count_from_the_activation() {
        assert_eq!(fixed("PT5S", false, 1_000), Ok(6_000));
        assert_eq!(fixed("PT0.25S", false, 0), Ok(250));
        assert_eq!(fixed("P1D", false, 0), Ok(86_400_000));
        assert_eq!(fixed("P1M", false, 0), Ok(31 * 86_400_000));
    }

    #[test]
    fn dates_in_the_past_fire_at_once() {
        assert_eq!(fixed("2020-01-01T00:00:00Z", true, 1_800_000_000_000), Ok(1_800_000_000_000));
        assert_eq!(fixed("2100-01-01T00:00:00Z", true, 0), Ok(4_102_444_800_000));
        assert_eq!(fixed("2100-01-01T02:00:00+02:00", true, 0), Ok(4_102_444_800_000));
    }

    #[test]
    fn cycles_keep_their_grid_and_count_down() {
        let of = |text: &str, from| due(&Timer::Cycle(Template::Static(text.into())), &Payload::default(), from);
        let mut next = of("R3/PT10S", 1_000).unwrap();
        let mut fired = vec![next.at];
        while let Some(due) = next.again.unwrap().next(next.at).unwrap() {
            fired.push(due.at);
            next = due;
        }
        assert_eq!(fired, [11_000, 21_000, 31_000]);
        assert_eq!(of("R2/1970-01-01T00:00:05Z/PT10S", 12_000).unwrap().at, 15_000);
        assert_eq!(of("R/PT1M", 0).unwrap().again.unwrap().left, None);
        assert!(of("R0/PT1M", 0).is_err() && of("every now and then", 0).is_err());
    }

    #[test]
    fn cron_names_the_next_instant_in_utc() {
        let of = |text: &str| due(&Timer::Cycle(Template::Static(text.into())), &Payload::default(), 90_000);
        assert_eq!(of("* * * * *").unwrap().at, 120_000);
        assert_eq!(of("*/10 * * * * *").unwrap().at, 100_000);
        assert_eq!(of("0 0 9 * * MON").unwrap().at, 4 * 86_400_000 + 9 * 3_600_000);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(fixed("tomorrow", true, 0).is_err());
        assert!(fixed("5 seconds or so", false, 0).is_err());
    }
}
