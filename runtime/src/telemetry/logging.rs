//! Log lines: on standard error, since standard output belongs to data and to the `ready` line.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// The variable that overrides the level: a filter such as `info,flow_hop=debug`.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(LogError::Format(other.to_owned())),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No such format.
    #[error("{0:?} is no log format; use text or json")]
    Format(String),
    /// The level (or filter) is not understood.
    #[error(
        "{filter:?} is no log level: {reason}; use error, warn, info, debug, trace or a filter like info,flow_hop=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody was first.
    #[error("logging was set up before in this process")]
    Twice,
}

/// Sets up logging for the process: `level` (or a filter), unless `RUST_LOG` says otherwise.
///
/// # Errors
/// See [`LogError`].
pub fn init_logging(format: LogFormat, level: &str) -> Result<(), LogError> {
    let wanted = std::env::var(FILTER_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let filter = filter(wanted.as_deref().unwrap_or(level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let set = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    set.map_err(|_| LogError::Twice)
}

fn filter(text: &str) -> Result<EnvFilter, LogError> {
    // The original's levels are in capitals (`--log_level DEBUG`) and know a WARNING.
    let text = if text.eq_ignore_ascii_case("warning") { "warn" } else { text };
    EnvFilter::try_new(text).map_err(|error| LogError::Filter { filter: text.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_taken_and_garbage_is_not() {
        for good in ["info", "DEBUG", "WARNING", "info,flow_hop=debug"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        let error = filter("flow=loudest").unwrap_err();
        assert!(error.to_string().contains("debug"));
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
