//! flowd's flags, each with an environment variable; read once, at the start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use runtime::outbound::{Allow, Rules};
use runtime::telemetry::LogFormat;

use crate::kubernetes::Flags;
use crate::ledger::Retention;
use crate::store::{self, Location};
use crate::topics::address::{self, Address};
use crate::topics::client::AnyClient;

/// How flowd is to run. The defaults serve one machine: loopback, a folder beside the caller.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "flowd", version, about = "The control plane: deploys BPMN processes and keeps their ledger")]
pub struct Config {
    /// Port of gRPC: flowctl and sidecars; 0 takes a free one.
    #[arg(long, env = "FLOW_PORT", default_value_t = 9001)]
    pub port: u16,
    /// Port of HTTP: /start, /health, /ready, /metrics; 0 takes a free one.
    #[arg(long, env = "FLOW_HTTP_PORT", default_value_t = 9002)]
    pub http_port: u16,
    /// Address that both ports are opened on. Off loopback: TLS and a token, or --insecure.
    #[arg(long, env = "FLOW_LISTEN", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub listen: IpAddr,
    /// How other flowds, and tasks that call back, reach this one, when that is not the address it listens on.
    #[arg(long, env = "FLOW_ADVERTISE", value_name = "HOST")]
    pub advertise: Option<String>,
    /// How asynchronous tasks reach this flowd's HTTP port, when that is not http(s)://HOST:PORT of --advertise or --listen.
    #[arg(long, env = "FLOW_CALLBACK_URL", value_name = "URL")]
    pub callback_url: Option<String>,
    /// Folder of the store; created if absent.
    #[arg(long, env = "FLOW_DATA_DIR", default_value = "flow-data", conflicts_with = "store")]
    pub data_dir: PathBuf,
    /// etcd instead of a folder: etcd://HOST:2379,HOST:2379/PREFIX; one host is enough, the prefix is optional.
    #[arg(long, env = "FLOW_STORE", value_name = "URL")]
    pub store: Option<String>,
    /// Topics at a broker instead of flowd's own: nats://HOST:PORT or kafka://HOST:PORT, several servers with commas.
    #[arg(long, env = "FLOW_TOPICS", value_name = "URL", hide_env_values = true)]
    pub topics: Option<String>,
    /// Where notifications may be posted although it is loopback, link-local or a metadata service; may be given often. On loopback (--listen),
    /// loopback is allowed.
    #[arg(long, env = "FLOW_ALLOW_CONNECT", value_name = "CIDR|HOST[:PORT]", value_delimiter = ',')]
    pub allow_connect: Vec<Allow>,
    /// Certificates (PEM) that servers of notifications may be signed by, besides those that the system trusts.
    #[arg(long, env = "FLOW_CONNECT_CA", value_name = "FILE")]
    pub connect_ca: Option<PathBuf>,
    /// Certificate (PEM) with this process's SPIFFE name, spiffe://DOMAIN/flowd.
    #[arg(long, env = "FLOW_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Key (PEM) of the certificate.
    #[arg(long, env = "FLOW_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Certificates (PEM) that peers must be signed by.
    #[arg(long, env = "FLOW_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// File with the token that every caller must show.
    #[arg(long, env = "FLOW_TOKEN_FILE", value_name = "FILE")]
    pub token: Option<PathBuf>,
    /// Serve off loopback without TLS or token; anyone who reaches the ports can use them.
    #[arg(long, env = "FLOW_INSECURE")]
    pub insecure: bool,
    /// Connections that each port bears.
    #[arg(long, env = "FLOW_MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: usize,
    /// Days that ended instances are kept.
    #[arg(long, env = "FLOW_RETENTION_DAYS", default_value_t = 7)]
    pub retention_days: u64,
    /// Ended instances that are kept at most.
    #[arg(long, env = "FLOW_RETENTION_COUNT", default_value_t = 1_000_000)]
    pub retention_count: usize,
    /// Hours that a topic keeps a message.
    #[arg(long, env = "FLOW_TOPIC_RETENTION_HOURS", default_value_t = 72, value_parser = clap::value_parser!(u64).range(1..=87_660))]
    pub topic_retention_hours: u64,
    /// Messages that a topic keeps at most.
    #[arg(long, env = "FLOW_TOPIC_RETENTION_COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    pub topic_retention_count: u64,
    /// The cluster.
    #[command(flatten)]
    pub kubernetes: Flags,
    /// error, warn, info, debug, trace, or a filter.
    #[arg(long, env = "FLOW_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// text or json.
    #[arg(long, env = "FLOW_LOG_FORMAT", default_value = "text", value_parser = |it: &str| it.parse::<LogFormat>())]
    pub log_format: LogFormat,
}

