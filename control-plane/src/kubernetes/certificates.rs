//! What the webhook shows the API server: a CA of our own, kept in a Secret that all flowds of the mesh share, and a certificate signed by it.
//!
//! The first flowd makes both; whoever finds the certificate past two thirds of its life signs a new one, and the Secret's version settles who was
//! first. The CA is written into the webhook's configuration. Nothing has to be installed for it and nothing restarts when it is renewed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use super::{FIELD_MANAGER, Flags, watch};

/// The Secret with CA and certificate, after flowd's Service.
const SUFFIX: &str = "-webhook";
/// The webhook's configuration, before the mesh. It sorts before Istio's, which is called in that order and reads our annotations.
const INJECTOR: &str = "flow-sidecar-injector";
/// How long a certificate is good, seconds.
const LIFE: u64 = 90 * 86_400;
/// How long the CA is.
const CA_LIFE: u64 = 3_650 * 86_400;
/// A clock may be so much behind, seconds.
const SKEW: u64 = 3_600;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server.
    #[error("{what}: {}", watch::reason(source))]
    Kubernetes {
        /// What was attempted.
        what: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The Secret, or what was made of it.
    #[error("the certificate of the webhook cannot be used: {0}; delete the Secret and it is made anew")]
    Unusable(String),
}

/// A certificate in force.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) config: Arc<ServerConfig>,
    /// When to look again.
    pub(crate) again: Duration,
}

/// What the Secret holds.
struct Kept {
    ca: String,
    ca_key: String,
    certificate: String,
    key: String,
    /// When the certificate was signed, seconds since 1970.
    signed: u64,
}

/// The certificate to serve with, made if need be, and its CA in the webhook's configuration.
pub(crate) async fn serving(client: &Client, flags: &Flags, now: u64) -> Result<Serving, Error> {
    let name = format!("{}{SUFFIX}", flags.service);
    let secrets: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &flags.namespace, &watch::resource("", "v1", "Secret"));
    let failed = |what: &str| {
        let what = format!("{what} Secret {}/{name}", flags.namespace);
        move |source| Error::Kubernetes { what, source: Box::new(source) }
    };
    let there = secrets.get_opt(&name).await.map_err(failed("read"))?;
    let kept = there.as_ref().and_then(|it| Kept::read(&it.data["data"]));
    let kept = match kept {
        Some(kept) if now < kept.signed + LIFE * 2 / 3 => kept,
        older => {
            let fresh = Kept::make(flags, older, now).map_err(|error| Error::Unusable(error.to_string()))?;
            let mut secret = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {"name": name, "namespace": flags.namespace},
                "data": fresh.data(),
            });
            match there {
                None => {
                    let secret = object(secret)?;
                    secrets.create(&PostParams::default(), &secret).await.map_err(failed("make"))?;
                }
                Some(there) => {
                    // whoever was faster has won: the next look finds theirs
                    secret["metadata"]["resourceVersion"] = json!(there.metadata.resource_version);
                    let secret = object(secret)?;
                    secrets.replace(&name, &PostParams::default(), &secret).await.map_err(failed("renew"))?;
                }
            }
            fresh
        }
    };
    trust(client, flags, &kept.ca).await?;
    let config = kept.config().map_err(Error::Unusable)?;
    let again = (kept.signed + LIFE * 2 / 3).saturating_sub(now).clamp(60, 3_600);
    Ok(Serving { config: Arc::new(config), again: Duration::from_secs(again) })
}

fn object(value: Value) -> Result<DynamicObject, Error> {
    serde_json::from_value(value).map_err(|error| Error::Unusable(error.to_string()))
}

