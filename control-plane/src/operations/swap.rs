//! Swapping a task: another URL or another service at once, running instances included, or another image for its container, pod by pod.

mod in_place;
mod share;

use std::collections::BTreeSet;
use std::time::Duration;

use routing::ServiceName;
use routing::table::CONNECTORS;

use super::{Error, Operations};
use crate::kubernetes::objects::Rollout;
use crate::mesh::{InForce, Past, Share, Target};

/// How long connected sidecars have to take a new binding.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(10);

/// The longest reference of an image, bytes.
const MAX_IMAGE: usize = 1_024;

/// What to swap.
#[derive(Clone, Debug)]
pub(crate) struct Swap {
    /// Element id, or a service's name.
    pub(crate) task: String,
    /// To what.
    pub(crate) to: SwapTo,
    /// Looks for the element there only.
    pub(crate) deployment: Option<String>,
    /// How long to wait for pods to be replaced; they go on afterwards.
    pub(crate) within: Duration,
}

/// What a service is swapped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SwapTo {
    /// Another URL of the service.
    Url(String),
    /// Another service that does so many of 100 of its activations.
    Service(ServiceName, u8),
    /// Another image of its container.
    Image(String),
    /// Another image for the pods that there are.
    InPlace(String),
    /// That image for good.
    Committed,
    /// What it was before any swap.
    Undone,
}

/// What became of a swap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Sidecars that call the service elsewhere.
    pub(crate) sidecars: Vec<Swapped>,
    /// Services whose pods are replaced.
    pub(crate) rollouts: Vec<(ServiceName, Rollout)>,
    /// Services whose pods were given another image in place, or their own back.
    pub(crate) in_place: Vec<(ServiceName, Rollout)>,
    /// Services whose work others do, or did.
    pub(crate) shares: Vec<Share>,
}

impl std::fmt::Display for SwapTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => write!(f, "URL {url}"),
            Self::Service(service, weight) => write!(f, "service {service}, weight {weight}"),
            Self::Image(image) => write!(f, "image {image}"),
            Self::InPlace(image) => write!(f, "image {image}, in place"),
            Self::Committed => f.write_str("the image that was swapped to in place, for good"),
            Self::Undone => f.write_str("as before any swap"),
        }
    }
}

/// What became of it at one sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Swapped {
    pub(crate) incarnation: String,
    pub(crate) address: String,
    pub(crate) service: String,
    pub(crate) url: String,
    /// Empty: in force.
    pub(crate) error: String,
}

impl Operations {
    /// Durable first, then brought about; answers when all of it is, or says what is not.
    pub(crate) async fn swap(&self, swap: Swap) -> Result<Outcome, Error> {
        match &swap.to {
            SwapTo::Url(url) => check_url(url).map_err(|why| Error::Invalid(format!("--url {url}: {why}")))?,
            SwapTo::Image(image) | SwapTo::InPlace(image) => {
                check_image(image).map_err(|why| Error::Invalid(format!("--image {image:?}: {why}")))?
            }
            SwapTo::Service(_, weight) => share::check(*weight)?,
            SwapTo::Undone | SwapTo::Committed => {}
        }
        let services = self.services_meant(&swap.task, swap.deployment.as_deref())?;
        match &swap.to {
            SwapTo::Service(backend, _) => self.may_do(&services, backend)?,
            SwapTo::Image(_) => self.brought(&services)?,
            SwapTo::InPlace(image) => self.may_swap_in_place(&services, image, swap.within).await?,
            SwapTo::Committed => _ = self.to_commit(&services)?,
            SwapTo::Url(_) | SwapTo::Undone => {}
        }
        self.commit(self.mesh.record_swap(&services, &swap.to.to_string(), self.now())).await?;
        match &swap.to {
            SwapTo::Service(backend, weight) => {
                Ok(Outcome { shares: self.share(&services, backend, *weight).await?, ..Outcome::default() })
            }
            SwapTo::Url(url) => {
                Ok(Outcome { sidecars: self.repoint(&services, Some(url)).await?, ..Outcome::default() })
            }
            SwapTo::Image(image) => {
                Ok(Outcome { rollouts: self.reimage(&services, Some(image), swap.within).await?, ..Outcome::default() })
            }
            SwapTo::InPlace(image) => {
                Ok(Outcome { in_place: self.swap_in_place(&services, image, swap.within).await?, ..Outcome::default() })
            }
            SwapTo::Committed => {
                Ok(Outcome { rollouts: self.commit_in_place(&services, swap.within).await?, ..Outcome::default() })
            }
            SwapTo::Undone => {
                let images = self.mesh.images();
                let imaged: BTreeSet<_> = services.iter().filter(|it| images.contains_key(*it)).cloned().collect();
                let rollouts =
                    if imaged.is_empty() { Vec::new() } else { self.reimage(&imaged, None, swap.within).await? };
                let rest = services.difference(&imaged).cloned().collect();
                let in_place = self.undo_in_place(&rest, swap.within).await?;
                let shares = self.unshare(&services).await?;
                // what has another image or others that did its work alone stays where it is
                let urls = self.mesh.swapped();
                let alone = |it: &ServiceName| {
                    !imaged.contains(it)
                        && !in_place.iter().any(|(other, _)| other == it)
                        && !shares.iter().any(|share| share.service == *it)
                };
                let repointed = services.iter().filter(|it| urls.contains_key(*it) || alone(it));
                let repointed: BTreeSet<_> = repointed.cloned().collect();
                Ok(Outcome { sidecars: self.repoint(&repointed, None).await?, rollouts, in_place, shares })
            }
        }
    }

