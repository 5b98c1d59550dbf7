//! From a connector's inputs, as Camunda's element templates name them, to an HTTP request. Pure.

mod body;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use routing::table::ConnectorKind;
use runtime::outbound::{self, Target, Times};
use serde_json::{Map, Value, json};

use body::form;

/// A request, and how long it may take.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// A token that has to be asked for before.
    pub(super) oauth: Option<OAuth>,
    /// User and password, when they are sent.
    pub(super) basic: Option<(String, String)>,
    pub(super) times: Times,
}

/// The client credentials flow (RFC 6749, 4.4).
#[derive(Clone, Debug)]
pub(super) struct OAuth {
    pub(super) endpoint: Target,
    pub(super) headers: HeaderMap,
    pub(super) form: String,
    /// What people see of the endpoint's URL.
    pub(super) id: String,
    pub(super) secret: String,
}

/// Without a word of the model.
const USUAL: Duration = Duration::from_secs(20);
/// Zero means no limit in a template; nothing is without a limit here.
const LONGEST: u64 = 3_600;
/// Headers of a request at most.
const MOST_HEADERS: usize = 64;
/// Headers that belong to the connection or to its sender.
const NOT_SET: [&str; 9] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Method and URL for people, from inputs in which secrets are placeholders.
pub(super) fn label(kind: ConnectorKind, inputs: &Value) -> String {
    let of = own(kind, inputs);
    let method: String = text(of.get("method")).unwrap_or_default().to_ascii_uppercase().chars().take(10).collect();
    let method = if method.is_empty() { usual(kind).to_owned() } else { method };
    let url = text(of.get("url")).unwrap_or_default();
    format!("{method} {}", outbound::shown(&url))
}

/// Reads the inputs.
///
/// # Errors
/// What is wrong, by the input's name and never by its value.
pub(super) fn read(kind: ConnectorKind, inputs: &Value) -> Result<Call, String> {
    let of = own(kind, inputs);
    let url = text(of.get("url")).ok_or("the input `url` is not a text")?;
    let mut target = Target::parse(&url)?;
    let method = text(of.get("method")).filter(|it| !it.is_empty()).unwrap_or_else(|| usual(kind).to_owned());
    let method = known(&method).ok_or("the input `method` is no method")?;
    let mut headers = HeaderMap::new();
    for (name, value) in entries(of.get("headers"), "headers")? {
        let values = one_or_many(&value);
        for value in values {
            put(&mut headers, &name, &value)?;
        }
    }
    for (name, value) in entries(of.get("queryParameters"), "queryParameters")? {
        one_or_many(&value).iter().for_each(|value| target.query(&name, value));
    }
    let body = match kind {
        ConnectorKind::Rest => body::of(&method, of, &mut headers)?,
        ConnectorKind::GraphQl => graphql_body(&method, of, &mut headers, &mut target)?,
    };
    let times = Times {
        connect: seconds(of.get("connectionTimeoutInSeconds"), "connectionTimeoutInSeconds")?,
        read: seconds(of.get("readTimeoutInSeconds"), "readTimeoutInSeconds")?,
    };
    let mut call = Call { method, target, headers, body, oauth: None, basic: None, times };
    authenticate(&mut call, inputs.get("authentication"))?;
    Ok(call)
}

/// The inputs of the request itself: GraphQL's template has them one level deeper.
fn own(kind: ConnectorKind, inputs: &Value) -> &Value {
    match (kind, inputs.get("graphql")) {
        (ConnectorKind::GraphQl, Some(inner @ Value::Object(_))) => inner,
        _ => inputs,
    }
}

fn usual(kind: ConnectorKind) -> &'static str {
    match kind {
        ConnectorKind::Rest => "GET",
        ConnectorKind::GraphQl => "POST",
    }
}

fn known(method: &str) -> Option<Method> {
    let upper = method.trim().to_ascii_uppercase();
    let all = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
    all.into_iter().find(|it| it.as_str() == upper)
}

fn graphql_body(method: &Method, of: &Value, headers: &mut HeaderMap, target: &mut Target) -> Result<Bytes, String> {
    let query = text(of.get("query")).ok_or("the input `query` is not a text")?;
    let variables = match of.get("variables") {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| "the input `variables` is not JSON")?,
        Some(other) => other.clone(),
    };
    match *method {
        Method::GET => {
            target.query("query", &query);
            target.query("variables", &variables.to_string());
            Ok(Bytes::new())
        }
        Method::POST => {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            Ok(Bytes::from(json!({"query": query, "variables": variables}).to_string()))
        }
        _ => Err("the input `method` is neither GET nor POST".to_owned()),
    }
}

