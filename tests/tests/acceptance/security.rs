//! Off loopback: nothing is served without TLS and a token unless one insists, and who is not who he says he is, or
//! comes without what is asked, is refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_tests::harness::{Flowctl, Model, PATIENCE, Process, Programs, Service, eventually, free_port, request};
use proto::v1;
use proto::v1::hop_client::HopClient;
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use runtime::tls::{Connector, Expect, Tls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tonic::transport::Endpoint;

/// A certificate authority and the files of those it has certified.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certificate, key and CA of `spiffe://mesh.test/PATH`.
    fn files(&self, path: &str) -> [PathBuf; 3] {
        let name = path.replace('/', "-");
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = format!("spiffe://mesh.test/{path}");
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(uri).unwrap())];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = [self.path(&format!("{name}.cert")), self.path(&format!("{name}.key")), self.path("ca")];
        std::fs::write(&files[0], certificate.pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        files
    }

    /// The flags for it.
    fn flags(&self, path: &str) -> Vec<String> {
        let names = ["--tls-cert", "--tls-key", "--tls-ca"];
        let files = self.files(path);
        names.iter().zip(files).flat_map(|(name, file)| [(*name).to_owned(), file.display().to_string()]).collect()
    }

    fn tls(&self, path: &str) -> Tls {
        let [cert, key, ca] = self.files(path);
        Tls::load(&cert, &key, &ca).unwrap()
    }

    fn token(&self, name: &str) -> String {
        std::fs::write(self.path(name), format!("secret-{name}\n")).unwrap();
        self.path(name).display().to_string()
    }
}

/// flowd on all addresses with TLS and a token.
struct Secure {
    authority: Authority,
    port: u16,
    http: u16,
    _flowd: Process,
    folder: TempDir,
}

impl Secure {
    async fn start() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let (port, http) = (free_port(), free_port());
        let token = authority.token("right");
        let mut command = flowd(&folder.path().join("flowd"), port, http);
        command.args(authority.flags("flowd")).args(["--token", &token, "--listen", "0.0.0.0"]);
        let flowd = Process::start("flowd", command).await;
        Self { authority, port, http, _flowd: flowd, folder }
    }

    /// A sidecar of `service` at `url` whose certificate names `identity`.
    fn sidecar(&self, service: &str, url: &str, identity: &str, token: &str) -> (Command, u16) {
        let hop = free_port();
        let mut command = Command::new(Programs::get().sidecar());
        command.args(["--flowd", &format!("127.0.0.1:{}", self.port), "--serve", &format!("{service}={url}")]);
        command.args(["--hop", &format!("0.0.0.0:{hop}"), "--advertise", &format!("127.0.0.1:{hop}")]);
        command.arg("--data-dir").arg(self.folder.path().join(format!("{service}-{}", identity.replace('/', "-"))));
        command.args(self.authority.flags(identity)).args(["--token", &self.authority.token(token)]);
        (command, hop)
    }

    /// flowctl's words with the operator's certificate.
    async fn flowctl(&self, token: &str, words: &[&str]) -> flow_tests::harness::Ran {
        let token = self.authority.token(token);
        let flags = self.authority.flags("operator");
        let mut all: Vec<&str> = flags.iter().map(String::as_str).collect();
        all.extend(["--token", &token]);
        all.extend(words);
        Flowctl::new(self.port).run(&all).await
    }
}

fn flowd(folder: &Path, port: u16, http: u16) -> Command {
    let mut command = Command::new(Programs::get().flowd());
    command.arg("--data-dir").arg(folder);
    command.args(["--port", &port.to_string(), "--http-port", &http.to_string()]);
    command
}

async fn says(process: &Process, words: &[&str]) {
    eventually("what it says", PATIENCE, async || {
        let said = process.stderr();
        if words.iter().all(|word| said.contains(word)) { Ok(()) } else { Err(format!("{words:?} in {said}")) }
    })
    .await;
}

#[tokio::test]
async fn off_loopback_nothing_is_served_without_tls_and_token_unless_one_insists() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let open = || {
        let mut command = flowd(folder.path(), 0, 0);
        command.args(["--listen", "0.0.0.0"]);
        command
    };
    let mut without = Process::spawn("flowd", open());
    assert!(!without.ended().await.success());
    says(&without, &["0.0.0.0", "--tls-cert", "--insecure"]).await;
    let mut command = open();
    command.args(authority.flags("flowd"));
    let mut tokenless = Process::spawn("flowd", command);
    assert!(!tokenless.ended().await.success());
    says(&tokenless, &["--token"]).await;
    let mut command = open();
    command.arg("--insecure");
    says(&Process::start("flowd", command).await, &["WARN", "0.0.0.0"]).await;

    let sidecar = |more: &[&str]| {
        let mut command = Command::new(Programs::get().sidecar());
        command.args(["--flowd", "127.0.0.1:9", "--serve", "t=http://127.0.0.1:9", "--hop", "0.0.0.0:0", "--data-dir"]);
        command.arg(folder.path().join("sidecar")).args(more);
        command
    };
    let mut without = Process::spawn("flow-sidecar", sidecar(&[]));
    assert!(!without.ended().await.success());
    says(&without, &["0.0.0.0", "--tls-cert", "--insecure"]).await;
    says(&Process::start("flow-sidecar", sidecar(&["--insecure"])).await, &["WARN", "0.0.0.0"]).await;
}

