//! A sidecar played by the test: attaches, acknowledges tables, takes offers, and reports where tokens go next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hop::serve::{self, Event, Options};
use proto::convert::{digest, incarnation_bytes};
use proto::v1;
use proto::v1::control_client::ControlClient;
use routing::{Compiled, Digest, Failure, FailureCode, Incarnation, Payload, Product, To, Token};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};

use super::harness::{DEADLINE, Plane};

/// What it does with a token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Does {
    /// The task's answer replaces the payload.
    Answers(String),
    /// Takes it and never reports.
    Holds,
    /// Reports an incident.
    Fails,
}

/// How it behaves.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) incarnation: u128,
    pub(super) serves: String,
    pub(super) does: Does,
    pub(super) health: v1::task_health::Health,
    /// Why it refuses tables; empty: it takes them.
    pub(super) refuses: String,
}

impl Role {
    pub(super) fn answering(serves: &str, answer: &str) -> Self {
        Self {
            incarnation: 7,
            serves: serves.to_owned(),
            does: Does::Answers(answer.to_owned()),
            health: v1::task_health::Health::Up,
            refuses: String::new(),
        }
    }
}

/// What it was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) tables: HashMap<Digest, HashMap<String, Arc<Compiled>>>,
    pub(super) bindings: v1::Bindings,
    pub(super) tombstones: Vec<String>,
    pub(super) retired: Vec<Vec<u8>>,
    pub(super) offered: Vec<Token>,
    pub(super) acked: u64,
    pub(super) left: bool,
}

pub(super) struct Sidecar {
    pub(super) told: Arc<Mutex<Told>>,
    changed: watch::Receiver<u64>,
    pub(super) say: mpsc::Sender<v1::SidecarMessage>,
    playing: JoinHandle<()>,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.playing.abort();
    }
}

struct Player {
    role: Role,
    told: Arc<Mutex<Told>>,
    say: mpsc::Sender<v1::SidecarMessage>,
    seq: u64,
    change: watch::Sender<u64>,
}

impl Sidecar {
    pub(super) async fn attach(plane: &Plane, role: Role) -> Self {
        let options = Options {
            incarnation: Incarnation(role.incarnation),
            boot: 1,
            serves: [role.serves.as_str().into()].into(),
            accounts: Default::default(),
            open: None,
        };
        let (service, mut offers) = serve::new(options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(service);
        let port = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

        let hello = v1::SidecarHello {
            incarnation: incarnation_bytes(Incarnation(role.incarnation)),
            boot: 1,
            hop_address: address.to_string(),
            serves: vec![v1::Service { name: role.serves.clone(), url: "http://127.0.0.1:1".into() }],
            version: "test".into(),
            ..v1::SidecarHello::default()
        };
        let (say, said) = mpsc::channel(64);
        say.send(v1::SidecarMessage { hello: Some(hello), ..Default::default() }).await.unwrap();
        let mut client = ControlClient::new(plane.channel().await);
        let mut messages = client.attach(ReceiverStream::new(said)).await.unwrap().into_inner();
        let told = Arc::<Mutex<Told>>::default();
        let (change, changed) = watch::channel(0);
        let mut player = Player { role, told: told.clone(), say: say.clone(), seq: 0, change };
        let playing = tokio::spawn(async move {
            let _port = tokio_util::task::AbortOnDropHandle::new(port);
            player.well().await;
            loop {
                tokio::select! {
                    message = messages.message() => match message {
                        Ok(Some(message)) => player.hear(message).await,
                        _ => return,
                    },
                    event = offers.next() => match event {
                        Some(Event::Offered(link, _, tokens)) => {
                            let ids = tokens.iter().map(|(_, token)| (token.activation, 0)).collect();
                            offers.answer(link, ids, Vec::new());
                            for (_, token) in tokens {
                                player.offered(token).await;
                            }
                        }
                        Some(_) => {}
                        None => return,
                    },
                }
            }
        });
        Self { told, changed, say, playing }
    }

    /// Waits until it was told what `seen` looks for.
    pub(super) async fn until<T>(&self, seen: impl Fn(&Told) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        let all = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = seen(&self.told.lock().unwrap()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(DEADLINE, all).await.unwrap()
    }
}

impl Player {
    async fn send(&self, message: v1::SidecarMessage) {
        // flowd may be gone: then the test has seen what it wanted
        let _ = self.say.send(message).await;
    }

    async fn well(&self) {
        let health = v1::TaskHealth {
            service: self.role.serves.clone(),
            health: self.role.health.into(),
            reason: "refused".into(),
            latency_us: 1,
        };
        self.send(v1::SidecarMessage { health: vec![health], ..Default::default() }).await;
    }

    async fn hear(&mut self, message: v1::FlowdMessage) {
        let mut answer = v1::SidecarMessage::default();
        for push in message.tables {
            let bundle = push.bundle.unwrap();
            let definition = digest(&bundle.definition).unwrap();
            let tables = bundle.tables.iter().map(|it| {
                let table = Compiled::from_bytes(&it.bytes, Digest::of(&it.bytes)).unwrap();
                (it.element.clone(), Arc::new(table))
            });
            self.told.lock().unwrap().tables.entry(definition).or_default().extend(tables);
            let error = self.role.refuses.clone();
            answer.table_acks.push(v1::TableAck { definition: bundle.definition, nonce: push.nonce, error });
        }
        {
            let mut told = self.told.lock().unwrap();
            if let Some(bindings) = message.bindings {
                answer.bindings_ack = bindings.version;
                told.bindings = bindings;
            }
            told.tombstones.extend(message.tombstones.into_iter().map(|it| it.instance));
            told.retired.extend(message.retired.iter().map(|it| it.to_vec()));
            told.acked = told.acked.max(message.acked);
            told.left |= message.left;
        }
        if answer != v1::SidecarMessage::default() {
            self.send(answer).await;
        }
        if message.probe_now {
            self.well().await;
        }
        self.change.send_modify(|it| *it += 1);
    }

    async fn offered(&mut self, token: Token) {
        self.told.lock().unwrap().offered.push(token.clone());
        let products = match &self.role.does {
            Does::Holds => Vec::new(),
            Does::Fails => {
                let mut failure = Failure::new(FailureCode::FailedTask, &token.element, "Service task failed.");
                (failure.status, failure.output) = (Some(500), Some(text("boom")));
                vec![Product { token, to: To::Incident(Box::new(failure)) }]
            }
            Does::Answers(answer) => {
                let table = self.told.lock().unwrap().tables[&token.definition][token.element.as_str()].clone();
                let node = table.find(token.element.as_str()).unwrap();
                let token =
                    Token { payload: Payload { content_type: "application/json".into(), ..text(answer) }, ..token };
                routing::advance(&table, node, &token, token.emitted).products
            }
        };
        let mut message = v1::SidecarMessage::default();
        for product in products {
            self.seq += 1;
            message.reports.push(v1::Report { seq: self.seq, product: Some(product.into()) });
        }
        self.send(message).await;
        self.change.send_modify(|it| *it += 1);
    }
}

fn text(body: &str) -> Payload {
    Payload { content_type: "text/plain".into(), body: body.to_owned().into() }
}
