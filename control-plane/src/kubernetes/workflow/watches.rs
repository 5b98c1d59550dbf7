//! Watches on the API server: Workflows and Namespaces, and each ConfigMap that a Workflow refers to, alone: flowd needs no right to read others.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as KubeNamespace};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio_stream::StreamMap;

use super::resource::{Workflow, resource};
use super::seen::{self, Name, Named, Namespace, Objects, Referred};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Watch {
    Workflows,
    Namespaces,
    ConfigMap(Name),
}

type Told<T> = Result<Event<(Name, T)>, watcher::Error>;

enum Tidings {
    Workflow(Told<Workflow>),
    Namespace(Told<Namespace>),
    ConfigMap(Name, Told<ConfigMap>),
}

/// What is watched, and what it has come to.
pub(super) struct Watches {
    client: Client,
    streams: StreamMap<Watch, BoxStream<'static, Tidings>>,
    workflows: Objects<Workflow>,
    namespaces: Objects<Namespace>,
    config_maps: BTreeMap<Name, Objects<ConfigMap>>,
}

impl Watches {
    pub(super) fn new(client: Client) -> Self {
        let mut streams: StreamMap<_, BoxStream<'static, Tidings>> = StreamMap::new();
        let read = |it: DynamicObject| (seen::name(&it.metadata), Workflow::of(it));
        let workflows = watcher(Api::all_with(client.clone(), &resource()), watcher::Config::default());
        let workflows = workflows.default_backoff().map(move |it| Tidings::Workflow(each(it, read)));
        streams.insert(Watch::Workflows, workflows.boxed());
        let namespaces = Api::<PartialObjectMeta<KubeNamespace>>::all(client.clone());
        let namespaces = watcher(namespaces, watcher::Config::default());
        let named = |it: PartialObjectMeta<KubeNamespace>| (seen::name(&it.metadata), Namespace::of(&it.metadata));
        let namespaces = namespaces.default_backoff().map(move |it| Tidings::Namespace(each(it, named)));
        streams.insert(Watch::Namespaces, namespaces.boxed());
        let (workflows, namespaces) = (Objects::default(), Objects::default());
        Self { client, streams, workflows, namespaces, config_maps: BTreeMap::new() }
    }

    /// Waits until something has changed.
    pub(super) async fn changed(&mut self) {
        while let Some((_, tidings)) = self.streams.next().await {
            let changed = match tidings {
                Tidings::Workflow(told) => self.workflows.take(told),
                Tidings::Namespace(told) => self.namespaces.take(told),
                Tidings::ConfigMap(name, told) => self.config_maps.get_mut(&name).is_some_and(|it| it.take(told)),
            };
            if changed {
                return;
            }
        }
        // watches begin anew for ever; without any there is nothing to wait for
        std::future::pending().await
    }

    /// All Workflows, and what the namespaces allow, once both are known.
    pub(super) fn all(&self) -> Option<(&Named<Workflow>, &Named<Namespace>)> {
        Some((self.workflows.all()?, self.namespaces.all()?))
    }

    /// Why Workflows cannot be watched.
    pub(super) fn denied(&self) -> Option<&str> {
        self.workflows.denied()
    }

    /// A ConfigMap that is watched.
    pub(super) fn config_map(&self, name: &Name) -> Referred<'_> {
        self.config_maps.get(name).map_or(Referred::Awaited, Objects::only)
    }

    /// Watches these ConfigMaps, and no others any more.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<Name>) {
        self.config_maps.retain(|name, _| wanted.contains(name));
        let gone: Vec<Watch> = (self.streams.keys())
            .filter(|it| matches!(it, Watch::ConfigMap(name) if !wanted.contains(name)))
            .cloned()
            .collect();
        gone.iter().for_each(|it| _ = self.streams.remove(it));
        for name in wanted {
            if self.config_maps.contains_key(name) {
                continue;
            }
            self.config_maps.insert(name.clone(), Objects::default());
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &name.0);
            let only = watcher::Config::default().fields(&format!("metadata.name={}", name.1));
            let own = name.clone();
            let named = |it: ConfigMap| (seen::name(&it.metadata), it);
            let events = watcher(api, only).default_backoff();
            let events = events.map(move |it| Tidings::ConfigMap(own.clone(), each(it, named)));
            self.streams.insert(Watch::ConfigMap(name.clone()), events.boxed());
        }
    }
}

fn each<K, T>(told: Result<Event<K>, watcher::Error>, of: impl FnOnce(K) -> (Name, T)) -> Told<T> {
    Ok(match told? {
        Event::Apply(it) => Event::Apply(of(it)),
        Event::Delete(it) => Event::Delete(of(it)),
        Event::Init => Event::Init,
        Event::InitApply(it) => Event::InitApply(of(it)),
        Event::InitDone => Event::InitDone,
    })
}