/// A mesh over TLS with two tasks, deployed. The deployment's id, and the hop port of the second task's sidecar.
async fn deployed(secure: &Secure, url: &str, processes: &mut Vec<Process>) -> (String, u16) {
    let mut second_hop = 0;
    for service in ["first", "second"] {
        let (command, hop) = secure.sidecar(service, url, &format!("svc/{service}"), "right");
        processes.push(Process::start(service, command).await);
        second_hop = hop;
    }
    let file = secure.folder.path().join("secure.bpmn");
    std::fs::write(&file, Model::row("secure", &["first", "second"]).xml()).unwrap();
    let file = file.display().to_string();
    let applied = secure.flowctl("right", &["apply", &file, "-o", "json"]).await.expect_code(0).json();
    let id = applied[0]["deployments"][0]["id"].as_str().unwrap().to_owned();
    eventually("the deployment to be RUNNING", PATIENCE, async || {
        let listed = secure.flowctl("right", &["ps", "-d", &id, "-o", "json"]).await.expect_code(0).json();
        if listed[0]["state"] == "RUNNING" { Ok(()) } else { Err(listed.to_string()) }
    })
    .await;
    (id, second_hop)
}

#[tokio::test]
async fn with_certificates_and_token_a_mesh_works_and_without_them_nobody_gets_in() {
    let secure = Secure::start().await;
    let service = Service::adding("done", true).await;
    let mut processes = Vec::new();
    let (id, hop) = deployed(&secure, &service.url(), &mut processes).await;
    let ran = secure.flowctl("right", &["run", &id, "{}", "--wait", "-o", "json"]).await.expect_code(0);
    assert_eq!(ran.json()["result"], json!({"done": true}));
    assert_eq!(service.calls().len(), 2);

    secure.flowctl("wrong", &["ps"]).await.expect_code(1).says(&["token"]);
    Flowctl::new(secure.port).run(&["ps"]).await.expect_code(1);
    for port in [secure.port, secure.http, hop] {
        let refused = refusal(port, None).await;
        assert!(refused.contains("CertificateRequired"), "port {port}: {refused}");
    }
    let plain = request("POST", &format!("http://127.0.0.1:{}/start/{id}", secure.http), &[], "{}").await;
    assert!(plain.is_err(), "{plain:?}");

    // Certificates of another authority are worth nothing here: neither to who calls with one ...
    let stranger = Authority::new();
    for port in [secure.port, secure.http, hop] {
        let refused = refusal(port, Some(stranger.files("svc/first"))).await;
        // Authorities may bear the same name, as these do: then it is the signature that is wrong.
        let alerts = ["AlertReceived(DecryptError)", "AlertReceived(UnknownCA)"];
        assert!(alerts.iter().any(|alert| refused.contains(alert)), "port {port}: {refused}");
    }
    let [cert, key, _] = stranger.files("svc/first");
    let believes_the_mesh = Tls::load(&cert, &key, &secure.authority.path("ca")).unwrap();
    let refused = hop_link(&believes_the_mesh, hop, v1::SenderHello::default(), None).await;
    assert!(refused.is_err(), "{refused:?}");
    // ... nor does who has one believe this mesh.
    let refused = hop_link(&stranger.tls("svc/first"), hop, v1::SenderHello::default(), None).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(service.calls().len(), 2);
}

#[tokio::test]
async fn a_sidecar_with_the_wrong_name_or_token_is_not_believed() {
    let secure = Secure::start().await;
    let (command, _) = secure.sidecar("second", "http://127.0.0.1:9", "svc/other", "right");
    let wrong_name = Process::start("flow-sidecar", command).await;
    says(&wrong_name, &["svc/other", "may not serve second"]).await;
    let (command, _) = secure.sidecar("third", "http://127.0.0.1:9", "svc/third", "wrong");
    let wrong_token = Process::start("flow-sidecar", command).await;
    says(&wrong_token, &["token"]).await;
}