fn authenticate(call: &mut Call, given: Option<&Value>) -> Result<(), String> {
    let Some(given @ Value::Object(_)) = given else { return Ok(()) };
    let needed = |name: &str| {
        text(given.get(name)).filter(|it| !it.is_empty()).ok_or(format!("the input `authentication.{name}` is missing"))
    };
    match text(given.get("type")).as_deref() {
        None | Some("" | "noAuth") => {}
        Some("basic") => {
            let (user, password) = (needed("username")?, text(given.get("password")).unwrap_or_default());
            call.headers.insert(AUTHORIZATION, basic(&user, &password)?);
            call.basic = Some((user, password));
        }
        Some("bearer") => {
            let token = needed("token")?;
            call.headers.insert(AUTHORIZATION, hidden(&format!("Bearer {token}"), "authentication.token")?);
        }
        Some("apiKey") => {
            let (name, value) = (needed("name")?, needed("value")?);
            match text(given.get("apiKeyLocation")).as_deref() {
                Some("query") => call.target.query(&name, &value),
                Some("headers") | None => {
                    call.headers.insert(header_name(&name)?, hidden(&value, "authentication.value")?);
                }
                Some(_) => return Err("the input `authentication.apiKeyLocation` is neither headers nor query".into()),
            }
        }
        Some("oauth-client-credentials-flow") => call.oauth = Some(oauth(given, needed)?),
        Some(_) => return Err("the input `authentication.type` is no kind of authentication".to_owned()),
    }
    Ok(())
}

fn oauth(given: &Value, needed: impl Fn(&str) -> Result<String, String>) -> Result<OAuth, String> {
    let endpoint = Target::parse(&needed("oauthTokenEndpoint")?)
        .map_err(|why| format!("the input `authentication.oauthTokenEndpoint`: {why}"))?;
    let (id, secret) = (needed("clientId")?, needed("clientSecret")?);
    let mut fields = Map::new();
    fields.insert("grant_type".to_owned(), "client_credentials".into());
    for (name, field) in [("audience", "audience"), ("scopes", "scope")] {
        if let Some(value) = text(given.get(name)).filter(|it| !it.is_empty()) {
            fields.insert(field.to_owned(), value.into());
        }
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    match text(given.get("clientAuthentication")).as_deref() {
        Some("credentialsBody") => {
            fields.insert("client_id".to_owned(), id.clone().into());
            fields.insert("client_secret".to_owned(), secret.clone().into());
        }
        None | Some("" | "basicAuthHeader") => {
            headers.insert(AUTHORIZATION, basic(&id, &secret)?);
        }
        Some(_) => {
            return Err(
                "the input `authentication.clientAuthentication` is neither basicAuthHeader nor credentialsBody".into(),
            );
        }
    }
    Ok(OAuth { endpoint, headers, form: form(&fields), id, secret })
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, String> {
    hidden(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))), "authentication.username")
}

/// A value that no log shows.
pub(super) fn hidden(text: &str, what: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text).map_err(|_| format!("the input `{what}` cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| "the name of a header cannot stand in one".to_owned())
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let name = header_name(name)?;
    if NOT_SET.contains(&name.as_str()) {
        return Err(format!("the header `{name}` is the connection's own and cannot be set"));
    }
    if headers.len() >= MOST_HEADERS {
        return Err(format!("there are more than {MOST_HEADERS} headers"));
    }
    let value = HeaderValue::from_str(value.trim());
    headers.append(name.clone(), value.map_err(|_| format!("the value of header `{name}` cannot stand in one"))?);
    Ok(())
}

/// The entries of a context, also of one that is written as JSON text; null ones are left out.
fn entries(value: Option<&Value>, what: &str) -> Result<Vec<(String, Value)>, String> {
    let wrong = || format!("the input `{what}` is not a context");
    let found = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(Vec::new()),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| wrong())?,
        Some(other) => other.clone(),
    };
    let Value::Object(found) = found else { return Err(wrong()) };
    Ok(found.into_iter().filter(|(_, value)| !value.is_null()).collect())
}

/// A list is several values.
fn one_or_many(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(|it| text(Some(it))).collect(),
        other => vec![text(Some(other)).unwrap_or_else(|| other.to_string())],
    }
}

/// A scalar as text.
fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        other @ (Value::Number(_) | Value::Bool(_)) => Some(other.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn seconds(value: Option<&Value>, what: &str) -> Result<Duration, String> {
    let Some(text) = text(value).filter(|it| !it.trim().is_empty()) else { return Ok(USUAL) };
    let seconds: f64 = text.trim().parse().map_err(|_| format!("the input `{what}` is not a number of seconds"))?;
    if !(0.0..=1e9).contains(&seconds) {
        return Err(format!("the input `{what}` is not a number of seconds"));
    }
    let limit = Duration::from_secs(LONGEST);
    Ok(if seconds == 0.0 { limit } else { Duration::from_secs_f64(seconds).min(limit) })
}

#[cfg(test)]
mod tests;
