//! What a Workflow's status says: from what became of its spec, and from how its deployments fare. Pure.
//!
//! Each condition builds on the one before it: Compiled (the model is one), Resolved (what it refers to is there, and allowed), SidecarsInjected (each
//! task is served), Programmed (each has its table), Ready (instances run). What is not known yet is `Unknown`. A condition's time
//! changes when its status does, and with nothing else.

use std::collections::BTreeMap;

use bpmn::{Diagnostic, Rule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::resource::{Status, TaskStatus, Version};
use crate::definitions::State;
use crate::definitions::state::{Health, TaskView};

/// Tasks and versions that a status tells of; the others are flowctl's to tell.
const MOST: usize = 200;
/// Characters of a message.
const MESSAGE: usize = 2_000;
/// Errors of a model that a message tells of.
const TOLD: usize = 5;

/// Where a spec does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Compiled,
    Resolved,
}

/// Why it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) step: Step,
    /// One word, for programs.
    pub(super) reason: &'static str,
    /// Which element or object, and what to do.
    pub(super) message: String,
    /// Whether that is the last word; else it is looked at still.
    pub(super) known: bool,
}

/// What became of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Applied {
        /// The deployments of its version.
        deployments: Vec<String>,
        /// What the compiler has to say all the same.
        warnings: Vec<String>,
        /// Why a task is not done by what the spec says.
        unsettled: Option<String>,
    },
    Lacking(Lack),
}

impl Outcome {
    /// Whether it stands for as long as spec, ConfigMap and namespaces do; else what is around it may make another of it.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Applied { unsettled, .. } => unsettled.is_none(),
            Self::Lacking(lack) => lack.step == Step::Compiled,
        }
    }
}

/// A deployment of the Workflow.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) deployment: String,
    pub(super) process: String,
    pub(super) state: State,
    pub(super) message: String,
    pub(super) retired: bool,
    pub(super) instances: u64,
    pub(super) tasks: Vec<TaskView>,
}

/// All that a status is made of.
#[derive(Clone, Debug)]
pub(super) struct Observed<'a> {
    pub(super) generation: i64,
    pub(super) outcome: &'a Outcome,
    /// The oldest first.
    pub(super) deployments: &'a [Seen],
    /// What keeps services from being there, by service.
    pub(super) hindered: &'a BTreeMap<String, String>,
    /// Milliseconds since 1970.
    pub(super) now: u64,
}