#[tokio::test]
async fn tokens_are_taken_from_predecessors_and_the_ledger_only() {
    let secure = Secure::start().await;
    let service = Service::adding("done", true).await;
    let mut processes = Vec::new();
    let (id, hop) = deployed(&secure, &service.url(), &mut processes).await;
    let ran = secure.flowctl("right", &["run", &id, "{}", "--wait", "-o", "json"]).await.expect_code(0);
    let calls = service.calls().len();
    let instance = ran.json()["id"].as_str().unwrap().to_owned();
    let hello = |ledger: bool, serves: &[&str]| v1::SenderHello {
        incarnation: vec![7; 16],
        boot: 1,
        link: 1,
        ledger,
        serves: serves.iter().map(ToString::to_string).collect(),
    };

    // Says it is the ledger, or a predecessor, and its certificate says otherwise: the link is not opened.
    let stranger = secure.authority.tls("svc/stranger");
    for claim in [hello(true, &[]), hello(false, &["first"])] {
        let refused = hop_link(&stranger, hop, claim.clone(), None).await;
        let status = refused.expect_err("the claim is not believed");
        assert!(
            status.contains("PermissionDenied") || status.contains("may not") || status.contains("not the ledger"),
            "{status}"
        );
    }
    // Says who it is: its token is refused, since it does not stand before the task in any table.
    let refused = hop_link(&stranger, hop, hello(false, &["stranger"]), Some(forged(&instance))).await.unwrap();
    let reasons: Vec<i32> = refused.iter().flat_map(|frame| &frame.refused).map(|refusal| refusal.reason).collect();
    assert_eq!(reasons, [v1::refusal::Reason::Forbidden as i32], "{refused:?}");
    assert_eq!(service.calls().len(), calls, "the task has not been called");
}

/// A token that wants to enter `second`.
fn forged(instance: &str) -> v1::Offer {
    let options = bpmn::Options::default();
    let checked = bpmn::check(Model::row("secure", &["first", "second"]).xml().as_bytes(), &options).unwrap();
    let instance = routing::InstanceId::new(instance);
    let root = routing::ActivationId::root(&instance);
    let activation = routing::ActivationId::product(&instance, root, "flow-2", 0);
    let token = routing::Token {
        instance,
        definition: checked.definitions[0].digest,
        element: "second".into(),
        flow: Some("flow-2".into()),
        activation,
        key: activation,
        parent: root,
        scope: root,
        generation: 0,
        attempts: 0,
        weight: routing::Weight::one(),
        written: routing::Written::default(),
        pools: Vec::new(),
        emitted: 0,
        trace: routing::TraceContext::default(),
        payload: routing::Payload::json(&json!({"forged": true})),
    };
    v1::Offer { seq: 1, token: Some(token.into()), ..v1::Offer::default() }
}

/// Opens a link to a hop port, says hello and offers; the receiver's frames until one refuses or accepts something.
async fn hop_link(
    tls: &Tls,
    port: u16,
    hello: v1::SenderHello,
    offer: Option<v1::Offer>,
) -> Result<Vec<v1::ReceiverFrame>, String> {
    let connector = Connector::grpc(Some(tls), Expect::matching(|_| true));
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| format!("{error:?}"))?;
    let waits = offer.is_some();
    let mut frames = vec![v1::SenderFrame { n: 1, hello: Some(hello), ..v1::SenderFrame::default() }];
    frames.extend(offer.map(|offer| v1::SenderFrame { n: 2, offers: vec![offer], ..v1::SenderFrame::default() }));
    let sent = futures_util::StreamExt::chain(tokio_stream::iter(frames), tokio_stream::pending());
    let answer = HopClient::new(channel).link(sent).await.map_err(|status| format!("{status:?}"))?;
    let mut incoming = answer.into_inner();
    let mut seen = Vec::new();
    while let Some(frame) = incoming.message().await.map_err(|status| format!("{status:?}"))? {
        let decided = !frame.refused.is_empty() || !frame.accepted.is_empty();
        seen.push(frame);
        if decided || !waits {
            break;
        }
    }
    Ok(seen)
}

/// Believes every server: it is the server that is to refuse.
#[derive(Debug)]
struct Blind;

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Connects with TLS, without a certificate or with that of some files, and believes the server; what it says to that.
async fn refusal(port: u16, own: Option<[PathBuf; 3]>) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Blind));
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some([certificate, key, _]) => {
            let certificate = CertificateDer::from_pem_file(certificate).unwrap();
            config.with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("flowd").unwrap();
    let mut stream = match connector.connect(name, stream).await {
        Ok(stream) => stream,
        Err(error) => return format!("{error:?}"),
    };
    // With TLS 1.3 the refusal arrives after the handshake is complete on this side.
    let mut byte = [0];
    match tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await {
        Ok(Ok(read)) => format!("no refusal, {read} bytes read"),
        Ok(Err(error)) => format!("{error:?}"),
        Err(_) => "no refusal, nothing read".to_owned(),
    }
}
