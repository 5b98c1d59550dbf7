//! A ledger by rote: notes what it is told, acknowledges, and says what a test wants said.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use hop::Offer;
use hop::link::{Event, Links, Options, Target};
use prost::Message as _;
use proto::v1::control_server::{Control, ControlServer};
use proto::{convert, v1};
use routing::{ActivationId, Incarnation, Product, To, Token};
use runtime::drain::{self, DrainTrigger};
use runtime::tls::{Incoming, Limits, Tls};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

use crate::mesh::eventually;

pub(crate) const LEDGER: Incarnation = Incarnation(99);

/// What was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) hellos: Vec<v1::SidecarHello>,
    reports: HashMap<Incarnation, BTreeMap<u64, Product>>,
    pub(crate) repeated: usize,
    pub(crate) hops: Vec<v1::HopRecord>,
    pub(crate) health: Vec<v1::TaskHealth>,
    pub(crate) table_acks: Vec<v1::TableAck>,
    pub(crate) bindings: u64,
    pub(crate) quiet: u64,
    pub(crate) leaves: Vec<v1::Leave>,
}

impl Told {
    /// Every token that came, whoever sent it.
    pub(crate) fn products(&self) -> Vec<Product> {
        self.reports.values().flat_map(|reports| reports.values().cloned()).collect()
    }
}

/// flowd's side of the control stream.
pub(crate) struct Ledger {
    pub(crate) address: SocketAddr,
    pub(crate) told: watch::Receiver<Told>,
    say: watch::Sender<Vec<v1::FlowdMessage>>,
    server: tokio::task::JoinHandle<()>,
    _drain: DrainTrigger,
}

struct Service {
    told: watch::Sender<Told>,
    /// Said to everyone who attaches, and as it grows.
    say: watch::Receiver<Vec<v1::FlowdMessage>>,
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Ledger {
    pub(crate) async fn new() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), Vec::new(), None).await
    }

    pub(crate) async fn at(address: SocketAddr, first: Vec<v1::FlowdMessage>, tls: Option<&Tls>) -> Self {
        let (trigger, watcher) = drain::new();
        let listener = TcpListener::bind(address).await.unwrap();
        let incoming = Incoming::new(listener, tls, Limits::default(), watcher).unwrap();
        Self::serving(incoming, first, Server::builder().add_routes(Routes::default()), trigger)
    }

    /// At a port where callers without a certificate are welcome, too; beside what `router` serves.
    pub(crate) async fn welcoming(tls: &Tls, first: Vec<v1::FlowdMessage>, router: Router) -> Self {
        let (trigger, watcher) = drain::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let incoming = Incoming::welcoming(listener, tls, Limits::default(), watcher).unwrap();
        Self::serving(incoming, first, router, trigger)
    }

    fn serving(incoming: Incoming, first: Vec<v1::FlowdMessage>, router: Router, trigger: DrainTrigger) -> Self {
        let address = incoming.local_addr();
        let (note, told) = watch::channel(Told::default());
        let (say, said) = watch::channel(first);
        let router = router.add_service(ControlServer::new(Service { told: note, say: said }));
        let server = tokio::spawn(async move {
            router.serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, told, say, server, _drain: trigger }
    }

    pub(crate) fn say(&self, message: v1::FlowdMessage) {
        self.say.send_modify(|all| all.push(message));
    }

    pub(crate) async fn told(&self, what: &str, enough: impl FnMut(&Told) -> bool) -> Told {
        let mut told = self.told.clone();
        eventually(what, told.wait_for(enough)).await.unwrap().clone()
    }

    /// Until `n` tokens have come.
    pub(crate) async fn products(&self, n: usize) -> Vec<Product> {
        self.told("reports", |told| told.products().len() >= n).await.products()
    }
}

