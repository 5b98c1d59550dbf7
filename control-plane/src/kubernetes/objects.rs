//! What is to be in the cluster for the deployments that are applied. Pure: deployments and what was found go in, objects come out.
//!
//! For a service that a deployment brings: its namespace, a service account, a Deployment, a Service and, headless, `<name>-flow` before the hop
//! port of its sidecars. For a pre-existing one the hop Service alone, if its pods have sidecars; else a standing sidecar that calls it over the
//! network. Under Istio also who may offer tokens there: the predecessors in the diagram, and flowd. For a way in, its route from the gateway.

mod image;
mod kind;
mod policy;
mod route;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bpmn::binding::{Health, safe_name};
use bpmn::{Origin, Workload};
use routing::ServiceName;
use serde_json::{Value, json};

pub(crate) use image::Rollout;
pub use image::{Images, Swapped};
#[cfg(feature = "kubernetes")]
pub(crate) use image::{image, keep, rollout};
pub use kind::{Key, Kind, Object};
pub(crate) use route::Routes;

use self::image::Wanted;
use super::container::{self, Purpose, Tuning};
use super::inject::{self, INJECT, INJECTED, INJECTION, PORT, SERVE, SERVICE};
use super::{DEPLOYMENT, HOP_PORT, HopTls, MANAGED_BY, MANAGER, MESH, Settings};
use crate::ingress::Route;

/// The sidecars of connectors are one Deployment of this name, beside flowd.
const CONNECTORS: &str = "flow-connectors";

/// A deployment that is to run.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'a> {
    /// Its id.
    pub deployment: &'a str,
    /// Its services.
    pub workloads: &'a [Workload],
    /// From a service to one that gets its tokens directly.
    pub edges: &'a BTreeSet<(ServiceName, ServiceName)>,
    /// Whether some of its tasks are connectors.
    pub connectors: bool,
    /// Its ways in.
    pub(crate) ingress: &'a [Route],
}

/// A pre-existing service, as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The labels of its pods.
    pub selector: BTreeMap<String, String>,
    /// Whether its pods have sidecars.
    pub injected: bool,
    /// The service account of its pods.
    pub account: String,
}

/// Pre-existing services by namespace and name.
pub type Present = BTreeMap<(String, String), Found>;

/// The Service before the hop ports of the sidecars of `name`.
pub fn hop_service(name: &str) -> String {
    safe_name(&format!("{name}-flow"))
}

/// Namespace and service account by the service that the account's pods do.
pub type Accounts = BTreeMap<ServiceName, (String, String)>;

/// Names of hop Services by what is behind them.
pub type Names = BTreeMap<ServiceName, String>;

/// What is to be there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planned {
    /// The objects, in the order in which they are made.
    pub objects: Vec<Object>,
    /// Who does what.
    pub accounts: Accounts,
    /// Where DNS lists the sidecars of what, `NAME:PORT`.
    pub names: Names,
    /// The ways in that a gateway is asked for.
    pub(crate) routes: Routes,
}

/// Everything that is to be there; `swapped`: the images that swaps have put in the place of the models'.
pub fn plan(applied: &[Applied<'_>], present: &Present, swapped: &Images, settings: &Settings) -> Planned {
    let mut plan = Plan { settings, swapped, objects: BTreeMap::new() };
    let mut targets: BTreeMap<(String, String), Target> = BTreeMap::new();
    for deployment in applied {
        for workload in deployment.workloads {
            let key = (workload.namespace.clone(), workload.name.clone());
            let target = targets.entry(key).or_insert_with(|| Target::of(deployment, workload, present));
            target.join(workload);
        }
        if deployment.connectors {
            plan.connectors();
        }
    }
    let own = |target: &Target| (target.namespace.clone(), target.account());
    let mut accounts: Accounts =
        targets.values().flat_map(|target| target.ports.keys().map(|it| (it.clone(), own(target)))).collect();
    for target in targets.values() {
        plan.target(target);
        if settings.istio && settings.hops == HopTls::Mesh {
            let froms = applied.iter().flat_map(|it| it.edges).filter(|(_, to)| target.ports.contains_key(to));
            let principals = froms.filter_map(|(from, _)| accounts.get(from));
            let principals = principals.map(|(namespace, account)| settings.principal(namespace, account)).collect();
            policy::guard(&mut plan, target, principals);
        }
    }
    accounts.insert(routing::table::CONNECTORS.into(), (settings.mesh.clone(), CONNECTORS.to_owned()));
    let routes = route::lead(&mut plan, applied);
    let names = names(targets.values(), settings);
    Planned { objects: plan.objects.into_values().collect(), accounts, names, routes }
}

fn names<'a>(targets: impl Iterator<Item = &'a Target>, settings: &Settings) -> Names {
    let each = targets.flat_map(|target| {
        let name = settings.hops(&target.namespace, &hop_service(&target.name));
        target.ports.keys().map(move |service| (service.clone(), name.clone()))
    });
    let connectors = (routing::table::CONNECTORS.into(), settings.hops(&settings.mesh, CONNECTORS));
    each.chain([connectors]).collect()
}

