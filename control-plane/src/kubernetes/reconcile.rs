//! Brings the cluster to what the deployments ask for: makes what is missing, takes back what others changed of ours, removes what is not wanted.
//!
//! One look after another, after each change of a deployment or of an object of ours, and every so often. Only objects with this mesh's labels are
//! ever changed or deleted; one of the same name that somebody else made is a problem that is told, with the element it concerns. While the API
//! server is away nothing changes: instances go on without it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use routing::table::CONNECTORS;
use routing::{Digest, ServiceName};
use runtime::clock::Clock;
use runtime::drain::DrainWatcher;
use serde_json::Value;
use tokio::sync::watch as state;
use tokio::time::{Instant, sleep_until};

use super::authority::Authority;
use super::in_place::{InPlaces, Workload};
use super::inject::{INJECTED, INJECTION};
use super::objects::{
    Applied, Found, Key, Kind, Object, Planned, Present, Rollout, Routes, image, keep, plan, rollout,
};
use super::pods::Pods;
use super::trust::Trust;
use super::{FIELD_MANAGER, Settings, watch};
use crate::definitions::Deployment;
use crate::ingress::{Lead, Leads};
use crate::mesh::{Accounts, Admission, Mesh};
use crate::store::AnyStore;

/// From one look to the next when nothing has changed.
const PERIOD: Duration = Duration::from_secs(30);
/// The same while pods are swapped in place, which have their time.
const SOON: Duration = Duration::from_secs(1);
/// After a look that failed.
const AGAIN: Duration = Duration::from_secs(3);

/// Why an object could not be made.
type Failed = BTreeMap<Key, String>;

/// What is wrong, by service.
pub(crate) type Problems = BTreeMap<ServiceName, String>;

/// Looks until the drain.
pub(crate) async fn run(
    mesh: Mesh,
    (store, clock): (AnyStore, Arc<dyn Clock>),
    client: Client,
    settings: Settings,
    mut authority: state::Receiver<Option<Arc<Authority>>>,
    mut drain: DrainWatcher,
) {
    let mut cluster = watch::changes(&client, &settings);
    let mut changes = mesh.changes();
    let mut reconciler = Reconciler {
        trust: Trust::new(client.clone(), settings.clone()),
        pods: Pods::new(client.clone(), settings.clone()),
        in_place: InPlaces::new(client.clone(), store, clock),
        client,
        settings,
        authority: authority.clone(),
        written: HashMap::new(),
    };
    let mut told = String::new();
    loop {
        changes.mark_unchanged();
        let (next, problems) = match reconciler.look(&mesh).await {
            Ok(problems) => {
                let busy = mesh.in_places().values().any(|it| it.is_under_way());
                (if busy { SOON } else { PERIOD }, Some(problems))
            }
            Err(error) => {
                let text = watch::reason(&error);
                if told != text {
                    tracing::warn!(error = text, "cannot look after the cluster; trying again");
                    told = text;
                }
                (AGAIN, None)
            }
        };
        if let Some(problems) = problems {
            told.clear();
            mesh.hindered(problems);
        }
        let next = Instant::now() + next;
        tokio::select! {
            biased;
            () = drain.signaled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = watch::next(&mut cluster) => {}
            // without its keeper the CA stays as it is
            Ok(()) = authority.changed() => {}
            () = sleep_until(next) => continue,
        }
        if !watch::gathered(&mut drain, async {
            loop {
                watch::next(&mut cluster).await
            }
        })
        .await
        {
            return;
        }
    }
}

struct Reconciler {
    client: Client,
    settings: Settings,
    authority: state::Receiver<Option<Arc<Authority>>>,
    trust: Trust,
    /// What was written last of each object, and the version that it came to.
    written: HashMap<Key, (Digest, String)>,
    pods: Pods,
    in_place: InPlaces,
}

/// Namespaces of the cluster.
#[derive(Debug, Default)]
struct Namespaces {
    all: BTreeSet<String>,
    /// Open to the mesh, by a label.
    open: BTreeSet<String>,
    /// With sidecars in them, now or soon.
    inhabited: BTreeSet<String>,
}

/// The objects of ours that there are.
type There = BTreeMap<Key, Live>;

/// One of them.
struct Live {
    version: String,
    /// All of it, of a Deployment or a route.
    body: Value,
}

