//! Durations on the command line: `30s`, `500ms`, `1h30m`, ISO 8601, or a bare number of seconds.

use std::time::Duration;

/// Reads a duration; negative ones and nonsense are refused.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no duration: write it as 30s, 500ms, 2m or 1h30m");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(u64::from(seconds)));
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| bad())?;
    Duration::try_from(span).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_read() {
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("PT5S"), Ok(Duration::from_secs(5)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "-5s", "soon", "5 parsecs"] {
            assert!(parse(text).is_err(), "{text} was taken for a duration");
        }
    }
}
