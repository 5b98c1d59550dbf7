//! Traffic splits: which services do the work of another one, and how much of it.
//!
//! A split is by activation, not by chance: whoever asks, and however often, an activation is done by the same service as long as both have replicas.
//! A service that no work goes to any more stays in its split with weight 0: what it was given before, it finishes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1;
use routing::{ActivationId, ServiceName};

/// All of the work, as a weight.
pub const WHOLE: u8 = 100;

/// Services that do the work of another one, each with its weight: how many of 100 activations it does.
pub type Backends = BTreeMap<ServiceName, u8>;

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splits(BTreeMap<ServiceName, Backends>);

impl Splits {
    /// Of the services' work, weights over [`WHOLE`] count as that.
    pub fn new(splits: impl IntoIterator<Item = (ServiceName, Backends)>) -> Self {
        Self(splits.into_iter().filter(|(_, backends)| !backends.is_empty()).collect())
    }

    /// As flowd tells it.
    pub fn from_wire(splits: &[v1::Split]) -> Self {
        let mut all: BTreeMap<ServiceName, Backends> = BTreeMap::new();
        for v1::Split { service, backend, weight } in splits {
            let weight = u8::try_from(*weight).unwrap_or(WHOLE).min(WHOLE);
            all.entry(service.as_str().into()).or_default().insert(backend.as_str().into(), weight);
        }
        Self(all)
    }

    /// True when every service does its own work alone.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From now on `backend` does so much of the work of `service`, and no other one any; nor does anybody if it is none.
    pub fn give(&mut self, service: &ServiceName, share: Option<(&ServiceName, u8)>) {
        let backends = self.0.entry(service.clone()).or_default();
        backends.values_mut().for_each(|weight| *weight = 0);
        if let Some((backend, weight)) = share {
            backends.insert(backend.clone(), weight.min(WHOLE));
        }
        self.0.retain(|_, backends| !backends.is_empty());
    }

    /// `backend` may do the work of `service`, and does none yet.
    pub fn admit(&mut self, service: &ServiceName, backend: &ServiceName) {
        self.0.entry(service.clone()).or_default().entry(backend.clone()).or_default();
    }

    /// By service.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceName, &Backends)> {
        self.0.iter()
    }

    /// The services that may do the work of `service`, besides itself.
    pub fn backends(&self, service: &ServiceName) -> impl Iterator<Item = (&ServiceName, u8)> {
        self.0.get(service).into_iter().flatten().map(|(backend, weight)| (backend, *weight))
    }

    /// The service that is to do this activation of `service`; itself, unless a split says otherwise.
    pub fn chosen<'a>(&'a self, service: &'a ServiceName, activation: ActivationId) -> &'a ServiceName {
        let cohort = u8::try_from(activation.0 % u128::from(WHOLE)).unwrap_or_default();
        let mut below = 0u8;
        for (backend, weight) in self.backends(service) {
            below = below.saturating_add(weight);
            if cohort < below {
                return backend;
            }
        }
        service
    }

    /// The one of `serves` that does the work of `service` here.
    pub fn done_by<'a>(&'a self, service: &'a ServiceName, serves: &BTreeSet<ServiceName>) -> Option<&'a ServiceName> {
        let backends = self.0.get(service).into_iter().flat_map(BTreeMap::keys);
        std::iter::once(service).chain(backends).find(|it| serves.contains(*it))
    }

    /// Who sends to whom, when those who may do the work of others are counted too.
    pub fn edges(&self, edges: BTreeSet<(ServiceName, ServiceName)>) -> BTreeSet<(ServiceName, ServiceName)> {
        let doing = |service: &ServiceName| -> Vec<ServiceName> {
            std::iter::once(service).chain(self.backends(service).map(|(backend, _)| backend)).cloned().collect()
        };
        let pairs = |(from, to): &(ServiceName, ServiceName)| {
            let to = doing(to);
            doing(from).into_iter().flat_map(move |from| to.clone().into_iter().map(move |to| (from.clone(), to)))
        };
        edges.iter().flat_map(pairs).collect()
    }

    /// The services whose work `backend` may do, besides its own.
    pub fn stands_for<'a>(&'a self, backend: &'a ServiceName) -> impl Iterator<Item = &'a ServiceName> {
        self.0.iter().filter(move |(_, backends)| backends.contains_key(backend)).map(|(service, _)| service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits(weight: u8) -> Splits {
        Splits::new([("pay".into(), Backends::from([("pay-next".into(), weight)]))])
    }

    #[test]
    fn a_weight_is_the_share_of_activations_and_each_keeps_its_service() {
        let pay = ServiceName::from("pay");
        for weight in [0, 1, 10, 99, 100] {
            let splits = splits(weight);
            let all = (0..1_000u128).filter(|it| splits.chosen(&pay, ActivationId(*it)).as_str() == "pay-next");
            assert_eq!(all.count(), usize::from(weight) * 10);
        }
        let (less, more) = (splits(10), splits(50));
        for activation in (0..1_000).map(ActivationId) {
            if less.chosen(&pay, activation).as_str() == "pay-next" {
                assert_eq!(more.chosen(&pay, activation).as_str(), "pay-next", "a larger share moves nothing back");
            }
        }
        let other = ServiceName::from("other");
        assert_eq!(splits(100).chosen(&other, ActivationId(1)), &other);
    }

    #[test]
    fn an_edge_is_also_of_those_who_do_the_work_of_its_ends() {
        let edge = |from: &str, to: &str| (ServiceName::from(from), ServiceName::from(to));
        let edges = splits(10).edges([edge("cart", "pay"), edge("pay", "ship")].into());
        let all = [edge("cart", "pay"), edge("cart", "pay-next"), edge("pay", "ship"), edge("pay-next", "ship")];
        assert_eq!(edges, all.into());
    }

    #[test]
    fn whoever_is_in_a_split_does_the_work_also_with_no_share_any_more() {
        let (pay, next) = (ServiceName::from("pay"), ServiceName::from("pay-next"));
        let splits = splits(0);
        assert_eq!(splits.done_by(&pay, &BTreeSet::from([next.clone()])), Some(&next));
        assert_eq!(splits.done_by(&pay, &BTreeSet::from([pay.clone(), next.clone()])), Some(&pay));
        assert_eq!(splits.done_by(&next, &BTreeSet::from([pay.clone()])), None, "not the other way round");
        assert_eq!(splits.stands_for(&next).collect::<Vec<_>>(), [&pay]);
    }
}
