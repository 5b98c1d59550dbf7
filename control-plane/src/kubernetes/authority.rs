//! The mesh's own CA: who signs, who is trusted, and when the next one takes over. Pure but for random keys.
//!
//! A CA lives in three steps, so that nobody ever meets a certificate that it cannot check: it is trusted at once and signs nothing; after the life
//! of a certificate, when everybody has asked for a new one since and so heard of it, it signs; when all that the one before it
//! has signed is over, that one is trusted no more. All of it follows from when each was made and for how long it has signed at most: several flowds
//! that read the same come to the same, also while they are told to give certificates for different times.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, string::Ia5String,
};
use runtime::tls::Identity;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

/// A clock may be so much behind, seconds.
const SKEW: u64 = 300;

/// For how long things are good, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lives {
    /// A certificate.
    pub(crate) certificate: u64,
    /// A CA; at least [`Lives::LEAST`] times as long.
    pub(crate) ca: u64,
}

impl Lives {
    /// A CA's life in lives of a certificate, at least: of its last third, one for becoming known and two for the end of what the older has signed.
    pub(crate) const LEAST: u64 = 10;

    /// How long a certificate is good.
    pub(crate) fn certificate(self) -> Duration {
        Duration::from_secs(self.certificate)
    }
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What is kept of the CA cannot be read.
    #[error("the kept CA cannot be used: {0}")]
    Kept(String),
    /// A request that is none.
    #[error("it is no certificate request with a key that it proves to hold: {0}")]
    Request(rcgen::Error),
    /// Anything else.
    #[error(transparent)]
    Sign(#[from] rcgen::Error),
}

/// A certificate with its key.
pub(crate) type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The CAs that are trusted, oldest first; never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    all: Vec<Ca>,
}

/// A CA, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ca {
    /// PEM.
    pub(crate) certificate: String,
    /// PEM.
    pub(crate) key: String,
    /// When it was made, seconds since 1970.
    pub(crate) made: u64,
    /// For how long it is good.
    pub(crate) life: u64,
    /// For how long it gives certificates, at most.
    pub(crate) signs: u64,
}

impl Ca {
    fn new(lives: Lives, now: u64) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = named(&format!("REXFlow CA {now}"));
        (parameters.not_before, parameters.not_after) = valid(now, lives.ca);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key)?.pem();
        Ok(Self {
            certificate,
            key: key.serialize_pem(),
            made: now,
            life: lives.ca,
            signs: lives.certificate.min(lives.ca / Lives::LEAST),
        })
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, Error> {
        Ok(Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?)
    }

    fn der(&self) -> Result<CertificateDer<'static>, Error> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(|error| Error::Kept(error.to_string()))
    }
}

impl Authority {
    /// A first CA.
    pub(crate) fn new(lives: Lives, now: u64) -> Result<Self, Error> {
        Ok(Self { all: vec![Ca::new(lives, now)?] })
    }

    /// What was kept, in any order; checked.
    pub(crate) fn kept(mut all: Vec<Ca>) -> Result<Self, Error> {
        if all.is_empty() {
            return Err(Error::Kept("there is none".to_owned()));
        }
        all.sort_by_key(|it| it.made);
        for ca in &all {
            ca.issuer()?;
            ca.der()?;
        }
        Ok(Self { all })
    }

    /// The CAs, oldest first.
    pub(crate) fn all(&self) -> &[Ca] {
        &self.all
    }

    /// When everybody knows the CA at `index`: all who had certificates of older ones have asked for new ones since. The first one is known.
    fn known(&self, index: usize) -> u64 {
        let older = self.all[..index].iter().map(|it| it.signs).max();
        older.map_or(0, |life| self.all[index].made + life)
    }

