//! One HTTP/1.1 exchange over one connection, as lean as a call on loopback should be.
//!
//! A request leaves in one system call when it is small, an answer is parsed where it was read, and nothing
//! stands between the caller and the socket. Promises: no more of an answer is read than is allowed, a head
//! of at most [`MAX_HEAD`] bytes and [`MAX_HEADERS`] headers; whatever is not HTTP is told from a connection
//! that broke. It knows no deadline: its future is dropped at the caller's, and the connection with it.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, StatusCode};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::head::{Head, parse};
use super::{CallFailure, TaskAnswer};

/// Bytes of an answer's head.
const MAX_HEAD: usize = 64 << 10;
/// Headers of an answer that comes early.
const MAX_HEADERS: usize = 100;
/// Bodies up to this size go in one piece with their heads.
const ONE_PIECE: usize = 16 << 10;
/// What is read at once; a kept connection holds no larger buffer.
const READ: usize = 4 << 10;
/// A connection that takes longer than this counts as refused.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection to a task; dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Read, and not used yet.
    pub(super) buffer: BytesMut,
    /// The request's head, and its body if that is small.
    request: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nothing of the request has left.
    Unsent(io::Error),
    /// Whatever else.
    Failed(CallFailure),
}

// === impl Connection ===

impl Connection {
    pub(super) async fn open(authority: &str, deadline: Instant) -> Result<Self, CallFailure> {
        let refused = |reason: String| CallFailure::Refused { authority: authority.into(), reason };
        let limit = deadline.min(Instant::now() + CONNECT);
        let stream = match timeout_at(limit, TcpStream::connect(authority)).await {
            Ok(connected) => connected.map_err(|error| refused(error.to_string()))?,
            Err(_) => return Err(refused("no connection in time".into())),
        };
        // Without it small writes wait for acknowledgements; a socket that cannot is only slower.
        let _ = stream.set_nodelay(true);
        Ok(Self { stream, buffer: BytesMut::new(), request: Vec::new() })
    }

