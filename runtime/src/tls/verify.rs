//! The verifiers: a chain that ends at our CA, and exactly one SPIFFE id.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme, SupportedProtocolVersion,
};

use super::identity::{Identity, InvalidIdentity};

/// TLS 1.3, nothing older.
pub(super) const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Which identities a client accepts at the other end.
#[derive(Clone)]
pub struct Expect {
    accepts: Arc<dyn Fn(&Identity) -> bool + Send + Sync>,
}

impl Expect {
    /// Anybody with a certificate of our CA.
    #[must_use]
    pub fn anyone() -> Self {
        Self::matching(|_| true)
    }

    /// This one.
    #[must_use]
    pub fn exactly(identity: Identity) -> Self {
        Self::matching(move |peer| *peer == identity)
    }

    /// Anybody of this trust domain.
    #[must_use]
    pub fn trust_domain(domain: impl Into<String>) -> Self {
        let domain = domain.into();
        Self::matching(move |peer| peer.trust_domain() == domain)
    }

    /// Those for whom `accepts` says so.
    #[must_use]
    pub fn matching(accepts: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        Self { accepts: Arc::new(accepts) }
    }
}

impl fmt::Debug for Expect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Expect(..)")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the peer is {0}, which is not who was expected")]
struct Unexpected(Identity);

fn refused(reason: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
}

fn identity_of(certificate: &CertificateDer<'_>) -> Result<Identity, Error> {
    Identity::of_certificate(certificate).map_err(|error: InvalidIdentity| refused(error))
}

fn tls12() -> Error {
    Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered)
}

/// A client's view of a server.
#[derive(Debug)]
pub(super) struct ServerIdentity {
    roots: Arc<RootCertStore>,
    expect: Expect,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerIdentity {
    pub(super) fn new(roots: Arc<RootCertStore>, expect: Expect) -> Self {
        let algorithms = provider().signature_verification_algorithms;
        Self { roots, expect, algorithms }
    }
}

impl ServerCertVerifier for ServerIdentity {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        let identity = identity_of(end_entity)?;
        if !(self.expect.accepts)(&identity) {
            return Err(refused(Unexpected(identity)));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A server's view of a client.
#[derive(Debug)]
pub(super) struct ClientIdentity {
    chain: Arc<dyn ClientCertVerifier>,
}

impl ClientIdentity {
    /// If `welcoming`, a client may also show none; then it has no identity.
    pub(super) fn new(roots: Arc<RootCertStore>, welcoming: bool) -> Result<Self, Error> {
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = if welcoming { builder.allow_unauthenticated() } else { builder };
        let chain = builder.build().map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { chain })
    }
}

impl ClientCertVerifier for ClientIdentity {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        identity_of(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
