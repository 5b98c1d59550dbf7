//! The standard `OTEL_*` variables that this project honours (OpenTelemetry, "Environment Variable Specification").

use std::time::Duration;

use super::propagation::Propagators;

/// Which traces are recorded (`OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// The share of new traces that are recorded, 0 to 1.
    pub ratio: f64,
    /// Whether a trace that comes from elsewhere keeps the decision made there.
    pub parent_based: bool,
}

impl Default for Sampler {
    /// `parentbased_always_on`.
    fn default() -> Self {
        Self { ratio: 1.0, parent_based: true }
    }
}

impl Sampler {
    fn parse(name: &str, argument: Option<&str>) -> Result<Self, String> {
        let (parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let ratio = match root {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => ratio(argument)?,
            _ => {
                return Err(format!("OTEL_TRACES_SAMPLER={name} is not known; recording every new trace"));
            }
        };
        Ok(Self { ratio, parent_based })
    }

    /// The decision for a trace of its own, by its id: the same in every process with the same ratio.
    pub(crate) fn samples_root(&self, trace_id: u128) -> bool {
        if self.ratio >= 1.0 {
            return true;
        }
        // As the specification has it: the id's lower 63 bits against the share of their range. The casts are
        // meant: the bound needs no more digits than a double has.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let bound = (self.ratio.max(0.0) * (1_u64 << 63) as f64) as u64;
        let low = (trace_id & u128::from(u64::MAX)) >> 1;
        low < u128::from(bound)
    }
}

fn ratio(argument: Option<&str>) -> Result<f64, String> {
    let Some(argument) = argument else {
        return Ok(1.0);
    };
    let parsed = argument.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    parsed.ok_or_else(|| {
        format!("OTEL_TRACES_SAMPLER_ARG={argument} is no number from 0 to 1; recording every new trace")
    })
}

/// What the variables say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where spans go (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, else `OTEL_EXPORTER_OTLP_ENDPOINT`); `None`: nowhere.
    pub endpoint: Option<String>,
    /// `service.name`.
    pub service: String,
    /// Further attributes of the resource (`OTEL_RESOURCE_ATTRIBUTES`).
    pub attributes: Vec<(String, String)>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// What goes into outgoing headers.
    pub propagators: Propagators,
    /// How long one export may take (`OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`, `OTEL_EXPORTER_OTLP_TIMEOUT`).
    pub timeout: Option<Duration>,
}

impl Settings {
    /// Reads the environment; `service` is the name without `OTEL_SERVICE_NAME`. What is wrong is logged as a
    /// warning and its default used: tracing never keeps a process from running.
    #[must_use]
    pub fn from_env(service: &str) -> Self {
        let (settings, warnings) = Self::read(service, |name| std::env::var(name).ok());
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        settings
    }

    /// Reads variables by `variable`; answers with the settings and what was wrong.
    pub fn read(service: &str, variable: impl Fn(&str) -> Option<String>) -> (Self, Vec<String>) {
        let get = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
        let mut warnings = Vec::new();
        let mut attributes = resource(get("OTEL_RESOURCE_ATTRIBUTES").as_deref().unwrap_or_default());
        let named = attributes.iter().find(|(key, _)| key == "service.name").map(|(_, name)| name.clone());
        attributes.retain(|(key, _)| key != "service.name");
        let sampler = get("OTEL_TRACES_SAMPLER").map(|name| {
            Sampler::parse(&name, get("OTEL_TRACES_SAMPLER_ARG").as_deref()).unwrap_or_else(|warning| {
                warnings.push(warning);
                Sampler::default()
            })
        });
        let millis = get("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT").or_else(|| get("OTEL_EXPORTER_OTLP_TIMEOUT"));
        let settings = Self {
            endpoint: endpoint(&get, &mut warnings),
            service: get("OTEL_SERVICE_NAME").or(named).unwrap_or_else(|| service.to_owned()),
            attributes,
            sampler: sampler.unwrap_or_default(),
            propagators: get("OTEL_PROPAGATORS").map(|list| Propagators::parse(&list)).unwrap_or_default(),
            timeout: millis.and_then(|millis| millis.parse().ok()).map(Duration::from_millis),
        };
        (settings, warnings)
    }
}

fn endpoint(get: &impl Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> Option<String> {
    let disabled = get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if disabled || get("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none") {
        return None;
    }
    let endpoint = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| get("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
    let protocol = get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| get("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match protocol.as_deref() {
        None | Some("grpc") => Some(endpoint),
        Some(other) => {
            warnings.push(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL={other} is not supported, spans are not exported; use grpc \
                 (most collectors take it on port 4317)"
            ));
            None
        }
    }
}

/// `key=value,key=value`, values percent-encoded (OpenTelemetry, "Resource SDK").
fn resource(list: &str) -> Vec<(String, String)> {
    let pairs = list.split(',').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(key, value)| (key.trim().to_owned(), percent_decoded(value.trim())));
    pairs.filter(|(key, _)| !key.is_empty()).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = (byte == b'%').then(|| after.get(..2)).flatten();
        let value = hex.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        decoded.push(value.unwrap_or(byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}
