//! Logs of flowctl itself, on standard error, at the original's numeric levels.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Logs every answer that it does not like as an error; what is one, flowctl says itself.
const KUBE: &str = "kube_client";

/// The levels of the original: 10 is debug, 20 info, 30 warning, 40 error; below 10 everything.
pub(crate) fn level(number: u16) -> LevelFilter {
    match number {
        0..10 => LevelFilter::TRACE,
        10..20 => LevelFilter::DEBUG,
        20..30 => LevelFilter::INFO,
        30..40 => LevelFilter::WARN,
        40..50 => LevelFilter::ERROR,
        50.. => LevelFilter::OFF,
    }
}

/// Starts logging; called once.
pub(crate) fn init(number: u16) {
    let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let kube = if number < 20 { level(number) } else { LevelFilter::OFF };
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(number < 20)
        .finish()
        .with(Targets::new().with_default(level(number)).with_target(KUBE, kube))
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_numbers_keep_their_meaning() {
        assert_eq!(level(10), LevelFilter::DEBUG);
        assert_eq!(level(20), LevelFilter::INFO);
        assert_eq!(level(30), LevelFilter::WARN);
    }
}
