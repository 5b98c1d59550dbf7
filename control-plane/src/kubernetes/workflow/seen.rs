//! What the API server has told: Workflows, what namespaces allow, and the ConfigMaps that are referred to. Events go in. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ObjectMeta;
use kube::runtime::watcher::{self, Event};

use super::resource::FROM;
use crate::kubernetes::inject::INJECTION;
use crate::operations::Reach;

/// Namespace and name.
pub(super) type Name = (String, String);

/// Objects of one kind.
pub(super) type Named<T> = BTreeMap<Name, T>;

/// Objects of one kind, as a watch tells them.
#[derive(Debug)]
pub(super) struct Objects<T> {
    of: Named<T>,
    /// Those of a list that is not over yet.
    listed: Named<T>,
    /// Whether a list has been over once.
    known: bool,
    /// Why they cannot be watched; empty if they can.
    denied: String,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self { of: BTreeMap::new(), listed: BTreeMap::new(), known: false, denied: String::new() }
    }
}

impl<T> Objects<T> {
    /// Takes in what a watch has told; true if anything is other than it was.
    pub(super) fn take(&mut self, event: Result<Event<(Name, T)>, watcher::Error>) -> bool {
        match event {
            Ok(Event::Apply((name, object))) => _ = self.of.insert(name, object),
            Ok(Event::Delete((name, _))) => _ = self.of.remove(&name),
            Ok(Event::Init) => {
                self.listed.clear();
                return false;
            }
            Ok(Event::InitApply((name, object))) => {
                self.listed.insert(name, object);
                return false;
            }
            Ok(Event::InitDone) => {
                self.of = std::mem::take(&mut self.listed);
                self.known = true;
                self.denied.clear();
            }
            Err(error) => return self.failed(&error),
        }
        true
    }

    fn failed(&mut self, error: &watcher::Error) -> bool {
        let why = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.message.clone(),
            watcher::Error::WatchError(status) if status.code == 403 => status.message.clone(),
            // the watch begins anew by itself
            _ => return false,
        };
        std::mem::replace(&mut self.denied, why.clone()) != why
    }

    /// All of them, once they are known.
    pub(super) fn all(&self) -> Option<&Named<T>> {
        self.known.then_some(&self.of)
    }

    /// Why they cannot be watched.
    pub(super) fn denied(&self) -> Option<&str> {
        (!self.denied.is_empty()).then_some(self.denied.as_str())
    }
}

/// A ConfigMap that is referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Referred<'a> {
    /// The API server has not answered yet.
    Awaited,
    /// There is none.
    Absent,
    /// flowd may not read it, and what the API server says.
    Denied(&'a str),
    /// In a version.
    There(&'a str, &'a BTreeMap<String, String>),
}

impl Objects<ConfigMap> {
    /// The one of them, of the watch of a single ConfigMap.
    pub(super) fn only(&self) -> Referred<'_> {
        static NOTHING: BTreeMap<String, String> = BTreeMap::new();
        match (self.denied(), self.all()) {
            (Some(why), _) => Referred::Denied(why),
            (None, None) => Referred::Awaited,
            (None, Some(all)) => match all.values().next() {
                Some(it) => {
                    let version = it.metadata.resource_version.as_deref().unwrap_or_default();
                    Referred::There(version, it.data.as_ref().unwrap_or(&NOTHING))
                }
                None => Referred::Absent,
            },
        }
    }
}

/// What a namespace allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Namespace {
    /// Open to the mesh, by a label.
    open: bool,
    /// The namespaces whose Workflows may bring something here; `*`: any.
    from: BTreeSet<String>,
}

impl Namespace {
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        let label = metadata.labels.as_ref().and_then(|it| it.get(INJECTION));
        let from = metadata.annotations.as_ref().and_then(|it| it.get(FROM));
        let each = from.into_iter().flat_map(|it| it.split(',')).map(str::trim).filter(|it| !it.is_empty());
        Self { open: label.is_some_and(|it| it == "enabled"), from: each.map(str::to_owned).collect() }
    }
}

/// Where Workflows of `namespace` may bring something; none: the namespace is not open to the mesh. `mesh`: flowd's own namespace.
pub(super) fn reach(namespace: &str, mesh: &str, all: &Named<Namespace>) -> Option<Reach> {
    if namespace == mesh {
        return Some(Reach::Everywhere);
    }
    let own = |(it, _): &Name| it == namespace;
    if !all.iter().any(|(name, it)| own(name) && it.open) {
        return None;
    }
    let lets = |it: &Namespace| it.from.contains(namespace) || it.from.contains("*");
    let within = all.iter().filter(|(name, it)| own(name) || lets(it)).map(|((name, _), _)| name.clone());
    Some(Reach::Within(within.collect()))
}

/// Namespace and name; a Namespace's own name comes first and alone.
pub(super) fn name(metadata: &ObjectMeta) -> Name {
    let name = metadata.name.clone().unwrap_or_default();
    match &metadata.namespace {
        Some(namespace) => (namespace.clone(), name),
        None => (name, String::new()),
    }
}
