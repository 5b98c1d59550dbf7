//! Who may call: the one place that is asked, for every route of both ports.
//!
//! Off loopback a port wants mutual TLS and a token, or `--insecure`, which warns. Where there is a token every route
//! wants it but the probes of [`OPEN`], and callbacks, whose URLs are secrets of their own: what is not named there is denied.
//! Where users are asked for (`--users`), a call needs a user's token and the rights that [`rights`] names; who shows the token of `--token` has all of them.
//! Which service a sidecar may serve is `hop::identity`'s question, and no token of a sidecar is a user's.

mod guard;
pub(crate) mod rights;

use std::net::SocketAddr;

use http::{Extensions, HeaderMap, StatusCode};
use routing::callback;
use runtime::listen;
use runtime::token::{self, Token};
use tonic::{Request, Status};

use guard::GuardLayer;
use rights::{Right, Rule};

#[cfg(feature = "kubernetes")]
pub(crate) use crate::kubernetes::users::{User, Users};
#[cfg(not(feature = "kubernetes"))]
pub(crate) use nobody::{User, Users};

/// HTTP paths that orchestrators probe, without any secret to tell.
const OPEN: [&str; 3] = ["/health", "/ready", "/answers"];

/// Why a port is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Without TLS.
    #[error(transparent)]
    Exposed(#[from] listen::Error),
    /// Without a token.
    #[error(
        "refusing to serve {what} on {address} without a token: anyone with a certificate could use it; give --token \
         FILE, listen on 127.0.0.1, or pass --insecure if the network protects it"
    )]
    NoToken {
        /// What would be exposed.
        what: &'static str,
        /// Where.
        address: SocketAddr,
    },
}

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The token of `--token` is missing, or wrong.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// By its token it is nobody's call.
    #[error("{0}")]
    Nobody(String),
    /// The user has not the right.
    #[error("{0}")]
    Forbidden(String),
    /// Who could say does not.
    #[error("{0}")]
    Away(String),
}

impl Refusal {
    /// For HTTP.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Token(_) | Self::Nobody(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Token(_) | Refusal::Nobody(_) => Status::unauthenticated(message),
            Refusal::Forbidden(_) => Status::permission_denied(message),
            Refusal::Away(_) => Status::unavailable(message),
        }
    }
}

/// Who may call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    token: Option<Token>,
    users: Option<Users>,
}

/// Who calls, for handlers.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    users: Users,
    user: User,
    rule: Rule,
}

/// What a call names, where what it needs depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Workflow,
    Instance,
}

/// Whether a path is answered without a token.
pub(crate) fn is_open(path: &str) -> bool {
    OPEN.contains(&path) || path.starts_with(callback::PATH)
}

/// Whether whoever calls may do it to what the call names; for calls whose rule is [`Rule::ByTarget`].
///
/// # Errors
/// `PERMISSION_DENIED` if not, `UNAVAILABLE` if nobody says.
pub(crate) async fn permit<T: Sync>(request: &Request<T>, target: Target) -> Result<(), Status> {
    // without a caller nobody is asked for, or the token of `--token` was shown
    let Some(Caller { rule, .. }) = request.extensions().get() else { return Ok(()) };
    let right = match (rule, target) {
        (Rule::ByTarget { workflow, .. }, Target::Workflow) => *workflow,
        (Rule::ByTarget { instance, .. }, Target::Instance) => *instance,
        // it was asked for already
        (Rule::Open | Rule::Unasked | Rule::Somebody | Rule::Needs(_) | Rule::Nobody, _) => return Ok(()),
    };
    needs(request, right).await
}

/// Whether whoever calls has a right besides those that the call needs in any case.
///
/// # Errors
/// As [`permit`].
pub(crate) async fn needs<T: Sync>(request: &Request<T>, right: Right) -> Result<(), Status> {
    let Some(Caller { users, user, .. }) = request.extensions().get() else { return Ok(()) };
    users.permit(user, right).await.map_err(Status::from)
}

/// Who does it, for the record: as the caller says, and where users are asked for, who the caller is.
pub(crate) fn signed(extensions: &Extensions, said: &str) -> String {
    let name = extensions.get().map(|Caller { user, .. }| user.name());
    match (name, said) {
        (None, said) => said.to_owned(),
        (Some(name), said) if said.is_empty() || said == name => name.to_owned(),
        (Some(name), said) => format!("{name} (as {said})"),
    }
}

