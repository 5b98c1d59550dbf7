//! Everything about one deployment or instance: `describe`, laid out as kubectl does it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::deployment::{Deployment, Ingress};
use super::instance::Instance;
use super::trace::Trace;
use super::{Show, table, time};

/// One deployment in full.
#[derive(Debug)]
pub(crate) struct OfDeployment {
    pub(crate) deployment: Deployment,
    /// The sidecars that serve it.
    pub(crate) sidecars: Vec<Sidecar>,
    /// Its newest instances.
    pub(crate) instances: Vec<Instance>,
}

/// One sidecar, as flowd sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Sidecar {
    /// Id of its journal.
    pub(crate) incarnation: String,
    pub(crate) hop_address: String,
    /// Names of the services it stands beside.
    pub(crate) serves: Vec<String>,
    pub(crate) version: String,
    pub(crate) connected: bool,
}

/// One instance in full.
#[derive(Debug)]
pub(crate) struct OfInstance {
    pub(crate) instance: Instance,
    pub(crate) trace: Trace,
}

impl Show for OfDeployment {
    fn json(&self) -> Value {
        let mut all = self.deployment.json();
        all["sidecars"] = json!(self.sidecars);
        all["instances"] = self.instances.iter().map(Instance::json).collect();
        all
    }

    fn names(&self) -> Vec<String> {
        vec![format!("deployment/{}", self.deployment.id)]
    }

    fn text(&self, _wide: bool, now: Timestamp) -> String {
        let deployment = &self.deployment;
        let ingress: Vec<_> = deployment.ingress.iter().map(Ingress::to_string).collect();
        let mut text = fields(&[
            ("Deployment", deployment.id.clone()),
            ("Process", deployment.process.clone()),
            ("Workflow", deployment.workflow.clone()),
            ("State", table::paint(&deployment.state)),
            ("Reason", deployment.reason.clone()),
            ("Applied", when(deployment.applied, now)),
            ("Start events", deployment.start_events.join(", ")),
            ("Ingress", ingress.join(", ")),
            ("Metadata", if deployment.metadata.is_null() { String::new() } else { deployment.metadata.to_string() }),
        ]);
        let tasks = deployment.tasks.iter().map(|task| {
            let ready = format!("{}/{}", task.ready_replicas, task.replicas);
            [
                task.element.clone(),
                task.name.clone(),
                task.service.clone(),
                task.health.clone(),
                ready,
                task.reason.clone(),
            ]
        });
        let headings = ["ELEMENT", "NAME", "SERVICE", "HEALTH", "READY", "REASON"];
        section(&mut text, "Tasks", &table::render(headings, tasks));
        let conditions = deployment.tasks.iter().flat_map(|task| {
            task.conditions.iter().map(|it| [task.element.clone(), it.kind.clone(), it.message.clone()])
        });
        section(&mut text, "Conditions", &table::render(["ELEMENT", "TYPE", "MESSAGE"], conditions));
        let sidecars = self.sidecars.iter().map(|sidecar| {
            let connected = if sidecar.connected { "UP" } else { "DOWN" };
            [sidecar.hop_address.clone(), sidecar.serves.join(","), connected.to_owned(), sidecar.version.clone()]
        });
        section(&mut text, "Sidecars", &table::render(["ADDRESS", "SERVES", "CONNECTED", "VERSION"], sidecars));
        let instances = self.instances.iter().map(|instance| {
            let error = instance.error.as_ref().map(|error| format!("{} at {}", error.code, error.element));
            [
                instance.id.clone(),
                instance.state.word().to_owned(),
                time::age(instance.started, now),
                error.unwrap_or_default(),
            ]
        });
        section(&mut text, "Instances", &table::render(["ID", "STATE", "AGE", "ERROR"], instances));
        text
    }
}

impl Show for OfInstance {
    fn json(&self) -> Value {
        let mut all = self.instance.json();
        all["trace"] = self.trace.json();
        all
    }

