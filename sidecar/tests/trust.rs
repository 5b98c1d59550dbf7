//! Who may offer what, under mutual TLS.

use std::net::SocketAddr;
use std::path::Path;

use hop::Refusal;
use hop::link::{Event, Links, Options, Target};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, string::Ia5String};
use routing::Incarnation;
use runtime::tls::Tls;
use serde_json::json;

use crate::ledger::{LEDGER, Ledger, Starter};
use crate::mesh::{Folders, Sidecar, Task, eventually};
use crate::model::{linear, token};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn tls(issuer: &Authority, folder: &Path, path: &str) -> Tls {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let uri = format!("spiffe://mesh.local{path}");
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(uri).unwrap())];
    let certificate = params.signed_by(&key, issuer).unwrap();
    let file = |kind: &str| folder.join(format!("{}.{kind}", path.replace('/', "_")));
    std::fs::write(file("cert"), certificate.pem()).unwrap();
    std::fs::write(file("key"), key.serialize_pem()).unwrap();
    std::fs::write(file("ca"), issuer.pem()).unwrap();
    Tls::load(&file("cert"), &file("key"), &file("ca")).unwrap()
}

/// The first event of a link with these claims.
async fn first_event(replica: Incarnation, address: SocketAddr, options: Options) -> Event {
    let mut links = Links::new(options);
    links.want(replica, Target { address: address.to_string(), services: Default::default() });
    eventually("an event of a link", links.next()).await
}

#[tokio::test]
async fn only_predecessors_and_the_ledger_may_offer() {
    let (folders, issuer, definition) = (Folders::new(), authority(), linear());
    let task = Task::answering("{}").await;
    let mut config = folders.with_tables("b", &task.url, &definition, &[]);
    config.tls = Some(tls(&issuer, folders.path(), "/svc/b"));
    let b = Sidecar::start(config).await;
    let claims = |path: &str, incarnation: u128, ledger: bool, serves: &str| Options {
        incarnation: Incarnation(incarnation),
        boot: 1,
        ledger,
        serves: (!serves.is_empty()).then(|| serves.into()).into_iter().collect(),
        tls: Some(tls(&issuer, folders.path(), path)),
        accounts: Default::default(),
    };
    let unreachable = Event::Unreachable { replica: b.incarnation, found: None };
    for liar in [claims("/svc/x", 1, false, "a"), claims("/svc/a", 2, true, ""), claims("/svc/x", 3, true, "")] {
        assert_eq!(first_event(b.incarnation, b.hop, liar).await, unreachable);
    }
    let plain = Starter::options(LEDGER, 1);
    assert_eq!(first_event(b.incarnation, b.hop, plain).await, unreachable);
    let start = token(&definition, "b", 1, &json!({}));
    let mut stranger = Starter::with(claims("/svc/x", 4, false, "x"), b.incarnation, b.hop).await;
    stranger.offer(&start);
    assert_eq!(stranger.answer().await.1, [(start.activation, Refusal::Forbidden)]);
    assert!(task.requests().is_empty());
    let mut predecessor = Starter::with(claims("/svc/a", 5, false, "a"), b.incarnation, b.hop).await;
    predecessor.offer(&start);
    assert_eq!(predecessor.answer().await.0, [start.activation]);
    let mut ledger = Starter::with(claims("/flowd", 6, true, ""), b.incarnation, b.hop).await;
    let other = token(&definition, "b", 2, &json!({}));
    ledger.offer(&other);
    assert_eq!(ledger.answer().await.0, [other.activation]);
}

#[tokio::test]
async fn tokens_go_only_to_who_may_serve_them_and_reports_only_to_flowd() {
    let (folders, issuer, definition) = (Folders::new(), authority(), linear());
    let (task_a, task_b) = (Task::answering("{}").await, Task::answering("{}").await);
    let certified = |path: &str| tls(&issuer, folders.path(), path);
    // says it serves b, and is somebody else
    let mut config = folders.with_tables("b", &task_b.url, &definition, &[]);
    config.tls = Some(certified("/svc/thief"));
    let thief = Sidecar::start(config).await;
    let nobody = "127.0.0.1:0".parse().unwrap();
    let false_ledger = Ledger::at(nobody, Vec::new(), Some(&certified("/svc/flowd"))).await;
    let mut config = folders.with_tables("a", &task_a.url, &definition, &[("b", thief.hop)]);
    config.tls = Some(certified("/svc/a"));
    config.flowd = vec![false_ledger.address.to_string()];
    let a = Sidecar::start(config).await;
    let mut options = Starter::options(LEDGER, 1);
    options.tls = Some(certified("/flowd"));
    let mut starter = Starter::with(options, a.incarnation, a.hop).await;
    let start = token(&definition, "a", 1, &json!({}));
    starter.offer(&start);
    assert_eq!(starter.answer().await.0, [start.activation]);
    assert_eq!(a.metric("flow_tokens_unanswered").await, 1.0);
    assert!(task_b.requests().is_empty() && false_ledger.told.borrow().hellos.is_empty());
}
