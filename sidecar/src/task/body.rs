//! The body of an answer: how long it is (RFC 9112, 6.3), and reading it within a limit.

use bytes::{Buf, Bytes, BytesMut};
use http::header;
use http::{Method, StatusCode};

use super::CallFailure;
use super::exchange::{Broken, Connection, closed};
use super::head::Lines;

/// Bytes of a line that says how long a chunk is, with its extensions.
const MAX_SIZE_LINE: usize = 4 << 10;
/// Bytes of all trailers.
const MAX_TRAILERS: usize = 64 << 10;
/// Room made for a body at once; what an answer only promises takes no memory.
const ROOM: usize = 256 << 10;

/// How an answer says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// By a chunk of length zero.
    Chunked,
    /// With the connection.
    UntilClosed,
}

/// How the body of an answer to `method` ends.
pub(super) fn framing(method: &Method, status: StatusCode, lines: Lines<'_>) -> Result<Framing, CallFailure> {
    let without = *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if without {
        return Ok(Framing::Length(0));
    }
    if let Some(last) = lines.all(&header::TRANSFER_ENCODING).next_back() {
        let coding = last.rsplit(',').next().unwrap_or_default().trim();
        return Ok(if coding.eq_ignore_ascii_case("chunked") { Framing::Chunked } else { Framing::UntilClosed });
    }
    let mut length = None;
    for value in lines.all(&header::CONTENT_LENGTH) {
        for said in value.split(',').map(str::trim) {
            let digits = !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit());
            let said = said.parse::<u64>().ok().filter(|said| digits && length.is_none_or(|length| length == *said));
            length = Some(said.ok_or_else(|| CallFailure::Garbage("its content-length is no length".into()))?);
        }
    }
    Ok(length.map_or(Framing::UntilClosed, Framing::Length))
}

impl Connection {
    /// The body, of at most `limit` bytes; true when the connection is at the end of the answer.
    pub(super) async fn body(&mut self, framing: Framing, limit: usize) -> Result<(Bytes, bool), Broken> {
        match framing {
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= limit => Ok((self.counted(length).await?, true)),
                _ => Err(too_large(limit)),
            },
            Framing::Chunked => Ok((self.chunked(limit).await?, true)),
            Framing::UntilClosed => Ok((self.until_closed(limit).await?, false)),
        }
    }

    async fn counted(&mut self, length: usize) -> Result<Bytes, Broken> {
        if self.buffer.len() >= length {
            // A copy of just its size: a token must not keep a whole buffer alive.
            let body = Bytes::copy_from_slice(&self.buffer[..length]);
            self.buffer.advance(length);
            return Ok(body);
        }
        let mut body = BytesMut::with_capacity(length.min(ROOM));
        self.take(&mut body, length).await?;
        Ok(body.freeze())
    }

    /// Moves `count` bytes of the answer to the end of `body`.
    async fn take(&mut self, body: &mut BytesMut, count: usize) -> Result<(), Broken> {
        let read = self.buffer.len().min(count);
        body.extend_from_slice(&self.buffer[..read]);
        self.buffer.advance(read);
        let end = body.len() + (count - read);
        while body.len() < end {
            let missing = end - body.len();
            if body.capacity() == body.len() {
                body.reserve(missing.min(ROOM));
            }
            if !self.more_into(body, missing).await? {
                return Err(closed("in the middle of its answer"));
            }
        }
        Ok(())
    }

    async fn until_closed(&mut self, limit: usize) -> Result<Bytes, Broken> {
        let mut body = self.buffer.split();
        while body.len() <= limit {
            body.reserve(4 << 10);
            if !self.more_into(&mut body, usize::MAX).await? {
                return Ok(body.freeze());
            }
        }
        Err(too_large(limit))
    }

    async fn chunked(&mut self, limit: usize) -> Result<Bytes, Broken> {
        let mut body = BytesMut::new();
        loop {
            let size = self.chunk_size().await?;
            if size == 0 {
                self.trailers().await?;
                return Ok(body.freeze());
            }
            let size = usize::try_from(size).ok().filter(|size| *size <= limit - body.len());
            let size = size.ok_or_else(|| too_large(limit))?;
            self.take(&mut body, size).await?;
            if self.line(2).await? != b"\r\n"[..] {
                return Err(garbage("a chunk is longer than it says"));
            }
        }
    }

    async fn chunk_size(&mut self) -> Result<u64, Broken> {
        let line = self.line(MAX_SIZE_LINE).await?;
        match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((_, size))) => Ok(size),
            _ => Err(garbage("the length of a chunk is no number")),
        }
    }

    /// Trailers say nothing that a token needs.
    async fn trailers(&mut self) -> Result<(), Broken> {
        let mut left = MAX_TRAILERS;
        loop {
            let line = self.line(left).await?;
            if line == b"\r\n"[..] || line == b"\n"[..] {
                return Ok(());
            }
            left -= line.len();
        }
    }

    /// The next line, with its end, of at most `limit` bytes.
    async fn line(&mut self, limit: usize) -> Result<BytesMut, Broken> {
        let mut looked_at = 0;
        loop {
            if let Some(end) = self.buffer[looked_at..].iter().position(|byte| *byte == b'\n') {
                let length = looked_at + end + 1;
                return match length <= limit {
                    true => Ok(self.buffer.split_to(length)),
                    false => Err(garbage("a line of it is too long")),
                };
            }
            looked_at = self.buffer.len();
            if looked_at >= limit {
                return Err(garbage("a line of it is too long"));
            }
            if !self.more().await? {
                return Err(closed("in the middle of its answer"));
            }
        }
    }
}

fn too_large(limit: usize) -> Broken {
    Broken::Failed(CallFailure::TooLarge { limit })
}

fn garbage(why: &str) -> Broken {
    Broken::Failed(CallFailure::Garbage(why.to_owned()))
}
