//! Reads the ISO 8601 texts of temporal values, with FEEL's zone names (`2024-01-31T10:00:00@Europe/Berlin`).
//!
//! Strict where XML Schema is: two digits each, four or more for a year, no missing parts; `None` for anything else.

use super::{Clock, Date, DateTime, Duration, NANOS_PER_SECOND, Time, Zone};
use crate::value::Value;

/// The value of `@"..."`: a date, time, date and time or duration.
pub(crate) fn at_literal(text: &str) -> Option<Value> {
    if text.starts_with(['P', '-']) && text.contains('P') {
        return Duration::parse(text).map(Value::Duration);
    }
    if text.find('T').is_some_and(|at| at > 0) {
        return DateTime::parse(text).map(Value::DateTime);
    }
    Date::parse(text).map(Value::Date).or_else(|| Time::parse(text).map(Value::Time))
}

/// Exactly two ASCII digits.
fn two(text: &str) -> Option<i64> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

impl Date {
    /// Reads `2024-01-31`.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut parts = rest.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let padded = year.len() > 4 && year.starts_with('0');
        if parts.next().is_some()
            || !(4..=9).contains(&year.len())
            || padded
            || !year.bytes().all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let year = year.parse::<i64>().ok()?;
        Self::new(if negative { -year } else { year }, two(month)?, two(day)?)
    }
}

impl Clock {
    fn parse(text: &str) -> Option<Self> {
        let (whole, nano) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, nanos_of(fraction)?),
            None => (text, 0),
        };
        let mut parts = whole.split(':');
        let (hour, minute, second) = (two(parts.next()?)?, two(parts.next()?)?, two(parts.next()?)?);
        if parts.next().is_some() {
            return None;
        }
        Self::new(hour, minute, second, nano)
    }
}

/// A fraction of a second in nanoseconds; digits past the ninth are cut.
fn nanos_of(fraction: &str) -> Option<u32> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    digits.parse().ok()
}

/// Splits off the zone: `Z`, `+01:00`, `-01:00:30` or `@Name`.
fn split_zone(text: &str) -> Option<(&str, Option<Zone>)> {
    if let Some((clock, name)) = text.split_once('@') {
        return Some((clock, Some(Zone::named(name)?)));
    }
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, Some(Zone::Offset(0))));
    }
    let Some(at) = text.find(['+', '-']) else {
        return Some((text, None));
    };
    let (clock, offset) = text.split_at(at);
    let mut parts = offset[1..].split(':');
    let (hours, minutes) = (two(parts.next()?)?, two(parts.next()?)?);
    let seconds = match parts.next() {
        Some(seconds) => two(seconds)?,
        None => 0,
    };
    if parts.next().is_some() || minutes > 59 || seconds > 59 {
        return None;
    }
    let total = hours * 3600 + minutes * 60 + seconds;
    Some((clock, Some(Zone::offset(if offset.starts_with('-') { -total } else { total })?)))
}

impl Time {
    /// Reads `10:30:00`, with fraction and zone when given. A leading `T` is allowed.
    pub fn parse(text: &str) -> Option<Self> {
        let (clock, zone) = split_zone(text.strip_prefix('T').unwrap_or(text))?;
        Some(Self { clock: Clock::parse(clock)?, zone })
    }
}

impl DateTime {
    /// Reads `2024-01-31T10:30:00`, with fraction and zone when given. A date alone is its midnight.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((date, time)) = text.split_once('T') else {
            return Date::parse(text).map(|date| Self::midnight(date, None));
        };
        let date = Date::parse(date)?;
        if time.starts_with('T') {
            return None;
        }
        // XML Schema's name for the first moment of the next day
        if let Some(rest) = time.strip_prefix("24:00:00") {
            let Time { clock, zone } = Time::parse(&format!("00:00:00{rest}"))?;
            let next = Date::from_epoch_day(date.epoch_day() + 1).filter(|_| clock == Clock::MIDNIGHT)?;
            return Some(Self::midnight(next, zone));
        }
        let Time { clock, zone } = Time::parse(time)?;
        Some(Self { date, clock, zone })
    }
}

impl Duration {
    /// Reads `P1Y2M` or `P1DT2H3M4.5S`; the two kinds do not mix.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let rest = rest.strip_prefix('P')?;
        let (date, time) = match rest.split_once('T') {
            Some((date, time)) if !time.is_empty() => (date, time),
            Some(_) => return None,
            None => (rest, ""),
        };
        if date.is_empty() && time.is_empty() {
            return None;
        }
        let duration = if date.contains(['Y', 'M']) {
            if !time.is_empty() {
                return None;
            }
            let [years, months] = fields(date, ['Y', 'M'])?;
            Self::months(i64::try_from(years.0.checked_mul(12)?.checked_add(months.0)?).ok()?)?
        } else {
            let [days] = fields(date, ['D'])?;
            let [hours, minutes, seconds] = fields(time, ['H', 'M', 'S'])?;
            let whole = days.0.checked_mul(86_400)?.checked_add(hours.0.checked_mul(3600)?)?;
            let whole = whole.checked_add(minutes.0.checked_mul(60)?)?.checked_add(seconds.0)?;
            Self::nanos(whole.checked_mul(NANOS_PER_SECOND)?.checked_add(seconds.1.into())?)?
        };
        Some(if negative { duration.negate() } else { duration })
    }
}

/// Reads `1Y2M` by its unit letters, in order, each at most once; a fraction only for seconds.
fn fields<const N: usize>(text: &str, units: [char; N]) -> Option<[(i128, u32); N]> {
    let mut found = [(0, 0); N];
    let mut rest = text;
    for (slot, unit) in found.iter_mut().zip(units) {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if !rest[end..].starts_with(unit) {
            continue;
        }
        let digits = &rest[..end];
        *slot = match digits.split_once('.') {
            Some((whole, "")) if unit == 'S' => (whole.parse().ok()?, 0),
            Some((whole, fraction)) if unit == 'S' => (whole.parse().ok()?, nanos_of(fraction)?),
            Some(_) => return None,
            None => (digits.parse().ok()?, 0),
        };
        rest = &rest[end + 1..];
    }
    rest.is_empty().then_some(found)
}
