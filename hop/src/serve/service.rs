//! The tonic side: handshake, one reading task per link, and the stream of answers.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use proto::convert::{self, Malformed};
use proto::v1;
use proto::v1::hop_server::Hop;
use routing::{Incarnation, ServiceName, Token};
use runtime::tls::PeerIdentity;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, Streaming};

use super::{ANSWERS, Answers, Event, Internal, Link, Options, Sender};
use crate::wire;

/// Answer batches that go into one frame at most.
const GATHER: usize = 64;
/// Services that a sender may claim to serve.
const MAX_SERVES: usize = 1_000;
/// Senders whose newest link is remembered.
const MAX_SENDERS: usize = 10_000;

/// See the module above.
#[derive(Debug)]
pub struct Service {
    options: Options,
    report: mpsc::Sender<Internal>,
    links: AtomicU64,
    /// Boot and link of every sender's newest handshake. Held for a look-up only.
    newest: Mutex<HashMap<Incarnation, (u64, u64)>>,
}

impl Service {
    pub(super) fn new(options: Options, report: mpsc::Sender<Internal>) -> Self {
        Self { options, report, links: AtomicU64::new(0), newest: Mutex::default() }
    }

    fn believe(&self, hello: v1::SenderHello, peer: Option<&PeerIdentity>) -> Result<Sender, Status> {
        if hello.serves.len() > MAX_SERVES {
            return Err(Status::invalid_argument(format!("a sender serves at most {MAX_SERVES} services")));
        }
        let malformed = |error: Malformed| Status::invalid_argument(error.to_string());
        let incarnation = convert::incarnation(&hello.incarnation).map_err(malformed)?;
        let serves: BTreeSet<ServiceName> = hello.serves.into_iter().map(ServiceName::from).collect();
        let identity = peer.and_then(|peer| peer.0.as_ref());
        let allowed = self.options.accounts.check(identity, hello.ledger, &serves);
        allowed.map_err(|why| Status::permission_denied(why.to_string()))?;
        self.admit(incarnation, (hello.boot, hello.link))?;
        Ok(Sender { incarnation, ledger: hello.ledger, serves })
    }

    /// A link must be newer than every one its sender has opened here before.
    fn admit(&self, sender: Incarnation, number: (u64, u64)) -> Result<(), Status> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.get(&sender).is_some_and(|last| *last >= number) {
            return Err(Status::failed_precondition("a newer link of this sender has been opened here"));
        }
        if newest.len() >= MAX_SENDERS && !newest.contains_key(&sender) {
            return Err(Status::resource_exhausted("too many senders have been linked here; restart this sidecar"));
        }
        newest.insert(sender, number);
        Ok(())
    }

    fn hello(&self) -> v1::ReceiverHello {
        v1::ReceiverHello {
            incarnation: convert::incarnation_bytes(self.options.incarnation),
            boot: self.options.boot,
            serves: self.options.serves.iter().map(|service| service.as_str().to_owned()).collect(),
        }
    }
}

#[tonic::async_trait]
impl Hop for Service {
    type LinkStream = Frames;

