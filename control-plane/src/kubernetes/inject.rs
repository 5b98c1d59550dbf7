//! The sidecar gets into a pod: by the webhook when the pod is made, by `flowctl inject` in a file. Pure.
//!
//! Promises: the same pod twice is the same pod; containers, init containers, probes and hooks of the pod's own stay as they are; it is right
//! whether Istio's injector has been there before or comes afterwards. [`uninject`] takes out what [`inject`] put in.

use serde_json::{Map, Value, json};

use super::container::{self, Purpose, Tuning};
use super::{ADMIN_PORT, HOP_PORT, HopTls, Settings};

/// `"false"` on a pod keeps the sidecar out, `"true"` wants it in a namespace that does not ask for it.
pub const INJECT: &str = "rexflow.io/inject";
/// The label of a namespace whose pods get a sidecar, with the value `enabled`.
pub const INJECTION: &str = "rexflow.io/injection";
/// The label of a pod that has one.
pub const INJECTED: &str = "rexflow.io/injected";
/// What was put in, as JSON; for [`uninject`].
pub const STATUS: &str = "rexflow.io/status";
/// The service that the pod's task is, if its label `app` does not say it.
pub const SERVICE: &str = "rexflow.io/service";
/// The port of the task, if it is not the first port of the first container.
pub const PORT: &str = "rexflow.io/port";
/// All that the sidecar serves, as `flow-sidecar --serve` has it, instead of one service.
pub const SERVE: &str = "rexflow.io/serve";
/// Which container is the task, if it is not the first one.
const CONTAINER: &str = "rexflow.io/container";
/// `"false"` makes the sidecar an ordinary container.
const NATIVE: &str = "rexflow.io/native-sidecar";
const IMAGE: &str = "rexflow.io/sidecar-image";
const LOG_LEVEL: &str = "rexflow.io/log-level";
const CPU: (&str, &str) = ("rexflow.io/sidecar-cpu", "rexflow.io/sidecar-cpu-limit");
const MEMORY: (&str, &str) = ("rexflow.io/sidecar-memory", "rexflow.io/sidecar-memory-limit");
/// Ports that Istio lets alone, from outside and to the outside.
pub(super) const EXCLUDED: [&str; 2] =
    ["traffic.sidecar.istio.io/excludeInboundPorts", "traffic.sidecar.istio.io/excludeOutboundPorts"];
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Containers of others that are never the task.
const NOT_A_TASK: [&str; 2] = ["istio-proxy", container::NAME];

/// What became of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It has the sidecar now.
    Injected(Box<Value>),
    /// It has one already.
    Unchanged,
    /// It gets none.
    Skipped(String),
}

/// A pod, or the template of one, of `namespace`, with the sidecar in it.
pub fn inject(pod: &Value, namespace: &str, settings: &Settings) -> Outcome {
    let about = About { pod };
    if about.annotation(STATUS).is_some() {
        return Outcome::Unchanged;
    }
    if about.label(INJECT) == Some("false") {
        return Outcome::Skipped(format!("its label {INJECT} says so"));
    }
    if pod["spec"]["hostNetwork"] == json!(true) {
        return Outcome::Skipped("it is in the node's network, where a sidecar would take the node's ports".to_owned());
    }
    let purpose = match about.purpose(namespace) {
        Ok(purpose) => purpose,
        Err(why) => return Outcome::Skipped(why),
    };
    let Some(task) = about.task() else { return Outcome::Skipped("it has no container".to_owned()) };
    let native = about.annotation(NATIVE) != Some("false");
    let mut injected = pod.clone();
    let hooked = add(&mut injected, &task, settings, &purpose, native);
    let excluded = exclude(&mut injected, settings);
    let metadata = &mut injected["metadata"];
    let unnamed = metadata["annotations"][DEFAULT_CONTAINER].is_null();
    if unnamed {
        metadata["annotations"][DEFAULT_CONTAINER] = json!(task);
    }
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "hooked": hooked.then_some(&task),
        "excluded": excluded,
        "default": unnamed,
    });
    metadata["annotations"][STATUS] = json!(status.to_string());
    metadata["labels"][INJECTED] = json!("true");
    Outcome::Injected(Box::new(injected))
}

