//! Cycles of the original's dialect that have dates, or that are computed: when they fire is reckoned as the original does.
//!
//! | form | fires |
//! |---|---|
//! | `R3/PT10S` | three times, the first after 10 s |
//! | `R3/<start>/PT10S` | three times, the first at the start |
//! | `R3/P1D/<end>` | three times, the last at the end |
//! | `R0/P1D/<end>` | each day from now on, as often as there is time for |
//! | `R/PT5M/<end>` | every minute of the last five, the last time at the end |
//! | `R3/<start>/<end>` | three times: at the start, in the middle, at the end |
//! | `R/<start>/<end>` | every minute, at start and end too |
//!
//! `R` or `R0` alone have no end. What is over when the timer is set does not happen, but for the last time, which is at once. The standard's
//! reading of the same texts is [`super::due`]'s for cycles.

use super::{Cycle, Due, after, cron, instant, on_grid};
use crate::token::Timestamp;

/// How often a cycle fires that says neither how often nor how far apart, milliseconds.
const MINUTE: u64 = 60_000;

pub(super) fn cycle(text: &str, from: Timestamp) -> Result<Due, String> {
    let wrong = || format!("{text:?} is no repeating interval such as R3/PT10S, and no cron expression");
    let Some(rest) = text.strip_prefix('R') else {
        return Ok(Due { at: cron(text, from)?, again: Some(Cycle { every: text.to_owned(), left: None }) });
    };
    let parts: Vec<&str> = rest.split('/').map(str::trim).collect();
    let (count, parts) = parts.split_first().ok_or_else(wrong)?;
    let count: Option<u32> = match *count {
        "" | "-1" => None,
        number => Some(number.parse().map_err(|_| wrong())?),
    };
    let times = count.filter(|it| *it > 0);
    let left = times.map(|it| it - 1);
    match *parts {
        [every] if is_period(every) => {
            Ok(Due { at: after(every, from)?, again: Some(Cycle { every: every.to_owned(), left }) })
        }
        [start, every] if is_period(every) && !is_period(start) => on_grid(instant(start)?, every, left, from),
        [every, end] if is_period(every) && !is_period(end) => until(every, instant(end)?, count, from, text),
        [start, end] if !is_period(start) && !is_period(end) => {
            within(instant(start)?, instant(end)?, times, from, text)
        }
        _ => Err(wrong()),
    }
}

fn is_period(text: &str) -> bool {
    text.starts_with('P')
}

/// A period and an end.
fn until(every: &str, end: Timestamp, count: Option<u32>, from: Timestamp, text: &str) -> Result<Due, String> {
    let step = after(every, from)?.saturating_sub(from);
    if step == 0 {
        return Err(format!("{every:?} is no time at all"));
    }
    match count {
        Some(0) => {
            let fits = u32::try_from(end.saturating_sub(from) / step).unwrap_or(u32::MAX);
            let left = fits.checked_sub(1).ok_or_else(|| format!("{text:?} is over"))?;
            Ok(Due { at: from + step, again: Some(Cycle { every: every.to_owned(), left: Some(left) }) })
        }
        Some(times) => {
            let before = step.checked_mul(u64::from(times - 1)).filter(|it| *it <= end);
            let start = end - before.ok_or_else(|| format!("{text:?} begins before 1970"))?;
            not_over(end, from, text)?;
            on_grid(start, &seconds(step), Some(times - 1), from)
        }
        None => {
            let times = u32::try_from((step / MINUTE).max(1)).map_err(|_| format!("{text:?} is too long"))?;
            not_over(end, from, text)?;
            let start = end.saturating_sub(MINUTE * u64::from(times - 1));
            on_grid(start, &seconds(MINUTE), Some(times - 1), from)
        }
    }
}

/// A start and an end.
fn within(start: Timestamp, end: Timestamp, times: Option<u32>, from: Timestamp, text: &str) -> Result<Due, String> {
    let span = end.checked_sub(start).ok_or_else(|| format!("{text:?} ends before it starts"))?;
    not_over(end, from, text)?;
    let (step, times) = match times {
        Some(1) => return on_grid(start, &seconds(span.max(1)), Some(0), from),
        Some(times) => (span / u64::from(times - 1), times),
        None => (MINUTE, u32::try_from(span / MINUTE + 1).map_err(|_| format!("{text:?} is too long"))?),
    };
    on_grid(start, &seconds(step), Some(times - 1), from)
}

