//! Calls against tasks that behave in every bad way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use http::header::HeaderName;

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that does `serve` with each connection; its URL and how many connections it had.
async fn task<F, S>(serve: S) -> (String, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (url, count)
}

/// Reads one request, whose body has the length it says; nothing at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8(bytes).unwrap());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A server that answers every request with these bytes and then closes.
async fn answering(bytes: impl Into<Vec<u8>>) -> String {
    let bytes: Arc<Vec<u8>> = Arc::new(bytes.into());
    let (url, _) = task(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            if read_request(&mut stream).await.is_some() {
                let _ = stream.write_all(&bytes).await;
            }
        }
    })
    .await;
    url
}

fn post(base: &str) -> TaskRequest {
    TaskRequest {
        base: base.to_owned(),
        method: Method::POST,
        path: "/".into(),
        fields: Fields::default(),
        body: Bytes::from_static(b"{}"),
        timeout: Duration::from_secs(20),
        max_answer_bytes: 1 << 20,
    }
}

fn impatient(base: &str) -> TaskRequest {
    TaskRequest { timeout: Duration::from_millis(200), ..post(base) }
}

#[tokio::test]
async fn an_answer_comes_back_whole_and_the_connection_is_kept() {
    let (url, connections) = task(|mut stream| async move {
        while let Some(request) = read_request(&mut stream).await {
            assert!(request.starts_with("POST /a/b?c=d HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("x-kept: yes\r\n") && request.ends_with("\r\n\r\n{}"));
            assert!(!request.contains("x-left-out"), "{request}");
            let answer = b"HTTP/1.1 418 Teapot\r\ncontent-type: a/b\r\nretry-after: 7\r\n\
                x-rexflow-error-code: NO_TEA\r\nkeep-alive: timeout=9\r\ncontent-length: 3\r\n\r\ntea";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let client = TaskClient::new();
    for _ in 0..3 {
        let mut request = TaskRequest { path: "b?c=d".into(), ..post(&format!("{url}/a/")) };
        for (name, value) in [("x-kept", "yes"), ("x-left-out", ""), ("x-left-out", "a\r\nb: c"), ("x-left-out", "ü")]
        {
            request.fields.put(&HeaderName::from_static(name), value);
        }
        let answer = client.call(request).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (418, &b"tea"[..]));
        assert_eq!(answer.content_type, "a/b");
        assert_eq!(answer.error_code.as_deref(), Some("NO_TEA"));
        assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
        assert!(!answer.asynchronous);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced() {
    let closed = Arc::new(Notify::new());
    let close = Arc::clone(&closed);
    let (url, connections) = task(move |mut stream| {
        let close = Arc::clone(&close);
        async move {
            read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            drop(stream);
            close.notify_one();
        }
    })
    .await;
    let client = TaskClient::new();
    for _ in 0..5 {
        client.call(post(&url)).await.unwrap();
        closed.notified().await;
    }
    assert_eq!(connections.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_request_that_was_written_is_never_sent_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let (url, _) = task(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            read_request(&mut stream).await;
            counted.fetch_add(1, Ordering::SeqCst);
            stream.write_all(OK).await.unwrap();
            // The second one is taken, and then the task dies.
            if read_request(&mut stream).await.is_some() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let client = TaskClient::new();
    client.call(post(&url)).await.unwrap();
    let failure = client.call(post(&url)).await.unwrap_err();
    assert!(matches!(failure, CallFailure::Reset(_)), "{failure}");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn nothing_listening_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = TaskClient::new().call(post(&url)).await.unwrap_err();
    assert!(matches!(failure, CallFailure::Refused { .. }), "{failure}");
}

#[tokio::test]
async fn a_task_that_hangs_times_out_wherever_it_hangs() {
    for sent in ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nx: y\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
        let (url, _) = task(move |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(sent.as_bytes()).await.unwrap();
            // Until the caller gives up and closes.
            let _ = stream.read_u8().await;
        })
        .await;
        let failure = TaskClient::new().call(impatient(&url)).await.unwrap_err();
        assert_eq!(failure, CallFailure::TimedOut, "after {sent:?}");
    }
}

#[tokio::test]
async fn slow_headers_and_endless_bodies_end_at_the_deadline() {
    for (head, drop_by_drop) in
        [("HTTP/1.1 200 OK\r\n", "x: y\r\n"), ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n")]
    {
        let (url, _) = task(move |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while stream.write_all(drop_by_drop.as_bytes()).await.is_ok() {
                tick.tick().await;
            }
        })
        .await;
        let failure = TaskClient::new().call(impatient(&url)).await.unwrap_err();
        assert_eq!(failure, CallFailure::TimedOut, "{head}");
    }
}

#[tokio::test]
async fn too_large_an_answer_is_cut_off() {
    let limit = 1 << 20;
    let body = "x".repeat(10 << 20);
    let known = answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    let unknown = answering(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}"));
    for url in [known.await, unknown.await] {
        let failure = TaskClient::new().call(post(&url)).await.unwrap_err();
        assert_eq!(failure, CallFailure::TooLarge { limit });
        let request = TaskRequest { max_answer_bytes: 10 << 20, ..post(&url) };
        assert_eq!(TaskClient::new().call(request).await.unwrap().body, body);
    }
    let (endless, _) = task(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let failure = TaskClient::new().call(post(&endless)).await.unwrap_err();
    assert_eq!(failure, CallFailure::TooLarge { limit });
}

#[tokio::test]
async fn closing_early_is_a_reset() {
    for sent in [
        "",
        "HTTP/1.1 200 OK\r\nx: y\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let url = answering(sent).await;
        let failure = TaskClient::new().call(post(&url)).await.unwrap_err();
        assert!(matches!(failure, CallFailure::Reset(_)), "{sent:?}: {failure}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_garbage() {
    let many: String = (0..200).map(|n| format!("h{n}: x\r\n")).collect();
    let long = format!("h: {}\r\n", "x".repeat(1 << 20));
    for sent in [
        "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\n{long}\r\n"),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_owned(),
    ] {
        let start: String = sent.chars().take(60).collect();
        let url = answering(sent).await;
        let failure = TaskClient::new().call(post(&url)).await.unwrap_err();
        assert!(matches!(failure, CallFailure::Garbage(_)), "{start:?}: {failure}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let url = answering("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(TaskClient::new().call(post(&url)).await.unwrap().status, StatusCode::FOUND);
}

#[tokio::test]
async fn dropping_the_call_closes_the_connection() {
    let (began, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, end) = (Arc::clone(&began), Arc::clone(&ended));
    let (url, _) = task(move |mut stream| {
        let (begin, end) = (Arc::clone(&begin), Arc::clone(&end));
        async move {
            read_request(&mut stream).await;
            begin.notify_one();
            assert!(stream.read_u8().await.is_err());
            end.notify_one();
        }
    })
    .await;
    let client = TaskClient::new();
    tokio::select! {
        answer = client.call(post(&url)) => panic!("{answer:?}"),
        () = began.notified() => {}
    }
    tokio::time::timeout(Duration::from_secs(20), ended.notified()).await.unwrap();
}

#[tokio::test]
async fn urls_that_cannot_be_called_say_why() {
    for (base, why) in [
        ("https://127.0.0.1:1", "https is not supported"),
        ("127.0.0.1:1", "expected http://"),
        ("http://user:secret@127.0.0.1:1", "expected http://"),
        ("ftp://127.0.0.1", "expected http://"),
        ("http://[::", ""),
    ] {
        let failure = TaskClient::new().call(post(base)).await.unwrap_err();
        let text = failure.to_string();
        assert!(matches!(failure, CallFailure::Invalid(_)) && text.contains(why), "{text}");
    }
}

#[test]
fn paths_are_joined() {
    for (base, path, joined) in [
        ("http://h:1", "", "/"),
        ("http://h:1", "/", "/"),
        ("http://h:1/", "/x", "/x"),
        ("http://h:1/a", "", "/a"),
        ("http://h:1/a", "/", "/a"),
        ("http://h:1/a/", "b", "/a/b"),
        ("http://h:1/a", "/b?c", "/a/b?c"),
        ("http://h:1", "?c", "/?c"),
        ("http://h:1/a", "?c", "/a?c"),
    ] {
        assert_eq!(target(base, path).unwrap().as_str(), joined, "{base} {path}");
    }
}