    /// What is to become of it by now; `None` if it is as it should be.
    pub(crate) fn next(&self, lives: Lives, now: u64) -> Result<Option<Self>, Error> {
        let mut next = self.clone();
        // a newer one has signed for two lives: nothing of the older ones is good any more, whoever signed it late
        let over = |index: &usize| {
            let older = next.all[..*index].iter().map(|it| it.signs).max().unwrap_or(0);
            now >= next.known(*index) + 2 * older
        };
        let first = (1..next.all.len()).rev().find(over).unwrap_or(0);
        next.all.drain(..first);
        let signer = next.signing(now);
        let newest = next.all.len() - 1;
        // it must be good for long after it is known
        let longest = next.all.iter().map(|it| it.signs).max().unwrap_or(0);
        let lives = Lives { ca: lives.ca.max(Lives::LEAST * longest), ..lives };
        if signer == newest && now >= next.all[newest].made + lives.ca.min(next.all[newest].life) / 3 * 2 {
            next.all.push(Ca::new(lives, now)?);
        }
        let signs = &mut next.all[signer];
        signs.signs = signs.signs.max(lives.certificate.min(signs.life / Lives::LEAST));
        Ok((next != *self).then_some(next))
    }

    fn signing(&self, now: u64) -> usize {
        (0..self.all.len()).rev().find(|it| now >= self.known(*it)).unwrap_or(0)
    }

    /// The one that signs: the newest that everybody knows by now.
    pub(crate) fn signer(&self, now: u64) -> &Ca {
        &self.all[self.signing(now)]
    }

    /// For how long it gives certificates now: as long as it is told to, but never longer than it is kept that it does.
    pub(crate) fn gives(&self, lives: Lives, now: u64) -> u64 {
        lives.certificate.min(self.signer(now).signs)
    }

    /// Who is trusted.
    pub(crate) fn roots(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        self.all.iter().map(Ca::der).collect()
    }

    /// The same as PEM.
    pub(crate) fn bundle(&self) -> String {
        self.all.iter().map(|it| it.certificate.as_str()).collect()
    }

    /// A certificate of `identity` for the key of a request.
    pub(crate) fn issue(
        &self,
        identity: &Identity,
        request: &[u8],
        lives: Lives,
        now: u64,
    ) -> Result<Vec<CertificateDer<'static>>, Error> {
        let request = CertificateSigningRequestDer::from(request.to_vec());
        let asked = CertificateSigningRequestParams::from_der(&request).map_err(Error::Request)?;
        let parameters = peer(identity, self.gives(lives, now), now)?;
        let signed = parameters.signed_by(&asked.public_key, &self.signer(now).issuer()?)?;
        Ok(vec![signed.into()])
    }

    /// A certificate of `identity` with a key of its own.
    pub(crate) fn own(&self, identity: &Identity, lives: Lives, now: u64) -> Result<Pair, Error> {
        self.signed(&peer(identity, self.gives(lives, now), now)?, now)
    }

    /// A certificate for a server of these DNS names, with a key of its own.
    pub(crate) fn server(&self, names: Vec<String>, lives: Lives, now: u64) -> Result<Pair, Error> {
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = named("flowd");
        (parameters.not_before, parameters.not_after) = valid(now, self.gives(lives, now));
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.signed(&parameters, now)
    }

    fn signed(&self, parameters: &CertificateParams, now: u64) -> Result<Pair, Error> {
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.signer(now).issuer()?)?;
        Ok((vec![certificate.into()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))))
    }
}

/// What stands in a certificate of somebody in the mesh: nothing but who it is (the SPIFFE X.509 standard, sections 2 and 4).
fn peer(identity: &Identity, life: u64, now: u64) -> Result<CertificateParams, Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.subject_alt_names = vec![SanType::URI(Ia5String::try_from(identity.as_str())?)];
    (parameters.not_before, parameters.not_after) = valid(now, life);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(parameters)
}

fn named(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

/// From a little before `now`, seconds since 1970, for `life` seconds.
fn valid(now: u64, life: u64) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let at = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    };
    (at(now.saturating_sub(SKEW)), at(now + life))
}

#[cfg(test)]
mod tests {
    use runtime::tls::{Credentials, Request};

    use super::*;

    const LIVES: Lives = Lives { certificate: 100, ca: 1_200 };
    const START: u64 = 1_700_000_000;

    /// Sidecars with certificates, each renewed somewhere in the second half of its life, as one is that was away for a while.
    struct Sidecars {
        all: Vec<(u64, u64, String, Vec<String>)>,
    }

