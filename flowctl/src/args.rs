//! The command line: what every verb has in common.
//!
//! Each verb's own arguments are beside its code in `verbs/`. The `-o` rule of old scripts, which clap
//! cannot express, is a pass over the words before it (`args/words.rs`).

pub(crate) mod address;
pub(crate) mod bind;
pub(crate) mod duration;
pub(crate) mod kind;
pub(crate) mod operator;
pub(crate) mod words;

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::output::Format;
use crate::verbs::Verb;
use address::{Address, Port};

/// Talks to flowd, the control plane of a mesh that runs BPMN.
#[derive(Debug, Parser)]
#[command(name = "flowctl", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 done, 1 error, 2 usage, 3 not found, 4 timed out, 5 the instance did not complete,
65 the model has errors. Data goes to standard output, progress and messages to standard error.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flowd: Flowd,

    /// What flowctl logs to standard error: 10 debug, 20 info, 30 warning, 40 error
    #[arg(long = "log_level", alias = "log-level", global = true, value_name = "N", default_value_t = 30)]
    pub(crate) log_level: u16,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Where flowd is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Flowd {
    /// Host of flowd [default: localhost if flowd listens there, else the mesh of the kubeconfig's cluster]
    #[arg(
        long = "flowd_host",
        alias = "flowd-host",
        env = "FLOWD_HOST",
        global = true,
        value_name = "HOST",
        help_heading = "Connection"
    )]
    pub(crate) flowd_host: Option<String>,

    /// Port of flowd; also `tcp://IP:PORT`, as Kubernetes puts it into the environment [default: 9001]
    #[arg(
        long = "flowd_port",
        alias = "flowd-port",
        env = "FLOWD_PORT",
        global = true,
        value_name = "PORT",
        help_heading = "Connection"
    )]
    pub(crate) flowd_port: Option<Port>,

    /// File with the token that flowd asks for (flowd's own `--token`)
    #[arg(long, env = "FLOWD_TOKEN", global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) token: Option<PathBuf>,

    /// Certificate of the operator (PEM), with a SPIFFE name; TLS needs it, its key and the CA
    #[arg(long, env = "FLOWD_TLS_CERT", global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Key of that certificate (PEM)
    #[arg(long, env = "FLOWD_TLS_KEY", global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) tls_key: Option<PathBuf>,

    /// CA of the mesh (PEM); alone: of a gateway in front of flowd, which is then known by its host name
    #[arg(long, env = "FLOWD_TLS_CA", global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) tls_ca: Option<PathBuf>,

    #[cfg(feature = "kubernetes")]
    #[command(flatten)]
    pub(crate) mesh: Mesh,
}

/// Which mesh of a cluster, for flowctl's own port-forward.
#[cfg(feature = "kubernetes")]
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Mesh {
    /// Go to the flowd of this namespace of the cluster, whoever listens on localhost; FLOW_NAMESPACE only says which mesh is meant if there are several
    #[arg(long, short, global = true, value_name = "NAMESPACE", help_heading = "Connection")]
    pub(crate) namespace: Option<String>,

    /// Go to the cluster of this kubeconfig, whoever listens on localhost
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Go to the cluster of this context of the kubeconfig, whoever listens on localhost
    #[arg(long = "kube-context", global = true, value_name = "NAME", help_heading = "Connection")]
    pub(crate) context: Option<String>,

    /// Show flowd the token of the kubeconfig's user, also at an address that was said; where flowctl goes into the cluster by itself it does so if flowd asks
    #[arg(long, global = true, conflicts_with = "token", help_heading = "Connection")]
    pub(crate) kube_token: bool,

    /// Show flowd a token of this service account, which the API server makes for nothing but that [NAMESPACE: flowd's]
    #[arg(
        long,
        env = "FLOWD_KUBE_ACCOUNT",
        global = true,
        value_name = "[NAMESPACE/]NAME",
        conflicts_with_all = ["token", "kube_token"],
        help_heading = "Connection"
    )]
    pub(crate) kube_account: Option<String>,
}

/// Where to look for flowd, by what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// There, and nowhere else.
    At(Address),
    /// On this machine; if nobody listens there, in the cluster of the kubeconfig.
    #[cfg(feature = "kubernetes")]
    Around(Address),
    /// In the cluster, and nowhere else.
    #[cfg(feature = "kubernetes")]
    Cluster,
}

impl Flowd {
    /// Where to look for it. An address that was said is taken as it is; so is what has certificates of its own, which are for flowd's port alone.
    pub(crate) fn look(&self) -> Look {
        let address = Address::new(self.flowd_host.as_deref(), self.flowd_port.as_ref());
        #[cfg(feature = "kubernetes")]
        {
            let said = self.flowd_port.is_some() || self.flowd_host.as_deref().is_some_and(|host| !host.is_empty());
            let tls = [&self.tls_cert, &self.tls_key, &self.tls_ca].into_iter().any(Option::is_some);
            let Mesh { namespace, kubeconfig, context, kube_token, kube_account } = &self.mesh;
            if !said && !tls {
                // whoever listens on this machine is shown no token of the cluster
                let shown = *kube_token || kube_account.is_some();
                let named = shown || namespace.is_some() || kubeconfig.is_some() || context.is_some();
                return if named { Look::Cluster } else { Look::Around(address) };
            }
        }
        Look::At(address)
    }
}

/// `-o`: the form of the answer.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct OutputArgs {
    /// Form of the answer: json, yaml, wide or name, sarif for what is found in models; `-o` alone prints the original's JSON
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "original",
        value_enum
    )]
    pub(crate) output: Option<Format>,
}

#[cfg(test)]
mod tests;
