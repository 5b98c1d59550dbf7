//! Answers by callback: to the URL that the call has named.
//!
//! A callback is tried again for [`PATIENCE`], as any client of a network should; what the other side refuses (4xx) is not.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::behaviour::Answer;

/// The header that names the URL.
pub(crate) const URL: &str = "x-rexflow-callback-url";
/// The header that says that the work is taken.
pub(crate) const TAKEN: &str = "x-rexflow-asynchronous";

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

/// The body without the URL, which is no part of the payload.
pub(crate) fn without_url(body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut object)) => {
            object.remove("callback_url");
            Value::Object(object).to_string().into_bytes()
        }
        _ => body.to_vec(),
    }
}

/// Calls back with an answer.
pub(crate) async fn send(url: &str, answer: Answer) {
    let (url, body) = match answer {
        Answer::Json(value) => (url.to_owned(), value.to_string()),
        Answer::Problem { status: 500.., title, .. } => {
            (format!("{url}/failure?message={}", title.replace(' ', "+")), String::new())
        }
        Answer::Problem { code, .. } => (format!("{url}/error?code={code}"), "{}".to_owned()),
    };
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let tries = async {
        loop {
            let request = Request::builder().method(Method::POST).uri(&url).header(CONTENT_TYPE, "application/json");
            let Ok(request) = request.body(Full::new(Bytes::from(body.clone()))) else { return };
            match client.request(request).await {
                Ok(answer) if !answer.status().is_server_error() => return,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    if tokio::time::timeout(PATIENCE, tries).await.is_err() {
        eprintln!("example-service: gave up calling back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_no_part_of_the_payload() {
        assert_eq!(without_url(br#"{"a":1,"callback_url":"http://x"}"#), br#"{"a":1}"#);
        assert_eq!(without_url(b"[1]"), b"[1]");
        assert_eq!(without_url(b"no json"), b"no json");
    }
}
