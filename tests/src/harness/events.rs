//! A reader of server-sent events, as flowd's topics give them.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

/// An open stream.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    read: Vec<u8>,
}

impl Events {
    /// Opens a stream that is there: one that comes again behind `last` if that is given.
    pub async fn open(url: &str, last: Option<&str>) -> Result<Self, String> {
        let mut request = Request::builder().uri(url).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let response = client.request(request).await.map_err(|error| format!("{url}: {error:?}"))?;
        let (head, body) = response.into_parts();
        let mut events = Self { body, read: Vec::new() };
        if head.status != 200 || head.headers["content-type"] != "text/event-stream" {
            return Err(format!("{url}: {head:?}"));
        }
        // the comment that greets: from now on nothing is missed
        let greeting = events.block().await.ok_or("no greeting")?;
        if greeting.starts_with(':') { Ok(events) } else { Err(format!("{url}: greets with {greeting:?}")) }
    }

    /// The next event, its id and data; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                let data = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
                return Some((id.to_owned(), data));
            }
        }
    }

    /// True when no event comes within this time.
    pub async fn silent(&mut self, within: Duration) -> bool {
        timeout(within, self.next()).await.is_err()
    }

    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|it| it == b"\n\n") {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                return Some(String::from_utf8(block).expect("events are UTF-8"));
            }
            let frame = timeout(super::PATIENCE, self.body.frame()).await.expect("a stream says that it lives")?;
            self.read.extend_from_slice(frame.ok()?.data_ref()?);
        }
    }
}