    fn original(&self) -> Value {
        json!({ self.instance.id.as_str(): self.instance.original() })
    }

    fn names(&self) -> Vec<String> {
        vec![format!("instance/{}", self.instance.id)]
    }

    fn text(&self, wide: bool, now: Timestamp) -> String {
        let instance = &self.instance;
        let metadata: Vec<_> = instance.metadata.iter().map(|(key, text)| format!("{key}={text}")).collect();
        let mut text = fields(&[
            ("Instance", instance.id.clone()),
            ("Deployment", instance.deployment.clone()),
            ("Process", instance.process.clone()),
            ("State", table::paint(instance.state.word())),
            ("Incidents", if instance.incidents > 0 { instance.incidents.to_string() } else { String::new() }),
            ("Started", when(instance.started, now)),
            ("Ended", when(instance.ended, now)),
            ("End event", instance.end_event.clone()),
            ("Metadata", metadata.join(", ")),
        ]);
        if let Some(error) = &instance.error {
            let lines = fields(&[
                ("Code", error.code.clone()),
                ("Message", error.message.clone()),
                ("Element", format!("{} {}", error.element, error.name)),
                ("Input", table::one_line(&error.input.brief())),
                ("Output", table::one_line(&error.output.brief())),
            ]);
            section(&mut text, "Error", &lines);
        }
        if !instance.result.is_empty() {
            section(&mut text, "Result", &format!("{:#}\n", instance.result.json()));
        }
        let waiting = instance.waiting.iter();
        let waiting = waiting.map(|place| [place.element.clone(), place.kind.clone(), place.reason.clone()]);
        section(&mut text, "Waiting", &table::render(["ELEMENT", "KIND", "FOR"], waiting));
        let operations = instance.operations.iter().map(|it| {
            let at = it.at.map_or_else(String::new, |at| format!("{at:.3}"));
            [at, it.what.clone(), it.by.clone(), it.reason.clone()]
        });
        section(&mut text, "Operations", &table::render(["AT", "WHAT", "BY", "REASON"], operations));
        section(&mut text, "Trace", &self.trace.text(wide, now));
        text
    }
}

/// `Name:  text` lines, aligned; what is empty is left out.
fn fields(fields: &[(&str, String)]) -> String {
    let shown = fields.iter().filter(|(_, text)| !text.is_empty());
    shown.map(|(name, text)| format!("{:<15}{text}\n", format!("{name}:"))).collect()
}

fn section(text: &mut String, title: &str, body: &str) {
    if body.is_empty() {
        return;
    }
    text.push_str(title);
    text.push_str(":\n");
    for line in body.lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
}

fn when(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(String::new, |time| format!("{time:.3} ({} ago)", time::age(then, now)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::deployment::tests::degraded;
    use crate::output::instance::tests::{completed, stopped};
    use crate::output::tests::every_form;
    use crate::output::trace::tests::hop;

    fn sidecar() -> Sidecar {
        Sidecar {
            incarnation: "0192f0c1d2e37abc8def0123456789ab".into(),
            hop_address: "127.0.0.1:41001".into(),
            serves: vec!["charge-service".into()],
            version: "0.1.0".into(),
            connected: true,
        }
    }

    #[test]
    fn a_deployment_in_every_form() {
        insta::assert_snapshot!(every_form(&OfDeployment {
            deployment: degraded(),
            sidecars: vec![sidecar()],
            instances: vec![stopped()]
        }));
    }

    #[test]
    fn a_completed_instance_in_every_form() {
        let hops = vec![hop("collect", -65_000, Some(-64_990), 1, "completed")];
        let trace = Trace { instance: completed().id, hops };
        insta::assert_snapshot!(every_form(&OfInstance { instance: completed(), trace }));
    }

    #[test]
    fn an_instance_that_waits_in_every_form() {
        let trace = Trace { instance: stopped().id, hops: vec![hop("charge", -65_000, None, 3, "incident")] };
        insta::assert_snapshot!(every_form(&OfInstance { instance: stopped(), trace }));
    }
}
