//! flowd as a whole, over its ports: with sidecars that are played by the test.

mod daemon;
mod harness;
mod http;
mod lifecycle;
mod process;
mod security;
mod sidecar;
