//! Heads of requests and answers: as bytes, without a map in between. What a call wants to know of an answer's head is little.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{Method, StatusCode};

use super::CallFailure;
use super::body::{Framing, framing};

/// The header by which a task names a BPMN error.
pub const ERROR_CODE: HeaderName = HeaderName::from_static("x-rexflow-error-code");
/// With a 202: the task calls back when its work is done.
pub const ASYNCHRONOUS: HeaderName = HeaderName::from_static("x-rexflow-asynchronous");

/// Bytes of the lines of a usual request.
const USUAL: usize = 768;
/// Headers of an answer.
const MAX_HEADERS: usize = 100;

/// Header lines of a request, in their order. The call itself adds `host` and `content-length`.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<u8>);

/// A task's whole answer, of any status, with what its headers say that matters to a call.
#[derive(Clone, Debug, Default)]
pub struct TaskAnswer {
    /// HTTP status.
    pub status: StatusCode,
    /// `content-type`; empty: none.
    pub content_type: String,
    /// The code of a BPMN error ([`ERROR_CODE`]), if the task names one.
    pub error_code: Option<String>,
    /// Whether the task has only taken the work, and calls back when it is done ([`ASYNCHRONOUS`]).
    pub asynchronous: bool,
    /// How long to wait before the next attempt. The form with a date is ignored, since it needs both clocks to agree.
    pub retry_after: Option<Duration>,
    /// The body, decoded from its transfer coding alone.
    pub body: Bytes,
}

/// The head of an answer.
pub(super) struct Head {
    pub(super) answer: TaskAnswer,
    pub(super) framing: Framing,
    pub(super) keep: bool,
}

/// The header lines of an answer.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a>(&'a [httparse::Header<'a>]);

// === impl Fields ===

impl Fields {
    /// Adds a line. A value that is empty, or that cannot stand in a header (an id in another script), is left out.
    pub fn put(&mut self, name: &HeaderName, value: &str) {
        let stands = |byte: u8| byte == b'\t' || (b' '..0x7f).contains(&byte);
        if !value.is_empty() && value.bytes().all(stands) {
            self.0.reserve(if self.0.is_empty() { USUAL } else { 0 });
            for part in [name.as_str(), ": ", value, "\r\n"] {
                self.0.extend_from_slice(part.as_bytes());
            }
        }
    }

    /// The lines as they stand in a request.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

// === impl Lines ===

impl<'a> Lines<'a> {
    /// The values of a name, as far as they are text.
    pub(super) fn all(self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a str> {
        let named = self.0.iter().filter(move |line| line.name.eq_ignore_ascii_case(name.as_str()));
        named.map(|line| std::str::from_utf8(line.value).unwrap_or("?"))
    }

    fn first(self, name: &HeaderName) -> Option<&'a str> {
        self.all(name).next().filter(|value| *value != "?")
    }
}

/// The head and its length, once it is whole.
pub(super) fn parse(bytes: &[u8], method: &Method) -> Result<Option<(Head, usize)>, CallFailure> {
    let garbage = |why: String| CallFailure::Garbage(why);
    let mut space = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut space);
    let length = match parsed.map_err(|error| garbage(error.to_string()))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let code = response.code.unwrap_or_default();
    let status = StatusCode::from_u16(code).map_err(|error| garbage(error.to_string()))?;
    let lines = Lines(response.headers);
    let framing = framing(method, status, lines)?;
    let close = lines.all(&header::CONNECTION).flat_map(|list| list.split(','));
    let close = close.into_iter().any(|word| word.trim().eq_ignore_ascii_case("close"));
    let keep = response.version == Some(1) && !close && framing != Framing::UntilClosed;
    let seconds = |text: &str| text.trim().parse().ok().map(Duration::from_secs);
    let answer = TaskAnswer {
        status,
        content_type: lines.first(&header::CONTENT_TYPE).unwrap_or_default().to_owned(),
        error_code: lines.first(&ERROR_CODE).filter(|code| !code.is_empty()).map(str::to_owned),
        asynchronous: lines.first(&ASYNCHRONOUS).is_some_and(|it| it.trim().eq_ignore_ascii_case("true")),
        retry_after: lines.first(&header::RETRY_AFTER).and_then(seconds),
        body: Bytes::new(),
    };
    Ok(Some((Head { answer, framing, keep }, length)))
}