/// One service, as its objects see it.
struct Target {
    name: String,
    namespace: String,
    deployment: String,
    kind: TargetKind,
    /// What tables name it, with the port that callers use and the container's.
    ports: BTreeMap<ServiceName, (u16, u16)>,
    health: Option<Health>,
}

enum TargetKind {
    Deployed {
        image: String,
        own_namespace: bool,
        priority_class: Option<String>,
    },
    /// It is there, and its pods have sidecars.
    Injected(Found),
    /// It is there, and a standing sidecar calls it.
    Standing,
}

impl Target {
    fn of(applied: &Applied<'_>, workload: &Workload, present: &Present) -> Self {
        let key = (workload.namespace.clone(), workload.name.clone());
        let kind = match (&workload.origin, present.get(&key)) {
            (Origin::Deployed { image, own_namespace, priority_class }, _) => TargetKind::Deployed {
                image: image.clone(),
                own_namespace: *own_namespace,
                priority_class: priority_class.clone(),
            },
            (Origin::Preexisting, Some(found)) if found.injected => TargetKind::Injected(found.clone()),
            (Origin::Preexisting, _) => TargetKind::Standing,
        };
        let (namespace, name) = key;
        Self { name, namespace, deployment: safe_name(applied.deployment), kind, ports: BTreeMap::new(), health: None }
    }

    fn join(&mut self, workload: &Workload) {
        self.ports.insert(workload.service.clone(), (workload.port, workload.target_port));
        self.health = self.health.take().or_else(|| workload.health.clone());
    }

    fn services(&self) -> BTreeSet<ServiceName> {
        self.ports.keys().cloned().collect()
    }

    /// The service account that its sidecars offer tokens as.
    fn account(&self) -> String {
        match &self.kind {
            TargetKind::Deployed { .. } => self.name.clone(),
            TargetKind::Injected(found) => found.account.clone(),
            TargetKind::Standing => hop_service(&self.name),
        }
    }

    /// The labels of the pods that its sidecars are in.
    fn pods(&self) -> BTreeMap<String, String> {
        match &self.kind {
            TargetKind::Deployed { .. } => BTreeMap::from([("app".to_owned(), self.name.clone())]),
            TargetKind::Injected(found) => {
                let mut selector = found.selector.clone();
                selector.insert(INJECTED.to_owned(), "true".to_owned());
                selector
            }
            TargetKind::Standing => BTreeMap::from([("app".to_owned(), hop_service(&self.name))]),
        }
    }
}

struct Plan<'a> {
    settings: &'a Settings,
    swapped: &'a Images,
    objects: BTreeMap<Key, Object>,
}

