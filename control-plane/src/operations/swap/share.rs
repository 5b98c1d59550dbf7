//! Another service that does a share of a service's work: first it is made ready for it, then it is given it.

use std::collections::BTreeSet;

use hop::WHOLE;
use routing::ServiceName;
use routing::table::CONNECTORS;

use super::{Error, IN_FORCE_WITHIN, Operations};
use crate::mesh::Share;

/// That a weight is one.
pub(super) fn check(weight: u8) -> Result<(), Error> {
    match weight {
        1..=WHOLE => Ok(()),
        _ => Err(Error::Invalid(format!("--weight {weight}: 1 to {WHOLE} of 100 activations; none at all is --undo"))),
    }
}

impl Operations {
    /// That `backend` can do the work of all `services`.
    pub(super) fn may_do(&self, services: &BTreeSet<ServiceName>, backend: &ServiceName) -> Result<(), Error> {
        if services.contains(backend) {
            return Err(Error::Invalid(format!(
                "--service {backend}: that is what does it already; --undo gives all of the work back to it"
            )));
        }
        if backend.as_str() == CONNECTORS {
            return Err(Error::Invalid(format!("--service {backend}: connectors do the tasks of connectors alone")));
        }
        let known = self.mesh.targets(&BTreeSet::from([backend.clone()]));
        if known.iter().all(|it| it.force == crate::mesh::InForce::Away) {
            return Err(Error::NotFound(format!(
                "--service {backend}: no sidecar that is connected serves it; start one (flow-sidecar --serve {backend}=URL), or apply a \
                 process that names it"
            )));
        }
        Ok(())
    }

    /// Answers when every connected sidecar has it in force, or says which has not.
    pub(super) async fn share(
        &self,
        services: &BTreeSet<ServiceName>,
        backend: &ServiceName,
        weight: u8,
    ) -> Result<Vec<Share>, Error> {
        // those who are new to the work have its tables before anybody sends them any
        let knows = |service: &ServiceName| self.mesh.splits().backends(service).any(|(it, _)| it == backend);
        let new: BTreeSet<ServiceName> = services.iter().filter(|it| !knows(it)).cloned().collect();
        if !new.is_empty() {
            self.commit(self.mesh.admit_backend(&new, backend)).await?;
            self.until(IN_FORCE_WITHIN, || self.mesh.shares(&new).iter().all(|it| it.behind.is_empty())).await;
        }
        self.commit(self.mesh.split(services, Some((backend, weight)))).await?;
        tracing::info!(?services, %backend, weight, "another service does the work");
        self.shared(services).await
    }

    /// All of the work goes back to the services themselves; nothing for those that nobody else has ever done.
    pub(super) async fn unshare(&self, services: &BTreeSet<ServiceName>) -> Result<Vec<Share>, Error> {
        let writes = self.mesh.split(services, None);
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.commit(writes).await?;
        tracing::info!(?services, "the services do their work themselves again");
        self.shared(services).await
    }

    async fn shared(&self, services: &BTreeSet<ServiceName>) -> Result<Vec<Share>, Error> {
        self.until(IN_FORCE_WITHIN, || self.mesh.shares(services).iter().all(|it| it.behind.is_empty())).await;
        Ok(self.mesh.shares(services))
    }
}
