//! What the API server is asked about users, and what its answers come to. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenReview, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};
use serde_json::Value;

use crate::security::rights::{GROUP, Right};

/// What of the API server's reason is told, characters.
const MAX_REASON: usize = 200;
/// What a ServiceAccount is called, before namespace and name.
const ACCOUNT: &str = "system:serviceaccount:";

/// Whether a token says of itself that it is for `audience`. Nothing is believed: it decides which question is asked.
pub(super) fn is_for(token: &str, audience: &str) -> bool {
    let said = token.split('.').nth(1).and_then(|it| URL_SAFE_NO_PAD.decode(it).ok());
    let said: Option<Value> = said.and_then(|it| serde_json::from_slice(&it).ok());
    match said.as_ref().map(|it| &it["aud"]) {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|it| it == audience),
        _ => false,
    }
}

/// Whose token it is by the API server's word; else why it counts for nothing. `audience`: for whom it was to be, if not for the API server.
pub(super) fn user(review: TokenReview, audience: Option<&str>) -> Result<UserInfo, String> {
    let nothing =
        "the token counts for nothing here: it must be in force, and for the API server or for users of this flowd";
    let status = review.status.ok_or(nothing)?;
    if let Some(error) = status.error.as_ref().filter(|it| !it.is_empty()) {
        let said: String = error.chars().take(MAX_REASON).collect();
        return Err(format!("{nothing} ({said})"));
    }
    // an API server that does not know audiences names none
    let ours = audience.is_none_or(|ours| status.audiences.iter().flatten().any(|it| it == ours));
    let named = |it: &UserInfo| it.username.as_ref().is_some_and(|name| !name.is_empty());
    let user = status.user.filter(|it| ours && status.authenticated == Some(true) && named(it));
    user.ok_or_else(|| nothing.to_owned())
}

/// Whether a user has a right in a namespace.
pub(super) fn question(user: &UserInfo, right: Right, namespace: &str) -> SubjectAccessReviewSpec {
    let UserInfo { username, uid, groups, extra } = user.clone();
    let Right(verb, resource) = right;
    let (name, sub) = resource.names();
    let resource_attributes = ResourceAttributes {
        group: Some(GROUP.to_owned()),
        resource: Some(name.to_owned()),
        subresource: sub.map(str::to_owned),
        verb: Some(verb.as_str().to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ResourceAttributes::default()
    };
    let resource_attributes = Some(resource_attributes);
    SubjectAccessReviewSpec { user: username, uid, groups, extra, resource_attributes, ..Default::default() }
}

/// What is lacking, and how it is given.
pub(super) fn forbidden(user: &str, right: Right, namespace: &str) -> String {
    let role = format!("flowd-{namespace}-{}", right.role());
    let subject = match user.strip_prefix(ACCOUNT) {
        Some(account) => format!("--serviceaccount={account}"),
        None => format!("--user={user}"),
    };
    format!(
        "{user} may not {right} in the namespace {namespace}; the ClusterRole {role} allows it: \
         kubectl -n {namespace} create rolebinding NAME --clusterrole={role} {subject}"
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::TokenReviewStatus;

    use super::*;
    use crate::security::rights::{Resource, Verb};

    const OURS: &str = "users.flowd.x.svc";
    const APPLY: Right = Right(Verb::Create, Resource::Workflows);

    fn review(authenticated: bool, audiences: &[&str], error: &str) -> TokenReview {
        let user = UserInfo { username: Some("jane".into()), groups: Some(vec!["ops".into()]), ..UserInfo::default() };
        let status = TokenReviewStatus {
            authenticated: Some(authenticated),
            audiences: Some(audiences.iter().map(ToString::to_string).collect()),
            user: Some(user),
            error: (!error.is_empty()).then(|| error.to_owned()),
        };
        TokenReview { status: Some(status), ..TokenReview::default() }
    }

    fn token(payload: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn a_token_must_be_for_the_api_server_or_for_users_of_this_flowd() {
        let name = |found: Result<UserInfo, String>| found.map(|it| it.username.unwrap());
        assert_eq!(name(user(review(true, &["https://api"], ""), None)).unwrap(), "jane");
        assert_eq!(name(user(review(true, &[OURS], ""), Some(OURS))).unwrap(), "jane");
        for (review, audience) in [
            (review(true, &["flowd.x.svc"], ""), Some(OURS)),
            (review(true, &[], ""), Some(OURS)),
            (review(false, &[OURS], ""), Some(OURS)),
            (review(false, &[], ""), None),
            (TokenReview::default(), None),
        ] {
            let why = user(review, audience).unwrap_err();
            assert!(why.contains("must be in force"), "{why}");
        }
        let why = user(review(false, &[], "service account token has expired"), None).unwrap_err();
        assert!(why.ends_with("(service account token has expired)"), "{why}");
    }

    #[test]
    fn what_a_token_says_of_itself_decides_which_question_is_asked() {
        for (payload, is) in [
            (r#"{"aud":["users.flowd.x.svc"]}"#, true),
            (r#"{"aud":"users.flowd.x.svc"}"#, true),
            (r#"{"aud":["flowd.x.svc","https://api"]}"#, false),
            (r#"{"aud":7}"#, false),
            ("no JSON", false),
        ] {
            assert_eq!(is_for(&token(payload), OURS), is, "{payload}");
        }
        for garbled in ["", "a", "a.b", "..", "a.%%.c"] {
            assert!(!is_for(garbled, OURS), "{garbled}");
        }
    }

    #[test]
    fn the_question_is_about_all_that_the_user_is() {
        let user = user(review(true, &[], ""), None).unwrap();
        let asked = question(&user, Right(Verb::Update, Resource::Operation), "mesh");
        assert_eq!((asked.user.as_deref(), asked.groups), (Some("jane"), Some(vec!["ops".to_owned()])));
        let what = asked.resource_attributes.unwrap();
        let what =
            [what.verb, what.group, what.resource, what.subresource, what.namespace].map(Option::unwrap_or_default);
        assert_eq!(what, ["update", "rexflow.io", "workflows", "operation", "mesh"]);
    }

    #[test]
    fn a_refusal_names_user_verb_resource_and_role() {
        let message = forbidden("jane", APPLY, "mesh");
        for part in [
            "jane may not create workflows.rexflow.io in the namespace mesh",
            "ClusterRole flowd-mesh-deployer",
            "-n mesh create rolebinding NAME --clusterrole=flowd-mesh-deployer --user=jane",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let message = forbidden("system:serviceaccount:shop:app", Right(Verb::Create, Resource::Instances), "mesh");
        assert!(message.ends_with("--clusterrole=flowd-mesh-operator --serviceaccount=shop:app"), "{message}");
    }
}
