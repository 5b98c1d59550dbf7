//! From what the owner hands over to numbered frames: whatever has gathered goes into one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use prost::Message as _;
use proto::{convert, v1};
use tokio::sync::mpsc;

use crate::{Offer, wire};

/// Batches that go into one frame at most.
const GATHER: usize = 64;

#[derive(Debug)]
pub(super) enum Command {
    Offers { watermark: u64, offers: Vec<Offer> },
    Tables(v1::TableBundle),
}

/// The frames of one link, the hello first. Polled by the transport when it can take one, so that the
/// batches behind a slow reader gather.
#[derive(Debug)]
pub(super) struct Frames {
    hello: Option<v1::SenderHello>,
    commands: mpsc::Receiver<Command>,
    gathered: Vec<Command>,
    offers: VecDeque<Offer>,
    tables: Vec<v1::TableBundle>,
    watermark: u64,
    n: u64,
}

impl Frames {
    pub(super) fn new(hello: v1::SenderHello, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            hello: Some(hello),
            commands,
            gathered: Vec::new(),
            offers: VecDeque::new(),
            tables: Vec::new(),
            watermark: 0,
            n: 0,
        }
    }

    fn gather(&mut self) {
        for command in self.gathered.drain(..) {
            match command {
                Command::Offers { watermark, offers } => {
                    self.watermark = self.watermark.max(watermark);
                    self.offers.extend(offers);
                }
                Command::Tables(bundle) => self.tables.push(bundle),
            }
        }
    }

    fn frame(&mut self) -> v1::SenderFrame {
        let mut offers = Vec::with_capacity(self.offers.len().min(256));
        let mut size = 0;
        while size < wire::FRAME
            && let Some(Offer { seq, product, instead_of, .. }) = self.offers.pop_front()
        {
            let offer = v1::Offer {
                seq,
                token: Some(proto::Token::of(product)),
                instead_of: instead_of.map(convert::incarnation_bytes).unwrap_or_default(),
            };
            size += offer.encoded_len();
            offers.push(offer);
        }
        self.n += 1;
        let tables = std::mem::take(&mut self.tables);
        v1::SenderFrame { n: self.n, hello: self.hello.take(), watermark: self.watermark, offers, tables }
    }
}

impl Stream for Frames {
    type Item = v1::SenderFrame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.hello.is_none() && this.offers.is_empty() {
            if ready!(this.commands.poll_recv_many(context, &mut this.gathered, GATHER)) == 0 {
                return Poll::Ready(None);
            }
            this.gather();
        }
        Poll::Ready(Some(this.frame()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::StreamExt as _;
    use routing::{ActivationId, Digest, Incarnation, Payload, Product, To, Token, Weight, Written};

    use super::*;

    fn offer(seq: u64, bytes: usize) -> Offer {
        let token = Token {
            instance: "i".into(),
            definition: Digest::default(),
            element: "e".into(),
            flow: None,
            activation: ActivationId(seq.into()),
            key: ActivationId(seq.into()),
            parent: ActivationId(0),
            scope: ActivationId(0),
            generation: 0,
            attempts: 0,
            weight: Weight::one(),
            written: Written::default(),
            pools: Vec::new(),
            emitted: 0,
            trace: Default::default(),
            payload: Payload { content_type: String::new(), body: Bytes::from(vec![b'x'; bytes]) },
        };
        Offer {
            replica: Incarnation(1),
            seq,
            product: Product { token, to: To::Service("s".into()) }.into(),
            instead_of: None,
        }
    }

    #[tokio::test]
    async fn what_has_gathered_goes_into_one_frame_and_large_offers_are_split() {
        let (commands, receiver) = mpsc::channel(8);
        let mut frames = Frames::new(v1::SenderHello::default(), receiver);
        let hello = frames.next().await.unwrap();
        assert!(hello.n == 1 && hello.hello.is_some() && hello.offers.is_empty());
        commands.try_send(Command::Offers { watermark: 3, offers: vec![offer(4, 10)] }).unwrap();
        commands.try_send(Command::Offers { watermark: 4, offers: vec![offer(5, 10)] }).unwrap();
        let frame = frames.next().await.unwrap();
        assert_eq!((frame.n, frame.watermark, frame.offers.len()), (2, 4, 2));
        let large = (6..14).map(|seq| offer(seq, 900_000)).collect();
        commands.try_send(Command::Offers { watermark: 4, offers: large }).unwrap();
        drop(commands);
        let mut seqs = Vec::new();
        while let Some(frame) = frames.next().await {
            assert!(frame.encoded_len() < 4 << 20, "{}", frame.encoded_len());
            assert_eq!(frame.watermark, 4);
            seqs.extend(frame.offers.iter().map(|o| o.seq));
        }
        assert_eq!(seqs, (6..14).collect::<Vec<_>>());
    }
}
