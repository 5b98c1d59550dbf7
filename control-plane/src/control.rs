//! `flow.v1.Control`: the stream to each sidecar. Its hello first, then both sides say what is new.
//!
//! One task per sidecar reads what it says and writes what the mesh and its mailbox have for it, as fast as *it* takes
//! it. Reports are handed to the ledger in order; while the ledger has too much to do, they are read more slowly.

mod proof;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hop::Assignment;
use proto::convert::{self, Malformed};
use proto::v1;
use proto::v1::control_server::{Control, ControlServer};
use routing::{Digest, Incarnation, Product};
use runtime::clock::sleep;
use runtime::drain::DrainWatcher;
use runtime::tls::PeerIdentity;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use crate::flow::status;
use crate::ledger::{Answer, Leaving};
use crate::mesh::{Hello, Refusal};
use crate::operations::{Gate, Operations};
use crate::sidecars::Mailbox;
use crate::store::{Batch, Store, Write};

/// How long a sidecar may take for its hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// How long acknowledgements of reports wait for company: all that they do is let a sidecar forget.
const ACKS_FOR: Duration = Duration::from_millis(10);
/// Messages that may wait for a slow sidecar; everything else coalesces.
const AHEAD: usize = 2;

/// The service.
pub(crate) struct Service {
    gate: Gate,
    drain: DrainWatcher,
}

impl Service {
    /// As a tonic service.
    pub(crate) fn server(gate: Gate, drain: DrainWatcher) -> ControlServer<Self> {
        ControlServer::new(Self { gate, drain })
            .max_decoding_message_size(proto::MAX_MESSAGE)
            .max_encoding_message_size(proto::MAX_MESSAGE)
    }
}

type Out = Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::FlowdMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Control for Service {
    type AttachStream = Out;

    async fn attach(&self, request: Request<Streaming<v1::SidecarMessage>>) -> Result<Response<Out>, Status> {
        let operations = self.gate.pass().map_err(status)?.clone();
        let peer = request.extensions().get::<PeerIdentity>().cloned();
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(HELLO_WITHIN, inbound.message());
        let first = first.await.map_err(|_| Status::deadline_exceeded("no hello came"))??;
        let mut first = first.ok_or_else(|| Status::invalid_argument("the stream ended before its hello"))?;
        let hello = first.hello.take().ok_or_else(|| Status::invalid_argument("the first message has no hello"))?;
        let hello = Hello::of(hello, peer.and_then(|it| it.0)).map_err(malformed)?;
        operations.mesh.admit(&hello).map_err(|refusal| match refusal {
            Refusal::Denied(why) => {
                tracing::warn!(sidecar = %hello.incarnation, why, "refused a sidecar");
                Status::permission_denied(why)
            }
            Refusal::NotYet => Status::unavailable("flowd has not looked at the cluster yet; its log says why"),
        })?;
        let (out, outbound) = mpsc::channel(AHEAD);
        if operations.mesh.has_left(hello.incarnation) {
            // what it held is the ledger's now: it begins anew, with a journal of its own
            let gone =
                v1::FlowdMessage { hello: Some(own_hello(&operations)), left: true, ..v1::FlowdMessage::default() };
            out.try_send(Ok(gone)).map_err(|_| Status::internal("a channel that is new is full"))?;
            return Ok(Response::new(Box::pin(ReceiverStream::new(outbound))));
        }
        let session = Session::begin(operations, hello, out).await?;
        tokio::spawn(session.run(first, inbound, self.drain.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(outbound))))
    }
}