impl Plan<'_> {
    fn add(&mut self, kind: Kind, place: (&str, &str), services: BTreeSet<ServiceName>, body: Value) {
        let (namespace, name) = place;
        let key = Key { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        let (group, version, kind) = kind.gvk();
        let api = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let mut whole = json!({"apiVersion": api, "kind": kind});
        if let (Value::Object(whole), Value::Object(body)) = (&mut whole, body) {
            whole.extend(body);
        }
        match self.objects.get_mut(&key) {
            Some(there) => there.services.extend(services),
            None => {
                self.objects.insert(key.clone(), Object { key, body: whole, services });
            }
        }
    }

    fn metadata(&self, namespace: &str, name: &str, deployment: Option<&str>) -> Value {
        let mut labels = json!({MANAGED_BY: MANAGER, MESH: self.settings.mesh});
        if let Some(deployment) = deployment {
            labels[DEPLOYMENT] = json!(deployment);
        }
        match namespace.is_empty() {
            true => json!({"name": name, "labels": labels}),
            false => json!({"name": name, "namespace": namespace, "labels": labels}),
        }
    }

    fn target(&mut self, target: &Target) {
        match &target.kind {
            TargetKind::Deployed { image, own_namespace, priority_class } => {
                if *own_namespace {
                    self.namespace(target);
                }
                self.account(target);
                self.deployed(target, image, priority_class.as_deref());
                self.service(target);
            }
            TargetKind::Injected(_) => {}
            TargetKind::Standing => {
                self.account(target);
                let each = target.ports.iter().map(|(service, (port, _))| {
                    format!("{service}=http://{}.{}.svc.{}:{port}", target.name, target.namespace, self.settings.domain)
                });
                let serve = each.collect::<Vec<_>>().join(",");
                self.standing((&target.namespace, &hop_service(&target.name)), serve, target.services());
            }
        }
        let hop = hop_service(&target.name);
        self.hop((&target.namespace, &hop), &target.pods(), target.services());
    }

    fn namespace(&mut self, target: &Target) {
        let name = &target.namespace;
        let mut metadata = self.metadata("", name, Some(&target.deployment));
        metadata["labels"][INJECTION] = json!("enabled");
        if self.settings.istio {
            metadata["labels"]["istio-injection"] = json!("enabled");
        }
        self.add(Kind::Namespace, ("", name), target.services(), json!({"metadata": metadata}));
    }

    fn account(&mut self, target: &Target) {
        let (namespace, name) = (target.namespace.as_str(), target.account());
        let owner = matches!(target.kind, TargetKind::Deployed { .. }).then_some(target.deployment.as_str());
        let metadata = self.metadata(namespace, &name, owner);
        self.add(Kind::ServiceAccount, (namespace, &name), target.services(), json!({"metadata": metadata}));
    }

    fn deployed(&mut self, target: &Target, image: &str, priority_class: Option<&str>) {
        let Target { name, namespace, deployment, .. } = target;
        let numbers: BTreeSet<u16> = target.ports.values().map(|(_, container)| *container).collect();
        let ports: Vec<Value> = numbers.iter().map(|port| json!({"containerPort": port, "protocol": "TCP"})).collect();
        let serve = target.ports.iter().map(|(service, (_, port))| format!("{service}=http://127.0.0.1:{port}"));
        let image = Wanted::of(image, target.ports.keys().find_map(|it| self.swapped.get(it)));
        let mut task = json!({"name": name, "image": image.image, "ports": ports});
        if let (Some(health), Some(port)) = (&target.health, numbers.first()) {
            probes(&mut task, health, *port);
        }
        let mut labels =
            json!({"app": name, MANAGED_BY: MANAGER, MESH: self.settings.mesh, DEPLOYMENT: deployment, INJECT: "true"});
        if self.settings.istio {
            labels["sidecar.istio.io/inject"] = json!("true");
        }
        let mut annotations = json!({
            SERVICE: name,
            PORT: numbers.first().map(u16::to_string),
            SERVE: serve.collect::<Vec<_>>().join(","),
        });
        exclude(&mut annotations, self.settings);
        let mut pod =
            json!({"serviceAccountName": target.account(), "enableServiceLinks": false, "containers": [task]});
        if let Some(class) = priority_class {
            pod["priorityClassName"] = json!(class);
        }
        let mut metadata = self.metadata(namespace, name, Some(deployment));
        metadata["annotations"] = image.annotations();
        // without replicas: how many is for people and autoscalers to say
        let body = json!({
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
            },
        });
        self.add(Kind::Deployment, (namespace, name), target.services(), body);
    }

    fn service(&mut self, target: &Target) {
        let Target { name, namespace, deployment, .. } = target;
        let pairs: BTreeSet<(u16, u16)> = target.ports.values().copied().collect();
        let port = |(port, container): &(u16, u16)| json!({"name": format!("http-{port}"), "port": port, "targetPort": container, "protocol": "TCP"});
        let ports: Vec<Value> = pairs.iter().map(port).collect();
        let body = json!({
            "metadata": self.metadata(namespace, name, Some(deployment)),
            "spec": {"selector": {"app": name}, "ports": ports},
        });
        self.add(Kind::Service, (namespace, name), target.services(), body);
    }

    fn hop(&mut self, place: (&str, &str), pods: &BTreeMap<String, String>, services: BTreeSet<ServiceName>) {
        let body = json!({
            "metadata": self.metadata(place.0, place.1, None),
            "spec": {
                "clusterIP": "None",
                // a sidecar that drains or starts is still asked what became of offers
                "publishNotReadyAddresses": true,
                "selector": pods,
                "ports": [{
                    "name": "http2-hop", "port": HOP_PORT, "targetPort": HOP_PORT, "protocol": "TCP",
                    "appProtocol": "kubernetes.io/h2c",
                }],
            },
        });
        self.add(Kind::Service, place, services, body);
    }

    /// Sidecars with nobody beside them.
    fn standing(&mut self, place: (&str, &str), serve: String, services: BTreeSet<ServiceName>) {
        let (namespace, name) = place;
        let purpose = Purpose {
            serve,
            service: name.to_owned(),
            namespace: namespace.to_owned(),
            grace: container::GRACE,
            tuning: Tuning::default(),
        };
        let mut labels = json!({"app": name, MANAGED_BY: MANAGER, MESH: self.settings.mesh, INJECT: "false"});
        if self.settings.istio {
            labels["sidecar.istio.io/inject"] = json!("true");
        }
        let sidecar = container::sidecar(self.settings, &purpose, false);
        let mut annotations = json!({});
        exclude(&mut annotations, self.settings);
        let body = json!({
            "metadata": self.metadata(namespace, name, None),
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "template": {
                    "metadata": {"labels": labels, "annotations": annotations},
                    "spec": {
                        "serviceAccountName": name, "enableServiceLinks": false,
                        "containers": [sidecar], "volumes": container::volumes(self.settings),
                    },
                },
            },
        });
        self.add(Kind::Deployment, place, services, body);
    }

    /// The sidecars that make the calls of connectors.
    fn connectors(&mut self) {
        let namespace = self.settings.mesh.clone();
        let services = BTreeSet::from([ServiceName::from(routing::table::CONNECTORS)]);
        let place = (namespace.as_str(), CONNECTORS);
        let metadata = self.metadata(place.0, place.1, None);
        self.add(Kind::ServiceAccount, place, services.clone(), json!({"metadata": metadata}));
        self.standing(place, format!("{}=", routing::table::CONNECTORS), services.clone());
        self.hop(place, &BTreeMap::from([("app".to_owned(), CONNECTORS.to_owned())]), services);
    }
}

