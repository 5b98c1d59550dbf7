//! What became of a swap, and what there were before: `swap`.

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
    /// Its pods were given the image in place.
    pub(crate) in_place: bool,
}

/// What became of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Swap {
    /// The element or service, as named on the command line.
    pub(crate) task: String,
    pub(crate) sidecars: Vec<Sidecar>,
    pub(crate) rollouts: Vec<Rollout>,
    pub(crate) shares: Vec<Share>,
}

/// How much of a service's work another one does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Share {
    pub(crate) service: String,
    /// The one that does it.
    pub(crate) backend: String,
    /// Of 100 activations; 0: none any more.
    pub(crate) weight: u32,
    /// Its sidecars that are connected.
    pub(crate) replicas: u32,
    /// Why it is not so everywhere yet; else empty.
    pub(crate) error: String,
}

/// A swap that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Past {
    pub(crate) at: Option<Timestamp>,
    pub(crate) service: String,
    /// What was said.
    pub(crate) to: String,
}

/// What a task was swapped to, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) swaps: Vec<Past>,
}

impl Show for History {
    fn json(&self) -> Value {
        json!({ "swaps": self.swaps })
    }

    fn names(&self) -> Vec<String> {
        self.swaps.iter().map(|past| format!("swap/{}", past.service)).collect()
    }

    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        let at = |past: &Past| past.at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default();
        table::render(["AT", "SERVICE", "TO"], self.swaps.iter().map(|it| [at(it), it.service.clone(), it.to.clone()]))
    }
}

impl Swap {
    /// 1 if a sidecar could not be reached, pods are not replaced yet, or a share is not in force everywhere.
    pub(crate) fn exit(&self) -> Exit {
        let pods = self.rollouts.iter().any(|rollout| !rollout.error.is_empty());
        let failed = pods || self.unreached().next().is_some() || self.unshared().next().is_some();
        if failed { Exit::Error } else { Exit::Ok }
    }

    /// Workloads with pods of an earlier image, which are being replaced.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.iter().filter(|rollout| !rollout.error.is_empty() && !rollout.in_place)
    }

    /// Workloads whose pods were given another image in place, or their own back.
    pub(crate) fn in_place(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.iter().filter(|rollout| rollout.in_place)
    }

    /// Shares that are not in force everywhere.
    pub(crate) fn unshared(&self) -> impl Iterator<Item = &Share> {
        self.shares.iter().filter(|share| !share.error.is_empty())
    }

    /// Sidecars that do not have the new URL yet.
    pub(crate) fn unreached(&self) -> impl Iterator<Item = &Sidecar> {
        self.sidecars.iter().filter(|sidecar| !sidecar.error.is_empty())
    }
}

impl Show for Swap {
    fn json(&self) -> Value {
        json!({ "task": self.task, "sidecars": self.sidecars, "rollouts": self.rollouts, "shares": self.shares })
    }

    fn names(&self) -> Vec<String> {
        let sidecars = self.sidecars.iter().map(|sidecar| format!("sidecar/{}", sidecar.incarnation));
        let rollouts = self.rollouts.iter().map(|rollout| format!("deployment/{}", rollout.workload));
        let shares = self.shares.iter().map(|share| format!("service/{}", share.backend));
        sidecars.chain(rollouts).chain(shares).collect()
    }

    fn text(&self, wide: bool, _now: Timestamp) -> String {
        let parts = [self.sidecars_text(wide), self.rollouts_text(wide), self.shares_text()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

impl Swap {
    fn sidecars_text(&self, wide: bool) -> Option<String> {
        // nothing at all is told as an empty table of sidecars
        if self.sidecars.is_empty() && !(self.rollouts.is_empty() && self.shares.is_empty()) {
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
        let image = |it: &Rollout| if it.in_place { format!("{} (in place)", it.image) } else { it.image.clone() };
        let row = |it: &Rollout| [it.workload.clone(), it.service.clone(), image(it), state(&it.error)];
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

impl Swap {
    fn shares_text(&self) -> Option<String> {
        let share = |it: &Share| {
            let (weight, replicas) = (format!("{} %", it.weight), it.replicas.to_string());
            [it.service.clone(), it.backend.clone(), weight, replicas, state(&it.error)]
        };
        (!self.shares.is_empty()).then(|| {
            table::render(["SERVICE", "DONE BY", "WEIGHT", "SIDECARS", "STATUS"], self.shares.iter().map(share))
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
        let swap = Swap { task: "charge".into(), sidecars, rollouts: Vec::new(), shares: Vec::new() };
        assert_eq!(swap.exit(), Exit::Error);
        insta::assert_snapshot!(every_form(&swap));
    }

    #[test]
    fn a_swap_to_another_service_in_every_form() {
        let share = |backend: &str, weight, error: &str| Share {
            service: "charge.shop".into(),
            backend: backend.into(),
            weight,
            replicas: 2,
            error: error.into(),
        };
        let shares = vec![share("charge-next.shop", 10, ""), share("charge-old.shop", 0, "")];
        let mut swap = Swap { task: "charge".into(), sidecars: Vec::new(), rollouts: Vec::new(), shares };
        assert_eq!(swap.exit(), Exit::Ok);
        swap.shares.push(share("charge-late.shop", 50, "not in force yet at 10.0.0.1:7001"));
        assert_eq!(swap.exit(), Exit::Error);
        insta::assert_snapshot!(every_form(&swap));
    }

    #[test]
    fn past_swaps_in_every_form() {
        let past = |at: &str, to: &str| Past { at: at.parse().ok(), service: "charge.shop".into(), to: to.into() };
        let swaps =
            vec![past("2026-11-03T12:00:00Z", "as before any swap"), past("2026-11-03T11:00:00Z", "image charge:2")];
        insta::assert_snapshot!(every_form(&History { swaps }));
    }

    #[test]
    fn a_swap_of_an_image_in_every_form() {
        let rollout = |name: &str, error: &str| Rollout {
            workload: format!("shop/{name}"),
            service: format!("{name}.shop"),
            image: format!("registry.example/{name}:2"),
            error: error.into(),
            in_place: false,
        };
        let rollouts = vec![rollout("charge", "")];
        let mut swap = Swap { task: "charge".into(), sidecars: Vec::new(), rollouts, shares: Vec::new() };
        assert_eq!(swap.exit(), Exit::Ok);
        swap.rollouts.push(rollout("refund", "0 of 1 pods are available, 1 of them new; pod refund-1 does not run"));
        assert_eq!(swap.exit(), Exit::Error);
        insta::assert_snapshot!(every_form(&swap));
    }

    #[test]
    fn a_swap_in_place_in_every_form() {
        let rollout = |error: &str| Rollout {
            workload: "shop/charge".into(),
            service: "charge.shop".into(),
            image: "registry.example/charge:2".into(),
            error: error.into(),
            in_place: true,
        };
        let mut swap =
            Swap { task: "charge".into(), sidecars: Vec::new(), rollouts: vec![rollout("")], shares: Vec::new() };
        assert_eq!((swap.exit(), swap.unfinished().count(), swap.in_place().count()), (Exit::Ok, 0, 1));
        swap.rollouts = vec![rollout("pod charge-1 does not run registry.example/charge:2: ImagePullBackOff")];
        assert_eq!(swap.exit(), Exit::Error);
        insta::assert_snapshot!(every_form(&swap));
    }
}