impl Reconciler {
    async fn look(&mut self, mesh: &Mesh) -> Result<Problems, kube::Error> {
        let deployments = mesh.orchestrated();
        let mut problems = Problems::new();
        let present = self.present(&deployments, &mut problems).await?;
        let splits = mesh.splits();
        let edges: Vec<_> = deployments.iter().map(|it| splits.edges(it.definition.edges())).collect();
        let applied: Vec<Applied<'_>> = (deployments.iter().zip(&edges))
            .map(|(it, edges)| Applied {
                deployment: it.definition.deployment.as_str(),
                workloads: it.definition.workloads.as_deref().unwrap_or_default(),
                edges,
                connectors: it.definition.tasks.values().any(|task| task.service.as_str() == CONNECTORS),
                ingress: &it.ingress,
            })
            .collect();
        let Planned { objects: wanted, accounts, names, routes } =
            plan(&applied, &present, &mesh.images(), &self.settings);
        let there = self.there().await?;
        let mut failed = Failed::new();
        mesh.rolled(rollouts(&wanted, &there));
        let (namespaces, rest) = wanted.split_at(wanted.partition_point(|it| it.key.kind == Kind::Namespace));
        for object in namespaces {
            self.make(object, &there, &mut failed).await?;
        }
        let namespaces = self.namespaces(&wanted).await?;
        mesh.admit_by(Admission::Listed(Accounts {
            of: accounts.iter().map(|(it, (at, account))| (it.clone(), self.settings.identity(at, account))).collect(),
            names,
            namespaces: namespaces.all.clone(),
            open: namespaces.open.clone(),
        }));
        let bundle = self.authority.borrow().as_ref().map(|it| it.bundle());
        if let Some(bundle) = bundle {
            self.trust.bring(&namespaces.inhabited, &namespaces.all, &bundle).await?;
        }
        for object in rest {
            self.make(object, &there, &mut failed).await?;
        }
        self.remove(&wanted, &there).await?;
        hinder(&wanted, &failed, &mut problems);
        mesh.led(self.leads(&deployments, &routes, &there, &failed));
        let pods = self.pods.list().await?;
        self.pods.look(&pods, &wanted, &mut problems).await;
        self.pods.follow(mesh).await?;
        self.in_place.step(mesh, &workloads(&wanted, &there), &pods).await?;
        Ok(problems)
    }

    /// How requests come to the ways in of the deployments.
    fn leads(&self, deployments: &[Deployment], routes: &Routes, there: &There, failed: &Failed) -> Leads {
        let Some(gateway) = &self.settings.gateway else {
            let all = deployments.iter().flat_map(|it| &it.ingress);
            return all.map(|it| (it.place(), Lead::none())).collect();
        };
        let lead = |key: &Key| match failed.get(key) {
            Some(why) => Lead::failed(gateway, why),
            None => Lead::seen(gateway, there.get(key).map_or(&Value::Null, |it| &it.body)),
        };
        routes.iter().map(|(key, place)| (place.clone(), lead(key))).collect()
    }