/// Has Istio let the sidecar's ports alone, whichever injector comes first.
fn exclude(annotations: &mut Value, settings: &Settings) {
    for (name, ports) in inject::EXCLUDED.iter().zip(inject::excluded(settings)) {
        if !ports.is_empty() {
            annotations[*name] = json!(ports.iter().map(u16::to_string).collect::<Vec<_>>().join(","));
        }
    }
}

/// The container's probes, from the annotation's health check.
fn probes(task: &mut Value, health: &Health, port: u16) {
    if health.method != "GET" {
        return;
    }
    let seconds = |milliseconds: u64| milliseconds.div_ceil(1_000).max(1);
    let path = match &health.query {
        Some(query) => format!("{}?{query}", health.path),
        None => health.path.clone(),
    };
    let probe = json!({
        "httpGet": {"path": path, "port": port},
        "periodSeconds": seconds(health.period),
        "timeoutSeconds": seconds(health.timeout),
        "failureThreshold": health.failure_threshold,
    });
    task["readinessProbe"] = probe.clone();
    task["livenessProbe"] = probe;
    task["livenessProbe"]["initialDelaySeconds"] = json!(health.initial_delay.div_ceil(1_000));
}

/// The objects of the processes of an accepted model, for people to read; pre-existing services count as without sidecars.
pub fn render(xml: &[u8], checked: &bpmn::Checked, settings: &Settings) -> Vec<Value> {
    let brought: Vec<(String, Vec<Workload>)> = (checked.definitions.iter())
        .map(|it| {
            let workloads = bpmn::workloads(xml, it.process.as_str(), &it.deployment);
            (it.deployment.to_string(), workloads)
        })
        .collect();
    let edges = BTreeSet::new();
    let applied: Vec<Applied<'_>> = (brought.iter())
        .map(|(deployment, workloads)| Applied {
            deployment,
            workloads,
            edges: &edges,
            connectors: false,
            ingress: &[],
        })
        .collect();
    plan(&applied, &Present::new(), &Images::new(), settings).objects.into_iter().map(|it| it.body).collect()
}
