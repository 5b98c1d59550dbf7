//! Keeps what this flowd shows and what it signs with: the mesh's CA, in a Secret that all flowds of the mesh share, its own certificate for sidecars, and
//! the one of the webhook.
//!
//! Whoever finds the CA due for its next step ([`super::authority`]) writes it; the Secret's version settles who was first. Certificates are made in
//! memory and renewed at half of their lives. The CA is written into the webhook's configuration. While the API server is away everything
//! goes on with the CA that was read last. Nothing has to be installed for it and nothing restarts when it is renewed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use runtime::tls::{Credentials, Identity, Renewer, Tls, Unusable};
use serde_json::{Value, json};
use tokio::sync::watch as state;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use super::authority::{self, Authority, Ca};
use super::{FIELD_MANAGER, Flags, watch};

/// The Secret with the CA, after flowd's Service.
const SUFFIX: &str = "-ca";
/// The webhook's configuration, before the mesh. It sorts before Istio's, which is called in that order and reads our annotations.
const INJECTOR: &str = "flow-sidecar-injector";
/// In it, the CAs with their keys; beside `ca.crt`, which is for people.
const KEPT: &str = "ca.json";
/// Between two looks, at most.
const LOOK: Duration = Duration::from_secs(60);
/// After a look that failed.
const AGAIN: Duration = Duration::from_secs(3);

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
    #[error("the CA in Secret {secret} cannot be used: {source}; delete the Secret and it is made anew")]
    Authority {
        /// Which Secret.
        secret: String,
        /// What is wrong with it.
        source: authority::Error,
    },
    /// What was signed cannot be used.
    #[error(transparent)]
    Own(#[from] Unusable),
    /// The webhook's configuration cannot be made of it.
    #[error("serve the webhook with the mesh's certificate: {0}")]
    Serve(tokio_rustls::rustls::Error),
    /// JSON of ours that is none.
    #[error("write the Secret of the CA: {0}")]
    Json(#[from] serde_json::Error),
}

/// What others need of it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    /// The CA as it was read last.
    pub(crate) authority: state::Receiver<Option<Arc<Authority>>>,
    /// What the webhook shows.
    pub(crate) webhook: state::Receiver<Option<Arc<ServerConfig>>>,
    /// What sidecars are shown.
    pub(crate) tls: Tls,
}

/// The configuration of the webhook of a mesh.
pub(super) fn injector(mesh: &str) -> String {
    format!("{INJECTOR}.{mesh}")
}

/// Who keeps them.
pub(crate) struct Keeper {
    client: Client,
    flags: Flags,
    identity: Identity,
    authority: state::Sender<Option<Arc<Authority>>>,
    webhook: state::Sender<Option<Arc<ServerConfig>>>,
    renewer: Renewer,
    /// Who has signed what is in force, and when to renew it, seconds since 1970.
    signed: Option<(u64, u64)>,
}