fn not_over(end: Timestamp, from: Timestamp, text: &str) -> Result<(), String> {
    if end < from { Err(format!("{text:?} is over")) } else { Ok(()) }
}

fn seconds(milliseconds: u64) -> String {
    format!("PT{}S", milliseconds as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NOW: Timestamp = 1_767_225_600_000;
    const DAY: u64 = 86_400_000;

    /// When it fires, seconds from now on.
    fn fires(text: &str) -> Result<Vec<f64>, String> {
        let mut due = cycle(text, NOW)?;
        let mut all = Vec::new();
        loop {
            all.push((due.at as f64 - NOW as f64) / 1000.0);
            assert!(all.len() <= 20, "{text} does not end: {all:?}");
            match due.again.and_then(|cycle| cycle.next(due.at).unwrap()) {
                Some(next) => due = next,
                None => return Ok(all),
            }
        }
    }

    fn days(text: &str) -> Vec<f64> {
        fires(text).unwrap().into_iter().map(|it| it * 1000.0 / DAY as f64).collect()
    }

    #[test]
    fn a_recurrence_and_a_period() {
        assert_eq!(fires("R3/PT10S").unwrap(), [10.0, 20.0, 30.0]);
        assert_eq!(fires("R1/PT0.5S").unwrap(), [0.5]);
        for endless in ["R/PT10S", "R0/PT10S"] {
            assert_eq!(cycle(endless, NOW).unwrap().again.unwrap().left, None, "{endless}");
        }
    }

    #[test]
    fn a_recurrence_a_start_and_a_period() {
        assert_eq!(fires("R3/2026-01-01T00:01:00Z/PT10S").unwrap(), [60.0, 70.0, 80.0]);
        assert_eq!(fires("R3/2025-12-31T23:59:55Z/PT10S").unwrap(), [5.0, 15.0], "the first one is over");
        assert_eq!(fires("R3/2025-01-01T00:00:00Z/PT10S").unwrap(), [0.0], "all are: the last one is at once");
    }

    #[test]
    fn a_recurrence_a_period_and_an_end() {
        assert_eq!(days("R3/P1D/2026-01-11T00:00:00Z"), [8.0, 9.0, 10.0]);
        assert_eq!(days("R3/P1D/2026-01-02T12:00:00Z"), [0.5, 1.5], "the first one is over");
        assert_eq!(days("R0/P1D/2026-01-03T00:00:00Z"), [1.0, 2.0]);
        assert_eq!(days("R0/P1D/2026-01-03T23:00:00Z"), [1.0, 2.0]);
        assert_eq!(fires("R/PT5M/2026-01-01T01:00:00Z").unwrap(), [3360.0, 3420.0, 3480.0, 3540.0, 3600.0]);
    }

    #[test]
    fn a_recurrence_a_start_and_an_end() {
        assert_eq!(fires("R3/2026-01-01T00:00:10Z/2026-01-01T00:00:20Z").unwrap(), [10.0, 15.0, 20.0]);
        assert_eq!(fires("R1/2026-01-01T00:00:10Z/2026-01-01T00:00:20Z").unwrap(), [10.0]);
        assert_eq!(fires("R/2026-01-01T00:00:00Z/2026-01-01T00:02:30Z").unwrap(), [0.0, 60.0, 120.0]);
        assert_eq!(fires("R2/2026-01-01T00:00:10Z/2026-01-01T00:00:10.5Z").unwrap(), [10.0, 10.5]);
    }

    #[test]
    fn what_cannot_be_says_why() {
        for (text, why) in [
            ("R3/P1D/2025-01-01T00:00:00Z", "is over"),
            ("R0/P1D/2026-01-01T01:00:00Z", "is over"),
            ("R3/2025-01-01T00:00:00Z/2025-01-02T00:00:00Z", "is over"),
            ("R3/2026-01-03T00:00:00Z/2026-01-02T00:00:00Z", "ends before it starts"),
            ("R3/2026-01-02T00:00:00Z/2026-01-02T00:00:00Z", "no time at all"),
            ("R3/PT0S/2026-01-02T00:00:00Z", "no time at all"),
            ("R4000000000/P10000D/2026-01-02T00:00:00Z", "before 1970"),
            ("R3/PT1S/PT2S", "no repeating interval"),
            ("Rx/PT1S", "no repeating interval"),
            ("R3", "no repeating interval"),
            ("R3/soon/PT1S", "not an ISO 8601 date"),
        ] {
            let told = cycle(text, NOW).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
