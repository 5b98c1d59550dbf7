//! One page of metrics, in one of the two text formats that Prometheus reads.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::header::ACCEPT;
use prometheus_client::registry::Registry;

use super::Family;

/// A format of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0: with exemplars and units.
    OpenMetrics,
    /// Prometheus's text format 0.0.4, for whoever does not ask for the other one.
    Plain,
}

impl Format {
    const OPEN_METRICS: &str = "application/openmetrics-text";

    /// What a scraper asks for. Preferences among what it takes are not looked at: whoever takes OpenMetrics gets it.
    #[must_use]
    pub fn asked(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut ranges = accepted.flat_map(|value| value.split(','));
        let refused = |range: &str| range.split(';').skip(1).any(|it| matches!(it.trim(), "q=0" | "q=0.0"));
        let wants = |range: &str| {
            let kind = range.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case(Self::OPEN_METRICS) && !refused(range)
        };
        if ranges.any(wants) { Self::OpenMetrics } else { Self::Plain }
    }

    /// Its content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Everything that a process counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exposition {
    registry: Arc<Registry>,
    families: Arc<[Family]>,
}

impl Exposition {
    /// Of what is in `registry`, and of these histograms.
    #[must_use]
    pub fn new(registry: Registry, families: impl IntoIterator<Item = Family>) -> Self {
        Self { registry: Arc::new(registry), families: families.into_iter().collect() }
    }

    /// As it is now.
    ///
    /// # Errors
    /// When a collector of the registry fails.
    pub fn text(&self, format: Format) -> Result<String, fmt::Error> {
        let mut registered = String::new();
        prometheus_client::encoding::text::encode_registry(&mut registered, &self.registry)?;
        let mut page = match format {
            Format::OpenMetrics => registered,
            Format::Plain => plain(&registered),
        };
        self.families.iter().try_for_each(|family| family.write(&mut page, format))?;
        if format == Format::OpenMetrics {
            page.push_str("# EOF\n");
        }
        Ok(page)
    }
}

/// The same in the older format: counters are described by the name of their sample, and there are no units.
fn plain(page: &str) -> String {
    let mut plain = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
            continue;
        }
        if line.starts_with("# UNIT ") {
            continue;
        }
        let described = line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '));
        let Some((name, kind)) = described else {
            plain.extend([line, "\n"]);
            continue;
        };
        let total = if kind == "counter" { "_total" } else { "" };
        // what OpenMetrics calls so has no name here
        let kind = if kind == "unknown" { "untyped" } else { kind };
        if let Some((_, text)) = help.take().and_then(|it| it.strip_prefix("# HELP ")?.split_once(' ')) {
            plain.extend(["# HELP ", name, total, " ", text, "\n"]);
        }
        plain.extend(["# TYPE ", name, total, " ", kind, "\n"]);
    }
    plain
}