impl Config {
    /// The defaults on free ports of loopback, with the store in `data_dir`.
    #[must_use]
    pub fn local(data_dir: impl Into<PathBuf>) -> Self {
        Self { port: 0, http_port: 0, data_dir: data_dir.into(), ..Self::default() }
    }

    /// How others reach the port bound to `bound`, `HOST:PORT`.
    pub(crate) fn advertised(&self, bound: SocketAddr) -> String {
        match &self.advertise {
            Some(host) if host.contains(':') => format!("[{}]:{}", host.trim_matches(['[', ']']), bound.port()),
            Some(host) => format!("{host}:{}", bound.port()),
            None => bound.to_string(),
        }
    }

    /// Where tasks call back, given where the HTTP port is bound.
    pub(crate) fn callbacks(&self, bound: SocketAddr, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        self.callback_url.clone().unwrap_or_else(|| format!("{scheme}://{}", self.advertised(bound)))
    }

    /// What topics keep.
    pub(crate) fn topic_retention(&self) -> Retention {
        let age = self.topic_retention_hours.saturating_mul(3_600_000);
        Retention { age, count: usize::try_from(self.topic_retention_count).unwrap_or(usize::MAX) }
    }

    /// Where calls to the outside may connect.
    pub(crate) fn outbound(&self) -> Rules {
        let mut allow = self.allow_connect.clone();
        if self.listen.is_loopback() {
            // whoever can ask for it is on this machine already
            allow.push(Allow::Net(Ipv4Addr::LOCALHOST.into(), 8, None));
            allow.push(Allow::Net(Ipv6Addr::LOCALHOST.into(), 128, None));
        }
        Rules { allow, ca: self.connect_ca.clone() }
    }

    /// Where topics are, if not here.
    ///
    /// # Errors
    /// When `--topics` is not understood, or no client for it was built in.
    pub(crate) fn broker(&self) -> Result<Option<Address>, address::Error> {
        let Some(address) = &self.topics else { return Ok(None) };
        let address = address.parse()?;
        AnyClient::check(&address)?;
        Ok(Some(address))
    }

    /// Where the store is.
    ///
    /// # Errors
    /// When `--store` is not understood.
    pub fn location(&self) -> Result<Location, store::Error> {
        match &self.store {
            Some(url) => url.parse(),
            None => Ok(Location::folder(&self.data_dir)),
        }
    }
}

impl Default for Config {
    /// What no flag at all means; the environment is not looked at.
    fn default() -> Self {
        Self {
            port: 9001,
            http_port: 9002,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertise: None,
            callback_url: None,
            data_dir: PathBuf::from("flow-data"),
            store: None,
            topics: None,
            allow_connect: Vec::new(),
            connect_ca: None,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            token: None,
            insecure: false,
            max_connections: 4096,
            retention_days: 7,
            retention_count: 1_000_000,
            topic_retention_hours: 72,
            topic_retention_count: 10_000,
            kubernetes: Flags::default(),
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn flags_are_read() {
        let config = Config::parse_from(["flowd", "--port", "0", "--store", "etcd://h:2379/x", "--log-format", "json"]);
        assert_eq!((config.port, config.http_port), (0, 9002));
        assert!(matches!(config.location(), Ok(Location::Etcd { .. })));
        assert!(Config::try_parse_from(["flowd", "--log-format", "xml"]).is_err());
        assert!(Config::try_parse_from(["flowd", "--data-dir", "a", "--store", "b"]).is_err());
    }
}