impl Access {
    pub(crate) fn new(token: Option<Token>) -> Self {
        Self { token, users: None }
    }

    /// Users are asked for from now on.
    pub(crate) fn ask(&mut self, users: Users) {
        self.users = Some(users);
    }

    /// Whether a port may be opened there at all; `users`: whether they will be asked for.
    pub(crate) fn check_port(
        &self,
        what: &'static str,
        address: SocketAddr,
        (tls, users): (bool, bool),
        insecure: bool,
    ) -> Result<(), Error> {
        listen::check_exposure(what, address, tls, insecure)?;
        if self.token.is_none() && !users && !insecure && !listen::is_loopback(&address) {
            return Err(Error::NoToken { what, address });
        }
        Ok(())
    }

    /// Whether nobody is asked for anything.
    pub(crate) fn is_everybodys(&self) -> bool {
        self.token.is_none() && self.users.is_none()
    }

    /// Whether an HTTP request may pass that needs `rule`, and who makes it.
    pub(crate) async fn request(&self, rule: Rule, path: &str, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        if is_open(path) {
            return Ok(None);
        }
        self.caller(rule, headers).await
    }

    /// Around every gRPC service, known or not.
    pub(crate) fn grpc(&self) -> GuardLayer {
        GuardLayer::new(self.clone())
    }

    /// Whether a gRPC call may pass, and who makes it.
    async fn call(&self, path: &str, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        let rule = if self.users.is_some() { rights::of_call(path) } else { Rule::Unasked };
        self.caller(rule, headers).await
    }

    async fn caller(&self, rule: Rule, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        let Some((users, token)) = self.admit(rule, headers)? else { return Ok(None) };
        // what is rare is boxed: a start is moved about with the room for it
        let user = Box::pin(asked(users, token, rule)).await?;
        Ok(Some(Caller { users: users.clone(), user, rule }))
    }

    /// What can be said without asking anybody: that it may pass, that it may not, or whom to ask about which token.
    fn admit<'a>(&'a self, rule: Rule, headers: &'a HeaderMap) -> Result<Option<(&'a Users, &'a str)>, Refusal> {
        let shown = self.token.as_ref().map_or(Ok(()), |token| token.check(headers));
        let shows_it = self.token.is_some() && shown.is_ok();
        match (&self.users, rule) {
            (_, Rule::Open) => Ok(None),
            (None, _) | (_, Rule::Unasked) => shown.map(|()| None).map_err(Refusal::from),
            (Some(_), _) if shows_it => Ok(None),
            (Some(users), Rule::Somebody | Rule::Needs(_) | Rule::ByTarget { .. } | Rule::Nobody) => {
                bearer(headers).map(|token| Some((users, token)))
            }
        }
    }
}

/// The user whose token it is, if that user has the rights.
async fn asked(users: &Users, token: &str, rule: Rule) -> Result<User, Refusal> {
    let user = users.who(token).await?;
    match rule {
        Rule::Needs(rights) => {
            for right in rights {
                users.permit(&user, *right).await?;
            }
        }
        Rule::Nobody => return Err(Refusal::Forbidden("this call is not for users".to_owned())),
        Rule::Open | Rule::Unasked | Rule::Somebody | Rule::ByTarget { .. } => {}
    }
    Ok(user)
}

/// The token that a caller shows.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let token = token::bearer(headers).and_then(|it| str::from_utf8(it).ok()).filter(|it| it.is_ascii());
    let missing = "no token: send `authorization: Bearer TOKEN` with a token of this cluster; flowctl does where it finds flowd by itself, and with --kube-token";
    token.ok_or_else(|| Refusal::Nobody(missing.to_owned()))
}

/// Without Kubernetes there are no users.
#[cfg(not(feature = "kubernetes"))]
mod nobody {
    use super::Refusal;
    use super::rights::Right;

    #[derive(Clone, Debug)]
    pub(crate) enum Users {}

    #[derive(Clone, Debug)]
    pub(crate) enum User {}

    impl User {
        pub(crate) fn name(&self) -> &str {
            match *self {}
        }
    }

    impl Users {
        pub(crate) async fn who(&self, _token: &str) -> Result<User, Refusal> {
            match *self {}
        }

        pub(crate) async fn permit(&self, _user: &User, _right: Right) -> Result<(), Refusal> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests;