enum Verdict {
    True(&'static str, String),
    False(&'static str, String),
    Unknown(&'static str, String),
}

impl Observed<'_> {
    /// The whole of it; `before`: as it was told last.
    pub(super) fn status(&self, before: &Status) -> Status {
        let (current, tasks) = (self.current(), self.tasks());
        let ready = tasks.iter().filter(|(_, it)| it.ready > 0 && it.health == Health::Up).count();
        let names = |of: fn(&Seen) -> &String| current.iter().map(|it| of(it).clone()).collect::<Vec<_>>();
        let deployments = names(|it| &it.deployment);
        Status {
            observed_generation: self.generation,
            conditions: conditions(&before.conditions, self.verdicts(&current, &tasks), self.generation, self.now),
            deployment: deployments.join(", "),
            ready: format!("{ready}/{}", tasks.len()),
            instances: current.iter().map(|it| count(it.instances)).sum(),
            tasks: tasks.iter().take(MOST).map(|(deployment, it)| task(deployment, it)).collect(),
            versions: self.deployments.iter().rev().take(MOST).map(|it| version(it, &deployments)).collect(),
            processes: names(|it| &it.process),
            deployments,
        }
    }

    /// The deployments that the spec has come to, or, when it has not, those that go on.
    fn current(&self) -> Vec<&Seen> {
        let all = self.deployments.iter();
        match self.outcome {
            Outcome::Applied { deployments, .. } => all.filter(|it| deployments.contains(&it.deployment)).collect(),
            Outcome::Lacking(_) => all.filter(|it| !it.retired).collect(),
        }
    }

    fn tasks(&self) -> Vec<(&str, &TaskView)> {
        let mut tasks = Vec::new();
        for seen in self.current() {
            tasks.extend(seen.tasks.iter().map(|task| (seen.deployment.as_str(), task)));
        }
        tasks
    }

    fn verdicts(&self, current: &[&Seen], tasks: &[(&str, &TaskView)]) -> [(&'static str, Verdict); 5] {
        let unsettled = match self.outcome {
            Outcome::Lacking(lack) => return self.lacking(lack),
            Outcome::Applied { unsettled, .. } => unsettled,
        };
        let hindered = tasks.iter().find_map(|(_, it)| Some((it, self.hindered.get(&it.service)?)));
        let resolved = match (unsettled, hindered) {
            (Some(why), _) => Verdict::False("NotSwapped", why.clone()),
            (None, Some((it, why))) => Verdict::False("Hindered", format!("task {}: {why}", it.element)),
            (None, None) => Verdict::True("Resolved", String::new()),
        };
        let why = |it: &TaskView, missing: &str| match it.reason.is_empty() {
            true => format!("task {}: {missing}", it.element),
            false => format!("task {}: {}", it.element, it.reason),
        };
        let unserved = tasks.iter().find(|(_, it)| it.replicas == 0);
        let injected = match unserved {
            Some((_, it)) => Verdict::False("NotServed", why(it, "no sidecar serves it")),
            None => Verdict::True("Served", String::new()),
        };
        let programmed = match tasks.iter().find(|(_, it)| it.ready == 0) {
            Some((_, it)) => Verdict::False("NotAcknowledged", why(it, "its sidecar does not have its table yet")),
            None => Verdict::True("Programmed", String::new()),
        };
        [
            ("Compiled", self.compiled()),
            ("Resolved", resolved),
            ("SidecarsInjected", injected),
            ("Programmed", programmed),
            ("Ready", ready(current)),
        ]
    }

    fn compiled(&self) -> Verdict {
        let warnings = match self.outcome {
            Outcome::Applied { warnings, .. } => warnings.as_slice(),
            Outcome::Lacking(_) => &[],
        };
        let told = match warnings {
            [] => String::new(),
            [only] => format!("one warning: {only}"),
            [first, ..] => format!("{} warnings, the first: {first}", warnings.len()),
        };
        Verdict::True("Compiled", told)
    }

    fn lacking(&self, lack: &Lack) -> [(&'static str, Verdict); 5] {
        let Lack { step, reason, message, known } = lack;
        let this = match known {
            true => Verdict::False(reason, message.clone()),
            false => Verdict::Unknown(reason, message.clone()),
        };
        let goes_on: Vec<&str> =
            self.deployments.iter().filter(|it| it.state.accepts()).map(|it| it.deployment.as_str()).collect();
        let ready = match goes_on.is_empty() {
            true => message.clone(),
            false => format!("{message}; {} goes on", goes_on.join(", ")),
        };
        let ready = match known {
            true => Verdict::False(reason, ready),
            false => Verdict::Unknown(reason, ready),
        };
        let after = || Verdict::Unknown("Waiting", format!("waits for {step:?}"));
        let (compiled, resolved) = match step {
            Step::Compiled => (this, after()),
            Step::Resolved => (self.compiled(), this),
        };
        [
            ("Compiled", compiled),
            ("Resolved", resolved),
            ("SidecarsInjected", after()),
            ("Programmed", after()),
            ("Ready", ready),
        ]
    }
}

fn ready(current: &[&Seen]) -> Verdict {
    let told = |it: &Seen| match it.state {
        State::Stopped | State::Stopping => {
            let id = &it.deployment;
            format!("{id} is {}, by an operator's word: `flowctl start -d {id}` once it is STOPPED", it.state)
        }
        _ => format!("{} is {}: {}", it.deployment, it.state, it.message),
    };
    let reason = |state| match state {
        State::Starting => "Starting",
        State::Running => "Running",
        State::Degraded => "Degraded",
        State::Stopping => "Stopping",
        State::Stopped => "Stopped",
        State::Error => "Error",
    };
    match current.iter().find(|it| it.state != State::Running) {
        Some(it) => Verdict::False(reason(it.state), told(it)),
        None if current.is_empty() => {
            Verdict::False("Deleted", "its deployment was deleted; it is brought again".to_owned())
        }
        None => Verdict::True("Running", String::new()),
    }
}

/// The status of a Workflow that is deleted while deployments of it are there: `why` it is.
pub(super) fn going(before: &Status, deployments: &[Seen], why: String, generation: i64, now: u64) -> Status {
    let ready = [("Ready", Verdict::False("Deleting", why))];
    let mut conditions = conditions(&before.conditions, ready, generation, now);
    let others = before.conditions.iter().filter(|it| it.type_ != "Ready").cloned();
    conditions = others.chain(conditions).collect();
    Status {
        observed_generation: generation,
        conditions,
        instances: deployments.iter().map(|it| count(it.instances)).sum(),
        versions: deployments.iter().rev().take(MOST).map(|it| version(it, &[])).collect(),
        ..before.clone()
    }
}

/// What a deletion waits for.
pub(super) fn awaited(deployments: &[Seen], workflow: &str) -> String {
    let open: Vec<String> = (deployments.iter().filter(|it| it.instances > 0))
        .map(|it| format!("{} of {}", it.instances, it.deployment))
        .collect();
    let (namespace, name) = workflow.split_once('/').unwrap_or(("", workflow));
    match open.is_empty() {
        true => "its deployments are being taken away".to_owned(),
        false => format!(
            "waits for open instances to end: {}; none is started any more. `kubectl -n {namespace} annotate workflow {name} {}=true` cancels them",
            open.join(", "),
            super::resource::FORCE
        ),
    }
}

/// Whether there is more to tell than how many instances are open.
pub(super) fn differs(before: &Status, now: &Status) -> bool {
    let uncounted = |it: &Status| {
        let mut it = it.clone();
        it.instances = 0;
        it.versions.iter_mut().for_each(|version| version.instances = 0);
        it
    };
    uncounted(before) != uncounted(now)
}

fn conditions<const N: usize>(
    before: &[Condition],
    verdicts: [(&'static str, Verdict); N],
    generation: i64,
    now: u64,
) -> Vec<Condition> {
    let condition = |(kind, verdict): (&'static str, Verdict)| {
        let (status, reason, message) = match verdict {
            Verdict::True(reason, message) => ("True", reason, message),
            Verdict::False(reason, message) => ("False", reason, message),
            Verdict::Unknown(reason, message) => ("Unknown", reason, message),
        };
        let same = before.iter().find(|it| it.type_ == kind && it.status == status);
        let seconds = i64::try_from(now / 1_000).unwrap_or_default();
        let new = || Time(Timestamp::from_second(seconds).unwrap_or_default());
        Condition {
            last_transition_time: same.map_or_else(new, |it| it.last_transition_time.clone()),
            message: message.chars().take(MESSAGE).collect(),
            observed_generation: Some(generation),
            reason: reason.to_owned(),
            status: status.to_owned(),
            type_: kind.to_owned(),
        }
    };
    verdicts.into_iter().map(condition).collect()
}

fn task(deployment: &str, task: &TaskView) -> TaskStatus {
    let TaskView { element, service, replicas, ready, health, reason, drift } = task;
    let message = if reason.is_empty() { drift } else { reason };
    TaskStatus {
        name: element.clone(),
        service: service.clone(),
        deployment: deployment.to_owned(),
        sidecars: *replicas,
        programmed: *ready,
        health: health.as_str().to_owned(),
        message: message.chars().take(MESSAGE).collect(),
    }
}

fn version(seen: &Seen, current: &[String]) -> Version {
    let Seen { deployment, process, state, message, instances, .. } = seen;
    Version {
        deployment: deployment.clone(),
        process: process.clone(),
        state: state.as_str().to_owned(),
        current: current.contains(deployment),
        instances: count(*instances),
        message: message.chars().take(MESSAGE).collect(),
    }
}

fn count(instances: u64) -> i64 {
    i64::try_from(instances).unwrap_or(i64::MAX)
}

/// What the compiler has against a model: each element, where it is, and what to do.
pub(super) fn diagnosed(diagnostics: &[Diagnostic]) -> Lack {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|it| it.is_error()).collect();
    let unbound = !errors.is_empty() && errors.iter().all(|it| it.rule == Rule::BindingMissing.id());
    let (step, reason) = if unbound { (Step::Resolved, "BindingMissing") } else { (Step::Compiled, "Invalid") };
    let mut each: Vec<String> = errors.iter().take(TOLD).map(|it| format!("{it} ({})", it.help)).collect();
    if errors.len() > TOLD {
        each.push(format!("and {} more: `flowctl validate` tells all", errors.len() - TOLD));
    }
    Lack { step, reason, message: each.join("; "), known: true }
}
