//! Repointing a task's service at once, running instances included.

use std::collections::BTreeSet;
use std::time::Duration;

use routing::ServiceName;
use routing::table::CONNECTORS;

use super::{Error, Operations};
use crate::mesh::{InForce, Target};

/// How long connected sidecars have to take a new binding.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(10);

/// What to repoint.
#[derive(Clone, Debug)]
pub(crate) struct Swap {
    /// Element id, or a service's name.
    pub(crate) task: String,
    /// `None` takes a swap back.
    pub(crate) url: Option<String>,
    /// Looks for the element there only.
    pub(crate) deployment: Option<String>,
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
    /// Durable first, then pushed; answers when every connected sidecar has it in force, or says which has not.
    pub(crate) async fn swap(&self, swap: Swap) -> Result<Vec<Swapped>, Error> {
        if let Some(url) = &swap.url {
            check_url(url).map_err(|why| Error::Invalid(format!("--url {url}: {why}")))?;
        }
        let deployment = match &swap.deployment {
            Some(text) => Some(self.mesh.resolve(text)?.definition.deployment.clone()),
            None => None,
        };
        let services = self.mesh.services_named(&swap.task, deployment.as_ref().map(|it| it.as_str()));
        if services.iter().any(|it| it.as_str() == CONNECTORS) {
            let why = format!("{:?} is a connector, which calls what its model says: apply the model anew", swap.task);
            return Err(Error::Invalid(why));
        }
        if services.is_empty() {
            let place = deployment.map(|it| format!(" in {it}")).unwrap_or_default();
            return Err(Error::NotFound(format!("there is no task or service {:?}{place}", swap.task)));
        }
        let mut changes = self.mesh.changes();
        let writes = self.mesh.repoint(&services, swap.url.as_deref());
        self.commit(writes).await?;
        tracing::info!(?services, url = swap.url, "repointed");
        let all = async {
            loop {
                changes.mark_unchanged();
                if self.mesh.targets(&services).iter().all(|it| it.force != InForce::NotYet) {
                    return;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // what is not in force in time is named below
        let _ = tokio::time::timeout(IN_FORCE_WITHIN, all).await;
        Ok(self.told(&services, swap.url.as_deref()))
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
