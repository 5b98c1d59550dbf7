//! What the product must show, with real processes: flowd, `flow-sidecar`s and `flowctl` as users start them.

mod bad_folders;
mod bad_models;
mod bad_requests;
mod bad_tasks;
mod callbacks;
mod connectors;
mod contract;
mod dev;
mod drain;
mod ends;
mod errors;
mod examples;
mod failure_records;
mod flow_daemon;
mod ingress;
mod kills;
mod messages;
mod operations;
mod original;
mod outage;
mod security;
mod start_event;
mod swap;
mod takeover;
mod topics;
mod tracing;
