//! Inputs as element templates write them, and requests that come of them.

use super::*;

fn rest(inputs: Value) -> Call {
    read(ConnectorKind::Rest, &inputs).unwrap()
}

fn refused(inputs: Value) -> String {
    read(ConnectorKind::Rest, &inputs).unwrap_err()
}

fn header<'a>(call: &'a Call, name: &str) -> &'a str {
    call.headers.get(name).map_or("", |it| it.to_str().unwrap())
}

#[test]
fn a_request_is_what_the_template_says() {
    let call = rest(json!({
        "url": "https://h/p?a=1", "method": "post", "headers": {"X-A": "1", "x-b": 2, "x-c": null, "X-D": ["1", "2"]},
        "queryParameters": {"q": "a b", "n": 7, "l": [1, 2], "no": null}, "body": {"a": {"b": null}},
        "connectionTimeoutInSeconds": "5", "readTimeoutInSeconds": 1.5
    }));
    assert_eq!((call.method.as_str(), call.target.path.as_str()), ("POST", "/p?a=1&q=a%20b&n=7&l=1&l=2"));
    assert_eq!((header(&call, "x-a"), header(&call, "x-b"), header(&call, "x-c")), ("1", "2", ""));
    assert_eq!(call.headers.get_all("x-d").iter().count(), 2);
    assert_eq!((header(&call, "content-type"), &*call.body), ("application/json", br#"{"a":{"b":null}}"#.as_slice()));
    let times = Times { connect: Duration::from_secs(5), read: Duration::from_millis(1_500) };
    assert_eq!(call.times, times);
}

#[test]
fn defaults_are_safe() {
    let call = rest(json!({"url": "http://h", "body": {"not": "sent"}, "connectionTimeoutInSeconds": 0}));
    assert_eq!((call.method, call.body.len(), call.headers.len()), (Method::GET, 0, 0));
    assert_eq!((call.times.connect, call.times.read), (Duration::from_secs(3_600), Duration::from_secs(20)));
}

#[test]
fn bodies_are_texts_json_or_forms() {
    let body = |inputs: Value| rest(inputs).body;
    let of = |more: Value| {
        let mut inputs = json!({"url": "http://h", "method": "PUT"});
        inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body(inputs)
    };
    assert_eq!(of(json!({"body": "{\"raw\": 1}"})), "{\"raw\": 1}");
    assert_eq!(of(json!({"body": [1, "2"]})), "[1,\"2\"]");
    assert_eq!(of(json!({"body": {"a": null, "b": [{"c": null}]}, "ignoreNullValues": true})), "{\"b\":[{}]}");
    let form = json!({"content-type": "application/x-www-form-urlencoded"});
    assert_eq!(of(json!({"headers": form, "body": {"a": "x y", "b": 2}})), "a=x%20y&b=2");
}

#[test]
fn a_context_is_sent_in_parts_when_its_header_says_so() {
    let with = |kind: &str, body: Value| json!({"url": "http://h", "method": "POST", "headers": {"Content-Type": kind}, "body": body});
    let call = rest(with(
        "multipart/form-data; boundary=x",
        json!({"a\"\r\n": "1\r\n--x--", "o": {"k": 1}, "l": ["p", 2], "n": null}),
    ));
    let kind = header(&call, "content-type").to_owned();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    assert!(boundary.starts_with("rexflow-") && boundary.len() <= 70, "RFC 2046 allows 70 characters: {boundary}");
    let text = String::from_utf8(call.body.to_vec()).unwrap();
    let part = |name: &str, more: &str, value: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{more}\r\n{value}\r\n")
    };
    let expected = [
        part("a%22%0D%0A", "", "1\r\n--x--"),
        part("o", "Content-Type: application/json\r\n", "{\"k\":1}"),
        part("l", "", "p"),
        part("l", "", "2"),
        format!("--{boundary}--\r\n"),
    ];
    assert_eq!(text, expected.concat());
    assert_eq!(
        &*rest(with("multipart/form-data; boundary=x", json!("--x--"))).body,
        b"--x--",
        "a text is sent as it is"
    );
    for (kind, body) in [("multipart/form-data", json!([1])), ("multipart/mixed", json!({"a": 1}))] {
        assert!(refused(with(kind, body)).contains("several parts"));
    }
}

#[test]
fn authentication_is_of_five_kinds() {
    let with = |authentication: Value| rest(json!({"url": "http://h/p", "authentication": authentication}));
    assert_eq!(header(&with(json!({"type": "noAuth"})), "authorization"), "");
    let basic = with(json!({"type": "basic", "username": "u", "password": "p"}));
    assert_eq!(header(&basic, "authorization"), "Basic dTpw");
    assert!(format!("{:?}", basic.headers).contains("Sensitive"));
    let bearer = with(json!({"type": "bearer", "token": "t"}));
    assert_eq!(header(&bearer, "authorization"), "Bearer t");
    let key = json!({"type": "apiKey", "apiKeyLocation": "headers", "name": "X-Key", "value": "k"});
    assert_eq!(header(&with(key), "x-key"), "k");
    let key = json!({"type": "apiKey", "apiKeyLocation": "query", "name": "key", "value": "k&"});
    assert_eq!(with(key).target.path, "/p?key=k%26");
    let flow = json!({
        "type": "oauth-client-credentials-flow", "oauthTokenEndpoint": "https://id/token", "clientId": "i", "clientSecret": "s",
        "scopes": "a b", "audience": "x"
    });
    let oauth = with(flow.clone()).oauth.unwrap();
    assert_eq!(oauth.form, "grant_type=client_credentials&audience=x&scope=a%20b");
    assert!(oauth.headers.contains_key("authorization"));
    let mut flow = flow;
    flow["clientAuthentication"] = json!("credentialsBody");
    let oauth = with(flow).oauth.unwrap();
    assert!(oauth.form.ends_with("&client_id=i&client_secret=s") && !oauth.headers.contains_key("authorization"));
}

#[test]
fn what_cannot_be_sent_is_told_by_name_and_not_by_value() {
    for (inputs, word) in [
        (json!({}), "url"),
        (json!({"url": 1}), "url"),
        (json!({"url": "gopher://topsecret"}), "http"),
        (json!({"url": "http://h", "method": "TOPSECRET"}), "method"),
        (json!({"url": "http://h", "headers": ["topsecret"]}), "headers"),
        (json!({"url": "http://h", "headers": {"a": "top\r\nsecret"}}), "header"),
        (json!({"url": "http://h", "headers": {"Host": "topsecret"}}), "host"),
        (json!({"url": "http://h", "headers": {"Transfer-Encoding": "chunked"}}), "transfer-encoding"),
        (json!({"url": "http://h", "readTimeoutInSeconds": "topsecret"}), "readTimeoutInSeconds"),
        (json!({"url": "http://h", "authentication": {"type": "topsecret"}}), "authentication.type"),
        (json!({"url": "http://h", "authentication": {"type": "bearer"}}), "authentication.token"),
        (json!({"url": "http://h", "authentication": {"type": "basic", "username": ""}}), "authentication.username"),
    ] {
        let why = refused(inputs);
        assert!(why.contains(word) && !why.to_lowercase().contains("topsecret"), "{why}");
    }
}

#[test]
fn graphql_is_a_post_of_query_and_variables() {
    let inputs = json!({"graphql": {"url": "https://h/g", "method": "post", "query": "{a}", "variables": {"x": 1}}});
    let call = read(ConnectorKind::GraphQl, &inputs).unwrap();
    assert_eq!((call.method.as_str(), &*call.body), ("POST", br#"{"query":"{a}","variables":{"x":1}}"#.as_slice()));
    let inputs = json!({"url": "https://h/g", "method": "get", "query": "{a}"});
    assert_eq!(read(ConnectorKind::GraphQl, &inputs).unwrap().target.path, "/g?query=%7Ba%7D&variables=%7B%7D");
    assert_eq!(label(ConnectorKind::GraphQl, &inputs), "GET h/g");
}
