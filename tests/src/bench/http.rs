//! An HTTP/1.1 client that costs the benchmark next to nothing: prebuilt requests over a kept
//! connection, answers parsed in place. It understands what the benchmark's servers send
//! (`content-length` and `chunked`), no more; anything else is an error.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// Largest head of a message, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;

/// A whole request, as it goes over the wire.
pub(crate) fn request(method: &str, target: &str, host: SocketAddr, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// One kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    /// Connects, with Nagle's algorithm off.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096), body: Vec::new() })
    }

    /// Sends `request` and reads the whole answer; its status is returned, its body kept until the
    /// next exchange. After an error the connection must not be used again.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        self.body.clear();
        let head_length = loop {
            self.fill().await?;
            if let Some(end) = head_end(&self.buffer) {
                break end;
            }
            if self.buffer.len() > HEAD_LIMIT {
                bail!("the answer's head is larger than {HEAD_LIMIT} bytes");
            }
        };
        let head = Head::parse(&self.buffer[..head_length])?;
        match head.framing {
            Framing::Length(length) => {
                while self.buffer.len() < head_length + length {
                    self.fill().await?;
                }
                self.body.extend_from_slice(&self.buffer[head_length..head_length + length]);
            }
            Framing::Chunked => {
                while !unchunk(&self.buffer[head_length..], &mut self.body)? {
                    self.fill().await?;
                }
            }
        }
        Ok(head.status)
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        if self.buffer.len() > ANSWER_LIMIT {
            bail!("the answer is larger than {ANSWER_LIMIT} bytes");
        }
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed before the answer was complete");
        }
        Ok(())
    }
}

/// One request over a connection of its own, for setting things up; any status but 2xx is an error.
pub(crate) async fn once(method: &str, address: SocketAddr, target: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut connection = Connection::open(address).await?;
    let status = connection.exchange(&request(method, target, address, body)).await?;
    if !(200..300).contains(&status) {
        let answer = String::from_utf8_lossy(connection.body());
        bail!("{method} {target} at {address} answered {status}: {}", answer.trim());
    }
    Ok(connection.body().to_vec())
}

/// How long a message's body is.
#[derive(Debug, PartialEq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// What matters of a message's head.
#[derive(Debug)]
pub(crate) struct Head {
    /// 0 for a request.
    pub(crate) status: u16,
    pub(crate) framing: Framing,
}

impl Head {
    /// Reads a head that ends with the empty line.
    pub(crate) fn parse(head: &[u8]) -> anyhow::Result<Self> {
        let head = std::str::from_utf8(head).context("the head is not text")?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = match first.strip_prefix("HTTP/1.1 ") {
            Some(rest) => rest.get(..3).unwrap_or_default().parse().context("no status")?,
            None => 0,
        };
        let mut framing = Framing::Length(0);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                framing = Framing::Length(value.trim().parse().context("bad content-length")?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                framing = Framing::Chunked;
            }
        }
        Ok(Self { status, framing })
    }
}

/// Where the head ends: after its empty line.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Writes the decoded chunks to `body`; `false` when the last chunk has not come yet.
fn unchunk(mut bytes: &[u8], body: &mut Vec<u8>) -> anyhow::Result<bool> {
    body.clear();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return Ok(false);
        };
        let size = std::str::from_utf8(&bytes[..end]).context("bad chunk size")?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("bad chunk size")?;
        if size > ANSWER_LIMIT {
            bail!("a chunk is larger than {ANSWER_LIMIT} bytes");
        }
        let Some(chunk) = bytes.get(end + 2..end + 2 + size + 2) else {
            return Ok(false);
        };
        if size == 0 {
            return Ok(true);
        }
        body.extend_from_slice(&chunk[..size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_status_and_length() {
        let bytes = b"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nbody";
        let end = head_end(bytes).unwrap();
        let head = Head::parse(&bytes[..end]).unwrap();
        assert_eq!((head.status, head.framing), (404, Framing::Length(12)));
        assert_eq!(&bytes[end..], b"body");
        assert_eq!(head_end(b"HTTP/1.1 200 OK\r\n"), None);
    }

    #[test]
    fn chunks_are_joined_once_all_have_come() {
        let whole = b"4\r\nabcd\r\n2;x=y\r\nef\r\n0\r\n\r\n";
        let mut body = Vec::new();
        for length in 0..whole.len() {
            assert!(!unchunk(&whole[..length], &mut body).unwrap(), "{length}");
        }
        assert!(unchunk(whole, &mut body).unwrap());
        assert_eq!(body, b"abcdef");
        assert!(unchunk(b"zz\r\n", &mut body).is_err());
    }
}
