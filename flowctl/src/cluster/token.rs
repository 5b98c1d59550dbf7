//! Tokens: the one that the kubeconfig's user has, and those that the API server makes for service accounts.

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use kube::client::{Body, ConfigExt as _};
use serde_json::json;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

use super::{Cluster, Error, WITHIN, reason, text};

/// Seconds that a token is good which is made for a service account: longer than any verb but `--watch` takes.
const LIFE: u32 = 3600;

/// Whether it is a name of Kubernetes (RFC 1123), and so can stand in a path.
fn is_name(name: &str) -> bool {
    let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    let inner = |it: u8| plain(it) || it == b'-' || it == b'.';
    let ends = [name.bytes().next(), name.bytes().last()];
    name.len() <= 253 && name.bytes().all(inner) && ends.into_iter().all(|it| it.is_some_and(plain))
}

impl Cluster {
    /// The token that the API server is shown: one of the kubeconfig or of a file, or what its plugin says. None for who shows a certificate, or a password.
    ///
    /// # Errors
    /// When the plugin, or the file, gives none.
    pub(crate) async fn own_token(&self) -> Result<Option<String>, Error> {
        let failed = |why: String| Error::Token(why);
        let Some(layer) = self.config.auth_layer().map_err(|error| failed(reason(&error)))? else { return Ok(None) };
        // what is sent along with any request
        let shown = layer.layer(service_fn(|request: Request<Body>| async move {
            let header: Option<HeaderValue> = request.headers().get(AUTHORIZATION).cloned();
            Ok::<_, BoxError>(Response::new(header))
        }));
        let asked = tokio::time::timeout(WITHIN, shown.oneshot(Request::new(Body::empty()))).await;
        let answer = asked.map_err(|_| failed(format!("nothing within {WITHIN:?}")))?;
        let header = answer.map_err(|error| failed(error.to_string()))?.into_body();
        let bearer = header.as_ref().and_then(|it| it.to_str().ok()).and_then(|it| it.strip_prefix("Bearer "));
        Ok(bearer.map(str::to_owned))
    }

    /// A token of a service account for `audience`, and for nothing else.
    ///
    /// # Errors
    /// When the user may not have it made, or there is no such account.
    pub(crate) async fn account_token(&self, namespace: &str, account: &str, audience: &str) -> Result<String, Error> {
        for name in [namespace, account] {
            if !is_name(name) {
                return Err(Error::Token(format!("{name:?} is no name of a namespace or a service account")));
            }
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let asked = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": LIFE},
        });
        let answer = self.create(&path, &asked).await?;
        Ok(text(&answer["status"]["token"]).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn what_could_lead_a_path_elsewhere_is_no_name() {
        assert!(["flowctl", "a.b-c", "9"].into_iter().all(is_name));
        assert!(!["", ".", "..", "a/b", "a%2Fb", "a?b", "-a", "a-", "A", "ä"].into_iter().any(is_name));
    }
}
