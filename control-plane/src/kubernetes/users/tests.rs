//! With an API server that can be told to be away, which the real one of the cluster's tests cannot so exactly.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::{Request, Response, StatusCode};
use kube::client::Body;
use runtime::clock::{ManualClock, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::Flags;
use crate::security::rights::{Resource, Verb};

const RUN: Right = Right(Verb::Create, Resource::Instances);
const APPLY: Right = Right(Verb::Create, Resource::Workflows);

/// Knows the token `good`, whose user may run and no more.
#[derive(Default)]
pub(crate) struct Server {
    away: AtomicBool,
    revoked: AtomicBool,
    asked: AtomicUsize,
}

impl Server {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let asked: Value = serde_json::from_slice(&request.into_body().collect_bytes().await.unwrap()).unwrap();
        if asked["spec"]["token"].as_str().is_some_and(|it| it.starts_with("slow")) {
            return std::future::pending().await;
        }
        let known = asked["spec"]["token"] == "good" && !self.revoked.load(Ordering::SeqCst);
        let status = match asked["kind"].as_str() {
            Some("TokenReview") if known => json!({"authenticated": true, "user": {"username": "jane"}}),
            Some("TokenReview") => json!({"authenticated": false}),
            _ => json!({"allowed": asked["spec"]["resourceAttributes"]["resource"] == "instances"}),
        };
        let away = self.away.load(Ordering::SeqCst);
        let answer =
            json!({"apiVersion": asked["apiVersion"], "kind": asked["kind"], "spec": asked["spec"], "status": status});
        let (code, answer) =
            if away { (500, json!({"kind": "Status", "message": "etcd is gone", "code": 500})) } else { (201, answer) };
        let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    }
}

/// flowd's side, and the API server's.
pub(crate) fn users() -> (Users, Arc<Server>, ManualClock) {
    let (server, clock) = (Arc::new(Server::default()), ManualClock::new(Timestamp::default()));
    let answering = server.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = answering.clone();
        async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
    });
    let client = Client::new(service, "rexflow");
    (Users::new(client, Settings::of(&Flags::default(), 9003), Arc::new(clock.clone())), server, clock)
}

impl Users {
    async fn may(&self, token: &str, right: Right) -> Result<(), Refusal> {
        let user = self.who(token).await?;
        self.permit(&user, right).await
    }
}

#[tokio::test]
async fn answers_are_asked_for_once_and_again_when_they_are_old() {
    let (users, server, clock) = users();
    for _ in 0..3 {
        users.may("good", RUN).await.unwrap();
        assert!(matches!(users.may("good", APPLY).await, Err(Refusal::Forbidden(_))));
        assert!(matches!(users.may("bad", RUN).await, Err(Refusal::Nobody(_))));
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 4, "two tokens, two rights");
    server.revoked.store(true, Ordering::SeqCst);
    users.may("good", RUN).await.unwrap();
    clock.advance(FRESH);
    assert!(matches!(users.may("good", RUN).await, Err(Refusal::Nobody(_))));
}

#[tokio::test]
async fn while_the_api_server_is_away_who_was_known_goes_on_and_nobody_new_gets_in() {
    let (users, server, clock) = users();
    users.may("good", RUN).await.unwrap();
    assert!(matches!(users.may("good", APPLY).await, Err(Refusal::Forbidden(_))));
    server.away.store(true, Ordering::SeqCst);
    let why = users.may("new", RUN).await.unwrap_err();
    assert!(matches!(why, Refusal::Away(_)) && why.to_string().contains("whose token it is"), "{why}");
    clock.advance(FRESH);
    users.may("good", RUN).await.unwrap();
    // what was refused is not taken for granted, either way
    assert!(matches!(users.may("good", APPLY).await, Err(Refusal::Away(_))));
    let before = server.asked.load(Ordering::SeqCst);
    users.may("good", RUN).await.unwrap();
    assert_eq!(server.asked.load(Ordering::SeqCst), before, "it is left alone for a moment");
    clock.advance(STALE);
    assert!(matches!(users.may("good", RUN).await, Err(Refusal::Away(_))));
}

#[tokio::test]
async fn a_token_that_was_revoked_does_not_come_back_when_the_api_server_goes() {
    let (users, server, clock) = users();
    users.may("good", RUN).await.unwrap();
    server.revoked.store(true, Ordering::SeqCst);
    clock.advance(FRESH);
    assert!(matches!(users.may("good", RUN).await, Err(Refusal::Nobody(_))));
    server.away.store(true, Ordering::SeqCst);
    clock.advance(FRESH);
    assert!(matches!(users.may("good", RUN).await, Err(Refusal::Away(_))));
}

#[tokio::test]
async fn whoever_tries_tokens_keeps_nobody_waiting_who_is_known() {
    let (users, server, clock) = users();
    users.may("good", RUN).await.unwrap();
    let asked = || server.asked.load(Ordering::SeqCst);
    let before = asked();
    let mut trying = tokio::task::JoinSet::new();
    for it in 0..2 * AT_ONCE {
        let users = users.clone();
        trying.spawn(async move { users.who(&format!("slow {it}")).await.map(drop) });
    }
    while asked() < before + AT_ONCE {
        tokio::task::yield_now().await;
    }
    clock.advance(FRESH);
    users.may("good", RUN).await.unwrap();
    assert_eq!(asked(), before + AT_ONCE + 2, "both were asked for anew, while others wait for their turn");
}
