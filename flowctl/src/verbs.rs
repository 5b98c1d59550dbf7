//! The verbs. Each file has one verb's arguments and its `run`, which ends in an exit code.
//!
//! A verb whose answer holds a failure prints the whole answer on standard output, says on standard error what
//! failed, and ends with that failure's code.

mod apply;
#[cfg(feature = "kubernetes")]
mod check;
mod complete;
mod completion;
mod delete;
mod describe;
mod dev;
mod eval;
mod import;
mod inject;
#[cfg(feature = "kubernetes")]
mod install;
mod probe;
mod ps;
mod resources;
mod run;
mod send;
mod start;
mod stop;
mod suspend;
mod swap;
mod tasks;
mod timers;
mod trace;
mod update;
mod validate;
mod version;

pub(crate) use apply::{models_in, tell};
use clap::Subcommand;
pub(crate) use resources::{is_resource, resources_beside};

use crate::args::Flowd;
use crate::exit::Exit;
use crate::output::{self, Format, report::Report};

/// What flowctl can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Apply(apply::Apply),
    Run(run::Run),
    Send(send::Send),
    Signal(send::Signal),
    Offer(send::Offer),
    Tasks(tasks::Tasks),
    Claim(tasks::Claim),
    Unclaim(tasks::Unclaim),
    Form(tasks::Form),
    Complete(complete::Complete),
    Ps(ps::Ps),
    Describe(describe::Describe),
    Trace(trace::Trace),
    Timers(timers::Timers),
    Start(start::Start),
    Stop(stop::Stop),
    Suspend(suspend::Suspend),
    Resume(suspend::Resume),
    Set(suspend::Set),
    Modify(suspend::Modify),
    Migrate(suspend::Migrate),
    Delete(delete::Delete),
    Probe(probe::Probe),
    Swap(swap::Swap),
    Update(update::Update),
    Validate(validate::Validate),
    Import(import::Import),
    Eval(eval::Eval),
    Inject(inject::Inject),
    Uninject(inject::Uninject),
    #[cfg(feature = "kubernetes")]
    Check(check::Check),
    #[cfg(feature = "kubernetes")]
    Install(install::Install),
    #[cfg(feature = "kubernetes")]
    Upgrade(install::Upgrade),
    #[cfg(feature = "kubernetes")]
    Uninstall(install::Uninstall),
    Dev(dev::Dev),
    Version(version::Version),
    Completion(completion::Completion),
}

impl Verb {
    /// Carries it out.
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        match self {
            Verb::Apply(verb) => verb.run(flowd).await,
            Verb::Run(verb) => verb.run(flowd).await,
            Verb::Send(verb) => verb.run(flowd).await,
            Verb::Signal(verb) => verb.run(flowd).await,
            Verb::Offer(verb) => verb.run(flowd).await,
            Verb::Tasks(verb) => verb.run(flowd).await,
            Verb::Claim(verb) => verb.run(flowd).await,
            Verb::Unclaim(verb) => verb.run(flowd).await,
            Verb::Form(verb) => verb.run(flowd).await,
            Verb::Complete(verb) => verb.run(flowd).await,
            Verb::Ps(verb) => verb.run(flowd).await,
            Verb::Describe(verb) => verb.run(flowd).await,
            Verb::Trace(verb) => verb.run(flowd).await,
            Verb::Timers(verb) => verb.run(flowd).await,
            Verb::Start(verb) => verb.run(flowd).await,
            Verb::Stop(verb) => verb.run(flowd).await,
            Verb::Suspend(verb) => verb.run(flowd).await,
            Verb::Resume(verb) => verb.run(flowd).await,
            Verb::Set(verb) => verb.run(flowd).await,
            Verb::Modify(verb) => verb.run(flowd).await,
            Verb::Migrate(verb) => verb.run(flowd).await,
            Verb::Delete(verb) => verb.run(flowd).await,
            Verb::Probe(verb) => verb.run(flowd).await,
            Verb::Swap(verb) => verb.run(flowd).await,
            Verb::Update(verb) => verb.run(flowd).await,
            Verb::Validate(verb) => verb.run(),
            Verb::Import(verb) => verb.run(),
            Verb::Eval(verb) => verb.run(),
            Verb::Inject(verb) => verb.run(),
            Verb::Uninject(verb) => verb.run(),
            #[cfg(feature = "kubernetes")]
            Verb::Check(verb) => verb.run().await,
            #[cfg(feature = "kubernetes")]
            Verb::Install(verb) => verb.run().await,
            #[cfg(feature = "kubernetes")]
            Verb::Upgrade(verb) => verb.run().await,
            #[cfg(feature = "kubernetes")]
            Verb::Uninstall(verb) => verb.run().await,
            Verb::Dev(verb) => verb.run().await,
            Verb::Version(verb) => verb.run(flowd).await,
            Verb::Completion(verb) => verb.run(),
        }
    }
}

/// Shows a report: what happened on standard output, what did not on standard error.
fn show_report(report: &Report, format: Option<Format>) -> anyhow::Result<Exit> {
    output::show(report, format)?;
    for outcome in report.outcomes.iter().filter(|outcome| outcome.exit != Exit::Ok) {
        output::note(format_args!("error: {} {}: {}", outcome.kind, outcome.id, outcome.message));
    }
    Ok(report.exit())
}
