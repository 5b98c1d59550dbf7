//! Where a path of the HTTP port leads, so that what answers it and what it needs (`security::rights`) cannot differ.

use super::{callbacks, graphql, instances, messages, tasks, timers, topics};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/health`, `/ready`, `/answers`.
    Probe,
    /// `/metrics`.
    Metrics,
    /// `/wf_map`.
    Map,
    /// `/start/<ID>`.
    Start,
    /// `/messages`, `/signals`, `/conditions`.
    Messages,
    /// `/tasks`.
    Tasks,
    /// `/graphql`.
    Graphql,
    /// `/callbacks`.
    Callbacks,
    /// `/topics`.
    Topics,
    /// `/instances`.
    Instances,
    /// `/timers`.
    Timers,
    /// Start events that are exposed, if any is there.
    Elsewhere,
}

impl Route {
    /// Of a path, under a host that is not exposed.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/health" | "/ready" | "/answers" => Self::Probe,
            "/metrics" => Self::Metrics,
            "/wf_map" => Self::Map,
            _ if path.starts_with("/start/") => Self::Start,
            _ if messages::answers(path) => Self::Messages,
            _ if tasks::answers(path) => Self::Tasks,
            _ if graphql::answers(path) => Self::Graphql,
            _ if callbacks::answers(path) => Self::Callbacks,
            _ if topics::answers(path) => Self::Topics,
            _ if instances::answers(path) => Self::Instances,
            _ if timers::answers(path) => Self::Timers,
            _ => Self::Elsewhere,
        }
    }

    /// What a flowd that stands by answers itself; the leader answers the rest.
    pub(super) fn is_of_every_flowd(self) -> bool {
        matches!(self, Self::Probe | Self::Metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_only_like_another_leads_elsewhere() {
        for (path, route) in [
            ("/health", Route::Probe),
            ("/answers", Route::Probe),
            ("/metrics", Route::Metrics),
            ("/wf_map", Route::Map),
            ("/start/x", Route::Start),
            ("/conditions", Route::Messages),
            ("/signals/x", Route::Messages),
            ("/tasks", Route::Tasks),
            ("/graphql/x", Route::Graphql),
            ("/callbacks/order-1/1f/seal", Route::Callbacks),
            ("/topics", Route::Topics),
            ("/instances/x/start", Route::Instances),
            ("/timers", Route::Timers),
            ("/", Route::Elsewhere),
            ("//health", Route::Elsewhere),
            ("/health/", Route::Elsewhere),
            ("/tasksx", Route::Elsewhere),
            ("/graphqlx", Route::Elsewhere),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
