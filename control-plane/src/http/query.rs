//! Reading a path segment and a query string.

use std::time::Duration;

/// What `?start_event=S&wait=30s` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) start_event: String,
    pub(super) wait: Option<Duration>,
}

/// The longest wait; a client that wants more asks again.
const MAX_WAIT: Duration = Duration::from_secs(3600);

impl Query {
    /// Reads a query; says what it does not know.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, String> {
        let mut read = Self::default();
        let pairs = query.unwrap_or_default().split('&').filter(|it| !it.is_empty());
        for pair in pairs {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match decoded(key).as_str() {
                "start_event" => read.start_event = decoded(&value.replace('+', " ")),
                "wait" => read.wait = Some(duration(value)?.min(MAX_WAIT)),
                other => return Err(format!("there is no parameter {other:?}; there are start_event and wait")),
            }
        }
        Ok(read)
    }
}

/// `30s`, `500ms`, `2m`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("wait={text} is no time; write 30s, 500ms or 2m");
    let digits = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(wrong()),
    }
}

/// Every parameter, decoded, in order.
pub(super) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter(|it| !it.is_empty());
    let read = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(&value.replace('+', " ")))
    };
    pairs.map(read).collect()
}

/// An ISO 8601 duration, or a number of milliseconds.
pub(super) fn time_to_live(text: &str) -> Result<u64, String> {
    if let Ok(milliseconds) = text.parse() {
        return Ok(milliseconds);
    }
    let wrong = |_| format!("ttl={text} is no time; write PT1H, or milliseconds");
    routing::timer::after(text, 0).map_err(wrong)
}

/// Percent-decoded; what is malformed stays as it is.
pub(super) fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_and_start_events_are_read() {
        let read = |text| Query::parse(Some(text)).unwrap();
        assert_eq!(read("wait=30s").wait, Some(Duration::from_secs(30)));
        assert_eq!(read("wait=5").wait, Some(Duration::from_secs(5)));
        assert_eq!(read("start_event=a%20b&wait=250ms").start_event, "a b");
        assert_eq!(read("wait=999999m").wait, Some(MAX_WAIT));
        assert_eq!(Query::parse(None).unwrap(), Query::default());
        for bad in ["wait=", "wait=soon", "wait=-1s", "wait=5h", "wiat=1s", "wait=99999999999999999999s"] {
            assert!(Query::parse(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn malformed_escapes_stay() {
        assert_eq!(decoded("a%2Fb%zz%"), "a/b%zz%");
        assert_eq!(decoded("%ff"), "%ff");
    }
}
