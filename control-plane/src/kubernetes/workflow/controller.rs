//! One look after another at each Workflow: applies what it asks for, retires and forgets what it does not ask for any more, and writes its status.
//!
//! A look comes after a change of a Workflow, of what it refers to, or of the mesh, and every so often. A model is judged when it, or what it may, has
//! changed; one that was refused for what is around it also every so often.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use routing::DeploymentId;
use runtime::drain::DrainWatcher;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::resource::{FINALIZER, FORCE, GROUP, KIND, Status, VERSION, Workflow, resource};
use super::seen::{Name, Named, Namespace, Referred, reach};
use super::source;
use super::status::{self, Lack, Observed, Outcome, Seen, Step};
use super::versions;
use super::watches::Watches;
use crate::kubernetes::inject::INJECTION;
use crate::kubernetes::{FIELD_MANAGER, Settings, watch};
use crate::operations::{self, Operations, Reach, Verdict, Wish};

/// From one look to the next when nothing has changed; also how long a count of instances is good for.
const PERIOD: Duration = Duration::from_secs(30);
/// After a look that failed.
const AGAIN: Duration = Duration::from_secs(3);
/// How long a count is good for while somebody waits for it to become none.
const WAITING: Duration = Duration::from_secs(5);

/// Looks until the drain.
pub(in crate::kubernetes) async fn run(
    operations: Operations,
    client: Client,
    settings: Settings,
    mut drain: DrainWatcher,
) {
    let mut watches = Watches::new(client.clone());
    let mut changes = operations.mesh.changes();
    let mut controller = Controller { operations, client, settings, known: HashMap::new(), counted: HashMap::new() };
    let mut denied = String::new();
    loop {
        changes.mark_unchanged();
        if let Some(why) = watches.denied().filter(|it| *it != denied) {
            tracing::warn!(error = why, "Workflows cannot be watched; trying again");
            denied = why.to_owned();
        }
        let next = Instant::now() + controller.look(&mut watches).await;
        tokio::select! {
            biased;
            () = drain.signaled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = watches.changed() => {}
            () = sleep_until(next) => continue,
        }
        if !watch::gathered(&mut drain, async {
            loop {
                watches.changed().await
            }
        })
        .await
        {
            return;
        }
    }
}

struct Controller {
    operations: Operations,
    client: Client,
    settings: Settings,
    known: HashMap<Name, Known>,
    /// How many instances were open on a deployment, and when.
    counted: HashMap<DeploymentId, (Instant, u64)>,
}

/// What is remembered of a Workflow from look to look.
#[derive(Default)]
struct Known {
    /// What was judged last, when, and what came of it.
    judged: Option<(Basis, Instant, Outcome)>,
    /// The status that was written last, and when.
    told: Option<(Status, Instant)>,
}

/// All that a judgement depends on, but for the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Basis {
    uid: Option<String>,
    generation: i64,
    /// The version of the ConfigMap that is referred to, or why there is none.
    config_map: String,
    reach: Option<Reach>,
}

