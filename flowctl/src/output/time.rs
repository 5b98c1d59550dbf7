//! Times and durations as people read them.

use std::time::Duration;

use jiff::Timestamp;

/// How long ago, in kubectl's manner: `5s`, `3m20s`, `7h`, `12d`; `-` if it has not happened.
pub(crate) fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(|| "-".to_owned(), |then| coarse(between(then, now)))
}

/// From one time to the next; zero if the clock of another machine says otherwise.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A duration with the precision that matters at its size: `850us`, `12.4ms`, `3.20s`, then as an age.
pub(crate) fn fine(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..1_000_000 => format!("{:.1}ms", duration.as_secs_f64() * 1e3),
        1_000_000..60_000_000 => format!("{:.2}s", duration.as_secs_f64()),
        60_000_000.. => coarse(duration),
    }
}

fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if !seconds.is_multiple_of(60) => format!("{minutes}m{}s", seconds % 60),
        120..7_200 => format!("{minutes}m"),
        7_200..172_800 => format!("{hours}h"),
        172_800.. => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ago = |seconds: i64| age(Timestamp::from_second(1_000_000 - seconds).ok(), now);
        assert_eq!(ago(0), "0s");
        assert_eq!(ago(119), "119s");
        assert_eq!(ago(200), "3m20s");
        assert_eq!(ago(3_600), "60m");
        assert_eq!(ago(86_400), "24h");
        assert_eq!(ago(864_000), "10d");
        assert_eq!(ago(-5), "0s");
        assert_eq!(age(None, now), "-");
    }

    #[test]
    fn short_durations_keep_their_digits() {
        assert_eq!(fine(Duration::from_micros(850)), "850us");
        assert_eq!(fine(Duration::from_micros(12_400)), "12.4ms");
        assert_eq!(fine(Duration::from_millis(3_200)), "3.20s");
        assert_eq!(fine(Duration::from_secs(90)), "90s");
    }
}
