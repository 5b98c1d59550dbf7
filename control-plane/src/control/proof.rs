//! Shows a sidecar that the mesh stands before its hop port: flowd connects there through the mesh, as offers do, and past it, in plain text, which
//! nobody must answer.
//!
//! Through the mesh is by the name of the Service before the hop port (`NAME:PORT@HOST:PORT`); past it is to the pod's bare address, which
//! the mesh's own proxies pass on as plain text.

use std::time::Duration;

use hop::link::greet;
use proto::v1;
use routing::Incarnation;
use runtime::tls::Connector;

/// Between two attempts.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Tries until it is proven. `tell` is given what came of each attempt, and what it lacks.
pub(super) async fn prove(address: String, incarnation: Incarnation, tell: impl Fn(v1::Proof, Option<String>)) {
    let mut wait = AGAIN.0;
    loop {
        let proof = tried(&address, incarnation).await;
        let lacks = match (proof.unreachable.is_empty(), proof.unguarded) {
            (true, false) => None,
            (true, true) => Some("plain text is let through to it".to_owned()),
            (false, _) => Some(format!("flowd cannot reach it through the mesh: {}", proof.unreachable)),
        };
        let done = lacks.is_none();
        tell(proof, lacks);
        if done {
            return;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AGAIN.1);
    }
}

async fn tried(address: &str, incarnation: Incarnation) -> v1::Proof {
    let unreachable = match greet(address, Connector::plain()).await {
        Ok(found) if found == incarnation => String::new(),
        Ok(other) => format!("another replica, {other}, answers there"),
        Err(why) => why,
    };
    let past = match address.split_once('@') {
        Some((_, bare)) if unreachable.is_empty() => greet(bare, Connector::plain()).await.is_ok(),
        // it names no Service: there is no way past
        _ => false,
    };
    v1::Proof { unreachable, unguarded: past }
}
