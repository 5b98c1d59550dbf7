//! Where flowd is: `--flowd_host`, `--flowd_port` and what Kubernetes puts into the environment.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The port of flowd, where none is said.
const PORT: u16 = 9001;

/// Value of `--flowd_port` or `FLOWD_PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    number: u16,
    /// The address in `tcp://IP:PORT`, the form Kubernetes gives to a Service named `flowd`.
    host: Option<String>,
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |_| format!("`{text}` is neither a port from 0 to 65535 nor tcp://IP:PORT");
        let Some(authority) = text.strip_prefix("tcp://") else {
            return Ok(Self { number: text.parse().map_err(bad)?, host: None });
        };
        let (host, number) = authority.trim_end_matches('/').rsplit_once(':').unwrap_or(("", ""));
        let number = number.parse().map_err(bad)?;
        Ok(Self { number, host: Some(host.to_owned()) })
    }
}

/// Host and port of flowd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// An explicit host wins over the one inside `tcp://IP:PORT`; without either it is this machine.
    pub(crate) fn new(host: Option<&str>, port: Option<&Port>) -> Self {
        let inside = port.and_then(|port| port.host.as_deref());
        let host = host.filter(|host| !host.is_empty()).or(inside).unwrap_or("localhost");
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
        Self { host, port: port.map_or(PORT, |port| port.number) }
    }

    /// Whether the host is a name of several labels, and no number.
    pub(crate) fn is_domain(&self) -> bool {
        self.host.contains('.') && self.host.parse::<IpAddr>().is_err()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: Option<&str>, port: &str) -> String {
        Address::new(host, Some(&port.parse().unwrap())).to_string()
    }

    #[test]
    fn the_default_is_this_machine() {
        assert_eq!(Address::new(None, None).to_string(), "localhost:9001");
        assert_eq!(address(None, "9001"), "localhost:9001");
        assert_eq!(address(Some(""), "9001"), "localhost:9001");
        assert_eq!(address(Some("flowd.mesh"), "19001"), "flowd.mesh:19001");
    }

    #[test]
    fn the_form_of_kubernetes_names_host_and_port() {
        assert_eq!(address(None, "tcp://10.1.2.3:9001"), "10.1.2.3:9001");
        assert_eq!(address(None, "tcp://[fd00::1]:9001"), "[fd00::1]:9001");
        assert_eq!(address(Some("flowd"), "tcp://10.1.2.3:9002"), "flowd:9002");
    }

    #[test]
    fn an_ip_6_host_gets_its_brackets() {
        assert_eq!(address(Some("::1"), "9001"), "[::1]:9001");
    }

    #[test]
    fn a_domain_has_several_labels() {
        let is_domain = |host| Address::new(Some(host), None).is_domain();
        assert!(is_domain("flowd.shop.example") && is_domain("flowd.mesh"));
        assert!(!["flowd", "localhost", "10.1.2.3", "::1", "[fd00::1]"].into_iter().any(is_domain));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "http", "70000", "tcp://10.1.2.3", "tcp://10.1.2.3:x"] {
            assert!(text.parse::<Port>().is_err(), "{text} was taken for a port");
        }
    }
}