    /// What was swapped to what, newest first.
    pub(crate) fn swaps(&self, task: &str, deployment: Option<&str>) -> Result<Vec<(ServiceName, Past)>, Error> {
        Ok(self.mesh.past_swaps(&self.services_meant(task, deployment)?))
    }

    fn services_meant(&self, task: &str, deployment: Option<&str>) -> Result<BTreeSet<ServiceName>, Error> {
        let deployment = match deployment {
            Some(text) => Some(self.mesh.resolve(text)?.definition.deployment.clone()),
            None => None,
        };
        let services = self.mesh.services_named(task, deployment.as_ref().map(|it| it.as_str()));
        if services.iter().any(|it| it.as_str() == CONNECTORS) {
            let why = format!("{task:?} is a connector, which calls what its model says: apply the model anew");
            return Err(Error::Invalid(why));
        }
        if services.is_empty() {
            let place = deployment.map(|it| format!(" in {it}")).unwrap_or_default();
            return Err(Error::NotFound(format!("there is no task or service {task:?}{place}")));
        }
        Ok(services)
    }

    /// That a deployment brings the containers of all `services`.
    fn brought(&self, services: &BTreeSet<ServiceName>) -> Result<(), Error> {
        if !self.orchestrated {
            return Err(Error::Invalid(
                "--image is for a flowd that runs the containers of tasks (--orchestrator); start the other container, and give its --url".to_owned(),
            ));
        }
        let brought = self.mesh.brought();
        match services.iter().find(|it| !brought.contains(*it)) {
            None => Ok(()),
            Some(other) => Err(Error::Invalid(format!(
                "{other} was there before its deployments: set the image of its own workload (`kubectl set image`); its \
                 pods drain all the same"
            ))),
        }
    }

    /// Answers when no pod of an earlier image is left, or says why some are.
    async fn reimage(
        &self,
        services: &BTreeSet<ServiceName>,
        image: Option<&str>,
        within: Duration,
    ) -> Result<Vec<(ServiceName, Rollout)>, Error> {
        let mut writes = self.mesh.reimage(services, image, self.now());
        // all pods are made anew: what they were given in place goes with them
        writes.extend(self.mesh.put_in_place(services, None));
        self.commit(writes).await?;
        tracing::info!(?services, image, "other images");
        let over = || self.mesh.rollouts(services).iter().all(|(_, it)| it.lacks.is_empty());
        self.until(within, over).await;
        Ok(self.mesh.rollouts(services))
    }

    /// Answers when every connected sidecar has it in force, or says which has not.
    async fn repoint(&self, services: &BTreeSet<ServiceName>, url: Option<&str>) -> Result<Vec<Swapped>, Error> {
        if services.is_empty() {
            return Ok(Vec::new());
        }
        let writes = self.mesh.repoint(services, url);
        self.commit(writes).await?;
        tracing::info!(?services, url, "repointed");
        let in_force = || self.mesh.targets(services).iter().all(|it| it.force != InForce::NotYet);
        self.until(IN_FORCE_WITHIN, in_force).await;
        Ok(self.told(services, url))
    }

    fn told(&self, services: &BTreeSet<ServiceName>, url: Option<&str>) -> Vec<Swapped> {
        let targets = self.mesh.targets(services);
        let unserved = services.iter().filter(|it| !targets.iter().any(|target| target.service == **it));
        let unserved = unserved.map(|service| Swapped {
            incarnation: String::new(),
            address: String::new(),
            service: service.to_string(),
            url: url.unwrap_or_default().to_owned(),
            error: "no sidecar serves it now; one that comes takes the new URL before it takes work".to_owned(),
        });
        targets.iter().map(swapped).chain(unserved).collect()
    }
}

fn swapped(target: &Target) -> Swapped {
    let error = match target.force {
        InForce::Yes => "",
        InForce::NotYet => {
            "it has not answered in time; it takes the new URL when it goes on, before it takes work again"
        }
        InForce::Away => "it is away; it takes the new URL when it is back, before it takes work again",
    };
    Swapped {
        incarnation: target.incarnation.to_string(),
        address: target.address.clone(),
        service: target.service.to_string(),
        url: target.url.clone(),
        error: error.to_owned(),
    }
}

/// That `url` can be called.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    let parsed: http::Uri = url.replace("{type}", "type").parse().map_err(|error| format!("not a URL: {error}"))?;
    match (parsed.scheme_str(), parsed.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(()),
        (Some("http" | "https"), _) => Err("it names no host".to_owned()),
        _ => Err("write http://HOST:PORT[/PATH]".to_owned()),
    }
}

/// That `image` can be a reference: what there is behind it, the node finds out.
fn check_image(image: &str) -> Result<(), String> {
    let legible = |it: char| it.is_ascii_graphic();
    match image.len() {
        0 => Err("it is empty".to_owned()),
        length if length > MAX_IMAGE => Err(format!("it has {length} bytes, and at most {MAX_IMAGE} are allowed")),
        _ if !image.chars().all(legible) => Err("write REGISTRY/NAME:TAG or NAME@DIGEST, without spaces".to_owned()),
        _ => Ok(()),
    }
}