#[tonic::async_trait]
impl Control for Service {
    type AttachStream = ReceiverStream<Result<v1::FlowdMessage, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<v1::SidecarMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (answer, answers) = mpsc::channel(64);
        tokio::spawn(converse(request.into_inner(), answer, self.told.clone(), self.say.clone()));
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

async fn converse(
    mut messages: Streaming<v1::SidecarMessage>,
    answer: mpsc::Sender<Result<v1::FlowdMessage, Status>>,
    told: watch::Sender<Told>,
    mut say: watch::Receiver<Vec<v1::FlowdMessage>>,
) {
    let ledger = convert::incarnation_bytes(LEDGER);
    let hello = v1::FlowdHello { ledger, version: "test".into() };
    if !say.borrow().first().is_some_and(|message| message.left) {
        let _ = answer.send(Ok(v1::FlowdMessage { hello: Some(hello), ..Default::default() })).await;
    }
    let (mut who, mut said) = (Incarnation(0), 0);
    loop {
        let more: Vec<v1::FlowdMessage> = say.borrow_and_update()[said..].to_vec();
        said += more.len();
        for message in more {
            let _ = answer.send(Ok(message)).await;
        }
        let message = tokio::select! {
            changed = say.changed() => match changed { Ok(()) => continue, Err(_) => return },
            message = messages.message() => message,
        };
        let Ok(Some(message)) = message else { return };
        if let Some(hello) = &message.hello {
            who = convert::incarnation(&hello.incarnation).unwrap();
        }
        if let Some(reply) = note(&told, who, message) {
            let _ = answer.send(Ok(reply)).await;
        }
    }
}

fn note(told: &watch::Sender<Told>, who: Incarnation, message: v1::SidecarMessage) -> Option<v1::FlowdMessage> {
    let mut reply = v1::FlowdMessage::default();
    told.send_modify(|told| {
        told.hellos.extend(message.hello);
        told.hops.extend(message.hops.into_iter().map(|it| v1::HopRecord::decode(it).unwrap()));
        told.health.extend(message.health);
        told.table_acks.extend(message.table_acks);
        told.bindings = told.bindings.max(message.bindings_ack);
        told.quiet = told.quiet.max(message.quiet);
        reply.left = message.leave.is_some();
        told.leaves.extend(message.leave);
        let reports = told.reports.entry(who).or_default();
        for report in message.reports {
            reply.acked = reply.acked.max(report.seq);
            let product = report.product.unwrap().try_into().unwrap();
            told.repeated += usize::from(reports.insert(report.seq, product).is_some());
        }
    });
    (reply != v1::FlowdMessage::default()).then_some(reply)
}

/// flowd's side of the hops: offers tokens to one sidecar.
pub(crate) struct Starter {
    links: Links,
    replica: Incarnation,
    seq: u64,
}

impl Starter {
    pub(crate) fn options(incarnation: Incarnation, boot: u64) -> Options {
        Options { incarnation, boot, ledger: true, serves: Default::default(), tls: None, accounts: Default::default() }
    }

    /// Linked to the replica at `address`.
    pub(crate) async fn new(replica: Incarnation, address: SocketAddr) -> Self {
        Self::with(Self::options(LEDGER, 1), replica, address).await
    }

    pub(crate) async fn with(options: Options, replica: Incarnation, address: SocketAddr) -> Self {
        let mut links = Links::new(options);
        links.want(replica, Target { address: address.to_string(), services: Default::default() });
        let mut starter = Self { links, replica, seq: 0 };
        while starter.event().await != Event::Linked(replica) {}
        starter
    }

    async fn event(&mut self) -> Event {
        eventually("an event of a link", self.links.next()).await
    }

    pub(crate) fn offer(&mut self, token: &Token) -> u64 {
        self.seq += 1;
        self.offer_as(self.seq, token);
        self.seq
    }

    pub(crate) fn offer_as(&mut self, seq: u64, token: &Token) {
        let product = Product { token: token.clone(), to: To::Service("a".into()) };
        self.links.send(
            self.replica,
            0,
            vec![Offer { replica: self.replica, seq, product: product.into(), instead_of: None }],
        );
    }

    /// Offers it, and again whenever the link has opened anew, until it is accepted.
    pub(crate) async fn deliver(&mut self, token: &Token) {
        let seq = self.offer(token);
        loop {
            match self.event().await {
                Event::Answered { accepted, .. } if accepted.contains(&token.activation) => return,
                Event::Linked(_) => self.offer_as(seq, token),
                _ => {}
            }
        }
    }

    /// Until the replica answers anything.
    pub(crate) async fn answer(&mut self) -> (Vec<ActivationId>, Vec<(ActivationId, hop::Refusal)>) {
        loop {
            if let Event::Answered { mut accepted, refused, .. } = self.event().await {
                // what was offered twice may be accepted twice
                accepted.dedup();
                return (accepted, refused);
            }
        }
    }
}
