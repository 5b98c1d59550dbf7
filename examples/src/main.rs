//! `example-service NAME`: the small HTTP services that the examples call.
//!
//! One process is one service. It knows nothing of BPMN, of sidecars or of REXFlow: it answers
//! `POST` with JSON and `GET` with 200, like any container that was there before. It prints
//! `ready http://ADDRESS:PORT` once it serves, and ends with code 0 on SIGTERM or SIGINT.

mod behaviour;
mod callback;
mod server;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::behaviour::Behaviour;
use crate::server::Service;

/// One small HTTP service of the examples.
#[derive(Debug, Parser)]
#[command(name = "example-service", version)]
struct Options {
    /// What the service does.
    #[arg(value_enum)]
    name: Behaviour,
    /// Port to listen on; 0 takes a free one, which the `ready` line tells.
    #[arg(long, env = "PORT", default_value_t = 0)]
    port: u16,
    /// Address to listen on.
    #[arg(long, env = "BIND", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// `unreliable-sauce`: how many of 100 calls fail with HTTP 500.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    fail_percent: u8,
    /// `unreliable-sauce`: seed of its failures; a random one is chosen and printed without it.
    #[arg(long)]
    seed: Option<u64>,
    /// Take the work, answer 202, and call back when it is done, for tasks that are asynchronous.
    #[arg(long)]
    later: bool,
    /// Milliseconds to wait before each answer.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(rand::random);
    if options.name == Behaviour::UnreliableSauce {
        eprintln!("unreliable-sauce: --fail-percent {} --seed {seed}", options.fail_percent);
    }
    let address = SocketAddr::new(options.bind, options.port);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another --port"))?;
    // Before `ready`: whoever reads that may ask it to end at once.
    let stop = server::termination()?;
    println!("ready http://{}", listener.local_addr()?);
    let delay = Duration::from_millis(options.delay_ms);
    let service = Service::new(options.name, options.fail_percent, seed, delay, options.later);
    server::serve(listener, service, stop).await;
    Ok(())
}
