//! From a gRPC status to an error that says what was attempted and what to do.

use std::error::Error as _;

use runtime::tls::ConnectError;
use tonic::{Code, Status};

use super::channel::Place;
#[cfg(feature = "kubernetes")]
use super::forward::mesh::NoWay;
use crate::args::address::Address;
use crate::exit::{Exit, Failure};

/// Nobody listens there, or the two do not trust each other.
pub(super) fn unreachable(address: &Address, error: &tonic::transport::Error) -> anyhow::Error {
    let mistrust = causes(error)
        .find(|cause| matches!(cause.downcast_ref::<ConnectError>(), Some(ConnectError::Handshake { .. })));
    if let Some(mistrust) = mistrust {
        return Failure::new(Exit::Error, format!("cannot talk to flowd: {mistrust}")).into();
    }
    let failure = Failure::new(Exit::Error, format!("cannot reach flowd at {address}: {}", innermost(error)));
    failure.hint(START_IT).into()
}

/// Whether the reason is that there was nobody to connect to.
#[cfg(feature = "kubernetes")]
pub(super) fn nobody_listens(error: &tonic::transport::Error) -> bool {
    let no_connection =
        |cause: &ConnectError| matches!(cause, ConnectError::Tcp { .. } | ConnectError::TimedOut { .. });
    causes(error).any(|cause| cause.downcast_ref().is_some_and(no_connection))
}

/// There is no way through a cluster; `deserted` is where nobody listens, if that was tried before.
#[cfg(feature = "kubernetes")]
pub(super) fn no_way(deserted: Option<&Address>, error: &NoWay) -> anyhow::Error {
    let (tried, hint) = match deserted {
        Some(address) => {
            (format!("nobody listens at {address}, and "), format!("{START_IT}; in a cluster: {}", error.fix()))
        }
        None => (String::new(), format!("{}; or say where flowd is with --flowd_host and --flowd_port", error.fix())),
    };
    Failure::new(Exit::Error, format!("cannot reach flowd: {tried}{error}")).hint(hint).into()
}

/// The same, where the mesh is known and its flowd is not reached.
#[cfg(feature = "kubernetes")]
pub(super) fn no_way_of(deserted: Option<&Address>, place: &Place, error: &tonic::transport::Error) -> anyhow::Error {
    if let Some(known) = causes(error).find_map(|cause| cause.downcast_ref::<NoWay>()) {
        return no_way(deserted, known);
    }
    let failure = Failure::new(Exit::Error, format!("cannot reach flowd {place}: {}", innermost(error)));
    failure.hint(help(place)).into()
}

/// What to do about a flowd that does not answer.
fn help(place: &Place) -> String {
    match place {
        Place::At(_) => START_IT.to_owned(),
        #[cfg(feature = "kubernetes")]
        Place::Mesh(namespace) => format!("`flowctl check -n {namespace}` says how it is"),
    }
}

/// What to do about a flowd that is not there.
const START_IT: &str = "start it with `flowd` or `flowctl dev`, or say where it is with --flowd_host and --flowd_port";

/// A call that failed.
pub(super) fn failed(place: &Place, attempt: &str, status: Status) -> anyhow::Error {
    if status.source().is_some_and(|source| source.is::<tonic::transport::Error>()) {
        let cause = status.source().map(innermost).unwrap_or_default();
        let failure = Failure::new(Exit::Error, format!("{attempt}: no connection to flowd {place}: {cause}"));
        return failure.hint(help(place)).into();
    }
    let failure = Failure::new(exit_of(status.code()), format!("{attempt}: {}", said(&status)));
    failure.hint(hint_of(place, status.code())).into()
}

fn said(status: &Status) -> String {
    if status.message().is_empty() { format!("flowd answers {:?}", status.code()) } else { status.message().to_owned() }
}

fn exit_of(code: Code) -> Exit {
    match code {
        Code::NotFound => Exit::NotFound,
        Code::DeadlineExceeded => Exit::TimedOut,
        _ => Exit::Error,
    }
}

fn hint_of(place: &Place, code: Code) -> &'static str {
    match code {
        Code::NotFound => "list what there is with `flowctl ps -d` and `flowctl ps`",
        Code::Unauthenticated => match place {
            Place::At(_) => {
                "give the token flowd was started with: --token FILE; or, if it asks for users of its cluster, the kubeconfig's: --kube-token"
            }
            #[cfg(feature = "kubernetes")]
            Place::Mesh(_) => {
                "`kubectl auth whoami` must answer with the same kubeconfig; or give a token with --token FILE"
            }
        },
        Code::Unimplemented => "compare `flowctl version`: flowd may be older than flowctl",
        _ => "",
    }
}

/// The cause that names what happened; the errors around it only say that something did.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{code_of, hint_of as hint};

    fn error(status: Status) -> anyhow::Error {
        failed(&Place::At(Address::new(None, None)), "cannot run order", status)
    }

    #[test]
    fn the_code_of_the_answer_decides_the_exit_code() {
        assert_eq!(code_of(&error(Status::not_found("no deployment matches order"))), Exit::NotFound);
        assert_eq!(code_of(&error(Status::deadline_exceeded("too late"))), Exit::TimedOut);
        assert_eq!(code_of(&error(Status::failed_precondition("it is STOPPED"))), Exit::Error);
    }

    #[test]
    fn the_message_says_what_was_attempted_and_what_flowd_said() {
        let error = error(Status::failed_precondition("order-1 is STOPPED"));
        assert_eq!(error.to_string(), "cannot run order: order-1 is STOPPED");
    }

    #[test]
    fn an_answer_without_words_is_named_by_its_code() {
        assert_eq!(error(Status::aborted("")).to_string(), "cannot run order: flowd answers Aborted");
    }

    #[test]
    fn a_refused_operator_is_told_about_the_token() {
        assert!(hint(&error(Status::unauthenticated("no token"))).contains("--token"));
        // who it is was settled, and what flowd says names the right that is lacking
        assert_eq!(hint(&error(Status::permission_denied("jane may not create workflows"))), "");
    }

    #[cfg(feature = "kubernetes")]
    #[test]
    fn when_neither_way_leads_to_flowd_both_are_named() {
        let localhost = Address::new(None, None);
        let error = no_way(Some(&localhost), &NoWay::Several(vec!["dev".into(), "prod".into()]));
        let message = error.to_string();
        assert!(message.contains("nobody listens at localhost:9001, and there are several meshes"), "{message}");
        for way in ["flowctl dev", "--flowd_host", "--namespace"] {
            assert!(hint(&error).contains(way), "{way}: {}", hint(&error));
        }
        let error = no_way(None, &NoWay::NotReady("mesh".into()));
        assert_eq!(error.to_string(), "cannot reach flowd: no flowd is ready in the namespace mesh");
        assert!(!hint(&error).contains("flowctl dev") && hint(&error).contains("--flowd_host"), "{}", hint(&error));
    }
}