    /// The namespaces that there are.
    async fn namespaces(&self, wanted: &[Object]) -> Result<Namespaces, kube::Error> {
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &watch::kind(Kind::Namespace));
        let mut found = Namespaces::default();
        for namespace in all.list_metadata(&ListParams::default()).await?.items {
            let name = namespace.metadata.name.unwrap_or_default();
            let open = namespace.metadata.labels.is_some_and(|it| it.get(INJECTION).is_some_and(|on| on == "enabled"));
            if open && namespace.metadata.deletion_timestamp.is_none() {
                found.open.insert(name.clone());
                found.inhabited.insert(name.clone());
            }
            found.all.insert(name);
        }
        let sidecars = wanted.iter().filter(|it| it.key.kind == Kind::Deployment);
        found.inhabited.extend(sidecars.map(|it| it.key.namespace.clone()));
        let pods: Api<DynamicObject> = Api::all_with(self.client.clone(), &watch::resource("", "v1", "Pod"));
        let injected = pods.list_metadata(&ListParams::default().labels(&format!("{INJECTED}=true"))).await?;
        found.inhabited.extend(injected.items.into_iter().filter_map(|it| it.metadata.namespace));
        Ok(found)
    }

    /// The pre-existing services that are asked for.
    async fn present(&self, deployments: &[Deployment], problems: &mut Problems) -> Result<Present, kube::Error> {
        let mut present = Present::new();
        let all = deployments.iter().flat_map(|it| it.definition.workloads.iter().flatten());
        for workload in all.filter(|it| it.origin == bpmn::Origin::Preexisting) {
            let place = (workload.namespace.clone(), workload.name.clone());
            if present.contains_key(&place) {
                continue;
            }
            let key = Key { kind: Kind::Service, namespace: place.0.clone(), name: place.1.clone() };
            match watch::api(&self.client, &key).get_opt(&place.1).await? {
                Some(service) => {
                    let found = self.found(&place.0, &service).await?;
                    present.insert(place, found);
                }
                None => {
                    let missing = format!("there is no {key}, which the model says is there already");
                    problems.insert(workload.service.clone(), missing);
                }
            }
        }
        Ok(present)
    }

    async fn found(&self, namespace: &str, service: &DynamicObject) -> Result<Found, kube::Error> {
        let selector: BTreeMap<String, String> =
            serde_json::from_value(service.data["spec"]["selector"].clone()).unwrap_or_default();
        if selector.is_empty() {
            return Ok(Found::default());
        }
        let labels: Vec<String> = selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let labels = format!("{},{INJECTED}=true", labels.join(","));
        let pods: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &watch::resource("", "v1", "Pod"));
        let pods = pods.list(&ListParams::default().labels(&labels).limit(1)).await?;
        let account =
            |pod: &DynamicObject| pod.data["spec"]["serviceAccountName"].as_str().unwrap_or("default").to_owned();
        let account = pods.items.first().map(account);
        Ok(Found { selector, injected: account.is_some(), account: account.unwrap_or_default() })
    }

    /// What is there of this mesh.
    async fn there(&self) -> Result<There, kube::Error> {
        let mut there = There::new();
        for kind in Kind::ALL.into_iter().filter(|it| it.is_asked_for(&self.settings)) {
            let all = watch::all(&self.client, &self.settings, kind);
            let listed = match all.list(&watch::listed(&self.settings)).await {
                // a cluster without the Gateway API, or without the right to it: told by the route that cannot be made
                Err(error) if kind == Kind::HttpRoute && [403, 404].iter().any(|it| watch::is_status(&error, *it)) => {
                    continue;
                }
                listed => listed?,
            };
            for object in listed.items {
                let key = Key {
                    kind,
                    namespace: object.metadata.namespace.clone().unwrap_or_default(),
                    name: object.metadata.name.clone().unwrap_or_default(),
                };
                // what is on its way out is there until it is gone, and cannot be kept
                if object.metadata.deletion_timestamp.is_none() {
                    let version = version(kind, &object);
                    let body = match kind {
                        Kind::Deployment | Kind::HttpRoute => {
                            serde_json::to_value(&object).map_err(kube::Error::SerdeError)?
                        }
                        _ => Value::Null,
                    };
                    there.insert(key, Live { version, body });
                }
            }
        }
        Ok(there)
    }

    async fn make(&mut self, object: &Object, there: &There, failed: &mut Failed) -> Result<(), kube::Error> {
        let Object { key, body, .. } = object;
        let kept = there.get(key).and_then(|it| keep(body, &it.body));
        let body = kept.as_ref().unwrap_or(body);
        let digest = Digest::of(body.to_string().as_bytes());
        if there.get(key).is_some_and(|live| self.written.get(key) == Some(&(digest, live.version.clone()))) {
            return Ok(());
        }
        let api = watch::api(&self.client, key);
        let applied = match there.contains_key(key) {
            true => Ok(()),
            false => self.free(key, &api).await?,
        };
        let applied = match applied {
            Ok(()) => {
                let parameters = PatchParams::apply(FIELD_MANAGER).force();
                match api.patch(&key.name, &parameters, &Patch::Apply(body)).await {
                    Ok(object) => {
                        tracing::info!(%key, "written");
                        self.written.insert(key.clone(), (digest, version(key.kind, &object)));
                        Ok(())
                    }
                    Err(error) if key.kind == Kind::Service && watch::is_status(&error, 422) => {
                        // what others wrote stands against ours, such as a port of the same name: it is made anew
                        tracing::warn!(%key, error = watch::reason(&error), "cannot be taken back as it is; made anew");
                        let gone = api.delete(&key.name, &DeleteParams::default()).await;
                        gone.map(|_| ()).map_err(|error| watch::reason(&error))
                    }
                    Err(error) if key.kind == Kind::HttpRoute && watch::is_status(&error, 404) => {
                        Err("the cluster does not know HTTPRoutes: install the CRDs of the Gateway API (v1)".to_owned())
                    }
                    Err(error @ kube::Error::Api(_)) => Err(watch::reason(&error)),
                    Err(error) => return Err(error),
                }
            }
            Err(why) => Err(why),
        };
        if let Err(why) = applied {
            failed.insert(key.clone(), format!("{key} cannot be made: {why}"));
        }
        Ok(())
    }

    /// Whether nobody else has an object of that name.
    async fn free(&self, key: &Key, api: &Api<DynamicObject>) -> Result<Result<(), String>, kube::Error> {
        match api.get_opt(&key.name).await {
            Ok(None) => Ok(Ok(())),
            Ok(Some(object)) if object.metadata.deletion_timestamp.is_some() => {
                Ok(Err("the one before it is not gone yet".to_owned()))
            }
            Ok(Some(_)) => Ok(Err(
                "somebody else has made one of that name; delete it or give the service another host".to_owned(),
            )),
            Err(error @ kube::Error::Api(_)) => Ok(Err(watch::reason(&error))),
            Err(error) => Err(error),
        }
    }

    /// Deletes what is ours and not wanted, what was made last first.
    async fn remove(&mut self, wanted: &[Object], there: &There) -> Result<(), kube::Error> {
        let wanted: BTreeSet<&Key> = wanted.iter().map(|it| &it.key).collect();
        self.written.retain(|key, _| wanted.contains(key));
        let going: BTreeSet<&str> = (there.keys())
            .filter(|key| key.kind == Kind::Namespace && !wanted.contains(key))
            .map(|key| key.name.as_str())
            .collect();
        // what is in a namespace that goes, goes with it
        let single = there.keys().rev().filter(|key| !wanted.contains(key) && !going.contains(key.namespace.as_str()));
        for key in single {
            match watch::api(&self.client, key).delete(&key.name, &DeleteParams::foreground()).await {
                Ok(_) => tracing::info!(%key, "removed"),
                Err(error) if watch::is_status(&error, 404) => {}
                Err(error @ kube::Error::Api(_)) => {
                    tracing::warn!(%key, error = watch::reason(&error), "cannot be removed")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Adds what could not be made to the problems of its services.
fn hinder(wanted: &[Object], failed: &Failed, problems: &mut Problems) {
    for object in wanted {
        let Some(why) = failed.get(&object.key) else { continue };
        for service in &object.services {
            // the first one is what the others come from
            problems.entry(service.clone()).or_insert_with(|| why.clone());
        }
    }
}

/// How far the Deployments of tasks are, by service.
fn rollouts(wanted: &[Object], there: &There) -> BTreeMap<ServiceName, Rollout> {
    let live = wanted.iter().filter_map(|it| Some((it, rollout(&there.get(&it.key)?.body)?)));
    live.flat_map(|(it, rollout)| it.services.iter().map(move |service| (service.clone(), rollout.clone()))).collect()
}

/// The Deployments of tasks, as they are.
fn workloads<'a>(wanted: &'a [Object], there: &'a There) -> Vec<Workload<'a>> {
    let one = |object: &'a Object| {
        let live = &there.get(&object.key)?.body;
        let rolls = !rollout(live)?.lacks.is_empty();
        Some(Workload { object, live, image: image(live)?, rolls })
    };
    wanted.iter().filter_map(one).collect()
}

/// What changes when somebody else has written to it.
fn version(kind: Kind, object: &DynamicObject) -> String {
    match (kind, object.metadata.generation) {
        // its status changes all the time, which is nobody's writing
        (Kind::Deployment | Kind::HttpRoute, Some(generation)) => generation.to_string(),
        _ => object.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// Whether this flowd may do what it has to; for the log at the start.
pub(crate) async fn greet(client: &Client, settings: &Settings) {
    match client.apiserver_version().await {
        Ok(version) => {
            tracing::info!(kubernetes = version.git_version, istio = settings.istio, "looking after the cluster")
        }
        Err(error) => tracing::warn!(error = watch::reason(&error), "the API server cannot be reached; trying again"),
    }
}
