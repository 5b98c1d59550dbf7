//! SPIFFE identities: `spiffe://trust-domain/path`, as the SPIFFE ID standard (section 2) writes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const SCHEME: &str = "spiffe://";
const MAX_LENGTH: usize = 2048;
const MAX_TRUST_DOMAIN: usize = 255;

/// Why something is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// Not of the form `spiffe://trust-domain/path`.
    #[error("{0:?} is no SPIFFE id (spiffe://trust-domain/path: lower-case domain, no empty, `.` or `..` segment)")]
    Malformed(String),
    /// The certificate has no URI name, or several.
    #[error("the certificate must carry exactly one URI name (its SPIFFE id) and carries {0}")]
    Names(usize),
    /// The certificate could not be read.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
}

/// Who a process is: a SPIFFE id with a path. Compared byte by byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    uri: Arc<str>,
}

impl Identity {
    /// The whole id, `spiffe://...`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The trust domain: what stands between `spiffe://` and the path.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.split().0
    }

    /// The path, with its leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        let rest = &self.uri[SCHEME.len()..];
        rest.split_at(rest.find('/').unwrap_or(rest.len()))
    }

    /// The identity that `certificate` names.
    ///
    /// # Errors
    /// [`InvalidIdentity`] unless it carries exactly one URI name and that is a SPIFFE id.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, InvalidIdentity> {
        let unreadable = |reason: String| InvalidIdentity::Certificate(reason);
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| unreadable(error.to_string()))?;
        let names = parsed.subject_alternative_name().map_err(|error| unreadable(error.to_string()))?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let mut uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        match (uris.next(), uris.count()) {
            (Some(uri), 0) => uri.parse(),
            (first, more) => Err(InvalidIdentity::Names(more + usize::from(first.is_some()))),
        }
    }
}

/// Until when a certificate is good.
///
/// # Errors
/// When it cannot be read.
pub(super) fn expires(certificate: &CertificateDer<'_>) -> Result<SystemTime, InvalidIdentity> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, parsed) = parsed.map_err(|error| InvalidIdentity::Certificate(error.to_string()))?;
    let end = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    Ok(UNIX_EPOCH + Duration::from_secs(end))
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || InvalidIdentity::Malformed(text.chars().take(128).collect());
        let rest = text.strip_prefix(SCHEME).filter(|_| text.len() <= MAX_LENGTH).ok_or_else(malformed)?;
        let (domain, path) = rest.split_once('/').ok_or_else(malformed)?;
        let domain_ok = (1..=MAX_TRUST_DOMAIN).contains(&domain.len())
            && domain.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
        let path_ok = path.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        });
        if domain_ok && path_ok { Ok(Self { uri: text.into() }) } else { Err(malformed()) }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.uri)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({})", self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_parsed() {
        let identity: Identity = "spiffe://mesh.local/ns/shop/sa/pay".parse().unwrap();
        assert_eq!(identity.trust_domain(), "mesh.local");
        assert_eq!(identity.path(), "/ns/shop/sa/pay");
        assert_eq!(identity.to_string(), "spiffe://mesh.local/ns/shop/sa/pay");
    }

    #[test]
    fn garbage_is_refused() {
        let long = format!("spiffe://a/{}", "x".repeat(3000));
        for bad in [
            "",
            "spiffe://",
            "spiffe:///a",
            "spiffe://a",
            "spiffe://a/",
            "spiffe://A/b",
            "SPIFFE://a/b",
            "spiffe://a//b",
            "spiffe://a/b/",
            "spiffe://a/../b",
            "spiffe://a/./b",
            "spiffe://a:1/b",
            "spiffe://u@a/b",
            "spiffe://a/b?c",
            "spiffe://a/b#c",
            "spiffe://a/%41",
            "https://a/b",
            &long,
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }
}
