//! Connectors: calls that this sidecar makes itself, to wherever a model's inputs say (Camunda 8's REST and GraphQL connectors).
//!
//! Promises: a secret is put in at the last moment, from a file, where the model's own literals name it, and is taken out of everything that
//! comes back. Where a call may connect is [`runtime::outbound`]'s. What an answer means is decided elsewhere ([`routing::step`]); nothing here repeats a call.

mod inputs;
mod secrets;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use routing::mapping::{Answer, Called, Request};
use routing::secret::{SecretMark, placeholder};
use routing::step::CallFailure;
use routing::table::ConnectorKind;
use routing::{Digest, Payload};
use serde_json::{Map, Value, json};

use inputs::{Call, OAuth};
pub use routing::table::CONNECTORS;
use runtime::outbound::{Failed, Outbound, Response, Rules, Sent, Times};
use secrets::Used;
use tokens::Tokens;

/// How often a call follows a redirect.
const MOST_REDIRECTS: usize = 5;
/// Bytes of a token endpoint's answer.
const LARGEST_TOKEN: usize = 256 << 10;

/// What connectors may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Folder of the secrets, one file each.
    pub secrets: Option<PathBuf>,
    /// Where they may connect.
    pub rules: Rules,
}

/// Makes the calls. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Connectors {
    secrets: Option<Arc<Path>>,
    outbound: Arc<Outbound>,
    tokens: Arc<Tokens>,
}

/// One call on its way: what it is called, and what it must not tell.
struct Running<'a> {
    outbound: &'a Outbound,
    tokens: &'a Tokens,
    label: String,
    used: Used,
}

impl Connectors {
    pub(crate) fn new(settings: Settings) -> Self {
        let Settings { secrets, rules } = settings;
        Self { secrets: secrets.map(Arc::from), outbound: Arc::new(Outbound::new(rules)), tokens: Arc::default() }
    }

    /// Makes the call that `request` describes, with `own` headers unless the model sets them. Dropping the future ends it.
    pub(crate) async fn call(
        &self,
        kind: ConnectorKind,
        request: &Request,
        own: HeaderMap,
        limit: usize,
    ) -> Result<Answer, CallFailure> {
        let mark = request.secrets.unwrap_or(SecretMark::new(0));
        let mut given: Value = serde_json::from_slice(&request.body)
            .map_err(|error| CallFailure::Impossible(format!("read the inputs: {error}")))?;
        let label = inputs::label(kind, &secrets::shown(mark, &given));
        let folder = self.secrets.as_deref();
        let used = secrets::fill(folder, mark, &mut given).await;
        let used = used.map_err(|why| CallFailure::Impossible(format!("{label}: {why}")))?;
        let mut running = Running { outbound: &self.outbound, tokens: &self.tokens, label, used };
        let mut call = inputs::read(kind, &given).map_err(|why| running.impossible(&why))?;
        if let Some((user, password)) = &call.basic {
            running.used.add_basic(user, password);
        }
        for (name, value) in &own {
            call.headers.entry(name).or_insert_with(|| value.clone());
        }
        let response = match call.oauth.take() {
            Some(oauth) => running.authorized(call, &oauth, limit).await?,
            None => running.follow(call, limit).await?,
        };
        Ok(running.answer(response))
    }
}

