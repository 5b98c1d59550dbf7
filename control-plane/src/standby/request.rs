//! One HTTP request, passed on to the leader's HTTP port.

use bytes::Bytes;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming as Body;
use hyper_util::rt::TokioIo;
use runtime::admin;
use runtime::tls::Stream;
use tokio::time::{sleep, timeout};

use super::{Address, PAUSE, Standby, TAKEOVER, Whom, whom};

/// Bodies passed on, in bytes: the leader has limits of its own, which are lower.
const MAX_BODY: usize = proto::MAX_MESSAGE;

/// By which name the caller has called a flowd that stood by.
pub(crate) const PASSED_HOST: HeaderName = HeaderName::from_static("x-rexflow-called");

/// What became of a request.
pub(crate) enum Passed {
    /// The leader's answer, or why there is none.
    Answer(Response<Full<Bytes>>),
    /// This flowd leads: it answers itself.
    Own(Request<Body>),
}

impl Standby {
    /// Passes a request on to whoever leads, once somebody does.
    pub(crate) async fn request(&self, request: Request<Body>) -> Passed {
        let mut leadership = self.leadership.clone();
        let opened = timeout(TAKEOVER, async {
            loop {
                let found = whom(&leadership.borrow_and_update());
                match &found {
                    Whom::Own => return Some(None),
                    Whom::Gone => return None,
                    Whom::Nobody => {}
                    Whom::Leader(address) => {
                        if let Some(stream) = self.open(address).await {
                            return Some(Some((stream, address.clone())));
                        }
                    }
                }
                tokio::select! {
                    changed = leadership.changed() => changed.ok()?,
                    () = sleep(PAUSE) => {}
                }
            }
        });
        match opened.await {
            Ok(Some(None)) => Passed::Own(request),
            Ok(Some(Some((stream, address)))) => Passed::Answer(pass(request, stream, &address).await),
            Ok(None) | Err(_) => Passed::Answer(failed("no flowd leads; try again in a moment")),
        }
    }

    async fn open(&self, address: &Address) -> Option<Stream> {
        let (host, port) = address.http.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let opened = self.connector.open(host, port.parse().ok()?).await;
        opened.inspect_err(|error| tracing::debug!(%error, "cannot reach the leader")).ok()
    }
}

async fn pass(request: Request<Body>, stream: Stream, address: &Address) -> Response<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    let body = match admin::read_body(body, MAX_BODY, admin::BODY_WITHIN).await {
        Ok(body) => body,
        Err(error) => return answer(error.status(), &error.to_string()),
    };
    for name in [CONNECTION, TRANSFER_ENCODING] {
        head.headers.remove(name);
    }
    // a mesh in between routes by the host, so that is the leader; by which name the call came stands beside it
    head.headers.remove(&PASSED_HOST);
    if let Ok(host) = HeaderValue::from_str(&address.http)
        && let Some(called) = head.headers.insert(HOST, host)
    {
        head.headers.insert(PASSED_HOST, called);
    }
    match send(Request::from_parts(head, Full::new(body)), stream).await {
        Ok(answer) => answer,
        Err(why) => failed(&format!(
            "the leader at {} was lost before it answered ({why}); whether it took the call is not known: ask again \
             with the same Idempotency-Key",
            address.http
        )),
    }
}

async fn send(
    request: Request<Full<Bytes>>,
    stream: Stream,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answered = async {
        let (mut head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await?.to_bytes();
        head.headers.remove(TRANSFER_ENCODING);
        Ok(Response::from_parts(head, Full::new(body)))
    };
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        ended = connection => match ended {
            // all of the answer may have come with the end
            Ok(()) => answered.await,
            Err(error) => Err(error.into()),
        },
    }
}

fn failed(why: &str) -> Response<Full<Bytes>> {
    answer(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn answer(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "status": -1, "message": why });
    admin::text(status, routing::payload::JSON, body.to_string())
}
