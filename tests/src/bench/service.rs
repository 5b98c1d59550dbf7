//! The services that every side calls: they answer every request with its body, as lean as a
//! process over sockets can be, so that the figures are those of what stands before them.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::http::{Framing, Head, head_end};

/// Largest request, head and body, in bytes.
const REQUEST_LIMIT: usize = 4 * 1024 * 1024;

/// Serves until the process is ended; prints `ready http://ADDRESS` first.
pub(crate) async fn run(port: u16) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("ready http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept")?;
        tokio::spawn(async move {
            // The caller sees a broken connection and counts it as a failure.
            let _ = answer(stream).await;
        });
    }
}

async fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    let mut reply = Vec::with_capacity(4096);
    loop {
        let Some((head_length, length)) = whole_request(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        reply.clear();
        reply.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ");
        reply.extend_from_slice(length.to_string().as_bytes());
        reply.extend_from_slice(b"\r\n\r\n");
        reply.extend_from_slice(&buffer[head_length..head_length + length]);
        stream.write_all(&reply).await?;
        buffer.drain(..head_length + length);
    }
}

/// Reads until one request is in the buffer; lengths of its head and body, `None` at a clean end.
async fn whole_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<Option<(usize, usize)>> {
    let mut wanted = None;
    loop {
        if wanted.is_none()
            && let Some(head_length) = head_end(buffer)
        {
            match Head::parse(&buffer[..head_length])?.framing {
                Framing::Length(length) => wanted = Some((head_length, length)),
                Framing::Chunked => anyhow::bail!("chunked requests are not taken"),
            }
        }
        match wanted {
            Some((head, length)) if buffer.len() >= head + length => return Ok(wanted),
            _ if buffer.len() > REQUEST_LIMIT => anyhow::bail!("the request is too large"),
            _ => (),
        }
        if stream.read_buf(buffer).await? == 0 {
            anyhow::ensure!(buffer.is_empty(), "closed in the middle of a request");
            return Ok(None);
        }
    }
}
