//! `flowctl dev`: a mesh in this process, the services of an example, its models deployed, and deployed
//! again when they change.
//!
//! Order: services, then flowd, then the models and a sidecar for each of their services, then the line beginning with `ready` on standard output once every
//! deployment serves, then the instance that each example names, whose result and hops are shown. It ends on SIGINT and SIGTERM, and stops the services. A model that is broken while it is edited is
//! told and does not end anything.

mod mesh;
mod plan;
pub(crate) mod services;
mod signals;
mod watch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::client::tasks::Tasks;
use crate::client::{Client, Selection, Start};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::output::apply::{File, Files};
use crate::output::instance::Started;
use crate::output::task::Task;
use crate::payload::{self, Payload};
use crate::verbs::{resources_beside, tell};
use mesh::Mesh;
pub(crate) use plan::Plan;
use services::{Demonstration, Services};
use watch::Watch;

/// How long deployments may take until they serve.
const SERVING: Duration = Duration::from_secs(60);
/// How long the instance that shows an example at work may take.
const DEMONSTRATION: Duration = Duration::from_secs(60);

/// Runs until a signal comes.
pub(crate) async fn run(plan: Plan) -> anyhow::Result<Exit> {
    let mut stopped = signals::Stop::listen()?;
    let mut services = tokio::select! {
        services = start_services(&plan.examples) => services?,
        () = stopped.asked() => return Ok(Exit::Ok),
    };
    let mut bindings: HashMap<String, String> = HashMap::new();
    for service in &services {
        bindings.extend(service.bindings().iter().map(|(name, url)| (name.clone(), url.clone())));
    }
    bindings.extend(plan.bindings.clone());
    let ended = mesh(&plan, bindings, &services, &mut stopped).await;
    for service in &mut services {
        service.stop().await;
    }
    ended
}

/// The mesh, from its start to its end; services outlive it, so that running calls are finished.
async fn mesh(
    plan: &Plan,
    bindings: HashMap<String, String>,
    services: &[Services],
    stopped: &mut signals::Stop,
) -> anyhow::Result<Exit> {
    let mut mesh = Mesh::start(plan.data_dir.as_deref(), (plan.port, plan.http_port), plan.secrets.clone()).await?;
    let ready = format!("ready grpc={} http={}\n", mesh.grpc, mesh.http);
    let client = Client::connect(&mesh.address()?).await?;
    let ended = tokio::select! {
        ended = serve(plan, client.clone(), bindings, services, &ready) => ended,
        ended = mesh.follow(client) => ended.map(|()| Exit::Ok),
        () = stopped.asked() => Ok(Exit::Ok),
    };
    output::note(format_args!("stopping"));
    let stopped = mesh.stop().await;
    let exit = ended?;
    stopped.map(|()| exit)
}

async fn start_services(folders: &[PathBuf]) -> anyhow::Result<Vec<Services>> {
    let mut started: Vec<Services> = Vec::new();
    for folder in folders {
        output::note(format_args!("starting the services of {}", folder.display()));
        match Services::start(folder).await {
            Ok(services) => started.push(services),
            Err(error) => {
                for services in &mut started {
                    services.stop().await;
                }
                return Err(error);
            }
        }
    }
    Ok(started)
}

/// Deploys the models, says `ready`, shows the examples at work, and deploys again what changes.
async fn serve(
    plan: &Plan,
    mut client: Client,
    bindings: HashMap<String, String>,
    services: &[Services],
    ready: &str,
) -> anyhow::Result<Exit> {
    let mut watch = Watch::start(&plan.models)?;
    let mut applied = Vec::new();
    for model in &plan.models {
        applied.push(apply(&mut client, model, &bindings).await?);
    }
    let applied = Files(applied);
    if applied.exit() != Exit::Ok {
        return Ok(applied.exit());
    }
    for file in &applied.0 {
        for deployed in &file.deployments {
            serves(&client, &deployed.id).await?;
        }
    }
    if plan.models.is_empty() {
        went_on(&mut client).await?;
    }
    output::data(ready)?;
    for demonstration in services.iter().filter_map(Services::demonstration) {
        demonstrate(&mut client, demonstration).await?;
    }
    loop {
        for model in watch.changed().await {
            if let Err(error) = apply(&mut client, &model, &bindings).await {
                output::complain(&error, "");
            }
        }
    }
}

