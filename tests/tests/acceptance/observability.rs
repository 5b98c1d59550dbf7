//! What operators look at: metrics as a real Prometheus sees them, the dashboards and alert rules of the chart, and log lines.

mod dashboards;
mod logs;
mod prometheus;
mod scraped;