    impl Sidecars {
        /// A certificate is asked for at each of these seconds; whatever is good is trusted by all, and all trust who signs.
        fn live(&mut self, authority: &Authority, lives: Lives, now: u64) {
            let trusted: Vec<String> = authority.all().iter().map(|it| it.certificate.clone()).collect();
            let (signer, life) = (authority.signer(now).clone(), authority.gives(lives, now));
            assert!(now + life <= signer.made + signer.life, "a certificate that outlives its CA");
            self.all.retain(|(until, ..)| *until > now);
            for (until, since, by, knows) in &self.all {
                assert!(trusted.contains(by), "at {} a good certificate is not trusted (until {until})", now - START);
                assert!(
                    knows.contains(&signer.certificate),
                    "at {} one of {since} does not know who signs",
                    now - START
                );
            }
            self.all.push((now + life, now, signer.certificate, trusted));
        }
    }

    #[test]
    fn a_ca_is_known_before_it_signs_and_trusted_until_all_that_it_signed_is_over() {
        let other = Lives { certificate: 20, ca: 200 };
        for (name, lives) in [
            ("the same all the time", [LIVES, LIVES]),
            ("shorter from some time on", [LIVES, other]),
            ("longer from some time on", [other, LIVES]),
        ] {
            let mut authority = Authority::new(lives[0], START).unwrap();
            let mut sidecars = Sidecars { all: Vec::new() };
            let mut signers = std::collections::BTreeSet::new();
            for now in START..START + 4 * LIVES.ca {
                // two flowds, of which one is told otherwise later
                for lives in if now < START + 700 { [lives[0], lives[0]] } else { lives } {
                    if let Some(next) = authority.next(lives, now).unwrap() {
                        authority = next;
                    }
                    sidecars.live(&authority, lives, now);
                }
                signers.insert(authority.signer(now).made);
                assert!(authority.all().len() <= 3, "{name}: {}", authority.all().len());
            }
            assert!(signers.len() >= 4, "{name}: it was rotated {signers:?}");
        }
    }

    #[test]
    fn what_is_issued_carries_the_identity_alone_whatever_was_asked_for() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let authority = Authority::new(LIVES, now).unwrap();
        let identity: Identity = "spiffe://mesh.local/ns/shop/sa/pay".parse().unwrap();
        let request = Request::new().unwrap();
        let chain = authority.issue(&identity, request.der(), LIVES, now).unwrap();
        let granted = request.granted(chain, authority.roots().unwrap()).unwrap();
        assert_eq!(granted.identity(), &identity);
        assert!(granted.remaining() <= LIVES.certificate() && granted.remaining() > LIVES.certificate() / 2);

        let liar = CertificateParams::new(vec!["flowd.rexflow.svc".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let liar = liar.serialize_request(&key).unwrap();
        let chain = authority.issue(&identity, liar.der(), LIVES, now).unwrap();
        assert_eq!(Identity::of_certificate(&chain[0]).unwrap(), identity);
        for bad in [&b""[..], b"garbage", &liar.der()[..liar.der().len() - 1]] {
            assert!(matches!(authority.issue(&identity, bad, LIVES, now), Err(Error::Request(_))));
        }
        let mut forged = liar.der().to_vec();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert!(authority.issue(&identity, &forged, LIVES, now).is_err(), "a key that it does not hold");
    }

    #[test]
    fn what_is_kept_comes_back_and_garbage_does_not() {
        let authority = Authority::new(LIVES, START).unwrap();
        let later = authority.next(LIVES, START + LIVES.ca / 3 * 2).unwrap().unwrap();
        assert_eq!(later.all().len(), 2);
        let mut kept = later.all().to_vec();
        kept.reverse();
        assert_eq!(Authority::kept(kept).unwrap(), later);
        assert_eq!(later.bundle().matches("BEGIN CERTIFICATE").count(), 2);
        assert!(Authority::kept(Vec::new()).is_err());
        assert!(
            Authority::kept(vec![Ca { certificate: "x".into(), key: "y".into(), made: 1, life: 2, signs: 1 }]).is_err()
        );
        let identity: Identity = "spiffe://mesh.local/flowd".parse().unwrap();
        let (chain, key) = later.own(&identity, LIVES, START).unwrap();
        assert!(Credentials::new(chain, key, later.roots().unwrap()).is_ok());
    }
}
