//! `--topics`: where topics are, when flowd does not keep them itself.

use std::fmt;
use std::str::FromStr;

/// Where a broker is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) kind: Kind,
    /// `HOST:PORT` of each server, with `USER:PASSWORD@` or `TOKEN@` before it where it is given.
    pub(crate) servers: Vec<String>,
}

/// Brokers that flowd speaks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kafka,
    Nats,
}

impl Kind {
    const ALL: [(Self, &str); 2] = [(Self::Kafka, "kafka"), (Self::Nats, "nats")];

    /// As in a URL.
    pub(crate) fn scheme(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, scheme)| scheme)
    }
}

/// Why it is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("--topics: {0:?} is no broker; there are {schemes}", schemes = schemes())]
    Scheme(String),
    #[error("--topics: {0:?} is no HOST:PORT")]
    Server(String),
    #[error("--topics: this flowd was built without {0}; build it with the cargo feature of that name")]
    NotBuilt(&'static str),
}

fn schemes() -> String {
    Kind::ALL.map(|(_, scheme)| format!("{scheme}://HOST:PORT")).join(" and ")
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
        let known = Kind::ALL.into_iter().find(|(_, it)| *it == scheme);
        let (kind, _) = known.ok_or_else(|| Error::Scheme(scheme.to_owned()))?;
        let server = |part: &str| {
            let host = part.rsplit_once('@').map_or(part, |(_, host)| host);
            let fits = match host.rsplit_once(':') {
                Some((name, port)) => {
                    !name.is_empty() && port.parse::<u16>().is_ok() && !host.contains(['/', '?', '#'])
                }
                None => false,
            };
            if fits { Ok(part.to_owned()) } else { Err(Error::Server(host.to_owned())) }
        };
        let servers = rest.trim_end_matches('/').split(',').map(server).collect::<Result<_, _>>()?;
        Ok(Self { kind, servers })
    }
}

impl fmt::Display for Address {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.servers.iter().map(|it| it.rsplit_once('@').map_or(it.as_str(), |(_, host)| host));
        write!(f, "{}://{}", self.kind.scheme(), hosts.collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_secrets() {
        let address: Address = "nats://ann:secret@a:4222,[::1]:4223".parse().unwrap();
        assert_eq!(address.servers, ["ann:secret@a:4222", "[::1]:4223"]);
        assert_eq!(address.to_string(), "nats://a:4222,[::1]:4223");
        assert!(!format!("{address:?}").contains("secret"));
        for (text, why) in [
            ("amqp://h:1", "is no broker; there are kafka://HOST:PORT and nats://HOST:PORT"),
            ("nats://h", "is no HOST:PORT"),
            ("nats://", "is no HOST:PORT"),
            ("nats://:1", "is no HOST:PORT"),
            ("nats://h:1,", "is no HOST:PORT"),
            ("nats://h:1/orders", "is no HOST:PORT"),
            ("nats", "is no HOST:PORT"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let error = "nats://ann:secret@h:x".parse::<Address>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
