//! Who gets in: tokens on every route, mutual TLS, and ports that are not opened.

use std::path::{Path, PathBuf};

use flow_control_plane::{App, Config};
use http_body_util::Full;
use proto::rexflow::flow_daemon_client::FlowDaemonClient;
use proto::v1;
use proto::v1::control_client::ControlClient;
use proto::v1::flow_client::FlowClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use runtime::drain;
use runtime::tls::{Connector, Expect, Tls};
use runtime::token::{AttachToken, Token};
use tonic::Code;
use tonic::transport::Endpoint;

use super::harness::Plane;

#[tokio::test]
async fn without_the_token_no_route_answers_but_the_probes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let plane = Plane::with(Config { token: Some(file), ..Config::local(folder.path().join("data")) }).await;
    for (method, path, open) in [
        ("GET", "/health", true),
        ("GET", "/ready", true),
        ("GET", "/answers", true),
        ("GET", "/metrics", false),
        ("GET", "/wf_map", false),
        ("POST", "/start/x", false),
        ("GET", "/nothing", false),
    ] {
        for (token, right) in [(None, false), (Some("Bearer guess"), false), (Some("Bearer s3cret"), true)] {
            let request = http::Request::builder().method(method).uri(plane.url(path));
            let request = match token {
                Some(token) => request.header("authorization", token),
                None => request,
            };
            let answer = plane.request(request.body(Full::default()).unwrap()).await;
            assert_eq!(answer.status != 401, open || right, "{method} {path} {token:?}: {}", answer.status);
        }
    }
    let channel = plane.channel().await;
    let bare = AttachToken::default();
    let mut flow = FlowClient::with_interceptor(channel.clone(), bare.clone());
    assert_eq!(flow.version(v1::Empty {}).await.unwrap_err().code(), Code::Unauthenticated);
    let mut control = ControlClient::with_interceptor(channel.clone(), bare.clone());
    let attach = control.attach(tokio_stream::iter([v1::SidecarMessage::default()])).await;
    assert_eq!(attach.unwrap_err().code(), Code::Unauthenticated);
    let mut daemon = FlowDaemonClient::with_interceptor(channel.clone(), bare);
    assert_eq!(daemon.ps_query(proto::rexflow::PsRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
    let right = AttachToken::new(Token::new("s3cret").as_ref());
    assert!(FlowClient::with_interceptor(channel, right).version(v1::Empty {}).await.is_ok());
    plane.stop().await;
}

#[tokio::test]
async fn off_loopback_needs_tls_and_a_token_or_insecure() {
    let folder = tempfile::tempdir().unwrap();
    let everywhere = Config { listen: "0.0.0.0".parse().unwrap(), ..Config::local(folder.path()) };
    let (trigger, _) = drain::new();
    let error = App::build(everywhere.clone(), trigger.clone()).await.unwrap_err().to_string();
    assert!(error.contains("--insecure") && error.contains("--tls-cert"), "{error}");
    let allowed = App::build(Config { insecure: true, ..everywhere.clone() }, trigger.clone()).await;
    assert!(allowed.is_ok(), "{:?}", allowed.err());
    drop(allowed);
    let ca = authority();
    let flowd = certificate(&ca, "spiffe://mesh.local/flowd", folder.path(), "flowd");
    let error = App::build(with_tls(everywhere, &flowd), trigger).await.unwrap_err().to_string();
    assert!(error.contains("--token"), "{error}");
}

#[tokio::test]
async fn a_sidecar_serves_only_what_its_certificate_names() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority();
    let flowd = certificate(&ca, "spiffe://mesh.local/flowd", folder.path(), "flowd");
    let plane = Plane::with(with_tls(Config::local(folder.path().join("data")), &flowd)).await;
    let pay = certificate(&ca, "spiffe://mesh.local/svc/pay", folder.path(), "pay");
    let stranger = certificate(&authority(), "spiffe://mesh.local/svc/pay", folder.path(), "stranger");
    let expect = || Expect::matching(hop::identity::is_ledger);
    for (files, serves, refused) in [
        (Some(&pay), "pay", None),
        (Some(&pay), "ship", Some(Code::PermissionDenied)),
        (Some(&stranger), "pay", Some(Code::Unavailable)),
        (None, "pay", Some(Code::Unavailable)),
    ] {
        let tls = files.map(|[certificate, key, ca]| Tls::load(certificate, key, ca).unwrap());
        let connector = Connector::grpc(tls.as_ref(), expect());
        let endpoint = Endpoint::from_shared(format!("http://{}", plane.grpc)).unwrap();
        let mut control = ControlClient::new(endpoint.connect_with_connector_lazy(connector));
        let hello = v1::SidecarHello {
            incarnation: vec![1; 16],
            hop_address: "127.0.0.1:1".into(),
            serves: vec![v1::Service { name: serves.into(), url: String::new() }],
            ..v1::SidecarHello::default()
        };
        let first = v1::SidecarMessage { hello: Some(hello), ..Default::default() };
        let attached = control.attach(tokio_stream::iter([first])).await;
        match refused {
            None => assert!(attached.is_ok(), "{:?}", attached.err()),
            Some(Code::Unavailable) => assert!(attached.is_err(), "a stranger reached the handler"),
            Some(code) => assert_eq!(attached.unwrap_err().code(), code, "{serves}"),
        }
    }
    plane.stop().await;
}

type Authority = CertifiedIssuer<'static, KeyPair>;
/// Certificate, key, CA.
type Files = [PathBuf; 3];

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(ca: &Authority, identity: &str, folder: &Path, name: &str) -> Files {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
    let certificate = params.signed_by(&key, ca).unwrap();
    [("cert", certificate.pem()), ("key", key.serialize_pem()), ("ca", ca.pem())].map(|(part, pem)| {
        let path = folder.join(format!("{name}.{part}"));
        std::fs::write(&path, pem).unwrap();
        path
    })
}

fn with_tls(config: Config, [certificate, key, ca]: &Files) -> Config {
    Config { tls_cert: Some(certificate.clone()), tls_key: Some(key.clone()), tls_ca: Some(ca.clone()), ..config }
}
