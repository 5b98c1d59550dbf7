//! As whom flowctl calls a flowd that asks for users of its cluster: by the token of the kubeconfig, or of a service account.
//!
//! The kubeconfig's own token opens the cluster to whoever gets it. So it is shown where flowctl has gone into the cluster by itself, to a namespace that was
//! said or is the usual one, and the flowd there asks for users; elsewhere only if `--kube-token` says so. A token of a service account is made for calling
//! flowd and good for nothing else.

use runtime::token::Token;

use super::forward::mesh::{Asks, USUAL};
use super::forward::{Forward, NAMESPACE};
use crate::args::Mesh;
use crate::cluster::{Access, Cluster, Error};
use crate::exit::{Exit, Failure};

/// Who flowd is for tokens that are made for calling it alone.
const AUDIENCE: &str = "users.flowd";
/// Ways to have a token, whatever was lacking.
const ELSE: &str = "name a service account with --kube-account, or give a token with --token FILE";

/// The token for the flowd that a port-forward leads to; none if it asks for none.
///
/// # Errors
/// When it asks for one and there is none.
pub(super) async fn through(mesh: &Mesh, forward: &Forward) -> anyhow::Result<Option<Token>> {
    let asks = match (forward.asks(), mesh.kube_token || mesh.kube_account.is_some()) {
        (None, false) => return Ok(None),
        (Some(asks), _) => asks,
        (None, true) => asks_of(forward.namespace()),
    };
    if !forward.is_meant() && !mesh.kube_token && mesh.kube_account.is_none() {
        return Err(not_meant(forward.namespace()).into());
    }
    shown(mesh, forward.cluster(), (forward.namespace(), &asks)).await.map(Some)
}

/// The token for a flowd at an address; none unless one is asked for.
///
/// # Errors
/// When there is none.
pub(super) async fn at_address(mesh: &Mesh) -> anyhow::Result<Option<Token>> {
    if !mesh.kube_token && mesh.kube_account.is_none() {
        return Ok(None);
    }
    let namespace = std::env::var(NAMESPACE).ok().filter(|it| !it.is_empty()).unwrap_or_else(|| USUAL.to_owned());
    let access = Access { kubeconfig: mesh.kubeconfig.clone(), context: mesh.context.clone() };
    let cluster = Cluster::open(&access).await.map_err(Failure::from)?;
    shown(mesh, &cluster, (&namespace, &asks_of(&namespace))).await.map(Some)
}

/// What a flowd asks for that does not say so itself.
fn asks_of(namespace: &str) -> Asks {
    Asks { audience: format!("{AUDIENCE}.{namespace}.svc"), account: None }
}

async fn shown(mesh: &Mesh, cluster: &Cluster, (namespace, asks): (&str, &Asks)) -> anyhow::Result<Token> {
    let of_account = async |named: &str| {
        let (namespace, name) = named.split_once('/').unwrap_or((namespace, named));
        let made = cluster.account_token(namespace, name, &asks.audience).await;
        made.map_err(|error| not_made(namespace, name, &error))
    };
    let token = match &mesh.kube_account {
        Some(named) => of_account(named).await?,
        None => match (cluster.own_token().await.map_err(Failure::from)?, &asks.account) {
            (Some(token), _) => token,
            (None, Some(account)) => of_account(account).await?,
            (None, None) => return Err(none_at_all(namespace).into()),
        },
    };
    Token::new(&token).ok_or_else(|| {
        let failure = Failure::new(
            Exit::Error,
            "the token of the cluster's user cannot be sent: it is too long, or not printable",
        );
        failure.hint(ELSE).into()
    })
}

fn not_meant(namespace: &str) -> Failure {
    let failure = Failure::new(
        Exit::Error,
        format!(
            "the flowd that was found in the namespace {namespace} asks for your token, and nobody has said that it may have it"
        ),
    );
    failure.hint(format!("if it is the one you mean: --namespace {namespace}, or FLOW_NAMESPACE={namespace}"))
}

fn none_at_all(namespace: &str) -> Failure {
    let failure = Failure::new(
        Exit::Error,
        format!(
            "flowd in {namespace} asks for the token of a user, and the kubeconfig has none: a certificate is none"
        ),
    );
    failure.hint(ELSE)
}

fn not_made(namespace: &str, account: &str, error: &Error) -> Failure {
    let failure = Failure::new(
        Exit::Error,
        format!("no token of the service account {namespace}/{account} for flowd, which asks for one: {error}"),
    );
    failure.hint(format!(
        "ask for the right to `create` serviceaccounts/token of {account} in {namespace}; or use a kubeconfig with a token; or {ELSE}"
    ))
}