    /// False when the task has closed it, or has said something that nobody asked for. Costs nothing as long as no event has come.
    pub(super) fn is_fresh(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peek = || socket2::SockRef::from(&self.stream).peek(&mut byte);
        let peeked = self.stream.try_io(Interest::READABLE, peek);
        self.buffer.is_empty() && matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Everything that had come is read: the next read waits for an event instead of asking in vain. One that comes meanwhile is
    /// seen, since it is told by the edge.
    fn is_drained(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        // it is the answer that was wanted
        let _ = self.stream.try_io(Interest::READABLE, nothing);
    }

    /// Sends a request and reads the answer; true when the connection can be used again.
    pub(super) async fn exchange(
        &mut self,
        method: &Method,
        write_head: impl FnOnce(&mut Vec<u8>),
        body: &Bytes,
        limit: usize,
    ) -> Result<(TaskAnswer, bool), Broken> {
        let sent = self.send(write_head, body, limit).await?;
        let head = self.head(method).await.map_err(|failed| sent.explain(failed))?;
        let (body, whole) = self.body(head.framing, limit).await.map_err(|failed| sent.explain(failed))?;
        let keep = head.keep && whole && sent.complete && self.buffer.is_empty();
        if self.buffer.capacity() > READ {
            self.buffer = BytesMut::new();
        }
        if self.request.capacity() > 2 * ONE_PIECE {
            self.request = Vec::new();
        }
        Ok((TaskAnswer { body, ..head.answer }, keep))
    }

    /// Sends a request and reads the answer's head alone.
    pub(super) async fn status(
        &mut self,
        method: &Method,
        write_head: impl FnOnce(&mut Vec<u8>),
        body: &Bytes,
    ) -> Result<StatusCode, Broken> {
        let sent = self.send(write_head, body, MAX_HEAD).await?;
        Ok(self.head(method).await.map_err(|failed| sent.explain(failed))?.answer.status)
    }

    async fn send(
        &mut self,
        write_head: impl FnOnce(&mut Vec<u8>),
        body: &Bytes,
        limit: usize,
    ) -> Result<Sent, Broken> {
        self.request.clear();
        write_head(&mut self.request);
        let one_piece = body.len() <= ONE_PIECE;
        if one_piece {
            self.request.extend_from_slice(body);
        }
        let rest: &[u8] = if one_piece { &[] } else { body };
        let request = std::mem::take(&mut self.request);
        let mut sent = Sent { bytes: 0, complete: false, failed: None };
        for part in [&request[..], rest] {
            if !self.send_part(part, limit, &mut sent).await? {
                break;
            }
        }
        sent.complete = sent.bytes == request.len() + rest.len();
        self.request = request;
        Ok(sent)
    }

    /// False when there is no use in sending more: the answer is there already, or will never be.
    async fn send_part(&mut self, part: &[u8], limit: usize, sent: &mut Sent) -> Result<bool, Broken> {
        let mut at = 0;
        while at < part.len() {
            match self.stream.try_write(&part[at..]) {
                Ok(count) => {
                    at += count;
                    sent.bytes += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if sent.bytes == 0 => return Err(Broken::Unsent(error)),
                // It may have answered before it closed.
                Err(error) => {
                    sent.failed = Some(error);
                    return Ok(false);
                }
            }
            // A task may answer while it is still being told; unread, its answer would block both.
            let ready = self.stream.ready(Interest::READABLE | Interest::WRITABLE).await;
            if ready.map_err(reset)?.is_readable() && !self.take_early(limit)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads what is there before the request is sent; false when the answer needs no more of it.
    fn take_early(&mut self, limit: usize) -> Result<bool, Broken> {
        if self.buffer.len() > limit.saturating_add(MAX_HEAD) {
            return Err(Broken::Failed(CallFailure::TooLarge { limit }));
        }
        self.buffer.reserve(READ);
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(reset(error)),
        }
        let mut space = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut space);
        let parsed = response.parse(&self.buffer);
        let refused = response.code.is_some_and(|code| code >= 300);
        Ok(!(refused && matches!(parsed, Ok(httparse::Status::Complete(_)))))
    }

    /// Reads more; false at the end of the connection.
    pub(super) async fn more(&mut self) -> Result<bool, Broken> {
        loop {
            self.buffer.reserve(READ / 4);
            if self.buffer.capacity() - self.buffer.len() < READ && self.buffer.is_empty() {
                self.buffer.reserve(READ);
            }
            let room = self.buffer.capacity() - self.buffer.len();
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(count) => {
                    if (1..room).contains(&count) {
                        self.is_drained();
                    }
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(reset(error)),
            }
            self.stream.readable().await.map_err(reset)?;
        }
    }

    /// Reads up to `missing` bytes to the end of `body`; false at the end of the connection.
    pub(super) async fn more_into(&mut self, body: &mut BytesMut, missing: usize) -> Result<bool, Broken> {
        use bytes::BufMut as _;
        loop {
            match self.stream.try_read_buf(&mut (&mut *body).limit(missing)) {
                Ok(count) => return Ok(count > 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(reset(error)),
            }
            self.stream.readable().await.map_err(reset)?;
        }
    }

    /// The head of the final answer; interim ones are passed over.
    async fn head(&mut self, method: &Method) -> Result<Head, Broken> {
        let mut looked_at = 0;
        loop {
            let line = self.buffer[looked_at..].contains(&b'\n');
            looked_at = self.buffer.len();
            if line && let Some((head, length)) = parse(&self.buffer, method).map_err(Broken::Failed)? {
                self.buffer.advance(length);
                if head.answer.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(Broken::Failed(CallFailure::Garbage("it switches protocols".into())));
                }
                if !head.answer.status.is_informational() {
                    return Ok(head);
                }
                looked_at = 0;
                continue;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Broken::Failed(CallFailure::Garbage("its head is too large".into())));
            }
            if !self.more().await? {
                return Err(closed("before its answer"));
            }
        }
    }
}

/// How far a request got.
struct Sent {
    bytes: usize,
    complete: bool,
    failed: Option<io::Error>,
}

impl Sent {
    /// A request that could not be sent explains the missing answer better than its absence.
    fn explain(&self, broken: Broken) -> Broken {
        match (&self.failed, broken) {
            (Some(error), Broken::Failed(CallFailure::Reset(_))) => {
                Broken::Failed(CallFailure::Reset(error.to_string()))
            }
            (_, broken) => broken,
        }
    }
}

pub(super) fn closed(when: &str) -> Broken {
    Broken::Failed(CallFailure::Reset(format!("connection closed {when}")))
}

fn reset(error: io::Error) -> Broken {
    Broken::Failed(CallFailure::Reset(error.to_string()))
}
