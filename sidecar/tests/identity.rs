//! Sidecars that get their certificates from flowd.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flow_sidecar::config::Config;
use flow_sidecar::identity::Settings;
use proto::v1;
use proto::v1::identity_server::{Identity, IdentityServer};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair, SanType,
    string::Ia5String,
};
use routing::Incarnation;
use runtime::tls::{Credentials, Request as Asked, Tls};
use serde_json::json;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::ledger::{LEDGER, Ledger, Starter};
use crate::mesh::{Folders, Sidecar, Task};
use crate::model::{linear, token};

/// flowd's side: gives whoever shows the token `NAME` the identity of service account NAME, and nobody else anything.
#[derive(Clone)]
struct Authority {
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
    life: Duration,
    issued: watch::Sender<usize>,
}

impl Authority {
    fn new(life: Duration) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer: Arc::new(issuer), life, issued: watch::Sender::new(0) }
    }

    fn sign(&self, request: &[u8], identity: &str, life: Duration) -> Vec<u8> {
        let mut asked = CertificateSigningRequestParams::from_der(&request.to_vec().into()).unwrap();
        asked.params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(identity).unwrap())];
        asked.params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
        asked.params.not_after = (SystemTime::now() + life).into();
        asked.signed_by(&*self.issuer).unwrap().der().to_vec()
    }

    /// Credentials for a long time.
    fn tls(&self, path: &str) -> Tls {
        let request = Asked::new().unwrap();
        let leaf = self.sign(request.der(), &format!("spiffe://mesh.local{path}"), Duration::from_secs(3600));
        let granted: Credentials = request.granted(vec![leaf.into()], vec![self.issuer.der().clone()]).unwrap();
        Tls::fixed(granted)
    }

    async fn flowd(&self, first: Vec<v1::FlowdMessage>) -> Ledger {
        let router = Server::builder().add_service(IdentityServer::new(self.clone()));
        Ledger::welcoming(&self.tls("/flowd"), first, router).await
    }

    /// A sidecar that shows `shown` as its token.
    fn config(&self, folders: &Folders, config: Config, shown: &str, flowd: &Ledger) -> Config {
        let (token, ca) = (config.data_dir.with_extension("token"), folders.path().join("ca.crt"));
        std::fs::write(&token, shown).unwrap();
        std::fs::write(&ca, self.issuer.pem()).unwrap();
        let (renewer, tls) = Tls::renewable();
        let identity = Some(Settings { token, ca, renewer });
        Config { tls: Some(tls), identity, flowd: vec![flowd.address.to_string()], ..config }
    }
}

#[tonic::async_trait]
impl Identity for Authority {
    async fn issue(&self, request: Request<v1::IssueRequest>) -> Result<Response<v1::IssueReply>, Status> {
        let token = request.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
        let account = token.strip_prefix("Bearer ").unwrap();
        if !["a", "b", "thief"].contains(&account) {
            return Err(Status::unauthenticated("the token counts for nothing here"));
        }
        let leaf =
            self.sign(&request.get_ref().request, &format!("spiffe://mesh.local/ns/shop/sa/{account}"), self.life);
        self.issued.send_modify(|n| *n += 1);
        let roots = vec![self.issuer.der().to_vec()];
        Ok(Response::new(v1::IssueReply { chain: vec![leaf], roots, life_s: self.life.as_secs() }))
    }
}

fn accounts(of: &[(&str, &str)]) -> v1::FlowdMessage {
    let account = |(service, account): &(&str, &str)| v1::Account {
        service: (*service).to_owned(),
        identities: vec![format!("spiffe://mesh.local/ns/shop/sa/{account}")],
    };
    let accounts = of.iter().map(account).collect();
    v1::FlowdMessage {
        bindings: Some(v1::Bindings { version: 1, accounts, ..Default::default() }),
        ..Default::default()
    }
}

fn ledger_of(authority: &Authority) -> hop::link::Options {
    hop::link::Options { tls: Some(authority.tls("/flowd")), ..Starter::options(LEDGER, 1) }
}

