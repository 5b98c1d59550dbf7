//! Whose token a caller shows, and what that user may do, by the API server's word: TokenReview, then SubjectAccessReview in flowd's namespace.
//!
//! A user's token is for the API server, as those of a kubeconfig are, or for `users.SERVICE.NAMESPACE.svc`, which is good for nothing but this. Tokens of
//! sidecars are for another audience. Answers are kept for some seconds; a right that is taken away is gone soon after. While the API server is away,
//! good answers count for some minutes more, and nobody new gets in. Tokens are kept as digests alone.

mod kept;
mod review;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::PostParams;
use kube::{Api, Client};
use routing::Digest;
use runtime::clock::Clock;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Settings, watch};
use crate::security::Refusal;
use crate::security::rights::Right;
use kept::{FRESH, Kept, STALE};

/// The largest token, bytes.
const MAX_TOKEN: usize = 16 << 10;
/// Questions to the API server at a time: about those who are known, and as many about tokens that nobody knows yet.
const AT_ONCE: usize = 32;
/// How long a caller may wait for its turn, and then the API server may take.
const WITHIN: Duration = Duration::from_secs(8);
/// The same, where there is an answer that still counts.
const WITHIN_IF_KNOWN: Duration = Duration::from_secs(2);
/// After the API server was away nobody is asked about again so soon if there is an answer that still counts.
const REST: Duration = Duration::from_secs(1);

/// A user, as the API server knows it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct User {
    info: Arc<UserInfo>,
}

impl User {
    /// As the API server calls it.
    pub(crate) fn name(&self) -> &str {
        self.info.username.as_deref().unwrap_or_default()
    }

    /// Who it is to the API server's authorizers, all of it.
    fn digest(&self) -> Digest {
        let UserInfo { username, uid, groups, extra } = self.info.as_ref();
        Digest::of(format!("{username:?} {uid:?} {groups:?} {extra:?}").as_bytes())
    }
}

struct Inner {
    client: Client,
    settings: Settings,
    clock: Arc<dyn Clock>,
    places: Semaphore,
    /// Apart, so that whoever tries tokens keeps nobody waiting.
    strangers: Semaphore,
    known: Mutex<Kept<Digest, User>>,
    /// Apart, so that whoever tries tokens pushes nobody out.
    unknown: Mutex<Kept<Digest, String>>,
    allowed: Mutex<Kept<(Digest, Right), bool>>,
    /// Until then the API server is taken to be away.
    rests: Mutex<Duration>,
}

/// What is known about a question.
enum Answer<T> {
    /// By the API server, just now.
    New(T),
    /// By what it said before it was away.
    Stale(T),
}

/// Asks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Users {
    inner: Arc<Inner>,
}

impl fmt::Debug for Users {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Users")
    }
}

impl Users {
    pub(crate) fn new(client: Client, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let (known, unknown, allowed) = (Kept::new(), Kept::new(), Kept::new());
        let inner = Inner {
            client,
            settings,
            clock,
            places: Semaphore::new(AT_ONCE),
            strangers: Semaphore::new(AT_ONCE),
            known: Mutex::new(known),
            unknown: Mutex::new(unknown),
            allowed: Mutex::new(allowed),
            rests: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`Refusal::Nobody`] if it counts for nothing, [`Refusal::Away`] if the API server does not say.
    pub(crate) async fn who(&self, token: &str) -> Result<User, Refusal> {
        let Inner { known, unknown, clock, places, strangers, .. } = &*self.inner;
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(Refusal::Nobody("the token is none of this cluster's".to_owned()));
        }
        let (digest, now) = (Digest::of(token.as_bytes()), clock.monotonic());
        if let Some(user) = locked(known).get(&digest, now, FRESH) {
            return Ok(user);
        }
        if let Some(why) = locked(unknown).get(&digest, now, FRESH) {
            return Err(Refusal::Nobody(why));
        }
        let stale = locked(known).get(&digest, now, STALE);
        let places = if stale.is_some() { places } else { strangers };
        let found = self.ask("whose token it is", places, stale.map(Ok), self.reviewed(token)).await?;
        let now = clock.monotonic();
        match found {
            Answer::New(Ok(user)) => {
                locked(known).put(digest, user.clone(), now);
                Ok(user)
            }
            Answer::New(Err(why)) => {
                locked(known).forget(&digest);
                locked(unknown).put(digest, why.clone(), now);
                Err(Refusal::Nobody(why))
            }
            Answer::Stale(found) => found.map_err(Refusal::Nobody),
        }
    }

