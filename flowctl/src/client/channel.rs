//! The channel to flowd: plain on loopback, mutual TLS where the operator has certificates, a token if asked.

use std::time::Duration;

use runtime::tls::{Connector, Expect, Tls};
use runtime::token::{AttachToken, Token};
use tonic::transport::{Channel, Endpoint, Uri};

use super::failure::unreachable;
use crate::args::Flowd;
use crate::args::address::Address;
use crate::exit::Failure;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// How often flowd is asked for a sign of life while a call is open.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Under this authority the original's clients call, and an Istio VirtualService may route by it.
const AUTHORITY: &str = "http://flowd:9001";
/// The path of flowd's SPIFFE name; nobody else of the mesh is believed to be flowd.
const FLOWD: &str = "/flowd";

/// Opens it; an error says what to start, or what to trust.
pub(super) async fn open(flowd: &Flowd, address: &Address) -> anyhow::Result<(Channel, AttachToken)> {
    let token = flowd.token.as_deref().map(Token::from_file).transpose()?;
    let tls = Tls::from_flags(flowd.tls_cert.as_deref(), flowd.tls_key.as_deref(), flowd.tls_ca.as_deref())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let connector = match &tls {
        None => Connector::plain(),
        Some(tls) => Connector::grpc(Some(tls), flowd_of(tls)),
    };
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| Failure::usage(format!("{address} is no address of flowd: {error}")))?
        .origin(Uri::from_static(AUTHORITY))
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector.within(CONNECT))
        .await
        .map_err(|error| unreachable(address, &error))?;
    Ok((channel, AttachToken::new(token.as_ref())))
}

/// flowd of the operator's own trust domain.
fn flowd_of(tls: &Tls) -> Expect {
    let domain = tls.identity().map(|it| it.trust_domain().to_owned());
    Expect::matching(move |peer| Some(peer.trust_domain()) == domain.as_deref() && peer.path() == FLOWD)
}
