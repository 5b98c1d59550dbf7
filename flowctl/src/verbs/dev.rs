//! `flowctl dev`: a mesh on this machine, for working on models. What it does is in `dev.rs` and below.

use std::path::PathBuf;

use clap::Args;

use crate::args::bind::Bind;
use crate::dev::{self, Plan};
use crate::exit::Exit;

/// Run a mesh on this machine and deploy models to it, again whenever they change
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// BPMN files, or folders of them; a folder's services.yaml says which services to start
    #[arg(value_name = "FILE|DIR")]
    sources: Vec<PathBuf>,

    /// Where the service of a task type is; `*` for all types, `{type}` in the URL for the type
    #[arg(long, value_name = "TYPE=URL")]
    bind: Vec<Bind>,

    /// Keep deployments, instances and journals in this folder, and go on with what it holds
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Folder of secrets for connectors, one file each; else a folder `secrets` beside the models
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,

    /// gRPC port; 0: a free one
    #[arg(long, value_name = "PORT", default_value_t = 9001)]
    port: u16,

    /// HTTP port; 0: a free one
    #[arg(long, value_name = "PORT", default_value_t = 9002)]
    http_port: u16,
}

impl Dev {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let plan = Plan::new(self.sources, self.bind, self.data_dir, self.secrets, (self.port, self.http_port))?;
        dev::run(plan).await
    }
}
