//! `flowctl swap`: repoint a task to another service at once, all of it or a share, running instances included, or give its container another image, in new pods or in those that there are.

use std::time::Duration;

use clap::Args;

use crate::args::{Flowd, OutputArgs, duration};
use crate::client::{Client, Repoint};
use crate::exit::Exit;
use crate::output;

/// Repoint a task to another service, or give its container another image
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("to").required(true)))]
pub(crate) struct Swap {
    /// Id of the element, or name of its service
    #[arg(value_name = "TASK")]
    task: String,

    /// URL of the new service
    #[arg(long, value_name = "URL", group = "to")]
    url: Option<String>,

    /// Another service, with sidecars of its own, that does its work from now on, running instances included
    #[arg(long, value_name = "SERVICE", group = "to")]
    service: Option<String>,

    /// How much of the work that service does, of 100 activations; all of it if nothing is said
    #[arg(long, value_name = "1-100", requires = "service", value_parser = clap::value_parser!(u32).range(1..=100))]
    // what rules the service out would rule out that it is required, too
    #[arg(conflicts_with_all = ["url", "image", "undo", "commit", "history"])]
    weight: Option<u32>,

    /// Image of its container from now on, in a cluster: new pods come first, old ones finish what they run
    #[arg(long, value_name = "IMAGE", group = "to")]
    image: Option<String>,

    /// Give it to the pods that there are, one after the other: their containers alone are made anew, and the Deployment stays as it is
    #[arg(long, requires = "image", conflicts_with_all = ["url", "service", "undo", "commit", "history"])]
    in_place: bool,

    /// Keep what was swapped in place: the Deployment gets the image
    #[arg(long, group = "to")]
    commit: bool,

    /// Only in this deployment; everywhere if none is named
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,

    /// Back to the service and the image before any swap
    #[arg(long, group = "to")]
    undo: bool,

    /// The last swaps of it, newest first
    #[arg(long, group = "to")]
    history: bool,

    /// How long to wait for pods to be replaced at most; they go on afterwards
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,

    #[command(flatten)]
    output: OutputArgs,
}

impl Swap {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        if self.history {
            let deployment = self.deployment.unwrap_or_default();
            let history = Client::connect(flowd).await?.swaps(self.task, deployment).await?;
            output::show(&history, self.output.output)?;
            return Ok(Exit::Ok);
        }
        let repoint = Repoint {
            task: self.task,
            url: self.url.unwrap_or_default(),
            image: self.image.unwrap_or_default(),
            service: self.service.unwrap_or_default(),
            weight: self.weight.unwrap_or_default(),
            timeout: self.timeout,
            deployment: self.deployment.unwrap_or_default(),
            undo: self.undo,
            in_place: self.in_place,
            commit: self.commit,
        };
        let swap = Client::connect(flowd).await?.swap(repoint).await?;
        output::show(&swap, self.output.output)?;
        for sidecar in swap.unreached() {
            output::note(format_args!(
                "error: sidecar {} of {} is not reached ({}); it takes the new service before it takes work again",
                sidecar.hop_address, sidecar.service, sidecar.error
            ));
        }
        for rollout in swap.in_place() {
            if !rollout.error.is_empty() {
                output::note(format_args!("error: not all pods of {}: {}", rollout.service, rollout.error));
            } else if self.in_place {
                output::note(format_args!(
                    "a pod of {} that is made anew has its Deployment's image: `flowctl swap {task} --commit` keeps the new one, `--undo` takes it back",
                    rollout.service,
                    task = swap.task
                ));
            }
        }
        for rollout in swap.unfinished() {
            output::note(format_args!(
                "error: the pods of {} are not replaced yet: {}; the earlier ones go on meanwhile. Wait, or take it back: flowctl swap {} --undo",
                rollout.service, rollout.error, swap.task
            ));
        }
        for share in swap.unshared() {
            output::note(format_args!("error: {} for {}: {}", share.backend, share.service, share.error));
        }
        Ok(swap.exit())
    }
}
