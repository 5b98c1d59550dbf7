//! Logs, trace context and spans.
//!
//! * [`init_logging`]: lines on standard error, text or JSON. Once per process.
//! * [`TraceContext`]: where a request stands in its trace; carried with whatever goes on, taken from and put into
//!   HTTP headers by [`TraceContext::extract`] and [`Propagators::inject`].
//! * [`Tracing`]: started from the standard `OTEL_*` variables ([`Settings`]), gives a [`Tracer`]; its
//!   [`Tracing::shutdown`] flushes.
//! * [`Tracer`] and [`Span`]: spans with explicit times. Without an endpoint variable nothing is exported, no
//!   thread exists, and a span is the context that it passes on.
//!
//! Does not make log lines of spans nor spans of log lines, and never puts payloads into either.

mod context;
mod export;
mod logging;
mod propagation;
mod settings;
mod tracer;

pub use context::{TraceContext, sampled_trace};
pub use export::{Error, Tracing};
pub use logging::{LogError, LogFormat, init_logging};
pub use opentelemetry::trace::SpanKind;
pub use propagation::{B3, Propagators};
pub use settings::{Sampler, Settings};
pub use tracer::{AttributeValue, Span, Tracer};

#[cfg(test)]
mod tests;