/// Puts the container, its volumes and the task's hook in; whether the hook is ours.
fn add(pod: &mut Value, task: &str, settings: &Settings, purpose: &Purpose, native: bool) -> bool {
    let spec = &mut pod["spec"];
    let sidecar = container::sidecar(settings, purpose, native);
    // behind all that are there: Istio's proxy runs before it, and goes on when it has ended
    push(spec, if native { "initContainers" } else { "containers" }, sidecar);
    container::volumes(settings).into_iter().for_each(|volume| push(spec, "volumes", volume));
    let containers = spec["containers"].as_array_mut().into_iter().flatten();
    let Some(task) = containers.into_iter().find(|it| it["name"] == task) else { return false };
    if !task["lifecycle"]["preStop"].is_null() {
        return false;
    }
    task["lifecycle"]["preStop"] = json!({"httpGet": {"path": "/drained", "port": ADMIN_PORT}});
    true
}

fn push(spec: &mut Value, list: &str, item: Value) {
    match &mut spec[list] {
        Value::Array(items) => items.push(item),
        absent => *absent = json!([item]),
    }
}

/// The ports that Istio is to let alone, as [`EXCLUDED`]: a kubelet, which probes, has no certificate; hops that the sidecars encrypt themselves go
/// past the proxies, and so does what they tell flowd.
pub(super) fn excluded(settings: &Settings) -> [Vec<u16>; 2] {
    match (settings.istio, settings.hops) {
        (false, _) => [Vec::new(), Vec::new()],
        (true, HopTls::Mesh) => [vec![ADMIN_PORT], Vec::new()],
        (true, HopTls::Own) => [vec![HOP_PORT, ADMIN_PORT], vec![HOP_PORT, settings.control]],
    }
}

/// Adds the sidecar's ports to those that Istio lets alone; which ones were not among them.
fn exclude(pod: &mut Value, settings: &Settings) -> Vec<Vec<String>> {
    let annotations = &mut pod["metadata"]["annotations"];
    let each = EXCLUDED.iter().zip(excluded(settings)).map(|(name, ports)| {
        let given = annotations[*name].as_str().unwrap_or_default().trim().to_owned();
        let missing = |port: &String| !given.split(',').any(|it| it.trim() == port);
        let added: Vec<String> = ports.iter().map(u16::to_string).filter(missing).collect();
        if !added.is_empty() {
            let all = [given.as_str()].into_iter().filter(|it| !it.is_empty()).chain(added.iter().map(String::as_str));
            annotations[*name] = json!(all.collect::<Vec<_>>().join(","));
        }
        added
    });
    each.collect()
}

/// What a pod says about itself.
struct About<'a> {
    pod: &'a Value,
}

impl<'a> About<'a> {
    fn annotation(&self, name: &str) -> Option<&'a str> {
        self.pod["metadata"]["annotations"][name].as_str().map(str::trim).filter(|it| !it.is_empty())
    }

    fn label(&self, name: &str) -> Option<&'a str> {
        self.pod["metadata"]["labels"][name].as_str()
    }

    fn containers(&self) -> impl Iterator<Item = &'a Value> {
        self.pod["spec"]["containers"].as_array().into_iter().flatten()
    }

    /// The name of the container that is the task.
    fn task(&self) -> Option<String> {
        let named = self.annotation(CONTAINER);
        let is_task = |it: &&Value| match (named, it["name"].as_str()) {
            (Some(named), Some(name)) => name == named,
            (None, Some(name)) => !NOT_A_TASK.contains(&name),
            (_, None) => false,
        };
        self.containers().find(is_task)?["name"].as_str().map(str::to_owned)
    }

    fn port(&self) -> Option<u64> {
        match self.annotation(PORT) {
            Some(given) => given.parse().ok().filter(|it| (1..=65_535).contains(it)),
            None => {
                let task = self.task()?;
                self.containers().find(|it| it["name"] == task.as_str())?["ports"][0]["containerPort"].as_u64()
            }
        }
    }

    fn purpose(&self, namespace: &str) -> Result<Purpose, String> {
        let name =
            self.annotation(SERVICE).or_else(|| self.label("app.kubernetes.io/name")).or_else(|| self.label("app"));
        let serve = match (self.annotation(SERVE), name, self.port()) {
            (Some(serve), ..) => serve.to_owned(),
            (None, None, _) => {
                return Err(format!(
                    "nothing says which service it is: give it the label `app`, or the annotation {SERVICE} or {SERVE}"
                ));
            }
            (None, Some(name), None) => {
                return Err(format!(
                    "nothing says where service {name} listens: give its container a port, or the pod the annotation {PORT}"
                ));
            }
            (None, Some(name), Some(port)) => format!("{name}.{namespace}=http://127.0.0.1:{port}"),
        };
        let both =
            |names: (&str, &str)| (self.annotation(names.0).map(Into::into), self.annotation(names.1).map(Into::into));
        let grace = self.pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(container::GRACE);
        Ok(Purpose {
            serve,
            service: super::objects::hop_service(name.unwrap_or(container::NAME)),
            namespace: namespace.to_owned(),
            grace,
            tuning: Tuning {
                image: self.annotation(IMAGE).map(Into::into),
                log_level: self.annotation(LOG_LEVEL).map(Into::into),
                cpu: both(CPU),
                memory: both(MEMORY),
            },
        })
    }
}

