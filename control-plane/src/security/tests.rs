use http::Method;
use http::header::AUTHORIZATION;

use super::*;
use crate::http::Route;

#[tokio::test]
async fn every_route_but_the_probes_wants_the_token() {
    let access = Access::new(Token::new("secret"));
    let mut right = HeaderMap::new();
    right.insert("authorization", "Bearer secret".parse().unwrap());
    let mut wrong = HeaderMap::new();
    wrong.insert("authorization", "Bearer guess".parse().unwrap());
    for (path, open) in [
        ("/health", true),
        ("/ready", true),
        ("/answers", true),
        ("/metrics", false),
        ("/wf_map", false),
        ("/start/x", false),
        ("/", false),
        ("/health/", false),
        ("//health", false),
        ("/callbacks/order-1/1f/seal", true),
        ("/callbacks", false),
        ("/unheard-of", false),
    ] {
        let rule = rights::of_request(Route::of(path), &Method::POST);
        assert_eq!(access.request(rule, path, &HeaderMap::new()).await.is_ok(), open, "{path}, no token");
        assert_eq!(access.request(rule, path, &wrong).await.is_ok(), open, "{path}, wrong token");
        assert!(access.request(rule, path, &right).await.is_ok(), "{path}, right token");
        assert!(Access::default().request(rule, path, &HeaderMap::new()).await.is_ok(), "{path}, none asked for");
    }
}

#[test]
fn off_loopback_wants_tls_and_a_token_or_insecure() {
    let (far, near) = ("0.0.0.0:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap());
    let with = Access::new(Token::new("secret"));
    for (access, address, (tls, users), insecure, open) in [
        (&Access::default(), near, (false, false), false, true),
        (&Access::default(), far, (false, false), false, false),
        (&Access::default(), far, (true, false), false, false),
        (&Access::default(), far, (true, true), false, true),
        (&Access::default(), far, (false, true), false, false),
        (&with, far, (false, false), false, false),
        (&with, far, (true, false), false, true),
        (&Access::default(), far, (false, false), true, true),
    ] {
        let checked = access.check_port("gRPC", address, (tls, users), insecure);
        assert_eq!(checked.is_ok(), open, "{address} {tls} {users} {insecure}: {checked:?}");
    }
}

#[cfg(feature = "kubernetes")]
mod of_users {
    use super::*;
    use crate::kubernetes::users::tests::users;

    const FLOW: &str = "/flow.v1.Flow/";

    fn shows(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        headers
    }

    fn access(token: Option<&str>) -> Access {
        let mut access = Access::new(token.and_then(Token::new));
        access.ask(users().0);
        access
    }

    #[tokio::test]
    async fn a_call_needs_a_user_with_the_right_or_the_token_that_opens_everything() {
        let access = access(Some("master"));
        let call = async |method: &str, headers: &HeaderMap| access.call(&format!("{FLOW}{method}"), headers).await;
        for method in ["Version", "Apply", "Run", "Stop", "Unheard"] {
            assert!(matches!(call(method, &HeaderMap::new()).await, Err(Refusal::Nobody(_))), "{method}");
            assert!(matches!(call(method, &shows("bad")).await, Err(Refusal::Nobody(_))), "{method}");
            assert!(matches!(call(method, &shows("master")).await, Ok(None)), "{method}");
        }
        assert!(matches!(call("Version", &shows("good")).await, Ok(Some(_))));
        assert!(matches!(call("Run", &shows("good")).await, Ok(Some(_))));
        assert!(matches!(call("Apply", &shows("good")).await, Err(Refusal::Forbidden(_))));
        assert!(matches!(call("Unheard", &shows("good")).await, Err(Refusal::Forbidden(_))));
        assert!(matches!(access.call("/flow.v1.Control/Attach", &shows("good")).await, Err(Refusal::Forbidden(_))));
    }

    #[tokio::test]
    async fn what_a_call_needs_by_what_it_names_is_asked_by_its_handler() {
        let caller = access(None).call(&format!("{FLOW}Stop"), &shows("good")).await.unwrap().unwrap();
        let mut request = Request::new(());
        request.extensions_mut().insert(caller);
        assert!(permit(&request, Target::Instance).await.is_ok());
        let status = permit(&request, Target::Workflow).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        assert!(status.message().contains("jane may not update workflows.rexflow.io/operation"), "{status}");
        assert_eq!(signed(request.extensions(), ""), "jane");
        assert_eq!(signed(request.extensions(), "jane"), "jane");
        assert_eq!(signed(request.extensions(), "bob"), "jane (as bob)");
        let unasked = Request::new(());
        assert!(permit(&unasked, Target::Workflow).await.is_ok());
        assert_eq!(signed(unasked.extensions(), "bob"), "bob");
    }

    #[tokio::test]
    async fn requests_pass_by_their_route() {
        for (method, path, bare, user, with_token) in [
            (Method::GET, "/health", true, true, true),
            (Method::POST, "/callbacks/order-1/1f/seal", true, true, true),
            (Method::GET, "/metrics", true, true, false),
            (Method::POST, "/exposed", true, true, false),
            (Method::POST, "/start/x", false, true, false),
            (Method::GET, "/tasks", false, false, false),
            (Method::POST, "/graphql", false, false, false),
            (Method::GET, "/graphql", false, true, false),
        ] {
            let rule = rights::of_request(Route::of(path), &method);
            let open = access(None);
            assert_eq!(open.request(rule, path, &HeaderMap::new()).await.is_ok(), bare, "{path}, nobody");
            assert_eq!(open.request(rule, path, &shows("good")).await.is_ok(), user, "{path}, a user");
            let guarded = access(Some("master"));
            assert_eq!(guarded.request(rule, path, &HeaderMap::new()).await.is_ok(), with_token, "{path}, --token");
            assert!(guarded.request(rule, path, &shows("master")).await.is_ok(), "{path}, the token of --token");
        }
    }
}
