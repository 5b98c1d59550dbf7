//! The bearer token of `--token FILE`: what a client attaches and a server checks.
//!
//! Promises: compared in constant time; never printed. The file is read once, at start.
//! Says nothing about who the peer is: that is [`crate::tls`]'s [`crate::tls::Identity`].

use std::fmt;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

const SCHEME: &str = "Bearer";
/// Bytes; those of identity providers have the names of all groups.
const MAX_LENGTH: usize = 8192;

/// Why a token cannot be used, or was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read the token file {}: {source}; check --token", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds no token.
    #[error(
        "the token file {} holds no usable token: it needs one line of 1 to {MAX_LENGTH} printable ASCII \
         characters without blanks", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// A request came without a token.
    #[error("no token: send `authorization: Bearer <token>` (flag --token FILE)")]
    Missing,
    /// A request came with another token.
    #[error("wrong token: the file given with --token differs from the server's")]
    Wrong,
}

/// A secret shared by those who may call.
#[derive(Clone)]
pub struct Token {
    secret: Arc<str>,
}

impl Token {
    /// Reads the token from `path`; white space around it is ignored.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Malformed`].
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::new(&text).ok_or_else(|| Error::Malformed { path: path.to_owned() })
    }

    /// The token `text`, white space around it ignored; `None` if it cannot stand in a header.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let printable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        (printable && text.len() <= MAX_LENGTH).then(|| Self { secret: text.into() })
    }

    /// Checks the `authorization` header of a request.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Wrong`].
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        let given = bearer(headers).ok_or(Error::Missing)?;
        if same(given, self.secret.as_bytes()) { Ok(()) } else { Err(Error::Wrong) }
    }

    /// The value of the `authorization` header that [`Self::check`] wants.
    #[must_use]
    pub fn header(&self) -> String {
        format!("{SCHEME} {}", self.secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

/// The token that a request's `authorization` header shows, white space around it ignored; whatever it is.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, given) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(SCHEME.len())?;
    (scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) && given.first() == Some(&b' ')).then(|| given.trim_ascii())
}

/// Equality whose time depends on the length of `given` alone.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let mut different = u8::from(given.len() != secret.len());
    for (index, byte) in given.iter().enumerate() {
        let expected = secret[index % secret.len()];
        different = black_box(different | (byte ^ expected));
    }
    black_box(different) == 0
}

/// Client side of tonic: attaches the token, if there is one.
#[derive(Clone, Debug, Default)]
pub struct AttachToken {
    value: Option<MetadataValue<Ascii>>,
}

impl AttachToken {
    /// Attaches `token` to every request.
    #[must_use]
    pub fn new(token: Option<&Token>) -> Self {
        let value = token.map(|token| {
            let mut value = MetadataValue::try_from(token.header()).expect("a token is printable ASCII");
            value.set_sensitive(true);
            value
        });
        Self { value }
    }
}

impl Interceptor for AttachToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.value {
            request.metadata_mut().insert(AUTHORIZATION.as_str(), value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn only_the_right_token_passes() {
        let token = Token::new("s3cret\n").unwrap();
        assert!(token.check(&headers("Bearer s3cret")).is_ok());
        assert!(token.check(&headers("bearer   s3cret ")).is_ok());
        for wrong in ["Bearer s3cre", "Bearer s3crets3cret", "Bearer S3cret", "Bearer "] {
            assert!(matches!(token.check(&headers(wrong)), Err(Error::Wrong)), "{wrong}");
        }
        for missing in ["", "Basic s3cret", "Bearers3cret", "Bear"] {
            assert!(matches!(token.check(&headers(missing)), Err(Error::Missing)), "{missing}");
        }
        assert!(matches!(token.check(&HeaderMap::new()), Err(Error::Missing)));
    }

    #[test]
    fn files_are_read_and_bad_ones_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let error = Token::from_file(&path).unwrap_err();
        assert!(error.to_string().contains("token"));
        for bad in ["", " \n", "two words", "\u{e9}"] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(Token::from_file(&path), Err(Error::Malformed { .. })), "{bad:?}");
        }
        std::fs::write(&path, "good\n").unwrap();
        assert!(Token::from_file(&path).unwrap().check(&headers("Bearer good")).is_ok());
    }

    #[test]
    fn what_is_attached_passes() {
        let token = Token::new("right").unwrap();
        let attached = AttachToken::new(Some(&token)).call(Request::new(())).unwrap();
        let headers = attached.into_parts().0.into_headers();
        assert!(token.check(&headers).is_ok());
        assert!(matches!(Token::new("wrong").unwrap().check(&headers), Err(Error::Wrong)));
        let bare = AttachToken::new(None).call(Request::new(())).unwrap();
        assert!(bare.metadata().is_empty());
    }

    #[test]
    fn never_printed() {
        assert!(!format!("{:?}", Token::new("hidden").unwrap()).contains("hidden"));
    }
}