/// The pod without what [`inject`] put in; `None` if it has nothing of ours.
pub fn uninject(pod: &Value) -> Option<Value> {
    let status: Value = serde_json::from_str(pod["metadata"]["annotations"][STATUS].as_str()?).ok()?;
    let mut pod = pod.clone();
    let spec = pod["spec"].as_object_mut()?;
    drop_named(spec, "initContainers", container::NAME);
    drop_named(spec, "containers", container::NAME);
    container::VOLUMES.iter().for_each(|it| drop_named(spec, "volumes", it));
    let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
    if let Some(task) =
        containers.into_iter().flatten().find(|it| !it["name"].is_null() && it["name"] == status["hooked"])
        && let Some(task) = task.as_object_mut()
    {
        drop_member(task, "lifecycle", "preStop");
    }
    let metadata = pod["metadata"].as_object_mut()?;
    for (name, added) in EXCLUDED.iter().zip(status["excluded"].as_array().into_iter().flatten()) {
        let given = metadata["annotations"][*name].as_str().unwrap_or_default().to_owned();
        let ours = |port: &&str| added.as_array().into_iter().flatten().any(|it| it == port.trim());
        let rest: Vec<&str> = given.split(',').filter(|it| !ours(it)).collect();
        match rest.iter().all(|it| it.trim().is_empty()) {
            true => drop_member(metadata, "annotations", name),
            false => metadata["annotations"][*name] = json!(rest.join(",")),
        }
    }
    if status["default"] == json!(true) {
        drop_member(metadata, "annotations", DEFAULT_CONTAINER);
    }
    drop_member(metadata, "annotations", STATUS);
    drop_member(metadata, "labels", INJECTED);
    Some(pod)
}

fn drop_named(spec: &mut Map<String, Value>, list: &str, name: &str) {
    let Some(items) = spec.get_mut(list).and_then(Value::as_array_mut) else { return };
    items.retain(|it| it["name"] != name);
    if items.is_empty() && list != "containers" {
        spec.remove(list);
    }
}

/// Takes a member out, and what held it if nothing else is in there.
fn drop_member(of: &mut Map<String, Value>, holder: &str, member: &str) {
    if let Some(held) = of.get_mut(holder).and_then(Value::as_object_mut) {
        held.remove(member);
        if held.is_empty() {
            of.remove(holder);
        }
    }
}

/// Where the pods of a manifest are: itself, or the template of what makes pods.
fn template(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Pod" => &[],
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "ReplicationController" => {
            &["spec", "template"]
        }
        "CronJob" => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    })
}

/// A manifest with sidecars in all of its pods; what was not touched, and why.
pub fn manifest(object: &Value, settings: &Settings, skipped: &mut Vec<String>) -> Value {
    walk(object, &mut |pod, named, namespace| match inject(pod, namespace, settings) {
        Outcome::Injected(pod) => Some(*pod),
        Outcome::Unchanged => None,
        Outcome::Skipped(why) => {
            skipped.push(format!("{named}: {why}"));
            None
        }
    })
}

/// A manifest without sidecars in any of its pods.
pub fn clean(object: &Value) -> Value {
    walk(object, &mut |pod, _, _| uninject(pod))
}

type Change<'a> = dyn FnMut(&Value, &str, &str) -> Option<Value> + 'a;

fn walk(object: &Value, change: &mut Change<'_>) -> Value {
    let mut object = object.clone();
    if object["kind"] == "List" {
        let items = object["items"].as_array().into_iter().flatten();
        let items: Vec<Value> = items.map(|it| walk(it, change)).collect();
        object["items"] = Value::Array(items);
        return object;
    }
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let Some(path) = template(&kind) else { return object };
    let name = object["metadata"]["name"].as_str().unwrap_or("without a name");
    let (named, namespace) =
        (format!("{kind} {name}"), object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned());
    let pod = path.iter().try_fold(&mut object, |at, step| at.get_mut(*step));
    if let Some(pod) = pod
        && let Some(changed) = change(pod, &named, &namespace)
    {
        *pod = changed;
    }
    object
}

#[cfg(test)]
mod tests;
