//! Getting spans out: the OpenTelemetry SDK's batch processor over OTLP/gRPC.
//!
//! The processor has a thread of its own and blocks it on each export; the gRPC channel wants a tokio runtime.
//! That is a second small thread here, so that the daemons' single-threaded runtimes never wait for a collector.
//! Both exist only when there is an endpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler as SdkSampler, SdkTracerProvider, SpanData, SpanExporter};
use tokio::sync::oneshot;

use super::settings::{Sampler, Settings};
use super::tracer::Tracer;

/// The instrumentation scope of every span.
const SCOPE: &str = "flow";
const STACK: usize = 512 * 1024;

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint is not usable.
    #[error("cannot export spans to {endpoint}: {reason}; check OTEL_EXPORTER_OTLP_ENDPOINT (http://HOST:4317)")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The exporter's thread could not be started.
    #[error("cannot start the thread that exports spans: {0}")]
    Thread(#[from] std::io::Error),
    /// The last spans did not get out in time.
    #[error("the last spans were not exported: {0}")]
    Flush(String),
}

/// Tracing of this process, from start to flush.
#[derive(Debug)]
pub struct Tracing {
    tracer: Tracer,
    exporting: Option<Exporting>,
}

#[derive(Debug)]
struct Exporting {
    provider: SdkTracerProvider,
    /// Dropping it ends the channel's thread.
    channel: oneshot::Sender<()>,
}

impl Tracing {
    /// As the environment says ([`Settings::from_env`]); when exporting cannot start, a warning says why and the
    /// process goes on without.
    #[must_use]
    pub fn from_env(service: &str) -> Self {
        let mut settings = Settings::from_env(service);
        Self::start(&settings).unwrap_or_else(|error| {
            tracing::warn!("{error}; going on without");
            settings.endpoint = None;
            Self::off(&settings)
        })
    }

    /// As `settings` say.
    ///
    /// # Errors
    /// [`Error::Endpoint`] or [`Error::Thread`].
    pub fn start(settings: &Settings) -> Result<Self, Error> {
        let Some(endpoint) = &settings.endpoint else {
            return Ok(Self::off(settings));
        };
        let (processor, channel) = start_exporter(endpoint.clone(), settings.timeout)?;
        let provider = SdkTracerProvider::builder()
            .with_sampler(sdk_sampler(settings.sampler))
            .with_resource(resource(settings))
            .with_span_processor(processor)
            .build();
        let tracer = Tracer::new(Some(provider.tracer(SCOPE)), settings.sampler, settings.propagators);
        tracing::info!(endpoint, service = settings.service, "exporting spans");
        Ok(Self { tracer, exporting: Some(Exporting { provider, channel }) })
    }

    fn off(settings: &Settings) -> Self {
        Self { tracer: Tracer::new(None, settings.sampler, settings.propagators), exporting: None }
    }

    /// Makes the spans.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Exports what is left, for at most `deadline`, and ends the exporter's threads.
    ///
    /// # Errors
    /// [`Error::Flush`] when the collector did not take the rest in time.
    pub async fn shutdown(self, deadline: Duration) -> Result<(), Error> {
        let Some(Exporting { provider, channel }) = self.exporting else {
            return Ok(());
        };
        // The SDK blocks while it flushes.
        let flush = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(deadline));
        let flushed = flush.await;
        drop(channel);
        let failed = match flushed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(Error::Flush(failed))
    }
}

fn sdk_sampler(sampler: Sampler) -> SdkSampler {
    let root = match sampler.ratio {
        ratio if ratio >= 1.0 => SdkSampler::AlwaysOn,
        ratio if ratio <= 0.0 => SdkSampler::AlwaysOff,
        ratio => SdkSampler::TraceIdRatioBased(ratio),
    };
    if sampler.parent_based { SdkSampler::ParentBased(Box::new(root)) } else { root }
}

fn resource(settings: &Settings) -> Resource {
    let attributes = settings.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("telemetry.sdk.name", "opentelemetry"),
            KeyValue::new("telemetry.sdk.language", "rust"),
        ])
        .with_attributes(attributes)
        .with_attribute(KeyValue::new("service.name", settings.service.clone()))
        .build()
}

/// Starts the runtime of the channel, and the processor that exports through it.
fn start_exporter(
    endpoint: String,
    timeout: Option<Duration>,
) -> Result<(BatchSpanProcessor, oneshot::Sender<()>), Error> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (started, starting) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("span-export".to_owned()).stack_size(STACK).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(Error::Thread(error)))),
        };
        let exporter = {
            let _within = runtime.enter();
            build_exporter(endpoint, timeout)
        };
        if started.send(exporter).is_ok() {
            // Ends when the sender is dropped.
            let _ = runtime.block_on(stopped);
        }
        runtime.shutdown_background();
    })?;
    let exporter = starting.recv().map_err(|error| std::io::Error::other(error.to_string()))??;
    Ok((BatchSpanProcessor::builder(exporter).build(), stop))
}

fn build_exporter(endpoint: String, timeout: Option<Duration>) -> Result<Reporting, Error> {
    let mut builder = OtlpExporter::builder().with_tonic().with_endpoint(endpoint.clone());
    if let Some(timeout) = timeout {
        builder = builder.with_timeout(timeout);
    }
    match builder.build() {
        Ok(exporter) => Ok(Reporting { exporter, endpoint: endpoint.into(), failing: AtomicBool::new(false) }),
        Err(error) => Err(Error::Endpoint { endpoint, reason: error.to_string() }),
    }
}

/// Says once when the collector is away and once when it is back; the SDK itself is silent.
#[derive(Debug)]
struct Reporting {
    exporter: OtlpExporter,
    endpoint: Arc<str>,
    failing: AtomicBool,
}

impl SpanExporter for Reporting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        let failed_before = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match (&result, failed_before) {
            (Err(error), false) => {
                tracing::warn!(endpoint = %self.endpoint, %error, spans, "cannot export spans; they are lost until this works again");
            }
            (Ok(()), true) => tracing::info!(endpoint = %self.endpoint, "exporting spans again"),
            (Err(_), true) | (Ok(()), false) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