#[tokio::test]
async fn hops_go_on_while_certificates_are_renewed() {
    let (folders, authority, definition) = (Folders::new(), Authority::new(Duration::from_secs(2)), linear());
    let flowd = authority.flowd(vec![accounts(&[("a", "a"), ("b", "b")])]).await;
    let (task_a, task_b) = (Task::answering("{}").await, Task::answering("{}").await);
    let config = folders.with_tables("b", &task_b.url, &definition, &[]);
    let b = Sidecar::start(authority.config(&folders, config, "b", &flowd)).await;
    let config = folders.with_tables("a", &task_a.url, &definition, &[("b", b.hop)]);
    let a = Sidecar::start(authority.config(&folders, config, "a", &flowd)).await;
    flowd.told("both have attached", |told| told.hellos.len() >= 2 && told.bindings > 0).await;
    b.says("ready").await;
    a.says("ready").await;

    let mut starter = Starter::with(ledger_of(&authority), a.incarnation, a.hop).await;
    let (mut issued, mut n) = (authority.issued.subscribe(), 0);
    // each of both renews several times
    while *issued.borrow_and_update() < 12 {
        n += 1;
        starter.deliver(&token(&definition, "a", n, &json!({}))).await;
    }
    let products = flowd.products(n as usize).await;
    assert_eq!((products.len(), task_b.requests().len()), (n as usize, n as usize), "each once");
}

#[tokio::test]
async fn a_sidecar_is_not_ready_without_a_certificate_and_goes_on_with_it_without_flowd() {
    let (folders, authority) = (Folders::new(), Authority::new(Duration::from_secs(60)));
    let flowd = authority.flowd(vec![accounts(&[("a", "a")])]).await;
    let task = Task::answering("{}").await;
    let config = authority.config(&folders, folders.config("a", &task.url), "stolen", &flowd);
    let token = config.identity.as_ref().unwrap().token.clone();
    let sidecar = Sidecar::start(config.clone()).await;
    sidecar.says("a certificate from flowd (flowd refuses it: the token counts for nothing here)").await;
    std::fs::write(&token, "a").unwrap();
    flowd.told("it has attached", |told| !told.hellos.is_empty() && told.bindings > 0).await;
    sidecar.says("200 OK").await;
    sidecar.crash().await;
    drop(flowd);
    let kept = config.data_dir.join("identity.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "its key is nobody else's");

    std::fs::write(&token, "stolen").unwrap();
    let again = Sidecar::start(config).await;
    let mut links = hop::link::Links::new(ledger_of(&authority));
    let target = hop::link::Target { address: again.hop.to_string(), services: Default::default() };
    links.want(again.incarnation, target);
    assert_eq!(crate::mesh::eventually("a link", links.next()).await, hop::link::Event::Linked(again.incarnation));
}

#[tokio::test]
async fn what_flowd_lists_decides_who_may_offer_and_who_is_offered() {
    let (folders, authority, definition) = (Folders::new(), Authority::new(Duration::from_secs(60)), linear());
    let flowd = authority.flowd(vec![accounts(&[("a", "a"), ("b", "b")])]).await;
    let (task_a, task_b) = (Task::answering("{}").await, Task::answering("{}").await);
    // says it serves b, and shows the certificate of another account
    let config = folders.with_tables("b", &task_b.url, &definition, &[]);
    let thief = Sidecar::start(authority.config(&folders, config, "thief", &flowd)).await;
    let config = folders.with_tables("a", &task_a.url, &definition, &[("b", thief.hop)]);
    let a = Sidecar::start(authority.config(&folders, config, "a", &flowd)).await;
    flowd.told("both have attached", |told| told.hellos.len() >= 2 && told.bindings > 0).await;
    a.says("200 OK").await;
    let mut starter = Starter::with(ledger_of(&authority), a.incarnation, a.hop).await;
    let start = token(&definition, "a", 1, &json!({}));
    starter.offer(&start);
    assert_eq!(starter.answer().await.0, [start.activation]);
    a.metric_becomes("flow_tokens_unanswered", 1.0).await;
    assert!(task_b.requests().is_empty());

    let stranger = hop::link::Options {
        tls: Some(authority.tls("/ns/shop/sa/thief")),
        ledger: false,
        serves: ["a".into()].into(),
        ..Starter::options(Incarnation(7), 1)
    };
    let mut links = hop::link::Links::new(stranger);
    links.want(a.incarnation, hop::link::Target { address: a.hop.to_string(), services: Default::default() });
    let unreachable = hop::link::Event::Unreachable { replica: a.incarnation, found: None };
    assert_eq!(crate::mesh::eventually("an event of a link", links.next()).await, unreachable);
}
