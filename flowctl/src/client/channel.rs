//! The channel to flowd: plain on loopback, mutual TLS where the operator has certificates, a token if asked (of a cluster's user: `user`); through the API server of a cluster
//! where nobody has said an address and nobody listens on this machine ([`forward`](super::forward)).

use std::fmt;
use std::time::Duration;

use runtime::tls::{Connector, Expect, Tls};
use runtime::token::{AttachToken, Token};
use tonic::transport::{Channel, Endpoint, Uri};

use super::failure::unreachable;
use crate::args::address::Address;
use crate::args::{Flowd, Look};
use crate::exit::Failure;

/// How long a connection may take to open.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// How often flowd is asked for a sign of life while a call is open.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Under this authority the original's clients call, and an Istio VirtualService may route by it; a full domain name is called by itself.
const AUTHORITY: &str = "http://flowd:9001";
/// The path of flowd's SPIFFE name; nobody else of the mesh is believed to be flowd.
const FLOWD: &str = "/flowd";

/// Where the flowd is that is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    At(Address),
    /// In this namespace of the cluster.
    #[cfg(feature = "kubernetes")]
    Mesh(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => write!(f, "at {address}"),
            #[cfg(feature = "kubernetes")]
            Self::Mesh(namespace) => write!(f, "in the namespace {namespace} by port-forward"),
        }
    }
}

/// Opens it; an error says what to start, what to trust, or where else to look.
pub(super) async fn open(flowd: &Flowd) -> anyhow::Result<(Channel, AttachToken, Place)> {
    let token = flowd.token.as_deref().map(Token::from_file).transpose()?;
    let way = match flowd.look() {
        Look::At(address) => Way::at(direct(flowd, &address).await?, address),
        #[cfg(feature = "kubernetes")]
        Look::Around(address) => around(flowd, address).await?,
        #[cfg(feature = "kubernetes")]
        Look::Cluster => through(flowd, None).await?,
    };
    let token = match token {
        Some(token) => Some(token),
        None => way.token(flowd).await?,
    };
    Ok((way.channel, AttachToken::new(token.as_ref()), way.place))
}

/// How flowd is reached.
struct Way {
    channel: Channel,
    place: Place,
    #[cfg(feature = "kubernetes")]
    forward: Option<super::forward::Forward>,
}

impl Way {
    fn at(channel: Channel, address: Address) -> Self {
        Self {
            channel,
            place: Place::At(address),
            #[cfg(feature = "kubernetes")]
            forward: None,
        }
    }

    /// What flowd is shown, where nobody has given a token.
    #[cfg(feature = "kubernetes")]
    async fn token(&self, flowd: &Flowd) -> anyhow::Result<Option<Token>> {
        match &self.forward {
            Some(forward) => super::user::through(&flowd.mesh, forward).await,
            None => super::user::at_address(&flowd.mesh).await,
        }
    }

    #[cfg(not(feature = "kubernetes"))]
    async fn token(&self, _flowd: &Flowd) -> anyhow::Result<Option<Token>> {
        Ok(None)
    }
}

async fn direct(flowd: &Flowd, address: &Address) -> anyhow::Result<Channel> {
    let files = (flowd.tls_cert.as_deref(), flowd.tls_key.as_deref(), flowd.tls_ca.as_deref());
    let connector = match files {
        // a gateway, with a certificate for its name
        (None, None, Some(ca)) => Connector::named(ca),
        (certificate, key, ca) => Tls::from_flags(certificate, key, ca)
            .map(|tls| tls.map_or_else(Connector::plain, |tls| Connector::grpc(Some(&tls), flowd_of(&tls)))),
    };
    let connector = connector.map_err(|error| Failure::usage(error.to_string()))?;
    let endpoint = endpoint(address)?;
    endpoint.connect_with_connector(connector.within(CONNECT)).await.map_err(|error| unreachable(address, &error))
}

/// On this machine, where whoever listens is taken for flowd; else in the cluster.
#[cfg(feature = "kubernetes")]
async fn around(flowd: &Flowd, address: Address) -> anyhow::Result<Way> {
    match endpoint(&address)?.connect_with_connector(Connector::plain().within(CONNECT)).await {
        Ok(channel) => Ok(Way::at(channel, address)),
        Err(error) if super::failure::nobody_listens(&error) => through(flowd, Some(&address)).await,
        Err(error) => Err(unreachable(&address, &error)),
    }
}

/// Through the API server; `deserted` is where nobody listens.
#[cfg(feature = "kubernetes")]
async fn through(flowd: &Flowd, deserted: Option<&Address>) -> anyhow::Result<Way> {
    use super::failure::{no_way, no_way_of};
    let forward = super::forward::find(&flowd.mesh).await.map_err(|error| no_way(deserted, &error))?;
    let place = Place::Mesh(forward.namespace().to_owned());
    let endpoint = configured(Endpoint::from_static(AUTHORITY));
    let opened = endpoint.connect_with_connector(forward.clone()).await;
    let channel = opened.map_err(|error| no_way_of(deserted, &place, &error))?;
    Ok(Way { channel, place, forward: Some(forward) })
}

fn endpoint(address: &Address) -> Result<Endpoint, Failure> {
    let wrong = |error: &dyn fmt::Display| Failure::usage(format!("{address} is no address of flowd: {error}"));
    let own = format!("http://{address}");
    // a gateway serves many names, and tells by them whom a call is for
    let origin =
        if address.is_domain() { own.parse().map_err(|error| wrong(&error))? } else { Uri::from_static(AUTHORITY) };
    let endpoint = Endpoint::from_shared(own).map_err(|error| wrong(&error))?;
    Ok(configured(endpoint).origin(origin))
}

fn configured(endpoint: Endpoint) -> Endpoint {
    endpoint.origin(Uri::from_static(AUTHORITY)).http2_keep_alive_interval(KEEP_ALIVE).keep_alive_while_idle(true)
}

/// flowd of the operator's own trust domain.
fn flowd_of(tls: &Tls) -> Expect {
    let domain = tls.identity().map(|it| it.trust_domain().to_owned());
    Expect::matching(move |peer| Some(peer.trust_domain()) == domain.as_deref() && peer.path() == FLOWD)
}
