//! gRPC over mutual TLS with a token: what a handler sees of its caller, and who never reaches it.

use std::net::SocketAddr;
use std::path::Path;

use flow_runtime::drain::{self, DrainTrigger};
use flow_runtime::tls::{Connector, Expect, Incoming, Limits, PeerIdentity, Tls};
use flow_runtime::token::{AttachToken, Token};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::sync::mpsc;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Response, Status};

const PAY: &str = "spiffe://mesh.local/sa/pay";
const SHIP: &str = "spiffe://mesh.local/sa/ship";

/// Any service does: this one tells who called.
struct Callers(mpsc::UnboundedSender<Option<PeerIdentity>>);

#[tonic::async_trait]
impl TraceService for Callers {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let _ = self.0.send(request.extensions().get().cloned());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

fn tls(ca: &Authority, identity: &str, folder: &Path) -> Tls {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(identity.try_into().expect("an ASCII name"))];
    let certificate = params.signed_by(&key, ca).expect("a certificate");
    let files = [("cert", certificate.pem()), ("key", key.serialize_pem()), ("ca", ca.pem())];
    let [cert, key, ca] = files.map(|(name, pem)| {
        let path = folder.join(name);
        std::fs::write(&path, pem).expect("the folder is writable");
        path
    });
    Tls::load(&cert, &key, &ca).expect("the files are good")
}

async fn serve(tls: &Tls, token: Token) -> (SocketAddr, DrainTrigger, mpsc::UnboundedReceiver<Option<PeerIdentity>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (trigger, watcher) = drain::new();
    let incoming = Incoming::new(listener, Some(tls), Limits::default(), watcher).expect("it is bound");
    let address = incoming.local_addr();
    let (callers, called) = mpsc::unbounded_channel();
    let demand = move |request: Request<()>| match token.check(&request.metadata().clone().into_headers()) {
        Ok(()) => Ok(request),
        Err(error) => Err(Status::unauthenticated(error.to_string())),
    };
    let service = TraceServiceServer::with_interceptor(Callers(callers), demand);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    (address, trigger, called)
}

async fn call(address: SocketAddr, connector: Connector, token: Option<&Token>) -> Result<(), Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a URI");
    let channel = endpoint.connect_with_connector_lazy(connector);
    let mut client = TraceServiceClient::with_interceptor(channel, AttachToken::new(token));
    client.export(ExportTraceServiceRequest::default()).await.map(drop)
}

#[tokio::test]
async fn a_handler_sees_its_callers_identity() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let ca = authority();
    let (pay, ship) = (tls(&ca, PAY, folders[0].path()), tls(&ca, SHIP, folders[1].path()));
    let token = Token::new("s3cret").unwrap();
    let (address, trigger, mut called) = serve(&ship, token.clone()).await;
    let connector = Connector::grpc(Some(&pay), Expect::exactly(SHIP.parse().unwrap()));

    call(address, connector.clone(), Some(&token)).await.unwrap();
    assert_eq!(called.recv().await.unwrap(), Some(PeerIdentity(Some(PAY.parse().unwrap()))));

    let other = Token::new("guess").unwrap();
    for wrong in [None, Some(&other)] {
        let status = call(address, connector.clone(), wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("--token"), "{status:?}");
    }
    let elsewhere = Connector::grpc(Some(&pay), Expect::exactly(PAY.parse().unwrap()));
    assert_eq!(call(address, elsewhere, Some(&token)).await.unwrap_err().code(), Code::Unavailable);
    assert!(call(address, Connector::plain(), Some(&token)).await.is_err());
    trigger.drain();
    assert_eq!(called.try_recv().ok(), None, "nobody else reached the handler");
}