    async fn link(&self, request: Request<Streaming<v1::SenderFrame>>) -> Result<Response<Frames>, Status> {
        if self.options.open.as_ref().is_some_and(|open| !*open.borrow()) {
            return Err(Status::unavailable("this hop port is not open yet; the sidecar's /ready says why"));
        }
        let peer = request.extensions().get::<PeerIdentity>().cloned();
        let mut frames = request.into_inner();
        let first = tokio::time::timeout(wire::HELLO_WITHIN, frames.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello in time"))??;
        let hello = first.filter(|frame| frame.n == 1).and_then(|frame| frame.hello);
        let hello = hello.ok_or_else(|| Status::invalid_argument("the first frame is no hello"))?;
        let sender = self.believe(hello, peer.as_ref()).inspect_err(|status| {
            tracing::warn!(?peer, why = status.message(), "refused a link to the hop port");
        })?;
        let link = self.links.fetch_add(1, Ordering::Relaxed) + 1;
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let (open, closed) = oneshot::channel();
        let opened = Internal::Opened { link, sender, answers, open };
        let gone = || Status::unavailable("this sidecar is going");
        self.report.send(opened).await.map_err(|_| gone())?;
        tokio::spawn(read(link, frames, closed, self.report.clone()));
        Ok(Response::new(Frames { hello: Some(self.hello()), answers: receiver, gathered: Vec::new(), n: 0 }))
    }

    async fn greet(&self, _request: Request<v1::GreetRequest>) -> Result<Response<v1::ReceiverHello>, Status> {
        Ok(Response::new(self.hello()))
    }
}

/// Passes frames on until the link ends or is closed by the owner.
async fn read(
    link: Link,
    frames: Streaming<v1::SenderFrame>,
    closed: oneshot::Receiver<()>,
    report: mpsc::Sender<Internal>,
) {
    tokio::select! {
        why = pass_on(link, frames, &report) => {
            tracing::debug!(link, why, "a sender's link is gone");
        }
        _ = closed => return,
    }
    // Without an owner nobody has to know.
    let _ = report.send(Internal::Event(Event::Unlinked(link))).await;
}

async fn pass_on(link: Link, mut frames: Streaming<v1::SenderFrame>, report: &mpsc::Sender<Internal>) -> String {
    let mut n = 1;
    loop {
        let frame = match frames.message().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the sender closed it".to_owned(),
            Err(status) => return status.message().to_owned(),
        };
        n += 1;
        if frame.n != n {
            return format!("frame {} came where {n} was due", frame.n);
        }
        let v1::SenderFrame { watermark, offers, tables, .. } = frame;
        let replaced = match replaced(&offers) {
            Ok(replaced) => replaced,
            Err(malformed) => return malformed.to_string(),
        };
        let offers = match offers.into_iter().map(offer).collect::<Result<Vec<_>, _>>() {
            Ok(offers) => offers,
            Err(malformed) => {
                tracing::warn!(link, %malformed, "a sender's frame cannot be read; closing its link");
                return malformed.to_string();
            }
        };
        let tables = tables.into_iter().map(|bundle| Event::Tables(link, bundle));
        let replaced = (!replaced.is_empty()).then_some(Event::Replaced(link, replaced));
        for event in tables.chain(replaced).chain([Event::Offered(link, watermark, offers)]) {
            if report.send(Internal::Event(event)).await.is_err() {
                return "nobody receives any more".to_owned();
            }
        }
    }
}

/// The replicas in whose place something of a frame is offered.
fn replaced(offers: &[v1::Offer]) -> Result<Vec<Incarnation>, Malformed> {
    let named = offers.iter().filter(|o| !o.instead_of.is_empty());
    let mut all = named.map(|o| convert::incarnation(&o.instead_of)).collect::<Result<Vec<_>, _>>()?;
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn offer(offer: v1::Offer) -> Result<(u64, Token), Malformed> {
    let token = offer.token.ok_or(Malformed { field: "offer", why: "no token" })?;
    Ok((offer.seq, token.into_routing()?))
}

/// The frames of answers on one link, the hello first.
#[derive(Debug)]
pub struct Frames {
    hello: Option<v1::ReceiverHello>,
    answers: mpsc::Receiver<Answers>,
    gathered: Vec<Answers>,
    n: u64,
}

impl Stream for Frames {
    type Item = Result<v1::ReceiverFrame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let hello = this.hello.take();
        if hello.is_none() && ready!(this.answers.poll_recv_many(context, &mut this.gathered, GATHER)) == 0 {
            return Poll::Ready(None);
        }
        this.n += 1;
        let mut frame = v1::ReceiverFrame { n: this.n, hello, ..Default::default() };
        for Answers { accepted, refused } in this.gathered.drain(..) {
            for (activation, ago) in accepted {
                frame.accepted.push(convert::id_bytes(activation));
                frame.accepted_ago_ms.push(ago);
            }
            frame.refused.extend(refused.into_iter().map(|(activation, why)| wire::refusal_out(activation, why)));
        }
        Poll::Ready(Some(Ok(frame)))
    }
}
