//! `flowctl install`, `upgrade` and `uninstall`: the mesh in a cluster, without Helm.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::args::OutputArgs;
use crate::args::duration;
use crate::check::before;
use crate::cluster::{Access, Cluster};
use crate::exit::{Exit, Failure};
use crate::install::chart::{self, Release};
use crate::install::values::{self, ValuesArgs};
use crate::install::{self, MANAGER, RELEASE, bring, leave};
use crate::output;
use crate::output::install::{Changes, Manifests};

/// What installing and upgrading have in common.
#[derive(Debug, Args)]
struct Common {
    /// The namespace of flowd, made if it is not there
    #[arg(long, short, env = "FLOW_NAMESPACE", default_value = "rexflow", value_name = "NAMESPACE")]
    namespace: String,

    /// Print the objects as YAML; nothing is changed
    #[arg(long)]
    dry_run: bool,

    /// Wait until flowd is ready and pods get sidecars
    #[arg(long)]
    wait: bool,

    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,

    #[command(flatten)]
    values: ValuesArgs,

    #[command(flatten)]
    access: Access,

    #[command(flatten)]
    output: OutputArgs,
}

/// Install flowd into a cluster; the same objects as of the Helm chart
#[derive(Debug, Args)]
#[command(after_help = "\
The values are those of the chart (deploy/istio/values.yaml). `flowctl install --dry-run > rexflow.yaml` writes manifests for other tools,
without asking any cluster; `flowctl check` says what the cluster lacks.")]
pub(crate) struct Install {
    #[command(flatten)]
    common: Common,
}

/// Bring an installation to this version and these values; what was asked for earlier stays
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    #[command(flatten)]
    common: Common,

    /// Install if there is nothing to upgrade
    #[arg(long)]
    install: bool,

    /// Forget the values of earlier installs and upgrades
    #[arg(long)]
    reset_values: bool,
}

/// Remove an installation; says what stays
#[derive(Debug, Args)]
pub(crate) struct Uninstall {
    /// The namespace of flowd
    #[arg(long, short, env = "FLOW_NAMESPACE", default_value = "rexflow", value_name = "NAMESPACE")]
    namespace: String,

    #[command(flatten)]
    access: Access,

    #[command(flatten)]
    output: OutputArgs,
}

impl Install {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let asked = self.common.values.over(json!({}))?;
        if self.common.dry_run {
            return self.common.print(&asked);
        }
        let cluster = Cluster::open(&self.common.access).await.map_err(Failure::from)?;
        let namespace = &self.common.namespace;
        if install::flowd(&cluster, namespace).await.map_err(Failure::from)?.is_some() {
            let failure = Failure::new(Exit::Error, format!("there is a flowd in the namespace {namespace} already"));
            return Err(failure.hint("`flowctl upgrade` changes it; -n NAMESPACE makes another one").into());
        }
        self.common.bring(&cluster, &asked).await
    }
}

impl Upgrade {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let cluster = Cluster::open(&self.common.access).await.map_err(Failure::from)?;
        let namespace = &self.common.namespace;
        let found = install::flowd(&cluster, namespace).await.map_err(Failure::from)?;
        if found.is_none() && !self.install {
            let failure = Failure::new(Exit::NotFound, format!("there is no flowd in the namespace {namespace}"));
            return Err(failure
                .hint("`flowctl install`, or `flowctl upgrade --install`, or name its namespace with -n")
                .into());
        }
        let before = found.filter(|_| !self.reset_values).map_or_else(|| json!({}), |it| values::kept(&it));
        let asked = self.common.values.over(before)?;
        if self.common.dry_run {
            return self.common.print(&asked);
        }
        self.common.bring(&cluster, &asked).await
    }
}

impl Uninstall {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let cluster = Cluster::open(&self.access).await.map_err(Failure::from)?;
        let changes = leave::leave(&cluster, &self.namespace).await?;
        output::show(&Changes { namespace: self.namespace, changes }, self.output.output)?;
        Ok(Exit::Ok)
    }
}

impl Common {
    fn objects(&self, asked: &Value) -> anyhow::Result<(Value, Vec<Value>)> {
        let values = values::complete(asked)?;
        let release = Release { name: RELEASE, namespace: &self.namespace, manager: MANAGER };
        let mut objects = chart::render(release, &values)?;
        bring::remember(&mut objects, asked);
        Ok((values, objects))
    }

    fn print(&self, asked: &Value) -> anyhow::Result<Exit> {
        let (_, objects) = self.objects(asked)?;
        output::show(&Manifests { objects }, self.output.output)?;
        Ok(Exit::Ok)
    }

    async fn bring(&self, cluster: &Cluster, asked: &Value) -> anyhow::Result<Exit> {
        let (values, objects) = self.objects(asked)?;
        let wanted = before::Wanted::of(&values);
        let found = before::look(cluster, &self.namespace, &wanted).await;
        let failed: Vec<_> = found.iter().filter(|it| it.is_failed()).collect();
        if let Some(first) = failed.first() {
            let all: Vec<String> = failed.iter().map(|it| format!("{}: {}", it.what, it.detail)).collect();
            let failure = Failure::new(Exit::Error, format!("the cluster is not as it must be: {}", all.join("; ")));
            return Err(failure.hint(first.fix.clone()).into());
        }
        let changes = bring::bring(cluster, &self.namespace, &objects).await?;
        let shown = Changes { namespace: self.namespace.clone(), changes };
        output::show(&shown, self.output.output)?;
        if self.wait {
            bring::wait(cluster, &self.namespace, self.timeout).await?;
        }
        output::note(format_args!("{}", next(&self.namespace, self.wait)));
        Ok(Exit::Ok)
    }
}

/// What to do next.
fn next(namespace: &str, ready: bool) -> String {
    let is = if ready { "is ready" } else { "starts" };
    format!("flowd {is} in the namespace {namespace}; `flowctl check -n {namespace}` looks whether all is well")
}
