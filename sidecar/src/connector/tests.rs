//! Calls over loopback against a server that the test is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers every request with what `answer` makes of it; what it was sent.
async fn server(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, answer) = (requests.clone(), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (seen, answer) = (seen.clone(), answer.clone());
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                loop {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if let Some((head, body)) = text.split_once("\r\n\r\n") {
                        let length = head
                            .to_lowercase()
                            .split("content-length: ")
                            .nth(1)
                            .map_or(0, |it| it.split("\r\n").next().unwrap().parse().unwrap());
                        if body.len() >= length {
                            let answer = answer(&text);
                            seen.lock().unwrap().push(text);
                            let _ = stream.write_all(answer.as_bytes()).await;
                            if answer.ends_with("HANG") {
                                std::future::pending::<()>().await;
                            }
                            return;
                        }
                    }
                    let mut buffer = [0; 4096];
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                    }
                }
            });
        }
    });
    (address, requests)
}

fn json_answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn connectors(allow: &[&str], secrets: Option<&std::path::Path>) -> Connectors {
    let allow = allow.iter().map(|it| it.parse().unwrap()).collect();
    Connectors::new(Settings { secrets: secrets.map(Into::into), rules: Rules { allow, ca: None } })
}

const MARK: u64 = 42;

async fn call(connectors: &Connectors, inputs: Value) -> Result<Answer, CallFailure> {
    call_with(connectors, inputs, 1 << 20).await
}

async fn call_with(connectors: &Connectors, inputs: Value, limit: usize) -> Result<Answer, CallFailure> {
    let request = Request {
        method: "CALL".to_owned(),
        path: "/".to_owned(),
        content_type: String::new(),
        body: Bytes::from(inputs.to_string()),
        secrets: Some(SecretMark::new(MARK)),
    };
    let mut own = HeaderMap::new();
    own.insert("idempotency-key", "\"k\"".parse().unwrap());
    connectors.call(ConnectorKind::Rest, &request, own, limit).await
}