fn own_hello(operations: &Operations) -> v1::FlowdHello {
    v1::FlowdHello {
        ledger: convert::incarnation_bytes(operations.incarnation),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

struct Session {
    operations: Operations,
    incarnation: Incarnation,
    number: u64,
    mailbox: Arc<Mailbox>,
    out: mpsc::Sender<Result<v1::FlowdMessage, Status>>,
    /// Definitions that it holds or was sent.
    told: BTreeSet<Digest>,
    /// Its address, if it wants proof that the mesh stands before it.
    unproven: Option<String>,
}

impl Session {
    async fn begin(
        operations: Operations,
        hello: Hello,
        out: mpsc::Sender<Result<v1::FlowdMessage, Status>>,
    ) -> Result<Self, Status> {
        let (number, mailbox, write) = operations.mesh.attach(&hello, operations.now());
        let incarnation = hello.incarnation;
        let unproven = hello.unproven.then(|| hello.address.clone());
        let session = Self { operations, incarnation, number, mailbox, out, told: hello.holds, unproven };
        if let Err(error) = session.prepare(write).await {
            session.operations.mesh.detach(incarnation, number, session.operations.now());
            return Err(error);
        }
        let services: Vec<&str> = hello.serves.keys().map(|it| it.as_str()).collect();
        tracing::info!(sidecar = %incarnation, address = hello.address, ?services, "a sidecar is here");
        Ok(session)
    }

    /// Its address is remembered, and tombstones are the first that it hears.
    async fn prepare(&self, write: Write) -> Result<(), Status> {
        let stored = self.operations.store.commit(Batch::one(vec![write])).await;
        stored.map_err(|error| Status::unavailable(error.to_string()))?;
        let tombstones = self.operations.ledger.tombstones().await.map_err(|error| status(error.into()))?;
        self.mailbox.post(|letters| letters.closed_before(tombstones));
        Ok(())
    }

    /// Connects to the sidecar's hop port until that proves what it wants proven.
    fn prove(&self, address: String) -> AbortOnDropHandle<()> {
        let (mesh, mailbox) = (self.operations.mesh.clone(), self.mailbox.clone());
        let (incarnation, number) = (self.incarnation, self.number);
        let tell = move |proof: v1::Proof, lacks| {
            mailbox.post(|letters| letters.proof = Some(proof));
            mesh.proven(incarnation, number, lacks);
        };
        AbortOnDropHandle::new(tokio::spawn(proof::prove(address, incarnation, tell)))
    }

    async fn run(self, first: v1::SidecarMessage, mut inbound: Streaming<v1::SidecarMessage>, mut drain: DrainWatcher) {
        let _proving = self.unproven.clone().map(|address| self.prove(address));
        let ended = self.talk(first, &mut inbound, &mut drain).await;
        if let Err(error) = ended {
            tracing::warn!(sidecar = %self.incarnation, %error, "the stream of a sidecar was ended");
            // nobody reads it any more if the sidecar is gone
            let _ = self.out.try_send(Err(error));
        }
        self.operations.mesh.detach(self.incarnation, self.number, self.operations.now());
    }

    async fn talk(
        &self,
        first: v1::SidecarMessage,
        inbound: &mut Streaming<v1::SidecarMessage>,
        drain: &mut DrainWatcher,
    ) -> Result<(), Status> {
        let operations = &self.operations;
        let mut told = self.told.clone();
        let mut changes = operations.mesh.news();
        let mut hello = Some(own_hello(operations));
        let (mut news, mut gathered_by) = (true, None::<Instant>);
        if self.hear(first).await? {
            return Ok(());
        }
        loop {
            tokio::select! {
                biased;
                () = drain.signaled() => return Ok(()),
                message = inbound.message() => match message? {
                    Some(message) => if self.hear(message).await? { return Ok(()) },
                    None => return Ok(()),
                },
                permit = self.out.reserve(), if news => {
                    let Ok(permit) = permit else { return Ok(()) };
                    let mut next = operations.mesh.next(self.incarnation, self.number, &mut told);
                    if let Some(why) = next.refused {
                        return Err(Status::permission_denied(why));
                    }
                    if next.replaced {
                        return Err(Status::aborted("a newer stream speaks for this sidecar"));
                    }
                    (news, gathered_by) = (next.more, None);
                    next.message.hello = hello.take();
                    if next.some || next.message.hello.is_some() {
                        permit.send(Ok(next.message));
                    }
                }
                changed = changes.changed() => match changed {
                    Ok(()) => news = true,
                    Err(_) => return Ok(()),
                },
                () = self.mailbox.arrived() => match self.mailbox.is_urgent() {
                    true => news = true,
                    false => _ = gathered_by.get_or_insert_with(|| Instant::now() + ACKS_FOR),
                },
                () = sleep(gathered_by.map(|at| at.saturating_duration_since(Instant::now()))), if !news => news = true,
            }
        }
    }

    /// What it says; true when it has left.
    async fn hear(&self, message: v1::SidecarMessage) -> Result<bool, Status> {
        let answered = self.operations.mesh.heard(self.incarnation, self.number, &message, self.operations.now());
        answered.into_iter().for_each(|took| self.operations.metrics.mesh.pushes.observe(took));
        let v1::SidecarMessage { reports, hops, leave, whereabouts, want_tables, .. } = message;
        if !reports.is_empty() {
            let reports: Result<Vec<_>, Status> = reports.into_iter().map(report).collect();
            self.ledger().reports(self.incarnation, reports?).await.map_err(|error| status(error.into()))?;
        }
        if !hops.is_empty() {
            let new = self.operations.hops.add(hops);
            self.ledger().hops(&new).await.map_err(|error| status(error.into()))?;
        }
        if !want_tables.is_empty() {
            let wanted: Vec<Digest> = want_tables.iter().filter_map(|it| convert::digest(it).ok()).collect();
            self.mailbox.post(|letters| letters.wanted.extend(wanted));
        }
        for ask in whereabouts {
            self.fates(ask).await?;
        }
        match leave {
            Some(leave) => self.leave(leave).await,
            None => Ok(false),
        }
    }

    fn ledger(&self) -> &crate::ledger_task::Handle {
        &self.operations.ledger
    }

    async fn fates(&self, ask: v1::Whereabouts) -> Result<(), Status> {
        let replica = convert::incarnation(&ask.replica).map_err(malformed)?;
        let of: Result<Vec<_>, _> = ask.activations.iter().map(|it| convert::activation(it)).collect();
        let answer = self.ledger().whereabouts(replica, of.map_err(malformed)?).await;
        if let Answer::Fates(fates) = answer.map_err(|error| status(error.into()))? {
            let fate = |(activation, taken)| v1::Fate { activation: convert::id_bytes(activation), taken };
            self.mailbox.post(|letters| letters.fates.extend(fates.into_iter().map(fate)));
        }
        Ok(())
    }

    /// The ledger takes what it holds; `left` is said when that is durable.
    async fn leave(&self, leave: v1::Leave) -> Result<bool, Status> {
        let v1::Leave { held, unfinished, accepted } = leave;
        let assignment = |it: v1::Assigned| -> Result<Assignment, Malformed> {
            let product = it.product.ok_or(Malformed { field: "leave.product", why: "missing" })?;
            let replica = if it.replica.is_empty() { None } else { Some(convert::incarnation(&it.replica)?) };
            Ok(Assignment { product: Arc::new(product.try_into()?), replica, seq: 0 })
        };
        let leaving = Leaving {
            held: held.into_iter().map(Product::try_from).collect::<Result<_, _>>().map_err(malformed)?,
            unfinished: unfinished.into_iter().map(assignment).collect::<Result<_, _>>().map_err(malformed)?,
            accepted: accepted.iter().map(|it| convert::activation(it)).collect::<Result<_, _>>().map_err(malformed)?,
        };
        let (held, unfinished) = (leaving.held.len(), leaving.unfinished.len());
        self.ledger().leave(self.incarnation, leaving).await.map_err(|error| status(error.into()))?;
        tracing::info!(sidecar = %self.incarnation, held, unfinished, "a sidecar has left; the ledger goes on for it");
        // it is gone by its own wish: whether it still hears this does not matter
        let _ = self.out.send(Ok(v1::FlowdMessage { left: true, ..v1::FlowdMessage::default() })).await;
        if let Err(error) = self.operations.sidecar_left(self.incarnation).await {
            tracing::debug!(%error, "the address of a sidecar that has left stays stored; nobody uses it");
        }
        Ok(true)
    }
}

fn report(report: v1::Report) -> Result<(u64, Product), Status> {
    let product = report.product.ok_or_else(|| Status::invalid_argument("a report without a product"))?;
    Ok((report.seq, Product::try_from(product).map_err(malformed)?))
}
