//! Asks who is at a hop port, and offers nothing: no link is opened, and none that is open is disturbed.

use proto::convert;
use proto::v1::GreetRequest;
use proto::v1::hop_client::HopClient;
use routing::Incarnation;
use runtime::tls::Connector;

use super::session::text;
use crate::address::Address;
use crate::wire;

/// The replica that answers at `address` ([`crate::address`]).
///
/// # Errors
/// Why nobody does, in words.
pub async fn greet(address: &str, connector: Connector) -> Result<Incarnation, String> {
    let endpoint = address.parse::<Address>().map_err(|error| error.to_string())?.endpoint();
    let asking = async {
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| text(&error))?;
        let answer = HopClient::new(channel).greet(GreetRequest {}).await;
        let hello = answer.map_err(|status| status.message().to_owned())?.into_inner();
        convert::incarnation(&hello.incarnation).map_err(|error| error.to_string())
    };
    tokio::time::timeout(wire::HELLO_WITHIN, asking).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}
