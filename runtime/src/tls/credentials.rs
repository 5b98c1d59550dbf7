//! A certificate with its key, and the CA certificates that peers must be signed by.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::connect;
use super::identity::{self, Identity, InvalidIdentity};
use super::verify::{self, Expect};

/// Why something is no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A CA certificate.
    #[error("a certificate of the CA cannot be used: {0}")]
    Root(rustls::Error),
    /// The own certificate names no identity that a peer would accept.
    #[error("the certificate cannot be used in the mesh: {0}")]
    Identity(InvalidIdentity),
    /// Certificate and key do not make a configuration.
    #[error("the certificate cannot be used with its key: {0}")]
    Pair(rustls::Error),
}

/// See the module's documentation. Immutable: better ones replace them.
#[derive(Debug)]
pub struct Credentials {
    identity: Identity,
    expires: SystemTime,
    own: Arc<SingleCertAndKey>,
    roots: Arc<RootCertStore>,
    mutual: Arc<ServerConfig>,
    welcoming: Arc<ServerConfig>,
}

impl Credentials {
    /// A certificate (leaf first, intermediates after it), its key, and the CA's certificates.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, Unusable> {
        let none = || Unusable::Pair(rustls::Error::NoCertificatesPresented);
        let leaf = chain.first().ok_or_else(none)?;
        let identity = Identity::of_certificate(leaf).map_err(Unusable::Identity)?;
        let expires = identity::expires(leaf).map_err(Unusable::Identity)?;
        Self::of(identity, expires, chain, key, roots)
    }

    /// Unchecked: who this is, and until when.
    pub(super) fn of(
        identity: Identity,
        expires: SystemTime,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, Unusable> {
        let roots = store(roots).map_err(Unusable::Root)?;
        let certified = CertifiedKey::from_der(chain, key, &verify::provider()).map_err(Unusable::Pair)?;
        let own = Arc::new(SingleCertAndKey::from(certified));
        let mutual = server_config(&roots, &own, false).map_err(Unusable::Pair)?;
        let welcoming = server_config(&roots, &own, true).map_err(Unusable::Pair)?;
        Ok(Self { identity, expires, own, roots, mutual: Arc::new(mutual), welcoming: Arc::new(welcoming) })
    }

    /// Who this process is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Until when the certificate is good.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// How long the certificate is still good.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.expires.duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// A server's configuration: every caller shows a certificate, or, if `welcoming`, those that have one.
    pub(super) fn server(&self, welcoming: bool) -> Arc<ServerConfig> {
        if welcoming { self.welcoming.clone() } else { self.mutual.clone() }
    }

    /// A client's configuration that accepts the servers `expect` does.
    pub(super) fn client(&self, expect: Expect, alpn: &[u8]) -> ClientConfig {
        let mut config = client_config(self.roots.clone(), expect).with_client_cert_resolver(self.own.clone());
        settle(&mut config, alpn);
        config
    }
}

/// The configuration of a client that has no certificate yet, and trusts `roots`.
pub(super) fn newcomer(
    roots: Vec<CertificateDer<'static>>,
    expect: Expect,
    alpn: &[u8],
) -> Result<ClientConfig, rustls::Error> {
    let mut config = client_config(store(roots)?, expect).with_no_client_auth();
    settle(&mut config, alpn);
    Ok(config)
}

/// The configuration of a client that has no certificate, and trusts whoever `roots` say has the name.
pub(super) fn named(roots: Vec<CertificateDer<'static>>, alpn: &[u8]) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(verify::provider()).with_protocol_versions(verify::VERSIONS)?;
    let mut config = builder.with_root_certificates(store(roots)?).with_no_client_auth();
    settle(&mut config, alpn);
    config.enable_sni = true;
    Ok(config)
}

fn store(roots: Vec<CertificateDer<'static>>) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut store = RootCertStore::empty();
    roots.into_iter().try_for_each(|root| store.add(root))?;
    Ok(Arc::new(store))
}

type WantsOwn = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn client_config(roots: Arc<RootCertStore>, expect: Expect) -> WantsOwn {
    let verifier = Arc::new(verify::ServerIdentity::new(roots, expect));
    ClientConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(verify::VERSIONS)
        .expect("the provider supports TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

fn settle(config: &mut ClientConfig, alpn: &[u8]) {
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.alpn_protocols = vec![alpn.to_vec()];
}

fn server_config(
    roots: &Arc<RootCertStore>,
    own: &Arc<SingleCertAndKey>,
    welcoming: bool,
) -> Result<ServerConfig, rustls::Error> {
    let verifier = verify::ClientIdentity::new(roots.clone(), welcoming)?;
    let mut config = ServerConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(verify::VERSIONS)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(own.clone());
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![connect::ALPN_H2.to_vec(), connect::ALPN_HTTP1.to_vec()];
    Ok(config)
}