/// What the data folder holds serves again, or it is told what does not.
async fn went_on(client: &mut Client) -> anyhow::Result<()> {
    let mut deployments = Vec::new();
    let mut listed = client.deployments(Selection::default()).await?;
    while let Some(deployment) = listed.next().await {
        deployments.push(deployment?);
    }
    for deployment in deployments.iter().filter(|it| !matches!(it.state.as_str(), "STOPPED" | "ERROR")) {
        match serves(client, &deployment.id).await {
            Ok(()) => output::note(format_args!("deployment/{}: goes on", deployment.id)),
            Err(error) => output::complain(&error, ""),
        }
    }
    Ok(())
}

async fn apply(client: &mut Client, model: &Path, bindings: &HashMap<String, String>) -> anyhow::Result<File> {
    let name = model.display().to_string();
    let source = payload::read_source(&name)?;
    let file = client.apply(&name, source.clone(), false, bindings.clone(), &resources_beside(model, &source)?).await?;
    tell(&file, &source);
    for deployed in &file.deployments {
        output::note(format_args!("{name}: deployment/{}: {}", deployed.id, file.message));
    }
    Ok(file)
}

/// Waits until a deployment takes instances; DEGRADED does too.
async fn serves(client: &Client, id: &str) -> anyhow::Result<()> {
    let mut states = client.watch_deployments(Selection::one(id));
    let serving = async {
        while let Some(deployment) = states.next().await {
            let deployment = deployment?;
            match deployment.state.as_str() {
                "RUNNING" | "DEGRADED" => return Ok(()),
                "ERROR" | "STOPPED" => anyhow::bail!("deployment {id} is {}: {}", deployment.state, deployment.reason),
                _ => {}
            }
        }
        anyhow::bail!("flowd has gone away")
    };
    timeout(SERVING, serving).await.unwrap_or_else(|_| {
        let failure = Failure::new(Exit::TimedOut, format!("deployment {id} does not serve after {SERVING:?}"));
        Err(failure.hint(format!("see `flowctl describe -d {id}`")).into())
    })
}

/// How long hops may take to be told.
const HOPS_TOLD: Duration = Duration::from_millis(100);

/// How often it is looked for tasks that people do.
const LOOK: Duration = Duration::from_millis(200);

/// What an instance waits for that people do, once there is something.
async fn open_tasks(client: &mut Client, of: Tasks) -> anyhow::Result<Vec<Task>> {
    loop {
        let tasks = client.tasks(of.clone()).await?;
        if !tasks.is_empty() {
            return Ok(tasks);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Shows what is to be done, and how.
fn waits_for_somebody(tasks: Vec<Task>) -> anyhow::Result<()> {
    for task in &tasks {
        output::note(format_args!("instance/{}: {} waits for somebody", task.instance, task.element));
        output::note(format_args!("  flowctl form {}", task.id));
        output::note(format_args!("  flowctl complete {} -d JSON", task.id));
    }
    output::show(&output::task::List { tasks }, None)
}

/// Runs one instance of an example and shows its result and its hops.
async fn demonstrate(client: &mut Client, demonstration: &Demonstration) -> anyhow::Result<()> {
    let payload =
        Payload { bytes: demonstration.data.to_string().into_bytes(), content_type: payload::JSON.to_owned() };
    let start = Start {
        id: demonstration.process.clone(),
        payload,
        start_event: demonstration.start_event.clone(),
        stopped: false,
        metadata: HashMap::new(),
        key: String::new(),
        wait: None,
    };
    let started = client.run(start).await?;
    let mut looking = client.clone();
    let tasks = Tasks { instance: started.id.clone(), ..Tasks::default() };
    let instance = tokio::select! {
        instance = client.wait(started, DEMONSTRATION) => instance?,
        tasks = open_tasks(&mut looking, tasks) => return waits_for_somebody(tasks?),
    };
    output::note(format_args!("instance/{}: {}", instance.id, instance.state.word()));
    // Sidecars gather what they tell of hops for some milliseconds.
    tokio::time::sleep(HOPS_TOLD).await;
    let trace = client.trace(instance.id.clone()).await?;
    output::show(&Started { instance, waited: true }, None)?;
    output::show(&trace, None)
}
