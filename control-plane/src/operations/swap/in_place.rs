//! Another image for the pods that there are: asked for here, durably; brought about by whoever looks after the cluster.
//!
//! Asked for again it goes on where it is: also when flowd, or who asked first, has gone meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use routing::ServiceName;

use super::{Error, Operations};
use crate::kubernetes::objects::Rollout;
use crate::mesh::{InPlace, Stage};

/// How much longer than pods have it is waited for: a pod that does not do with an image gets the old one back.
const TAKEN_BACK_WITHIN: Duration = Duration::from_secs(60);

impl Operations {
    /// That the pods of all `services` can be given another image; those that are being replaced are waited for.
    pub(super) async fn may_swap_in_place(
        &self,
        services: &BTreeSet<ServiceName>,
        image: &str,
        within: Duration,
    ) -> Result<(), Error> {
        self.brought(services)?;
        let replaced = || {
            let all = self.mesh.in_places();
            let mut rollouts = self.mesh.rollouts(services).into_iter();
            rollouts.all(|(service, rollout)| all.contains_key(&service) || rollout.lacks.is_empty())
        };
        self.until(within, replaced).await;
        let all = self.mesh.in_places();
        for (service, rollout) in self.mesh.rollouts(services) {
            match all.get(&service) {
                Some(it) if it.is_under_way() && (it.image != image || it.stage != Stage::Swapping) => {
                    return Err(Error::WrongState(format!(
                        "pods of {service} are being swapped in place already ({}); wait, or take it back with --undo",
                        told(it)
                    )));
                }
                None if !rollout.lacks.is_empty() => {
                    return Err(Error::WrongState(format!(
                        "the pods of {service} are still being replaced: {}; wait until they are",
                        rollout.lacks
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Answers when all pods run the image, or says why some do not.
    pub(super) async fn swap_in_place(
        &self,
        services: &BTreeSet<ServiceName>,
        image: &str,
        within: Duration,
    ) -> Result<Vec<(ServiceName, Rollout)>, Error> {
        let work = |service: &ServiceName| self.mesh.in_places().remove(service).and_then(|it| it.work);
        self.begin_in_place(services, within, |service| (image.to_owned(), Stage::Swapping, work(service))).await?;
        tracing::info!(?services, image, "other images in place");
        self.in_place_over(services, within).await;
        Ok(self.outcome(services))
    }

    /// Answers when all pods run what their Deployments have again; nothing for those of which none was swapped.
    pub(super) async fn undo_in_place(
        &self,
        services: &BTreeSet<ServiceName>,
        within: Duration,
    ) -> Result<Vec<(ServiceName, Rollout)>, Error> {
        let all = self.mesh.in_places();
        let swapped: BTreeSet<_> = services.iter().filter(|it| all.contains_key(*it)).cloned().collect();
        if swapped.is_empty() {
            return Ok(Vec::new());
        }
        self.begin_in_place(&swapped, within, |service| {
            let it = &all[service];
            (it.image.clone(), Stage::Undoing, it.work.clone())
        })
        .await?;
        tracing::info!(services = ?swapped, "images in place taken back");
        self.in_place_over(&swapped, within).await;
        Ok(self.outcome(&swapped))
    }

    /// Answers when the Deployments have the images that their pods were given in place, and no pod is being replaced.
    pub(super) async fn commit_in_place(
        &self,
        services: &BTreeSet<ServiceName>,
        within: Duration,
    ) -> Result<Vec<(ServiceName, Rollout)>, Error> {
        let images = self.to_commit(services)?;
        let swapped: BTreeSet<ServiceName> = images.keys().cloned().collect();
        self.begin_in_place(&swapped, within, |service| (images[service].clone(), Stage::Committing, None)).await?;
        tracing::info!(services = ?swapped, "images in place are kept");
        self.in_place_over(&swapped, within).await;
        let left = self.mesh.in_places();
        if swapped.iter().any(|it| left.contains_key(it)) {
            return Ok(self.outcome(&swapped));
        }
        let over = || self.mesh.rollouts(&swapped).iter().all(|(_, it)| it.lacks.is_empty());
        self.until(within, over).await;
        Ok(self.mesh.rollouts(&swapped))
    }

    /// The images that pods of `services` were given in place, to be their Deployments' from now on.
    pub(super) fn to_commit(&self, services: &BTreeSet<ServiceName>) -> Result<BTreeMap<ServiceName, String>, Error> {
        let all = self.mesh.in_places();
        let mut images = BTreeMap::new();
        for service in services {
            match all.get(service) {
                Some(it) if it.is_under_way() && it.stage != Stage::Committing => {
                    return Err(Error::WrongState(format!(
                        "pods of {service} are still being swapped in place ({}); wait until they are",
                        told(it)
                    )));
                }
                Some(it) => _ = images.insert(service.clone(), it.image.clone()),
                None => {}
            }
        }
        match images.is_empty() {
            true => Err(Error::WrongState(
                "none of its pods was given another image in place: there is nothing to commit".to_owned(),
            )),
            false => Ok(images),
        }
    }

    async fn begin_in_place(
        &self,
        services: &BTreeSet<ServiceName>,
        within: Duration,
        to: impl Fn(&ServiceName) -> (String, Stage, Option<crate::mesh::Work>),
    ) -> Result<(), Error> {
        let until = self.now() + u64::try_from(within.as_millis()).unwrap_or(u64::MAX / 4);
        let mut writes = Vec::new();
        for service in services {
            let (image, stage, work) = to(service);
            let it = InPlace { image, until, stage, work };
            writes.extend(self.mesh.put_in_place(&BTreeSet::from([service.clone()]), Some(&it)));
        }
        self.commit(writes).await
    }

    async fn in_place_over(&self, services: &BTreeSet<ServiceName>, within: Duration) {
        let over = || {
            let all = self.mesh.in_places();
            services.iter().filter_map(|it| all.get(it)).all(|it| !it.is_under_way())
        };
        self.until(within + TAKEN_BACK_WITHIN, over).await;
    }

    fn outcome(&self, services: &BTreeSet<ServiceName>) -> Vec<(ServiceName, Rollout)> {
        let all = self.mesh.in_places();
        let mut rollouts = self.mesh.rollouts(services);
        for (service, rollout) in &mut rollouts {
            rollout.lacks = String::new();
            let Some(it) = all.get(service) else { continue };
            it.image.clone_into(&mut rollout.image);
            rollout.lacks = match &it.stage {
                Stage::Swapped => String::new(),
                Stage::Failed(why) => why.clone(),
                Stage::Swapping | Stage::Committing | Stage::Undoing => format!("it is not over yet: {}", told(it)),
            };
        }
        rollouts
    }
}

/// Where a swap is, for people.
fn told(it: &InPlace) -> String {
    let what = match (&it.stage, &it.work) {
        (Stage::Undoing, _) => format!("{} is taken back", it.image),
        (_, Some(work)) if work.back => format!("{} gets its earlier image back", work.name),
        (Stage::Committing, _) => format!("{} is kept", it.image),
        (Stage::Swapping | Stage::Swapped | Stage::Failed(_), _) => format!("to {}", it.image),
    };
    match &it.work {
        Some(work) => format!("{what}, at pod {}", work.name),
        None => what,
    }
}
