//! Gives sidecars their identities (`flow.v1.Identity`): a ServiceAccount token for this flowd's audience goes in, a short-lived certificate with the
//! account's name comes out.
//!
//! The API server says whose token it is and whether it is for us (TokenReview); a token of another audience, of no pod, expired or of an account
//! that is gone gets nothing. What the token's owner may serve is asked when it attaches: [`crate::mesh`].

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use proto::v1;
use proto::v1::identity_server::{Identity, IdentityServer};
use runtime::tls;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::authority::{self, Authority, Lives};
use super::certificates::{Certificates, now};
use super::{Settings, watch};

/// What a token's bearer is called, before namespace and name.
const ACCOUNT: &str = "system:serviceaccount:";
/// Says which pod a token was made for.
const POD: &str = "authentication.kubernetes.io/pod-name";
/// The largest token, and the largest request, bytes.
const MAX: usize = 16 << 10;
/// Tokens that are looked at, at a time.
const AT_ONCE: usize = 64;
/// How long the API server may take, and a caller may wait for its turn.
const WITHIN: Duration = Duration::from_secs(8);

/// The service.
pub(crate) struct Service {
    client: Client,
    certificates: Certificates,
    settings: Settings,
    lives: Lives,
    places: Arc<Semaphore>,
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    namespace: String,
    name: String,
    pod: String,
}

impl Service {
    /// As a tonic service.
    pub(crate) fn server(
        client: Client,
        certificates: Certificates,
        settings: Settings,
        lives: Lives,
    ) -> IdentityServer<Self> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        IdentityServer::new(Self { client, certificates, settings, lives, places }).max_decoding_message_size(MAX)
    }

    async fn reviewed(&self, token: &str) -> Result<Account, Status> {
        let _place = self.places.acquire().await.map_err(|_| Status::unavailable("flowd is going"))?;
        let spec =
            TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![self.settings.audience.clone()]) };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let asked = TokenReview { spec, ..TokenReview::default() };
        let review = reviews.create(&PostParams::default(), &asked).await.map_err(|error| {
            let why = watch::reason(&error);
            tracing::warn!(error = why, "cannot have a token looked at");
            Status::unavailable(format!("the API server does not say whose token it is: {why}"))
        })?;
        account(&review, &self.settings.audience).map_err(Status::unauthenticated)
    }

    fn authority(&self) -> Result<Arc<Authority>, Status> {
        let authority = self.certificates.authority.borrow().clone();
        authority.ok_or_else(|| Status::unavailable("flowd has no CA yet; its log says why"))
    }
}

#[tonic::async_trait]
impl Identity for Service {
    async fn issue(&self, request: Request<v1::IssueRequest>) -> Result<Response<v1::IssueReply>, Status> {
        let authority = self.authority()?;
        let token = bearer(&request)?;
        let reviewed = timeout(WITHIN, self.reviewed(&token)).await;
        let account = reviewed.map_err(|_| Status::unavailable("the API server takes its time; ask again"))?;
        let account = account.inspect_err(|status| tracing::warn!(why = status.message(), "refused a certificate"))?;
        let Account { namespace, name, pod } = &account;
        let identity = self.settings.identity(namespace, name);
        let signed = authority.issue(&identity, &request.get_ref().request, self.lives, now());
        let chain = signed.map_err(|error| match error {
            authority::Error::Request(_) => Status::invalid_argument(error.to_string()),
            other => Status::internal(other.to_string()),
        })?;
        let roots = authority.roots().map_err(|error| Status::internal(error.to_string()))?;
        tracing::info!(%identity, pod, "gave a certificate");
        let der = |list: Vec<rustls_pki_types::CertificateDer<'_>>| list.iter().map(|it| it.to_vec()).collect();
        let life_s = authority.gives(self.lives, now());
        let reply = v1::IssueReply { chain: der(chain), roots: der(roots), life_s };
        Ok(Response::new(reply))
    }
}

fn bearer<T>(request: &Request<T>) -> Result<String, Status> {
    let header = request.metadata().get("authorization").and_then(|it| it.to_str().ok());
    let token = header.and_then(|it| it.strip_prefix("Bearer ")).map(str::trim);
    match token {
        Some(token) if !token.is_empty() && token.len() <= MAX => Ok(token.to_owned()),
        _ => Err(Status::unauthenticated("no ServiceAccount token: send `authorization: Bearer TOKEN`")),
    }
}

/// Whose token it is by the API server's word; else why it counts for nothing. Pure.
fn account(review: &TokenReview, audience: &str) -> Result<Account, String> {
    let nothing =
        || format!("the token counts for nothing here: it must be a pod's, in force, for the audience {audience}");
    let status = review.status.as_ref().ok_or_else(nothing)?;
    if let Some(error) = status.error.as_ref().filter(|it| !it.is_empty()) {
        return Err(format!("{}: {error}", nothing()));
    }
    // an API server that does not know audiences names none
    let ours = status.audiences.iter().flatten().any(|it| it == audience);
    let user = status.user.as_ref().filter(|_| ours && status.authenticated == Some(true)).ok_or_else(nothing)?;
    let named = user.username.as_deref().and_then(|it| it.strip_prefix(ACCOUNT)).and_then(|it| it.split_once(':'));
    let (namespace, name) = named.ok_or_else(|| format!("{}; it is not a ServiceAccount's", nothing()))?;
    let pod = user.extra.iter().flatten().find(|(key, _)| key.as_str() == POD).and_then(|(_, pods)| pods.first());
    let pod = pod.ok_or_else(|| format!("{}; it was made for no pod", nothing()))?;
    Ok(Account { namespace: namespace.to_owned(), name: name.to_owned(), pod: pod.clone() })
}

impl Settings {
    /// Who the pods of a service account are.
    pub(crate) fn identity(&self, namespace: &str, account: &str) -> tls::Identity {
        let identity = format!("spiffe://{}", self.principal(namespace, account)).parse();
        identity
            .expect("names of Kubernetes are segments of a SPIFFE id, and the trust domain was checked at the start")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OURS: &str = "flowd.rexflow.svc";

    fn review(status: Value) -> Result<Account, String> {
        account(&serde_json::from_value(json!({"spec": {}, "status": status})).unwrap(), OURS)
    }

    #[test]
    fn a_pods_token_for_us_and_nothing_else_is_somebodys() {
        let user = json!({"username": "system:serviceaccount:shop:pay", "extra": {POD: ["pay-1"]}});
        let good = json!({"authenticated": true, "audiences": [OURS], "user": user});
        let whose = Account { namespace: "shop".into(), name: "pay".into(), pod: "pay-1".into() };
        assert_eq!(review(good.clone()), Ok(whose));
        for (path, value) in [
            ("/authenticated", json!(false)),
            ("/audiences", json!(["https://kubernetes.default.svc"])),
            ("/audiences", json!([])),
            ("/error", json!("token has expired")),
            ("/user/username", json!("system:node:node1")),
            ("/user/username", json!("alice")),
            ("/user/extra", json!({})),
        ] {
            let mut bad = good.clone();
            match bad.pointer_mut(path) {
                Some(at) => *at = value,
                None => bad["error"] = value,
            }
            let why = review(bad.clone()).unwrap_err();
            assert!(why.contains(OURS), "{path}: {why}");
        }
        assert!(review(json!({})).is_err(), "an API server that knows no audiences");
    }
}