    /// Whether the user has the right in the namespace of this flowd.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] if not, [`Refusal::Away`] if the API server does not say.
    pub(crate) async fn permit(&self, user: &User, right: Right) -> Result<(), Refusal> {
        let Inner { allowed, clock, settings, places, .. } = &*self.inner;
        let (key, now) = ((user.digest(), right), clock.monotonic());
        let kept = locked(allowed).get(&key, now, FRESH);
        let may = match kept {
            Some(may) => may,
            None => {
                let stale = locked(allowed).get(&key, now, STALE).filter(|may| *may);
                match self.ask("what its user may do", places, stale, self.reviewed_right(user, right)).await? {
                    Answer::New(may) => {
                        locked(allowed).put(key, may, clock.monotonic());
                        may
                    }
                    Answer::Stale(may) => may,
                }
            }
        };
        if may {
            return Ok(());
        }
        tracing::info!(user = user.name(), %right, "refused");
        Err(Refusal::Forbidden(review::forbidden(user.name(), right, &settings.mesh)))
    }

    /// An answer of the API server, or, while it is away, the one that still counts.
    async fn ask<T>(
        &self,
        what: &str,
        places: &Semaphore,
        stale: Option<T>,
        question: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<Answer<T>, Refusal> {
        let Inner { clock, rests, .. } = &*self.inner;
        let rests_still = clock.monotonic() < *locked(rests);
        let stale = match stale {
            Some(known) if rests_still => return Ok(Answer::Stale(known)),
            other => other,
        };
        let within = if stale.is_some() { WITHIN_IF_KNOWN } else { WITHIN };
        // nobody closes it, so that no place means that there was none in time
        let Ok(_place) = timeout(within, places.acquire()).await else {
            let many = || Refusal::Away("too many ask for their tokens at once; try again in a moment".to_owned());
            return stale.map(Answer::Stale).ok_or_else(many);
        };
        let why = match timeout(within, question).await {
            Ok(Ok(answer)) => return Ok(Answer::New(answer)),
            Ok(Err(error)) => watch::reason(&error),
            Err(_) => format!("nothing within {within:?}"),
        };
        *locked(rests) = clock.monotonic() + REST;
        tracing::warn!(error = why, "the API server does not say {what}");
        let away = || Refusal::Away(format!("the API server does not say {what}: {why}; try again in a moment"));
        stale.map(Answer::Stale).ok_or_else(away)
    }

    async fn reviewed(&self, token: &str) -> Result<Result<User, String>, kube::Error> {
        let wanted = self.inner.settings.users_audience();
        let audience = review::is_for(token, &wanted).then_some(wanted);
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: audience.clone().map(|it| vec![it]) };
        let reviews: Api<TokenReview> = Api::all(self.inner.client.clone());
        let asked = TokenReview { spec, ..TokenReview::default() };
        let answer = reviews.create(&PostParams::default(), &asked).await?;
        Ok(review::user(answer, audience.as_deref()).map(|info| User { info: Arc::new(info) }))
    }

    async fn reviewed_right(&self, user: &User, right: Right) -> Result<bool, kube::Error> {
        let spec = review::question(&user.info, right, &self.inner.settings.mesh);
        let reviews: Api<SubjectAccessReview> = Api::all(self.inner.client.clone());
        let asked = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let answer = reviews.create(&PostParams::default(), &asked).await?;
        Ok(answer.status.is_some_and(|it| it.allowed && it.denied != Some(true)))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
