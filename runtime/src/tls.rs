//! Who is on the other end of a socket: mutual TLS by SPIFFE identities, and plain TCP with the same types.
//!
//! Promises: TLS 1.3 only, both ends show a certificate whose chain ends at the CA of `--tls-ca` and that
//! carries exactly one URI name, of the form `spiffe://trust-domain/path`: that is the peer's [`Identity`].
//! DNS names are not looked at; a client may say which identities it expects ([`Expect`]). Sessions are
//! never resumed, so every connection is checked in full. All sockets have `TCP_NODELAY`.
//!
//! * [`Tls`]: certificate, key and CA from PEM files, and the configurations made of them.
//! * [`Incoming`]: accepted connections, as a stream for tonic's `serve_with_incoming` and for [`crate::admin`].
//! * [`Connector`]: outgoing connections, for tonic's `connect_with_connector` and hyper's client.
//! * [`PeerIdentity`]: in the extensions of every request (tonic and [`crate::admin`]).
//!
//! Does not rotate certificates and knows no revocation lists: certificates are short-lived, restart to load new ones.

mod accept;
mod connect;
mod identity;
mod stream;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub use accept::{Incoming, Limits};
pub use connect::{ConnectError, Connector};
pub use identity::{Identity, InvalidIdentity};
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

/// This process's certificate, and the CA that it trusts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    identity: Identity,
    server: Arc<ServerConfig>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
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
        let identity = Identity::of_certificate(&chain[0])
            .map_err(|source| Error::Identity { path: certificate.to_owned(), source })?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("--tls-key", key, &error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for root in certificates("--tls-ca", ca)? {
            roots.add(root).map_err(|error| unusable("--tls-ca", ca, &error.to_string()))?;
        }
        let roots = Arc::new(roots);
        let key = Arc::new(key);
        let server = server_config(&roots, &chain, &key)
            .map_err(|source| Error::Pair { path: certificate.to_owned(), source })?;
        Ok(Self { identity, server: Arc::new(server), roots, chain, key })
    }

    /// Who this process is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// A client's configuration that accepts the servers `expect` does.
    fn client(&self, expect: Expect, alpn: &'static [u8]) -> Arc<ClientConfig> {
        let verifier = Arc::new(verify::ServerIdentity::new(self.roots.clone(), expect));
        let mut config = ClientConfig::builder_with_provider(verify::provider())
            .with_protocol_versions(verify::VERSIONS)
            .expect("the provider supports TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .expect("certificate and key were accepted when the server's configuration was made");
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }
}

fn server_config(
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier = verify::ClientIdentity::new(roots.clone())?;
    let mut config = ServerConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(verify::VERSIONS)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain.to_vec(), key.clone_key())?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![connect::ALPN_H2.to_vec(), connect::ALPN_HTTP1.to_vec()];
    Ok(config)
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
