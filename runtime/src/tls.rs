//! Who is on the other end of a socket: mutual TLS by SPIFFE identities, and plain TCP with the same types.
//!
//! Promises: TLS 1.3 only, both ends show a certificate whose chain ends at the CA of `--tls-ca` and that
//! carries exactly one URI name, of the form `spiffe://trust-domain/path`: that is the peer's [`Identity`].
//! DNS names are not looked at; a client may say which identities it expects ([`Expect`]). Sessions are
//! never resumed, so every connection is checked in full, and one whose peer's certificate has expired since says nothing more. All sockets have
//! `TCP_NODELAY`.
//!
//! * [`Tls`]: this process's [`Credentials`] as they are now: read from PEM files, or given anew again and again by a [`Renewer`].
//! * [`Request`]: asks an authority for credentials.
//! * [`Incoming`]: accepted connections, as a stream for tonic's `serve_with_incoming` and for [`crate::admin`].
//! * [`Connector`]: outgoing connections, for tonic's `connect_with_connector` and hyper's client.
//! * [`PeerIdentity`]: in the extensions of every request (tonic and [`crate::admin`]).
//!
//! Knows no revocation lists: certificates are short-lived. Those from files are read once: restart to load new ones.

mod accept;
mod connect;
mod credentials;
mod identity;
mod request;
mod stream;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

pub use accept::{Guard, Incoming, Limits};
pub use connect::{ConnectError, Connector, Renewals};
pub use credentials::{Credentials, Unusable};
pub use identity::{Identity, InvalidIdentity};
pub use request::{Request, RequestError};
pub use stream::{PeerIdentity, Stream};
pub use verify::Expect;

/// A dead peer is noticed after about this long without traffic, times three.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(20);

/// Why the TLS files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or holds nothing usable.
    #[error("cannot use {} for {flag}: {reason}", path.display())]
    File {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Some of the three flags are missing.
    #[error("--tls-cert, --tls-key and --tls-ca go together; missing: {missing}")]
    Incomplete {
        /// The flags that are missing.
        missing: String,
    },
    /// Certificate and key do not make a configuration.
    #[error("cannot use {} with its key: {source}", path.display())]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The own certificate names no identity that a peer would accept.
    #[error("the certificate {} cannot be used in the mesh: {source}", path.display())]
    Identity {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with its names.
        source: InvalidIdentity,
    },
}

/// This process's credentials, as they are now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    current: watch::Receiver<Option<Arc<Credentials>>>,
}

/// Gives a [`Tls`] its credentials, and better ones later. Clones give to the same one.
#[derive(Clone, Debug)]
pub struct Renewer {
    current: watch::Sender<Option<Arc<Credentials>>>,
}

impl Renewer {
    /// Connections that open from now on use these.
    pub fn renew(&self, credentials: Credentials) {
        self.current.send_replace(Some(Arc::new(credentials)));
    }
}

impl Tls {
    /// What `--tls-cert`, `--tls-key` and `--tls-ca` say: all three, or none (`Ok(None)`: plain TCP).
    ///
    /// # Errors
    /// See [`Error`].
    pub fn from_flags(
        certificate: Option<&Path>,
        key: Option<&Path>,
        ca: Option<&Path>,
    ) -> Result<Option<Self>, Error> {
        match (certificate, key, ca) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), Some(ca)) => Self::load(certificate, key, ca).map(Some),
            _ => {
                let flags = [("--tls-cert", certificate), ("--tls-key", key), ("--tls-ca", ca)];
                let missing: Vec<_> = flags.iter().filter(|(_, path)| path.is_none()).map(|(flag, _)| *flag).collect();
                Err(Error::Incomplete { missing: missing.join(", ") })
            }
        }
    }

    /// Reads PEM files: the certificate (leaf first, intermediates after it), its key, the CA's certificates.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(certificate: &Path, key: &Path, ca: &Path) -> Result<Self, Error> {
        let chain = certificates("--tls-cert", certificate)?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("--tls-key", key, &error.to_string()))?;
        let roots = certificates("--tls-ca", ca)?;
        let made = Credentials::new(chain, private, roots).map_err(|why| match why {
            Unusable::Root(source) => unusable("--tls-ca", ca, &source.to_string()),
            Unusable::Identity(source) => Error::Identity { path: certificate.to_owned(), source },
            Unusable::Pair(source) => Error::Pair { path: certificate.to_owned(), source },
        })?;
        Ok(Self::fixed(made))
    }

    /// These, for as long as the process lives.
    #[must_use]
    pub fn fixed(credentials: Credentials) -> Self {
        Self { current: watch::channel(Some(Arc::new(credentials))).1 }
    }

    /// Those that the renewer will give: until it has, no connection opens.
    #[must_use]
    pub fn renewable() -> (Renewer, Self) {
        let (sender, current) = watch::channel(None);
        (Renewer { current: sender }, Self { current })
    }

    /// What is in force now; nothing until the first ones were given.
    #[must_use]
    pub fn credentials(&self) -> Option<Arc<Credentials>> {
        self.current.borrow().clone()
    }

    /// Who this process is, if that is known already.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.current.borrow().as_ref().map(|it| it.identity().clone())
    }
}

fn certificates(flag: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |error: rustls::pki_types::pem::Error| unusable(flag, path, &error.to_string());
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    let read = read.map_err(failed)?;
    if read.is_empty() {
        return Err(unusable(flag, path, "it holds no certificate in PEM form"));
    }
    Ok(read)
}

fn unusable(flag: &'static str, path: &Path, reason: &str) -> Error {
    Error::File { flag, path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
