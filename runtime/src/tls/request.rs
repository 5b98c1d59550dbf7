//! A request for a certificate: a key of this process's own, and what an authority needs of it (PKCS #10, RFC 2986).

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::credentials::{Credentials, Unusable};

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The key or the request could not be made.
    #[error("make a key and ask for its certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// What the authority answered cannot be used.
    #[error("use what the authority answered: {0}")]
    Answer(#[from] Unusable),
}

/// A key, and the request for its certificate. The key never leaves the process.
#[derive(Debug)]
pub struct Request {
    key: KeyPair,
    der: Vec<u8>,
}

impl Request {
    /// A new key (ECDSA, P-256). It names nobody: who it is for is what the authority finds out.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new() -> Result<Self, RequestError> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        let der = parameters.serialize_request(&key)?.der().to_vec();
        Ok(Self { key, der })
    }

    /// What to send to the authority, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key, PKCS #8 in DER; for keeping it.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        self.key.serialize_der()
    }

    /// The credentials that the authority's answer makes.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn granted(
        &self,
        chain: Vec<CertificateDer<'static>>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Credentials, RequestError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        Ok(Credentials::new(chain, key, roots)?)
    }
}