/// What flowd could not do now, and tries again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{}", watch::reason(.0))]
    Cluster(#[from] kube::Error),
    #[error(transparent)]
    Ledger(#[from] operations::Error),
}

impl Controller {
    /// When to look again though nothing has changed.
    async fn look(&mut self, watches: &mut Watches) -> Duration {
        let Some((all, namespaces)) = watches.all() else { return PERIOD };
        self.known.retain(|name, _| all.contains_key(name));
        let mut again = PERIOD;
        let mut referred = BTreeSet::new();
        for (name, workflow) in all {
            let key = workflow.config_map().map(|it| (name.0.clone(), it.to_owned()));
            let config_map = key.as_ref().map_or(Referred::Absent, |it| watches.config_map(it));
            referred.extend(key);
            match self.tend(name, workflow, config_map, namespaces).await {
                Ok(next) => again = again.min(next),
                Err(error) => {
                    tracing::warn!(workflow = %text(name), %error, "cannot look after a Workflow; trying again");
                    again = again.min(AGAIN);
                }
            }
        }
        watches.follow(&referred);
        again
    }

    async fn tend(
        &mut self,
        name: &Name,
        workflow: &Workflow,
        config_map: Referred<'_>,
        namespaces: &Named<Namespace>,
    ) -> Result<Duration, Error> {
        let finalizers = workflow.metadata.finalizers.clone().unwrap_or_default();
        let held = finalizers.iter().any(|it| it == FINALIZER);
        if workflow.metadata.deletion_timestamp.is_some() {
            return if held { self.end(name, workflow, finalizers).await } else { Ok(PERIOD) };
        }
        if !held {
            // first, so that nothing that it brings stays when it goes
            let all = finalizers.into_iter().chain([FINALIZER.to_owned()]).collect();
            self.finalizers(name, workflow, all).await?;
        }
        let outcome = self.outcome(name, workflow, config_map, namespaces).await?;
        let mut all = self.seen(name, PERIOD).await?;
        if let Outcome::Applied { deployments, .. } = &outcome {
            let (heirs, steps) = (versions::heirs(&all, deployments), versions::steps(&all, deployments));
            for (from, to) in &heirs {
                self.operations.hand_over(&(*from).into(), &(*to).into()).await?;
            }
            self.take(&steps, false).await?;
            if !heirs.is_empty() || !steps.is_empty() {
                all = self.seen(name, PERIOD).await?;
            }
        }
        let services = all.iter().flat_map(|it| &it.tasks).map(|it| it.service.clone());
        let hindrance = |it: String| Some((it.clone(), self.operations.mesh.hindrance(&it.as_str().into())?));
        let observed = Observed {
            generation: workflow.generation(),
            outcome: &outcome,
            deployments: &all,
            hindered: &services.filter_map(hindrance).collect(),
            now: self.operations.now(),
        };
        let status = observed.status(self.before(name, workflow));
        self.tell(name, workflow, status).await?;
        Ok(if outcome.is_final() { PERIOD } else { AGAIN })
    }

    /// What became of its spec; what has not changed is not judged again.
    async fn outcome(
        &mut self,
        name: &Name,
        workflow: &Workflow,
        config_map: Referred<'_>,
        namespaces: &Named<Namespace>,
    ) -> Result<Outcome, Error> {
        let basis = Basis {
            uid: workflow.metadata.uid.clone(),
            generation: workflow.generation(),
            config_map: match config_map {
                Referred::There(version, _) => version.to_owned(),
                Referred::Awaited | Referred::Absent | Referred::Denied(_) => format!("{config_map:?}"),
            },
            reach: reach(&name.0, &self.settings.mesh, namespaces),
        };
        let there = |id: &String| {
            let claim = self.operations.mesh.deployment(id).and_then(|it| it.claim);
            claim.is_some_and(|it| it.workflow == text(name) && !it.retired)
        };
        if let Some((judged, at, outcome)) = self.known.get(name).and_then(|it| it.judged.as_ref()) {
            let stands = match outcome {
                Outcome::Applied { deployments, .. } => deployments.iter().all(there),
                Outcome::Lacking(_) => true,
            };
            if *judged == basis && stands && (outcome.is_final() || at.elapsed() < AGAIN) {
                return Ok(outcome.clone());
            }
        }
        let outcome = match self.wish(name, workflow, config_map, basis.reach.clone()) {
            Ok(wish) => self.declare(&wish).await?,
            Err(lack) => Outcome::Lacking(lack),
        };
        self.known.entry(name.clone()).or_default().judged = Some((basis, Instant::now(), outcome.clone()));
        Ok(outcome)
    }

    fn wish(
        &self,
        name: &Name,
        workflow: &Workflow,
        config_map: Referred<'_>,
        reach: Option<Reach>,
    ) -> Result<Wish, Lack> {
        let mesh = &self.settings.mesh;
        let spec = workflow.spec.as_ref().map_err(|why| invalid(format!("spec: {why}")))?;
        let reach = reach.ok_or_else(|| Lack {
            step: Step::Compiled,
            reason: "NamespaceNotOpen",
            message: format!(
                "namespace {0} is not open to the mesh: `kubectl label namespace {0} {INJECTION}=enabled` opens it",
                name.0
            ),
            known: true,
        })?;
        let reader = (format!("flowd-{mesh}-models"), format!("{mesh}:{}", self.settings.account));
        let apply = source::model(spec, &name.0, config_map, (&reader.0, &reader.1))?;
        let swaps = spec.swaps().map_err(invalid)?;
        Ok(Wish { workflow: text(name), reach, apply, swaps })
    }

    async fn declare(&self, wish: &Wish) -> Result<Outcome, Error> {
        let applied = match self.operations.declare(wish).await {
            Ok(applied) => applied,
            Err(error) => return refused(error).map(Outcome::Lacking),
        };
        if applied.verdict == Verdict::Refused {
            return Ok(Outcome::Lacking(status::diagnosed(&applied.diagnostics)));
        }
        let deployments: Vec<String> = applied.deployments.into_iter().map(|(id, _)| id).collect();
        let mut unsettled = None;
        for id in &deployments {
            if let Err(error) = self.operations.settle(&id.as_str().into(), &wish.swaps).await {
                unsettled = Some(refused(error)?.message);
            }
        }
        let warnings = applied.diagnostics.iter().map(ToString::to_string).collect();
        Ok(Outcome::Applied { deployments, warnings, unsettled })
    }

    /// It is deleted: so are its deployments, when their instances have ended.
    async fn end(&mut self, name: &Name, workflow: &Workflow, finalizers: Vec<String>) -> Result<Duration, Error> {
        let annotations = workflow.metadata.annotations.as_ref();
        let force = annotations.and_then(|it| it.get(FORCE)).is_some_and(|it| it == "true");
        let all = self.seen(name, WAITING).await?;
        match force {
            true => {
                let each: Vec<_> = all.iter().map(|it| (it.deployment.as_str(), versions::Step::Renounce)).collect();
                self.take(&each, true).await?;
            }
            false => self.take(&versions::leave(&all), false).await?,
        }
        let left = self.seen(name, WAITING).await?;
        if left.is_empty() {
            let others = finalizers.into_iter().filter(|it| it != FINALIZER).collect();
            return self.finalizers(name, workflow, others).await.map(|()| PERIOD);
        }
        let why = status::awaited(&left, &text(name));
        let status =
            status::going(self.before(name, workflow), &left, why, workflow.generation(), self.operations.now());
        self.tell(name, workflow, status).await?;
        Ok(WAITING)
    }

    async fn take(&self, steps: &[(&str, versions::Step)], force: bool) -> Result<(), Error> {
        for (id, step) in steps {
            let id = DeploymentId::from(*id);
            match step {
                versions::Step::Retire => {
                    tracing::info!(deployment = %id, "its Workflow does not ask for it any more: it is retired");
                    self.operations.retire(&id).await?;
                }
                versions::Step::Renounce => self.operations.renounce(&id, force).await?,
            }
        }
        Ok(())
    }

    /// The deployments of a Workflow, with counts of their open instances that are at most so old.
    async fn seen(&mut self, name: &Name, good: Duration) -> Result<Vec<Seen>, Error> {
        let mut all = Vec::new();
        for (deployment, tasks) in self.operations.mesh.claimed(&text(name)) {
            let id = deployment.definition.deployment.clone();
            let instances = match self.counted.get(&id) {
                Some((at, instances)) if at.elapsed() < good => *instances,
                _ => {
                    let open = self.operations.ledger.open_on(&id).await.map_err(operations::Error::from)?;
                    let open = u64::try_from(open).unwrap_or(u64::MAX);
                    self.counted.insert(id.clone(), (Instant::now(), open));
                    open
                }
            };
            all.push(Seen {
                deployment: id.to_string(),
                process: deployment.definition.process.to_string(),
                state: deployment.state,
                message: deployment.message,
                retired: deployment.claim.is_some_and(|it| it.retired),
                instances,
                tasks,
            });
        }
        self.counted.retain(|id, _| self.operations.mesh.deployment(id.as_str()).is_some());
        Ok(all)
    }

    /// The status as it was told last.
    fn before<'a>(&'a self, name: &Name, workflow: &'a Workflow) -> &'a Status {
        self.known.get(name).and_then(|it| it.told.as_ref()).map_or(&workflow.status, |(told, _)| told)
    }

    async fn tell(&mut self, name: &Name, workflow: &Workflow, status: Status) -> Result<(), Error> {
        if let Some((told, at)) = self.known.get(name).and_then(|it| it.told.as_ref()) {
            let counts_alone = !status::differs(told, &status);
            if counts_alone && (*told == status || at.elapsed() < PERIOD) {
                return Ok(());
            }
        }
        let body = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": KIND,
            "metadata": {"name": name.1, "namespace": name.0, "uid": workflow.metadata.uid},
            "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        match self.api(name).patch_status(&name.1, &parameters, &Patch::Apply(body)).await {
            Ok(_) => self.known.entry(name.clone()).or_default().told = Some((status, Instant::now())),
            // gone meanwhile
            Err(error) if watch::is_status(&error, 404) || watch::is_status(&error, 409) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn finalizers(&self, name: &Name, workflow: &Workflow, all: Vec<String>) -> Result<(), Error> {
        // the version guards those of others
        let metadata = json!({"finalizers": all, "resourceVersion": workflow.metadata.resource_version});
        let patch: Patch<Value> = Patch::Merge(json!({"metadata": metadata}));
        match self.api(name).patch(&name.1, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(error) if watch::is_status(&error, 404) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn api(&self, name: &Name) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &name.0, &resource())
    }
}

/// `NAMESPACE/NAME`.
fn text(name: &Name) -> String {
    format!("{}/{}", name.0, name.1)
}

fn invalid(message: String) -> Lack {
    Lack { step: Step::Compiled, reason: "Invalid", message, known: true }
}

/// What speaks against a spec; what only has to be tried again goes on as an error.
fn refused(error: operations::Error) -> Result<Lack, Error> {
    use operations::Error::*;
    let (step, reason) = match &error {
        Forbidden(_) => (Step::Resolved, "NotPermitted"),
        NotFound(_) | ChooseStart(_) => (Step::Resolved, "NotFound"),
        Invalid(_) | Unfit(_) | TooLarge { .. } => (Step::Compiled, "Invalid"),
        Busy | Unavailable(_) | Store(_) | WrongState(_) | NotRunning { .. } => return Err(error.into()),
    };
    Ok(Lack { step, reason, message: error.to_string(), known: true })
}
