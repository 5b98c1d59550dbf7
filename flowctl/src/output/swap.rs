//! What became of a swap: `swap`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Show, table};
use crate::exit::Exit;

/// One sidecar that calls the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Sidecar {
    /// Id of its journal.
    pub(crate) incarnation: String,
    pub(crate) hop_address: String,
    /// Name of the service it stands beside.
    pub(crate) service: String,
    /// Where that service is now.
    pub(crate) url: String,
    /// Why the sidecar does not have the new URL yet, which it takes before it takes work again; else empty.
    pub(crate) error: String,
}

/// One workload of the cluster whose pods are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Rollout {
    /// `NAMESPACE/NAME`
    pub(crate) workload: String,
    /// Name of the service that its pods do.
    pub(crate) service: String,
    /// What its container is made of.
    pub(crate) image: String,
    /// Why it is not over; empty when no pod of an earlier image is left.
    pub(crate) error: String,
}

/// What became of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Swap {
    /// The element or service, as named on the command line.
    pub(crate) task: String,
    pub(crate) sidecars: Vec<Sidecar>,
    pub(crate) rollouts: Vec<Rollout>,
}

impl Swap {
    /// 1 if a sidecar could not be reached, or pods are not replaced yet.
    pub(crate) fn exit(&self) -> Exit {
        if self.unreached().next().is_none() && self.unfinished().next().is_none() { Exit::Ok } else { Exit::Error }
    }

    /// Workloads with pods of an earlier image.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.iter().filter(|rollout| !rollout.error.is_empty())
    }

    /// Sidecars that do not have the new URL yet.
    pub(crate) fn unreached(&self) -> impl Iterator<Item = &Sidecar> {
        self.sidecars.iter().filter(|sidecar| !sidecar.error.is_empty())
    }
}

impl Show for Swap {
    fn json(&self) -> Value {
        json!({ "task": self.task, "sidecars": self.sidecars, "rollouts": self.rollouts })
    }

    fn names(&self) -> Vec<String> {
        let sidecars = self.sidecars.iter().map(|sidecar| format!("sidecar/{}", sidecar.incarnation));
        sidecars.chain(self.rollouts.iter().map(|rollout| format!("deployment/{}", rollout.workload))).collect()
    }

    fn text(&self, wide: bool, _now: Timestamp) -> String {
        let parts = [self.sidecars_text(wide), self.rollouts_text(wide)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

impl Swap {
    fn sidecars_text(&self, wide: bool) -> Option<String> {
        // nothing at all is told as an empty table of sidecars
        if self.sidecars.is_empty() && !self.rollouts.is_empty() {
            return None;
        }
        let sidecars = self.sidecars.iter();
        if wide {
            let rows = sidecars.map(|sidecar| {
                let [address, service, url] = [&sidecar.hop_address, &sidecar.service, &sidecar.url].map(Clone::clone);
                [address, service, url, state(&sidecar.error), sidecar.incarnation.clone(), sidecar.error.clone()]
            });
            return Some(table::render(["SIDECAR", "SERVICE", "URL", "STATUS", "INCARNATION", "ERROR"], rows));
        }
        let rows = sidecars.map(|sidecar| {
            [sidecar.hop_address.clone(), sidecar.service.clone(), sidecar.url.clone(), state(&sidecar.error)]
        });
        Some(table::render(["SIDECAR", "SERVICE", "URL", "STATUS"], rows))
    }

    fn rollouts_text(&self, wide: bool) -> Option<String> {
        if self.rollouts.is_empty() {
            return None;
        }
        let row = |it: &Rollout| [it.workload.clone(), it.service.clone(), it.image.clone(), state(&it.error)];
        let rollouts = self.rollouts.iter();
        Some(match wide {
            true => {
                let rows = rollouts.map(|it| {
                    let [workload, service, image, state] = row(it);
                    [workload, service, image, state, it.error.clone()]
                });
                table::render(["DEPLOYMENT", "SERVICE", "IMAGE", "STATUS", "ERROR"], rows)
            }
            false => table::render(["DEPLOYMENT", "SERVICE", "IMAGE", "STATUS"], rollouts.map(row)),
        })
    }
}

fn state(error: &str) -> String {
    if error.is_empty() { "ok" } else { "error" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::every_form;

    #[test]
    fn a_swap_in_every_form() {
        let sidecar = |address: &str, error: &str| Sidecar {
            incarnation: format!("incarnation-of-{address}"),
            hop_address: address.into(),
            service: "charge-service".into(),
            url: "http://127.0.0.1:7002/".into(),
            error: error.into(),
        };
        let sidecars = vec![sidecar("127.0.0.1:41001", ""), sidecar("127.0.0.1:41002", "no connection since 12:00")];
        let swap = Swap { task: "charge".into(), sidecars, rollouts: Vec::new() };
        assert_eq!(swap.exit(), Exit::Error);
        insta::assert_snapshot!(every_form(&swap));
    }

    #[test]
    fn a_swap_of_an_image_in_every_form() {
        let rollout = |name: &str, error: &str| Rollout {
            workload: format!("shop/{name}"),
            service: format!("{name}.shop"),
            image: format!("registry.example/{name}:2"),
            error: error.into(),
        };
        let rollouts = vec![rollout("charge", "")];
        let mut swap = Swap { task: "charge".into(), sidecars: Vec::new(), rollouts };
        assert_eq!(swap.exit(), Exit::Ok);
        swap.rollouts.push(rollout("refund", "0 of 1 pods are available, 1 of them new; pod refund-1 does not run"));
        assert_eq!(swap.exit(), Exit::Error);
        insta::assert_snapshot!(every_form(&swap));
    }
}
