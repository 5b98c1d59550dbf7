//! The API server: kinds, watches on what is ours, and errors for people.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use runtime::drain::DrainWatcher;
use tokio::time::sleep;

use super::inject::{INJECTED, INJECTION};
use super::objects::{Key, Kind};
use super::{MANAGED_BY, MANAGER, MESH, Settings};

/// Changes gather so long.
const GATHER: Duration = Duration::from_millis(300);

/// See [`changes`].
pub(super) type Changes = SelectAll<BoxStream<'static, ()>>;

/// What the API server calls a kind.
pub(super) fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The same for one that we write.
pub(super) fn kind(kind: Kind) -> ApiResource {
    let (group, version, name) = kind.gvk();
    resource(group, version, name)
}

/// Where the pods of our hop Services are.
pub(super) fn slices() -> ApiResource {
    resource("discovery.k8s.io", "v1", "EndpointSlice")
}

/// The objects of a kind in the namespace of `key`.
pub(super) fn api(client: &Client, key: &Key) -> Api<DynamicObject> {
    let resource = kind(key.kind);
    match key.namespace.is_empty() {
        true => Api::all_with(client.clone(), &resource),
        false => Api::namespaced_with(client.clone(), &key.namespace, &resource),
    }
}

/// All objects of a kind that may be ours: routes are beside flowd alone.
pub(super) fn all(client: &Client, settings: &Settings, of: Kind) -> Api<DynamicObject> {
    match of {
        Kind::HttpRoute => Api::namespaced_with(client.clone(), &settings.mesh, &kind(of)),
        _ => Api::all_with(client.clone(), &kind(of)),
    }
}

/// What selects the objects of this mesh.
pub(super) fn ours(settings: &Settings) -> String {
    format!("{MANAGED_BY}={MANAGER},{MESH}={}", settings.mesh)
}

/// The same as parameters of a list.
pub(super) fn listed(settings: &Settings) -> ListParams {
    ListParams::default().labels(&ours(settings))
}

/// What the API server said, in a line for people.
pub(super) fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => {
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(inner) = cause {
                text = format!("{text}: {inner}");
                cause = inner.source();
            }
            text
        }
    }
}

/// Whether the API server has answered at all, and with this status.
pub(super) fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// Waits a moment while `changes`, which has no end, takes those that are then looked at together; false at the drain.
pub(super) async fn gathered(drain: &mut DrainWatcher, changes: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = drain.signaled() => false,
        () = sleep(GATHER) => true,
        () = changes => true,
    }
}

/// The next change; for ever, should there be no more.
pub(super) async fn next(changes: &mut Changes) {
    if changes.next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Says that something that matters to us has changed; what it was is for a look to find out.
pub(super) fn changes(client: &Client, settings: &Settings) -> Changes {
    let (ours, pods) = (ours(settings), resource("", "v1", "Pod"));
    let (open, injected) = (format!("{INJECTION}=enabled"), format!("{INJECTED}=true"));
    let each = [
        (kind(Kind::Deployment), &ours),
        (kind(Kind::Service), &ours),
        (kind(Kind::Namespace), &ours),
        (kind(Kind::Namespace), &open),
        (slices(), &ours),
        (pods.clone(), &ours),
        (pods, &injected),
    ];
    let each = each.map(|(resource, labels)| (Api::<DynamicObject>::all_with(client.clone(), &resource), labels));
    let routes = settings.gateway.is_some().then(|| (all(client, settings, Kind::HttpRoute), &ours));
    let each = each.into_iter().chain(routes).map(|(all, labels)| {
        let events = watcher(all, watcher::Config::default().labels(labels));
        // a watch that breaks begins anew by itself, ever later; the periodic look stands in meanwhile
        events.default_backoff().filter_map(|event| async move { event.ok().map(|_| ()) }).boxed()
    });
    futures_util::stream::select_all(each)
}
