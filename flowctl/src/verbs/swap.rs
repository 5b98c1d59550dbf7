//! `flowctl swap`: repoint a task to another service at once, running instances included, or give its container another image, pod by pod.

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

    /// Image of its container from now on, in a cluster: new pods come first, old ones finish what they run
    #[arg(long, value_name = "IMAGE", group = "to")]
    image: Option<String>,

    /// Only in this deployment; everywhere if none is named
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,

    /// Back to the service and the image before any swap
    #[arg(long, group = "to")]
    undo: bool,

    /// How long to wait for pods to be replaced at most; they go on afterwards
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,

    #[command(flatten)]
    output: OutputArgs,
}

impl Swap {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let repoint = Repoint {
            task: self.task,
            url: self.url.unwrap_or_default(),
            image: self.image.unwrap_or_default(),
            timeout: self.timeout,
            deployment: self.deployment.unwrap_or_default(),
            undo: self.undo,
        };
        let swap = Client::connect(flowd).await?.swap(repoint).await?;
        output::show(&swap, self.output.output)?;
        for sidecar in swap.unreached() {
            output::note(format_args!(
                "error: sidecar {} of {} is not reached ({}); it takes the new service before it takes work again",
                sidecar.hop_address, sidecar.service, sidecar.error
            ));
        }
        for rollout in swap.unfinished() {
            output::note(format_args!(
                "error: the pods of {} are not replaced yet: {}; the earlier ones go on meanwhile. Wait, or take it back: flowctl swap {} --undo",
                rollout.service, rollout.error, swap.task
            ));
        }
        Ok(swap.exit())
    }
}
