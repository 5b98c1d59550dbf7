//! Asks DNS where replicas are, while flowd is away.
//!
//! flowd tells with the bindings under which name a service's replicas are listed (in Kubernetes its headless hop Service). Who needs one is for
//! the engine to say; what an answer means is for the [`crate::directory`].
//!
//! Promises: one question at a time per name, given up after `WITHIN`; the next one not before `FLOOR`, unless flowd was back meanwhile, and later and later, up
//! to `CEILING`, while it brings nothing new; no more than `MOST` addresses of an answer. Nobody is asked while nothing is to be sent.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use routing::{ServiceName, Timestamp};
use tokio::task::JoinSet;

/// From the question to the answer at most.
const WITHIN: Duration = Duration::from_secs(5);
/// From one question to the next at least, milliseconds: as long as cluster DNS keeps an answer.
const FLOOR: u64 = 5_000;
/// And at most.
const CEILING: u64 = 40_000;
/// Addresses of an answer that are taken.
const MOST: usize = 64;

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Finds the addresses behind `NAME:PORT`.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String) -> Answer + Send + Sync>);

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Resolver")
    }
}

impl Default for Resolver {
    /// The system's.
    fn default() -> Self {
        Self::new(|name| async move { Ok(tokio::net::lookup_host(absolute(&name)).await?.collect()) })
    }
}

impl Resolver {
    /// One of one's own.
    pub fn new<F>(resolve: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |name| Box::pin(resolve(name))))
    }
}

/// With the dot of the root, so that no search domains are tried first.
fn absolute(name: &str) -> String {
    match name.rsplit_once(':') {
        Some((host, port)) if host.contains('.') && !host.ends_with('.') => format!("{host}.:{port}"),
        _ => name.to_owned(),
    }
}

/// See the module's documentation.
pub(crate) struct Names {
    resolver: Resolver,
    asked: HashMap<ServiceName, Asked>,
    answers: JoinSet<(ServiceName, io::Result<Vec<SocketAddr>>)>,
}

/// What is known of one name.
#[derive(Debug, Default)]
struct Asked {
    under_way: bool,
    next: Timestamp,
    pause: u64,
    last: Vec<SocketAddr>,
}

impl Names {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Self { resolver, asked: HashMap::new(), answers: JoinSet::new() }
    }

    /// Asks for `name`, behind which `service` is, if it is time to.
    pub(crate) fn ask(&mut self, service: &ServiceName, name: &str, now: Timestamp) {
        let asked = self.asked.entry(service.clone()).or_default();
        if asked.under_way || asked.next > now {
            return;
        }
        asked.under_way = true;
        tracing::debug!(%service, name, "asking DNS for replicas");
        let (service, answer) = (service.clone(), (self.resolver.0)(name.to_owned()));
        self.answers.spawn(async move {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
            let answer = tokio::time::timeout(WITHIN, answer).await.unwrap_or_else(|_| Err(late()));
            (service, answer)
        });
    }

    /// The next answer that is one; never while nothing was asked. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> (ServiceName, io::Result<Vec<SocketAddr>>) {
        loop {
            match self.answers.join_next().await {
                Some(Ok(answer)) => return answer,
                // aborted by `forget`
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Notes an answer, and gives what there is to be taken of it: nothing if it failed.
    pub(crate) fn heard(
        &mut self,
        service: &ServiceName,
        answer: io::Result<Vec<SocketAddr>>,
        now: Timestamp,
    ) -> Option<Vec<SocketAddr>> {
        let asked = self.asked.get_mut(service)?;
        asked.under_way = false;
        let found = answer.inspect_err(|error| tracing::debug!(%service, %error, "DNS names no replicas")).ok();
        let found = found.map(|mut found| {
            found.sort_unstable();
            found.dedup();
            found.truncate(MOST);
            found
        });
        let news = found.as_ref().is_some_and(|found| *found != asked.last);
        asked.pause = if news { FLOOR } else { (asked.pause * 2).clamp(FLOOR, CEILING) };
        asked.next = now + asked.pause;
        if let Some(found) = &found {
            asked.last.clone_from(found);
        }
        found
    }

    /// When the name of one of `services` may be asked for.
    pub(crate) fn due<'a>(&self, services: impl IntoIterator<Item = &'a ServiceName>) -> Option<Timestamp> {
        let asked = services.into_iter().map(|it| self.asked.get(it));
        asked.filter(|it| !it.is_some_and(|it| it.under_way)).map(|it| it.map_or(0, |it| it.next)).min()
    }

    /// flowd is back: what was asked for does not matter any more.
    pub(crate) fn forget(&mut self) {
        if !self.asked.is_empty() {
            self.answers.abort_all();
            self.asked.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn service() -> ServiceName {
        "pay".into()
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[tokio::test]
    async fn a_name_is_asked_for_once_at_a_time_and_less_and_less_often_while_nothing_is_new() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let mut names = Names::new(Resolver::new(move |name| {
            assert_eq!(name, "pay-flow.shop:7001");
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(vec![at(2), at(1), at(2)]) }
        }));
        assert_eq!(names.due([&service()]), Some(0), "at once");
        let (mut now, mut pauses) = (100, Vec::new());
        for _ in 0..5 {
            names.ask(&service(), "pay-flow.shop:7001", now);
            names.ask(&service(), "pay-flow.shop:7001", now);
            assert_eq!(names.due([&service()]), None, "under way");
            let (of, answer) = names.next().await;
            assert_eq!(names.heard(&of, answer, now), Some(vec![at(1), at(2)]));
            let due = names.due([&service()]).unwrap();
            pauses.push(due - now);
            names.ask(&service(), "pay-flow.shop:7001", due - 1);
            now = due;
        }
        assert_eq!((pauses, count.load(Ordering::Relaxed)), (vec![5_000, 10_000, 20_000, 40_000, 40_000], 5));
        names.forget();
        assert_eq!(names.due([&service()]), Some(0));
    }

    #[tokio::test]
    async fn what_fails_is_no_answer_and_is_asked_for_again_later() {
        let mut names = Names::new(Resolver::new(|_| async { Err(io::Error::other("no such name")) }));
        for (now, due) in [(0, 5_000), (5_000, 15_000)] {
            names.ask(&service(), "pay-flow.shop:7001", now);
            let (of, answer) = names.next().await;
            assert_eq!(names.heard(&of, answer, now), None);
            assert_eq!(names.due([&service()]), Some(due));
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_late_or_that_nobody_waits_for_any_more_does_nothing() {
        let mut names = Names::new(Resolver::new(|_| std::future::pending()));
        tokio::time::pause();
        names.ask(&service(), "pay-flow.shop:7001", 0);
        let (of, answer) = names.next().await;
        assert_eq!(answer.as_ref().unwrap_err().kind(), io::ErrorKind::TimedOut);
        names.forget();
        assert_eq!(names.heard(&of, answer, 0), None, "flowd was back meanwhile");
    }

    #[test]
    fn no_search_domains_are_tried() {
        assert_eq!(absolute("pay-flow.shop.svc.cluster.local:7001"), "pay-flow.shop.svc.cluster.local.:7001");
        for same in ["localhost:7001", "a.b.:7001", "nonsense"] {
            assert_eq!(absolute(same), same);
        }
    }
}