impl Running<'_> {
    fn impossible(&self, why: &str) -> CallFailure {
        CallFailure::Impossible(self.used.redact(&format!("{}: {why}", self.label)))
    }

    fn failed(&self, failed: Failed) -> CallFailure {
        match failed {
            Failed::Refused(why) => self.impossible(&why),
            Failed::Broken(why) => CallFailure::Unanswered { call: self.label.clone(), why: self.used.redact(&why) },
            Failed::TooLarge => CallFailure::TooLarge,
        }
    }

    /// Sends the call, and what a redirect of a request without a body asks for, as long as it stays with its host.
    async fn follow(&self, mut call: Call, limit: usize) -> Result<Response, CallFailure> {
        let mut redirects = 0;
        loop {
            let sent = Sent { method: &call.method, target: &call.target, headers: &call.headers, body: &call.body };
            let response = self.outbound.send(sent, call.times, limit).await.map_err(|it| self.failed(it))?;
            let repeatable = matches!(call.method, Method::GET | Method::HEAD);
            let location = response.headers.get(header::LOCATION).and_then(|it| it.to_str().ok());
            let next = location.filter(|_| repeatable && redirect(response.status) && redirects < MOST_REDIRECTS);
            match next.and_then(|it| call.target.redirected(it)) {
                Some(target) => call.target = target,
                None => return Ok(response),
            }
            redirects += 1;
        }
    }

    /// With a token that has been given before, if there is one. When that is refused (401: nothing was done), with a new one.
    async fn authorized(&mut self, mut call: Call, oauth: &OAuth, limit: usize) -> Result<Response, CallFailure> {
        self.used.add_basic(&oauth.id, &oauth.secret);
        let key = tokens::key(oauth);
        if let Some(token) = self.tokens.get(&key) {
            self.present(&mut call, &token)?;
            let response = self.follow(call.clone(), limit).await?;
            if response.status != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            self.tokens.refused(&key, &token);
        }
        let token = self.token(oauth, key, call.times).await?;
        self.present(&mut call, &token)?;
        self.follow(call, limit).await
    }

    fn present(&mut self, call: &mut Call, token: &str) -> Result<(), CallFailure> {
        self.used.add(token, placeholder("access_token"));
        let value =
            inputs::hidden(&format!("Bearer {token}"), "authentication").map_err(|why| self.impossible(&why))?;
        call.headers.insert(header::AUTHORIZATION, value);
        Ok(())
    }

    async fn token(&self, oauth: &OAuth, key: Digest, times: Times) -> Result<String, CallFailure> {
        let form = oauth.form.clone().into();
        let sent = Sent { method: &Method::POST, target: &oauth.endpoint, headers: &oauth.headers, body: &form };
        let response = self.outbound.send(sent, times, LARGEST_TOKEN).await.map_err(|it| match it {
            Failed::Refused(why) => self.impossible(&format!("the token endpoint: {why}")),
            Failed::Broken(why) => self.failed(Failed::Broken(format!("the token endpoint: {why}"))),
            Failed::TooLarge => self.failed(Failed::Broken("the token endpoint's answer is too large".to_owned())),
        })?;
        let found: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let token = found.get("access_token").and_then(Value::as_str);
        match token.filter(|_| response.status.is_success()) {
            Some(token) => {
                self.tokens.keep(key, token, &found);
                Ok(token.to_owned())
            }
            None => {
                let status = response.status.as_u16();
                Err(self.failed(Failed::Broken(format!("the token endpoint gave no token, status {status}"))))
            }
        }
    }

    /// The response as expressions see it.
    fn answer(&self, response: Response) -> Answer {
        let Response { status, headers, body } = response;
        let mut seen = json!({"status": status.as_u16(), "headers": shown(&headers), "body": content(&headers, &body)});
        self.used.redact_value(&mut seen);
        let seconds = headers.get(header::RETRY_AFTER).and_then(|it| it.to_str().ok()?.trim().parse::<u64>().ok());
        Answer {
            asynchronous: false,
            status: status.as_u16(),
            payload: Payload::json(&seen),
            error_code: None,
            retry_after: seconds.map(|it| it.saturating_mul(1_000)),
            called: Some(Called {
                call: self.label.clone(),
                reason: status.canonical_reason().unwrap_or_default().to_owned(),
            }),
        }
    }
}

fn redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Headers by their names in small letters; several of one name are one text, cookies a list.
fn shown(headers: &HeaderMap) -> Value {
    let mut shown = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
        let values: Vec<String> = values.collect();
        let value = if *name == header::SET_COOKIE { Value::from(values) } else { Value::from(values.join(", ")) };
        shown.insert(name.as_str().to_owned(), value);
    }
    Value::Object(shown)
}

/// JSON as its value, everything else as text.
fn content(headers: &HeaderMap, body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let begins = body.trim_ascii_start().first().is_some_and(|it| matches!(it, b'{' | b'['));
    let json = kind.to_ascii_lowercase().contains("json") || begins;
    if json && let Ok(value) = serde_json::from_slice(body) {
        return value;
    }
    Value::String(String::from_utf8_lossy(body).into_owned())
}

#[cfg(test)]
mod tests;
