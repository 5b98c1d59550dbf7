//! What a process counts, as Prometheus reads it.
//!
//! * [`Family`] and [`Histogram`]: durations in fixed buckets, each bucket with its last trace as exemplar. Observing takes no lock and
//!   allocates nothing, so that it can stand on the way of every token; everything else is a metric of `prometheus_client`.
//! * [`Exposition`]: all of them as one text, in the format that the scraper asks for ([`Format`]).
//!
//! Does not know what is counted, and keeps no labels that it was not given.

mod exposition;
mod histogram;

pub use exposition::{Exposition, Format};
pub use histogram::{Exemplar, Family, Histogram};

#[cfg(test)]
mod tests;
