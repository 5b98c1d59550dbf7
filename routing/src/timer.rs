//! When a timer is due (ISO 8601 dates and durations, static or by FEEL).

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use serde_json::Value;

use crate::condition::env;
use crate::payload::Payload;
use crate::table::{Template, Timer};
use crate::token::Timestamp;

/// The instant at which `timer`, started at `from`, fires. Never before `from`.
pub fn due(timer: &Timer, payload: &Payload, from: Timestamp) -> Result<Timestamp, String> {
    let (template, date) = match timer {
        Timer::Date(template) => (template, true),
        Timer::Duration(template) => (template, false),
    };
    let text = text(template, payload, from)?;
    let at = if date { instant(&text)? } else { after(&text, from)? };
    Ok(at.max(from))
}

fn text(template: &Template, payload: &Payload, now: Timestamp) -> Result<String, String> {
    match template {
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
    fn nonsense_is_an_error() {
        assert!(fixed("tomorrow", true, 0).is_err());
        assert!(fixed("5 seconds or so", false, 0).is_err());
    }
}
