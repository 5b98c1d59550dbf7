//! Whether the mesh stands before the hop port, where the hops are left to it (`--hop-tls mesh`).
//!
//! The mesh's proxy is in the pod and hands connections on over loopback; whoever comes to the hop port from elsewhere has come past it and is
//! refused. That the proxy is there, and lets no plain text through, is shown by flowd, which connects to the hop port both ways and says what came
//! of it. Until then nobody may offer, and the sidecar is not ready and says why. The proof is kept in the data folder: a pod is captured
//! or not, for all of its life.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use proto::v1;
use runtime::readiness::{Pending, Readiness};
use runtime::tls::Guard;
use tokio::sync::watch;

/// Says in the data folder that the proof was given.
const FILE: &str = "captured";
/// What is awaited.
const AWAITED: &str = "proof that the mesh captures the hop port";

/// See the module's documentation. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    proven: watch::Sender<bool>,
    readiness: Readiness,
    /// Held for an assignment only.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pending: Option<Pending>,
    told: String,
    /// The last one that came past the mesh.
    past: Option<IpAddr>,
}

impl Capture {
    pub(crate) fn new(data_dir: &Path, readiness: Readiness) -> Self {
        let file = data_dir.join(FILE);
        let proven = file.is_file();
        let pending = (!proven).then(|| readiness.register(format!("{AWAITED} (flowd connects to it)")));
        let state = Mutex::new(State { pending, ..State::default() });
        Self { inner: Arc::new(Inner { file, proven: watch::Sender::new(proven), readiness, state }) }
    }

    /// Sees whether the proof was given.
    pub(crate) fn proven(&self) -> watch::Receiver<bool> {
        self.inner.proven.subscribe()
    }

    /// Whether flowd is to connect.
    pub(crate) fn is_wanted(&self) -> bool {
        !*self.inner.proven.borrow()
    }

    /// Lets the proxy in the pod in, and nobody else.
    pub(crate) fn guard(&self) -> Guard {
        let inner = self.inner.clone();
        Guard::new(move |from| {
            if from.ip().to_canonical().is_loopback() {
                return Ok(());
            }
            inner.state.lock().unwrap_or_else(PoisonError::into_inner).past = Some(from.ip());
            Err("it comes past the mesh: the mesh's proxy would have handed it on over loopback".to_owned())
        })
    }

    /// What came of flowd's connecting.
    pub(crate) fn told(&self, proof: &v1::Proof) {
        if !self.is_wanted() {
            return;
        }
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(why) = lacking(proof, state.past) else {
            tracing::info!("the mesh captures the hop port and lets no plain text through");
            state.pending = None;
            self.inner.proven.send_replace(true);
            if let Err(error) = std::fs::write(&self.inner.file, "") {
                tracing::warn!(%error, "the proof is wanted again after a restart");
            }
            return;
        };
        if state.told != why {
            tracing::warn!(why, "no {AWAITED}; not ready");
            state.pending = Some(self.inner.readiness.register(format!("{AWAITED} ({why})")));
            state.told = why;
        }
    }
}

/// What a proof lacks; nothing if it is one.
fn lacking(proof: &v1::Proof, past: Option<IpAddr>) -> Option<String> {
    match (proof.unreachable.is_empty(), proof.unguarded, past) {
        (true, false, _) => None,
        (true, true, _) => Some(
            "plain text is let through to it: its PeerAuthentication is missing or not STRICT; flowd's description of the deployment says why"
                .to_owned(),
        ),
        (false, _, Some(from)) => Some(format!(
            "it is not captured, a connection came to it from {from} directly: is the mesh's proxy in this pod, and is the port excluded? \
             Or choose hop.tls: own"
        )),
        (false, _, None) => Some(format!("flowd cannot reach it through the mesh: {}", proof.unreachable)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_not_ready_until_it_is_shown_that_the_mesh_stands_before_its_hop_port() {
        let folder = tempfile::tempdir().unwrap();
        let readiness = Readiness::new();
        let capture = Capture::new(folder.path(), readiness.clone());
        assert!(capture.is_wanted() && readiness.awaited()[0].contains("proof that the mesh captures"));
        let told = |proof: &v1::Proof| {
            capture.told(proof);
            readiness.awaited().join("; ")
        };
        let unreachable = v1::Proof { unreachable: "connection refused".to_owned(), unguarded: false };
        assert!(told(&unreachable).contains("connection refused"));
        let unguarded = v1::Proof { unreachable: String::new(), unguarded: true };
        assert!(told(&unguarded).contains("STRICT"));
        capture.inner.state.lock().unwrap().past = Some("10.0.0.7".parse().unwrap());
        assert!(told(&unreachable).contains("10.0.0.7"));
        assert!(!*capture.proven().borrow());
        assert_eq!(told(&v1::Proof::default()), "");
        assert!(*capture.proven().borrow() && !capture.is_wanted());
        assert_eq!(told(&unguarded), "", "it is shown once");

        let again = Readiness::new();
        assert!(
            !Capture::new(folder.path(), again.clone()).is_wanted() && again.is_ready(),
            "a restart needs no flowd"
        );
    }
}
