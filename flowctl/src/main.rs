//! flowctl: the operator's hand on a mesh that runs BPMN.
//!
//! One file per verb under `verbs/`, each with its arguments and its `run`. `client.rs` speaks to flowd,
//! `output/` shows answers (data on standard output, everything else on standard error), `exit.rs` has the
//! exit codes. `dev` alone starts anything. `cluster.rs` speaks to a Kubernetes API server for `check` and
//! `install` (the feature `kubernetes`).

mod args;
#[cfg(feature = "kubernetes")]
mod check;
mod client;
#[cfg(feature = "kubernetes")]
mod cluster;
mod dev;
mod exit;
#[cfg(feature = "kubernetes")]
mod install;
mod log;
mod output;
mod payload;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

// for `dev`
#[global_allocator]
static ALLOCATOR: runtime::memory::Allocator = runtime::memory::Allocator;

fn main() -> ExitCode {
    let argv = args::words::settle_output(std::env::args_os());
    let cli = args::Cli::parse_from(argv);
    log::init(cli.log_level);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(format_args!("error: cannot start: {error}"));
            return exit::Exit::Error.into();
        }
    };
    match runtime.block_on(cli.verb.run(&cli.flowd)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let code = exit::code_of(&error);
            if code != exit::Exit::Ok {
                output::complain(&error, exit::hint_of(&error));
            }
            code.into()
        }
    }
}
