//! Deployments that new instances and calls may run on.

use routing::table::Version;
use routing::{DeploymentId, Digest, ElementId, ProcessId};

/// A deployment that new instances and calls may run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The process.
    pub process: ProcessId,
    /// The version of it.
    pub deployment: DeploymentId,
    /// The tables' digest.
    pub definition: Digest,
    /// `versionTag`.
    pub tag: Option<String>,
    /// What was applied together has the same number; grows.
    pub applied: u64,
    /// The elements where instances can start.
    pub starts: Vec<ElementId>,
    /// Topics that start instances at an element, beside those of the model.
    pub topics: Vec<(String, ElementId)>,
}

/// The definition that a call activity of `caller` means: of what is deployed, the newest last.
pub(super) fn called(deployed: &[Deployed], caller: Digest, process: &str, version: &Version) -> Option<Digest> {
    let mut of_process = deployed.iter().rev().filter(|d| d.process.as_str() == process);
    let newest = of_process.clone().next().map(|d| d.definition);
    match version {
        Version::Latest => newest,
        Version::Deployment => {
            let with = deployed.iter().find(|d| d.definition == caller).map(|d| d.applied);
            of_process.find(|d| Some(d.applied) == with).map(|d| d.definition).or(newest)
        }
        Version::Tag(tag) => of_process.find(|d| d.tag.as_ref() == Some(tag)).map(|d| d.definition),
        Version::Fixed(deployment) => deployed.iter().find(|d| d.deployment == *deployment).map(|d| d.definition),
    }
}
