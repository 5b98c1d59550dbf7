//! Where a replica is: `HOST:PORT`, or `NAME:PORT@HOST:PORT`.
//!
//! The second form goes to `HOST:PORT` and names `NAME:PORT` as the request's `:authority`. A mesh routes by that name, so an offer to one pod,
//! under the name of the headless Service before it, arrives at just that pod over the mesh's mutual TLS.

use http::Uri;
use tonic::transport::Endpoint;

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What is connected to.
    pub uri: Uri,
    /// What the request names, if that is something else.
    pub origin: Option<Uri>,
}

/// Why something is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither HOST:PORT nor NAME:PORT@HOST:PORT")]
pub struct Malformed(String);

impl Address {
    /// For a channel there.
    pub(crate) fn endpoint(self) -> Endpoint {
        let endpoint = Endpoint::from(self.uri);
        match self.origin {
            Some(origin) => endpoint.origin(origin),
            None => endpoint,
        }
    }
}

impl std::str::FromStr for Address {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (name, host) = match text.split_once('@') {
            Some((name, host)) => (Some(name), host),
            None => (None, text),
        };
        let uri = |authority: &str| {
            let uri: Uri = format!("http://{authority}").parse().map_err(|_| Malformed(text.to_owned()))?;
            let complete = uri.port_u16().is_some() && uri.path() == "/" && !authority.contains(['@', '/', '?']);
            if complete { Ok(uri) } else { Err(Malformed(text.to_owned())) }
        };
        Ok(Self { uri: uri(host)?, origin: name.map(uri).transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_carry_the_name_that_a_mesh_routes_by() {
        let plain: Address = "10.0.0.1:7001".parse().unwrap();
        assert_eq!((plain.uri.to_string().as_str(), plain.origin), ("http://10.0.0.1:7001/", None));
        let named: Address = "pay-flow.shop:7001@[::1]:7001".parse().unwrap();
        assert_eq!(named.uri.authority().unwrap().as_str(), "[::1]:7001");
        assert_eq!(named.origin.unwrap().authority().unwrap().as_str(), "pay-flow.shop:7001");
        for bad in ["", "h", "h:1/x", "a@b@c:1", "a@h:1", "h:1@", "h:99999", "h h:1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
