//! `flowctl describe`: everything about one deployment or instance.

use clap::Args;
use futures_util::StreamExt as _;

use crate::args::kind::{Kind, KindArgs, split};
use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Description, Selection};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::output::describe::{OfDeployment, OfInstance};
use crate::output::instance::Instance;

/// Most instances shown with a deployment.
const INSTANCES: u32 = 20;

/// Show everything about a deployment or an instance
#[derive(Debug, Args)]
pub(crate) struct Describe {
    #[command(flatten)]
    kind: KindArgs,

    /// An instance or a deployment; looked for as both unless the kind is said
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    output: OutputArgs,
}

impl Describe {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let (kind, id) = match split(&self.id) {
            Some((kind, id)) => (Some(kind), id),
            None => (self.kind.explicit(), self.id),
        };
        let mut client = Client::connect(flowd).await?;
        match client.describe(&id).await? {
            Description::Instance(instance) if kind != Some(Kind::Deployment) => {
                let trace = client.trace(instance.id.clone()).await?;
                output::show(&OfInstance { instance: *instance, trace }, self.output.output)?;
            }
            Description::Deployment(deployment, sidecars) if kind != Some(Kind::Instance) => {
                let instances = instances_of(&mut client, &deployment.id).await?;
                output::show(&OfDeployment { deployment: *deployment, sidecars, instances }, self.output.output)?;
            }
            Description::Instance(_) => return Err(wrong_kind(&id, Kind::Instance).into()),
            Description::Deployment(..) => return Err(wrong_kind(&id, Kind::Deployment).into()),
        }
        Ok(Exit::Ok)
    }
}

fn wrong_kind(id: &str, kind: Kind) -> Failure {
    Failure::new(Exit::NotFound, format!("{id} is a {kind}")).hint("leave the kind away, and it is found")
}

async fn instances_of(client: &mut Client, deployment: &str) -> anyhow::Result<Vec<Instance>> {
    let selection = Selection { limit: INSTANCES, deployment: deployment.to_owned(), ..Selection::default() };
    let mut stream = client.instances(selection).await?;
    let mut instances = Vec::new();
    while let Some(instance) = stream.next().await {
        instances.push(instance?);
    }
    Ok(instances)
}