/// The certificates, none of which is there before the keeper has run; `identity` is flowd's.
pub(crate) fn new(client: Client, flags: Flags, identity: Identity) -> (Keeper, Certificates) {
    let (authority, ca) = state::channel(None);
    let (webhook, shown) = state::channel(None);
    let (renewer, tls) = Tls::renewable();
    let keeper = Keeper { client, flags, identity, authority, webhook, renewer, signed: None };
    (keeper, Certificates { authority: ca, webhook: shown, tls })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

impl Keeper {
    /// Has certificates that are good, always.
    pub(crate) async fn run(mut self) {
        let look = (self.flags.lives().certificate() / 8).clamp(Duration::from_secs(1), LOOK);
        let mut told = String::new();
        loop {
            let looked = self.look(now()).await;
            // what was read last serves on
            let kept = self.renew(now());
            let wait = match looked.and(kept) {
                Ok(()) => {
                    told.clear();
                    look
                }
                Err(error) => {
                    let text = error.to_string();
                    if told != text {
                        tracing::warn!(error = text, "cannot keep the certificates of the mesh; trying again");
                        told = text;
                    }
                    AGAIN
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    fn secret(&self) -> String {
        format!("{}{SUFFIX}", self.flags.service)
    }

    /// Reads the CA, takes it a step further if that is due, and has the API server trust it.
    async fn look(&mut self, now: u64) -> Result<(), Error> {
        let (name, lives) = (self.secret(), self.flags.lives());
        let resource = watch::resource("", "v1", "Secret");
        let secrets: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.flags.namespace, &resource);
        let failed = |what: &str| {
            let what = format!("{what} Secret {}/{name}", self.flags.namespace);
            move |source| Error::Kubernetes { what, source: Box::new(source) }
        };
        let unusable = |source| Error::Authority { secret: format!("{}/{name}", self.flags.namespace), source };
        let there = secrets.get_opt(&name).await.map_err(failed("read"))?;
        let kept = there.as_ref().map(|it| read(&it.data["data"])).transpose().map_err(unusable)?;
        let authority = match (&there, kept) {
            (Some(there), Some(kept)) => match kept.next(lives, now).map_err(unusable)? {
                None => kept,
                Some(next) => {
                    // whoever was faster has won: the next look finds theirs
                    let mut secret = self.written(&next);
                    secret["metadata"]["resourceVersion"] = json!(there.metadata.resource_version);
                    let secret: DynamicObject = serde_json::from_value(secret)?;
                    secrets.replace(&name, &PostParams::default(), &secret).await.map_err(failed("renew"))?;
                    tracing::info!(trusted = next.all().len(), "the CA of the mesh went a step further");
                    next
                }
            },
            _ => {
                let first = Authority::new(lives, now).map_err(unusable)?;
                let secret: DynamicObject = serde_json::from_value(self.written(&first))?;
                secrets.create(&PostParams::default(), &secret).await.map_err(failed("make"))?;
                tracing::info!(secret = name, "made the CA of the mesh");
                first
            }
        };
        self.trust(&authority).await?;
        let authority = Arc::new(authority);
        self.authority.send_if_modified(|now| {
            let changed = now.as_ref() != Some(&authority);
            *now = Some(authority);
            changed
        });
        Ok(())
    }

    /// Renews what this flowd shows, if that is due.
    fn renew(&mut self, now: u64) -> Result<(), Error> {
        let Some(authority) = self.authority.borrow().clone() else { return Ok(()) };
        let lives = self.flags.lives();
        let (signer, life) = (authority.signer(now).made, authority.gives(lives, now));
        if self.signed.is_some_and(|(by, until)| by == signer && now < until) {
            return Ok(());
        }
        let secret = self.secret();
        let unusable = |source| Error::Authority { secret: secret.clone(), source };
        let (chain, key) = authority.own(&self.identity, lives, now).map_err(unusable)?;
        let credentials = Credentials::new(chain, key, authority.roots().map_err(unusable)?)?;
        let Flags { service, namespace, cluster_domain, .. } = &self.flags;
        let names = [
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.{cluster_domain}"),
            format!("{service}.{namespace}"),
        ];
        let (chain, key) = authority.server(names.into(), lives, now).map_err(unusable)?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(Error::Serve)?.with_no_client_auth();
        self.webhook.send_replace(Some(Arc::new(config.with_single_cert(chain, key).map_err(Error::Serve)?)));
        self.renewer.renew(credentials);
        self.signed = Some((signer, now + life / 2));
        Ok(())
    }

    fn written(&self, authority: &Authority) -> Value {
        let kept = serde_json::to_string(authority.all()).expect("texts and numbers");
        let data = [("ca.crt", authority.bundle()), (KEPT, kept)];
        let data: BTreeMap<_, _> = data.into_iter().map(|(name, text)| (name, BASE64_STANDARD.encode(text))).collect();
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": self.secret(), "namespace": self.flags.namespace},
            "data": data,
        })
    }

    /// Writes the CA into the webhook's configuration, for as many webhooks as it has.
    async fn trust(&self, authority: &Authority) -> Result<(), Error> {
        let resource = watch::resource("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration");
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let name = injector(&self.flags.namespace);
        let failed = |what: &str| {
            let what = format!("{what} MutatingWebhookConfiguration {name}, which the installation brings");
            move |source| Error::Kubernetes { what, source: Box::new(source) }
        };
        let there = all.get(&name).await.map_err(failed("read"))?;
        let bundle = BASE64_STANDARD.encode(authority.bundle());
        let webhooks = there.data["webhooks"].as_array().into_iter().flatten().enumerate();
        let wrong = webhooks.filter(|(_, it)| it["clientConfig"]["caBundle"] != bundle.as_str());
        let patch: Vec<Value> = wrong
            .map(|(index, _)| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle}))
            .collect();
        if patch.is_empty() {
            return Ok(());
        }
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(patch))?;
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        all.patch(&name, &parameters, &Patch::Json::<()>(patch)).await.map_err(failed("write the CA into"))?;
        tracing::info!(webhook = name, "the API server trusts this mesh's webhook");
        Ok(())
    }
}

/// What a Secret holds.
fn read(data: &Value) -> Result<Authority, authority::Error> {
    let bytes = data[KEPT].as_str().and_then(|it| BASE64_STANDARD.decode(it).ok());
    let bytes = bytes.ok_or_else(|| authority::Error::Kept(format!("it has no {KEPT}")))?;
    let all: Vec<Ca> = serde_json::from_slice(&bytes).map_err(|error| authority::Error::Kept(error.to_string()))?;
    Authority::kept(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_secret_gives_back_what_was_written_and_garbage_is_told() {
        let _ = ring::default_provider().install_default();
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = Client::try_from(config).unwrap();
        let flags = Flags::default();
        let identity = "spiffe://cluster.local/flowd".parse().unwrap();
        let (mut keeper, certificates) = new(client, flags.clone(), identity);
        let first = Authority::new(flags.lives(), 1_700_000_000).unwrap();
        let both = first.next(flags.lives(), 1_700_000_000 + flags.lives().ca / 3 * 2).unwrap().unwrap();
        let data = keeper.written(&both)["data"].clone();
        assert_eq!(read(&data).unwrap(), both);
        for text in ["", "x", "[]", r#"[{"certificate":"x","key":"y","made":1,"life":2,"signs":1}]"#] {
            assert!(read(&json!({KEPT: BASE64_STANDARD.encode(text)})).is_err(), "{text}");
        }
        assert!(keeper.renew(1_700_000_000).is_ok() && certificates.tls.credentials().is_none());
        keeper.authority.send_replace(Some(Arc::new(Authority::new(flags.lives(), now()).unwrap())));
        keeper.renew(now()).unwrap();
        let shown = certificates.tls.credentials().unwrap();
        keeper.renew(now() + flags.lives().certificate / 4).unwrap();
        assert!(Arc::ptr_eq(&shown, &certificates.tls.credentials().unwrap()), "not yet");
        keeper.renew(now() + flags.lives().certificate / 2).unwrap();
        assert!(!Arc::ptr_eq(&shown, &certificates.tls.credentials().unwrap()));
        assert!(certificates.webhook.borrow().is_some());
    }
}