fn impossible(result: Result<Answer, CallFailure>) -> String {
    match result {
        Err(CallFailure::Impossible(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn unanswered(result: Result<Answer, CallFailure>) -> String {
    match result {
        Err(CallFailure::Unanswered { call, why }) => format!("{call}: {why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_response_is_status_headers_and_body() {
    let (at, requests) = server(|_| json_answer("201 Created", r#"{"a": 1}"#)).await;
    let inputs =
        json!({"url": format!("http://{at}/p?x=1"), "method": "post", "body": {"b": 2}, "headers": {"X-Own": "o"}});
    let answer = call(&connectors(&["127.0.0.1"], None), inputs).await.unwrap();
    assert_eq!(answer.status, 201);
    let seen = answer.payload.to_json().unwrap();
    assert_eq!((&seen["status"], &seen["body"]), (&json!(201), &json!({"a": 1})));
    assert_eq!(seen["headers"]["content-type"], "application/json");
    assert_eq!(answer.called.unwrap(), Called { call: format!("POST {at}/p"), reason: "Created".to_owned() });
    let request = requests.lock().unwrap()[0].to_lowercase();
    assert!(request.starts_with("post /p?x=1 http/1.1\r\n") && request.ends_with("\r\n\r\n{\"b\":2}"), "{request}");
    for line in ["idempotency-key: \"k\"", "x-own: o", "content-type: application/json", "accept-encoding: identity"] {
        assert!(request.contains(line), "{line}: {request}");
    }
}

#[tokio::test]
async fn bodies_are_json_text_or_nothing() {
    for (kind, body, expected) in [
        ("text/plain", "12", json!("12")),
        ("text/plain", "{\"a\": 1}", json!({"a": 1})),
        ("application/problem+json", "12", json!(12)),
        ("application/json", "not json", json!("not json")),
        ("application/json", "", Value::Null),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (at, _) = server(move |_| text.clone()).await;
        let answer = call(&connectors(&["127.0.0.1"], None), json!({"url": format!("http://{at}")})).await.unwrap();
        assert_eq!(answer.payload.to_json().unwrap()["body"], expected, "{kind} {body}");
    }
}

#[tokio::test]
async fn loopback_is_refused_unless_allowed_by_address_or_name() {
    let (at, requests) = server(|_| json_answer("200 OK", "{}")).await;
    let port = at.port();
    for host in
        ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "[::1]", "127.1", "2130706433", "0x7f000001"]
    {
        let url = format!("http://{host}:{port}/path?key=value");
        let result = call(&connectors(&[], None), json!({"url": url})).await;
        // names that no system resolves are no way either
        let why = match result {
            Err(CallFailure::Impossible(why)) => {
                assert!(why.contains("must not be connected to") && why.contains("--allow-connect"), "{why}");
                why
            }
            other => unanswered(other),
        };
        assert!(!why.contains("key=value"), "{why}");
    }
    assert_eq!(requests.lock().unwrap().len(), 0);
    for (allow, host) in
        [("127.0.0.0/8", "127.0.0.1"), ("localhost", "localhost"), (&format!("127.0.0.1:{port}"), "127.0.0.1")]
    {
        let answer = call(&connectors(&[allow], None), json!({"url": format!("http://{host}:{port}")})).await;
        assert_eq!(answer.unwrap().status, 200, "{allow}");
    }
    let why = impossible(call(&connectors(&[], None), json!({"url": "http://169.254.169.254/latest/meta-data"})).await);
    assert!(why.starts_with("GET 169.254.169.254/latest/meta-data: ") && why.contains("metadata"), "{why}");
    let why = impossible(call(&connectors(&[], None), json!({"url": "http://metadata.google.internal/x"})).await);
    assert!(why.contains("metadata service"), "{why}");
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_judged_by_the_one_that_is_connected_to() {
    let (at, requests) = server(|request| match request.split(' ').nth(1).unwrap() {
        "/moves" => "HTTP/1.1 302 Found\r\nlocation: /inside\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => json_answer("200 OK", "{}"),
    })
    .await;
    // another loopback address, where the same server would answer: nobody may go there
    let inside = SocketAddr::from(([127, 0, 0, 2], at.port()));
    let answers = vec![vec![at], vec![at], vec![inside], vec![inside, at]];
    let allow = vec![format!("127.0.0.1:{}", at.port()).parse().unwrap()];
    // the answers of a name server, one for each time that it is asked
    let answers = Mutex::new(answers);
    let names = move |host: &str| {
        assert_eq!(host, "rebinds.test");
        answers.lock().unwrap().remove(0)
    };
    let outbound = Outbound::new(Rules { allow, ca: None }).asking(Box::new(names));
    let connectors = Connectors { secrets: None, outbound: Arc::new(outbound), tokens: Arc::default() };
    let inputs = |path: &str| json!({"url": format!("http://rebinds.test:{}{path}", at.port())});
    assert_eq!(call(&connectors, inputs("/")).await.unwrap().status, 200);
    // within one call: allowed at first, elsewhere by the time that the redirect is followed
    let why = impossible(call(&connectors, inputs("/moves")).await);
    assert!(why.contains("must not be connected to: "), "{why}");
    // several addresses: only the one that may be
    assert_eq!(call(&connectors, inputs("/")).await.unwrap().status, 200);
    let paths: Vec<String> =
        requests.lock().unwrap().iter().map(|it| it.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(paths, ["/", "/moves", "/"]);
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only_and_judged_again() {
    let (at, requests) = server(|request| match request.split(' ').nth(1).unwrap() {
        "/a" => "HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "/loop" => "HTTP/1.1 302 Found\r\nlocation: /loop\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "/out" => "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => json_answer("200 OK", "{}"),
    })
    .await;
    let allowed = connectors(&["127.0.0.1"], None);
    let status = async |path: &str, method: &str| {
        let inputs = json!({"url": format!("http://{at}{path}"), "method": method});
        call(&allowed, inputs).await.unwrap().status
    };
    assert_eq!(status("/a", "GET").await, 200);
    assert_eq!(status("/a", "POST").await, 302, "what has a body is not sent twice");
    assert_eq!(status("/out", "GET").await, 302);
    let before = requests.lock().unwrap().len();
    assert_eq!(status("/loop", "GET").await, 302);
    assert_eq!(requests.lock().unwrap().len() - before, 1 + MOST_REDIRECTS);
}

#[tokio::test]
async fn limits_end_a_call() {
    let allowed = connectors(&["127.0.0.1"], None);
    let (at, _) = server(|_| "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHANG".to_owned()).await;
    let begun = Instant::now();
    let why = unanswered(call(&allowed, json!({"url": format!("http://{at}"), "readTimeoutInSeconds": "0.2"})).await);
    assert!(why.contains("no whole answer within 0.2 s") && begun.elapsed() < Duration::from_secs(10), "{why}");
    let (at, _) = server(|_| json_answer("200 OK", &" ".repeat(3_000))).await;
    let result = call_with(&allowed, json!({"url": format!("http://{at}")}), 2_000).await;
    assert_eq!(result, Err(CallFailure::TooLarge));
    let long = "x".repeat(100_000);
    let (at, _) = server(move |_| format!("HTTP/1.1 200 OK\r\nlong: {long}\r\ncontent-length: 0\r\n\r\n")).await;
    unanswered(call(&allowed, json!({"url": format!("http://{at}")})).await);
    let (at, _) = server(|_| "SSH-2.0-x\r\n".to_owned()).await;
    unanswered(call(&allowed, json!({"url": format!("http://{at}")})).await);
    let why = unanswered(call(&allowed, json!({"url": format!("http://127.0.0.1:{}", free().await)})).await);
    assert!(why.contains("no connection"), "{why}");
}

async fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn secrets_are_sent_and_never_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("TOKEN"), "tok-1234567\n").unwrap();
    let (at, requests) = server(|request| {
        let body = serde_json::to_string(request).unwrap();
        json_answer("403 Forbidden", &format!("{{\"echo\": {body}}}"))
    })
    .await;
    let secret = SecretMark::new(MARK).of("TOKEN");
    let inputs = json!({
        "url": format!("http://{at}/v/{secret}?q={secret}"), "headers": {"x": "{{secrets.TOKEN}}"},
        "authentication": {"type": "basic", "username": "u", "password": secret}
    });
    let allowed = connectors(&["127.0.0.1"], Some(folder.path()));
    let answer = call(&allowed, inputs).await.unwrap();
    let sent = requests.lock().unwrap()[0].clone();
    assert!(sent.starts_with("GET /v/tok-1234567?q=tok-1234567 ") && sent.contains("x: {{secrets.TOKEN}}"), "{sent}");
    assert!(sent.contains(&base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "u:tok-1234567")));
    let told = format!("{answer:?} {}", answer.payload.to_json().unwrap());
    assert!(!told.contains("tok-1234567") && !told.contains("dTp0b2"), "{told}");
    assert_eq!(answer.called.unwrap().call, format!("GET {at}/v/{{{{secrets.TOKEN}}}}"));
    let inputs = json!({"url": format!("http://{at}/"), "headers": {"a": SecretMark::new(MARK).of("NONE")}});
    let why = impossible(call(&allowed, inputs).await);
    assert!(why.contains("secret NONE"), "{why}");
}

#[tokio::test]
async fn a_token_is_asked_for_and_never_told() {
    let (at, requests) = server(|request| match request.split(' ').nth(1).unwrap() {
        "/token" => json_answer("200 OK", r#"{"access_token": "access-987"}"#),
        "/none" => json_answer("401 Unauthorized", r#"{"error": "invalid_client"}"#),
        _ => json_answer("200 OK", &format!("{{\"echo\": {}}}", request.contains("Bearer access-987"))),
    })
    .await;
    let allowed = connectors(&["127.0.0.1"], None);
    let inputs = |path: &str| {
        json!({"url": format!("http://{at}/api"), "authentication": {
            "type": "oauth-client-credentials-flow", "oauthTokenEndpoint": format!("http://{at}{path}"), "clientId": "i",
            "clientSecret": "s", "clientAuthentication": "credentialsBody", "scopes": "a"
        }})
    };
    let answer = call(&allowed, inputs("/token")).await.unwrap();
    assert_eq!(answer.payload.to_json().unwrap()["body"]["echo"], true);
    let token = requests.lock().unwrap()[0].clone();
    assert!(token.contains("grant_type=client_credentials&scope=a&client_id=i&client_secret=s"), "{token}");
    let why = unanswered(call(&allowed, inputs("/none")).await);
    assert!(why.contains("the token endpoint gave no token, status 401"), "{why}");
}

#[tokio::test]
async fn a_token_is_used_again_until_it_ends_or_is_refused() {
    let given = AtomicUsize::new(0);
    let (at, requests) = server(move |request| {
        let path = request.split(' ').nth(1).unwrap();
        let last = |more| format!("access-{}", given.fetch_add(more, Ordering::SeqCst) + more);
        match path {
            "/token" => json_answer("200 OK", &format!(r#"{{"access_token": "{}", "expires_in": 3600}}"#, last(1))),
            "/revoke" => {
                given.fetch_add(1, Ordering::SeqCst);
                json_answer("200 OK", "{}")
            }
            _ if request.contains(&last(0)) => json_answer("200 OK", "{}"),
            _ => json_answer("401 Unauthorized", "{}"),
        }
    })
    .await;
    let allowed = connectors(&["127.0.0.1"], None);
    let inputs = |path: &str, scope: &str| {
        json!({"url": format!("http://{at}{path}"), "authentication": {
            "type": "oauth-client-credentials-flow", "oauthTokenEndpoint": format!("http://{at}/token"), "clientId": "i",
            "clientSecret": "s", "scopes": scope
        }})
    };
    let asked = || requests.lock().unwrap().iter().filter(|it| it.contains(" /token ")).count();
    for _ in 0..3 {
        assert_eq!(call(&allowed, inputs("/api", "a")).await.unwrap().status, 200);
    }
    assert_eq!(asked(), 1);
    assert_eq!(call(&allowed, inputs("/api", "b")).await.unwrap().status, 200);
    assert_eq!(asked(), 2, "another scope is another token");
    assert_eq!(call(&allowed, inputs("/api", "a")).await.unwrap().status, 200, "one that is refused is asked for anew");
    assert_eq!(asked(), 3);
    call(&allowed, inputs("/revoke", "a")).await.unwrap();
    let refused = requests.lock().unwrap().len();
    assert_eq!(call(&allowed, inputs("/api", "a")).await.unwrap().status, 200);
    assert_eq!(requests.lock().unwrap().len() - refused, 3, "refused, asked for, called");
}

#[tokio::test]
async fn tls_is_verified() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, key.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![key.cert.der().clone()], private).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(json_answer("200 OK", "{}").as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let with = |ca: Option<PathBuf>| {
        let allow = vec!["127.0.0.1".parse().unwrap(), "localhost".parse().unwrap()];
        Connectors::new(Settings { secrets: None, rules: Rules { allow, ca } })
    };
    let at = |host: &str| json!({"url": format!("https://{host}:{port}/")});
    assert_eq!(call(&with(Some(ca.clone())), at("localhost")).await.unwrap().status, 200);
    let why = unanswered(call(&with(Some(ca)), at("127.0.0.1")).await);
    assert!(why.contains("no TLS"), "{why}");
    // without it nobody vouches for the server, whether the system trusts anybody or not
    assert!(call(&with(None), at("localhost")).await.is_err());
}