/// Writes the CA into the webhook's configuration, for as many webhooks as it has.
async fn trust(client: &Client, flags: &Flags, ca: &str) -> Result<(), Error> {
    let resource = watch::resource("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration");
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let name = format!("{INJECTOR}.{}", flags.namespace);
    let failed = |what: &str| {
        let what = format!("{what} MutatingWebhookConfiguration {name}, which the installation brings");
        move |source| Error::Kubernetes { what, source: Box::new(source) }
    };
    let there = all.get(&name).await.map_err(failed("read"))?;
    let bundle = BASE64_STANDARD.encode(ca);
    let webhooks = there.data["webhooks"].as_array().into_iter().flatten().enumerate();
    let wrong = webhooks.filter(|(_, it)| it["clientConfig"]["caBundle"] != bundle.as_str());
    let patch: Vec<Value> = wrong
        .map(|(index, _)| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle}))
        .collect();
    if patch.is_empty() {
        return Ok(());
    }
    let patch: json_patch::Patch =
        serde_json::from_value(Value::Array(patch)).map_err(|error| Error::Unusable(error.to_string()))?;
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    all.patch(&name, &parameters, &Patch::Json::<()>(patch)).await.map_err(failed("write the CA into"))?;
    tracing::info!(webhook = name, "the API server trusts this mesh's webhook");
    Ok(())
}

impl Kept {
    fn read(data: &Value) -> Option<Self> {
        let text = |name: &str| String::from_utf8(BASE64_STANDARD.decode(data[name].as_str()?).ok()?).ok();
        Some(Self {
            ca: text("ca.crt")?,
            ca_key: text("ca.key")?,
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            signed: text("signed")?.parse().ok()?,
        })
    }

    fn data(&self) -> BTreeMap<&'static str, String> {
        let Self { ca, ca_key, certificate, key, signed } = self;
        let signed = signed.to_string();
        let all = [("ca.crt", ca), ("ca.key", ca_key), ("tls.crt", certificate), ("tls.key", key), ("signed", &signed)];
        all.into_iter().map(|(name, text)| (name, BASE64_STANDARD.encode(text))).collect()
    }

    /// A new certificate, by the CA that there is or by a new one.
    fn make(flags: &Flags, older: Option<Self>, now: u64) -> Result<Self, rcgen::Error> {
        let (ca, ca_key) = match older {
            Some(Self { ca, ca_key, .. }) => (ca, ca_key),
            None => {
                let key = KeyPair::generate()?;
                (authority(now).self_signed(&key)?.pem(), key.serialize_pem())
            }
        };
        let issuer = Issuer::new(authority(now), KeyPair::from_pem(&ca_key)?);
        let Flags { service, namespace, cluster_domain, .. } = flags;
        let names = [
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.{cluster_domain}"),
            format!("{service}.{namespace}"),
        ];
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = named(&format!("{service}.{namespace}"));
        (parameters.not_before, parameters.not_after) = valid(now, LIFE);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &issuer)?;
        Ok(Self { ca, ca_key, certificate: certificate.pem(), key: key.serialize_pem(), signed: now })
    }

    fn config(&self) -> Result<ServerConfig, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect();
        let chain = chain.map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| error.to_string())?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
        builder.with_single_cert(chain, key).map_err(|error| error.to_string())
    }
}

fn authority(now: u64) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named("REXFlow webhook CA");
    (parameters.not_before, parameters.not_after) = valid(now, CA_LIFE);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
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
    use super::*;

    #[test]
    fn a_certificate_is_renewed_by_the_same_ca_and_survives_the_secret() {
        let flags = Flags::default();
        let first = Kept::make(&flags, None, 1_700_000_000).unwrap();
        let data = serde_json::to_value(first.data()).unwrap();
        let read = Kept::read(&data).unwrap();
        assert!(read.config().is_ok());
        let second = Kept::make(&flags, Some(read), 1_700_000_000 + LIFE).unwrap();
        assert_eq!(second.ca, first.ca);
        assert_ne!(second.certificate, first.certificate);
        assert!(second.config().is_ok());
        assert!(Kept::read(&json!({"ca.crt": "x"})).is_none());
    }
}
