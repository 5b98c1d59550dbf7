//! Where replicas are: what flowd has pushed, and the fixed addresses of `--tables`.
//!
//! A fixed address has no incarnation until somebody has been asked there: a link to a name made up for
//! the address tells who really answers ([`Directory::found`]). Addresses of replicas that are no longer
//! listed are remembered while something is still to be settled with them. Pure.

use std::collections::{BTreeSet, HashMap};

use hop::Endpoint;
use hop::link::Target;
use proto::{convert, v1};
use routing::{Digest, Incarnation, ServiceName};

use crate::core::Bindings;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Directory {
    fixed: Vec<Fixed>,
    pushed: HashMap<ServiceName, Vec<Endpoint>>,
    left: BTreeSet<Incarnation>,
    settled: BTreeSet<Incarnation>,
    known: HashMap<Incarnation, Target>,
    callbacks: String,
}

#[derive(Debug)]
struct Fixed {
    service: ServiceName,
    address: String,
    /// Stands for whoever is at the address, until somebody has been met there.
    name: Incarnation,
    incarnation: Option<Incarnation>,
}

impl Directory {
    /// Knows the addresses of `--tables`, and nobody there yet.
    pub fn new(fixed: impl IntoIterator<Item = (ServiceName, Vec<String>)>) -> Self {
        let each = |(service, addresses): (ServiceName, Vec<String>)| {
            addresses.into_iter().map(move |address| {
                let name = made_up(&address);
                Fixed { service: service.clone(), address, name, incarnation: None }
            })
        };
        Self { fixed: fixed.into_iter().flat_map(each).collect(), ..Self::default() }
    }

    /// Takes what flowd says; it is complete.
    ///
    /// # Errors
    /// When an id is no id; then nothing changes.
    pub fn push(&mut self, bindings: &v1::Bindings) -> Result<(), convert::Malformed> {
        let mut pushed: HashMap<ServiceName, Vec<Endpoint>> = HashMap::new();
        for v1::Endpoints { service, replicas } in &bindings.endpoints {
            let endpoint = |replica: &v1::Endpoint| {
                let incarnation = convert::incarnation(&replica.incarnation)?;
                Ok(Endpoint { incarnation, address: replica.address.clone(), draining: replica.draining })
            };
            let replicas = replicas.iter().map(endpoint).collect::<Result<_, _>>()?;
            pushed.insert(service.as_str().into(), replicas);
        }
        let ids = |list: &[Vec<u8>]| list.iter().map(|id| convert::incarnation(id)).collect::<Result<_, _>>();
        (self.left, self.settled) = (ids(&bindings.left)?, ids(&bindings.settled)?);
        self.pushed = pushed;
        self.callbacks = bindings.callbacks.clone();
        self.remember();
        Ok(())
    }

    /// For the core.
    pub fn bindings(&self) -> Bindings {
        let mut endpoints = self.pushed.clone();
        for Fixed { service, address, incarnation, .. } in &self.fixed {
            let Some(incarnation) = *incarnation else { continue };
            let replicas = endpoints.entry(service.clone()).or_default();
            if !replicas.iter().any(|replica| replica.incarnation == incarnation) {
                replicas.push(Endpoint { incarnation, address: address.clone(), draining: false });
            }
        }
        Bindings {
            endpoints,
            left: self.left.clone(),
            settled: self.settled.clone(),
            callbacks: self.callbacks.clone(),
        }
    }

    /// Where a replica is, or was.
    pub fn target(&self, replica: Incarnation) -> Option<&Target> {
        self.known.get(&replica)
    }

    /// True while a replica is listed: its link is kept open between tokens.
    pub fn lists(&self, replica: Incarnation) -> bool {
        let fixed = self.fixed.iter().any(|f| f.incarnation == Some(replica));
        fixed || self.pushed.values().flatten().any(|endpoint| endpoint.incarnation == replica)
    }

    /// Fixed addresses where nobody has been met yet, under made-up names.
    pub fn unmet(&self) -> impl Iterator<Item = (Incarnation, Target)> {
        self.fixed.iter().filter(|f| f.incarnation.is_none()).map(|f| (f.name, target(f)))
    }

    /// Somebody else than `wanted` answers at its address. True when that changes the bindings.
    pub fn found(&mut self, wanted: Incarnation, found: Incarnation) -> bool {
        let mut changed = false;
        for fixed in &mut self.fixed {
            if fixed.incarnation == Some(wanted) || (fixed.incarnation.is_none() && fixed.name == wanted) {
                fixed.incarnation = Some(found);
                changed = true;
            }
        }
        self.remember();
        changed
    }

    fn remember(&mut self) {
        let fixed = self.fixed.iter().filter_map(|f| Some((f.incarnation?, target(f))));
        let mut listed: HashMap<Incarnation, Target> = HashMap::new();
        let pushed = self.pushed.iter().flat_map(|(service, replicas)| {
            replicas.iter().map(move |endpoint| {
                let services = BTreeSet::from([service.clone()]);
                (endpoint.incarnation, Target { address: endpoint.address.clone(), services })
            })
        });
        for (replica, target) in fixed.chain(pushed) {
            listed.entry(replica).and_modify(|t| t.services.extend(target.services.clone())).or_insert(target);
        }
        self.known.extend(listed);
    }

    /// Forgets addresses that are neither listed nor wanted.
    pub fn forget(&mut self, wanted: &BTreeSet<Incarnation>) {
        let mut known = std::mem::take(&mut self.known);
        known.retain(|replica, _| wanted.contains(replica) || self.lists(*replica));
        self.known = known;
    }
}

fn target(fixed: &Fixed) -> Target {
    Target { address: fixed.address.clone(), services: BTreeSet::from([fixed.service.clone()]) }
}

fn made_up(address: &str) -> Incarnation {
    let mut first = [0; 16];
    first.copy_from_slice(&Digest::of(format!("who is at {address}?").as_bytes()).0[..16]);
    Incarnation(u128::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_address_gets_its_incarnation_by_asking() {
        let mut directory = Directory::new([("a".into(), vec!["h:1".to_owned()])]);
        assert!(directory.bindings().endpoints.is_empty());
        let (name, target) = directory.unmet().next().unwrap();
        assert_eq!(target.address, "h:1");
        assert!(directory.found(name, Incarnation(5)));
        assert!(directory.unmet().next().is_none() && directory.lists(Incarnation(5)));
        assert_eq!(directory.bindings().endpoints[&ServiceName::from("a")][0].incarnation, Incarnation(5));
        assert!(directory.found(Incarnation(5), Incarnation(6)));
        assert!(!directory.lists(Incarnation(5)) && directory.target(Incarnation(5)).is_some());
        directory.forget(&BTreeSet::new());
        assert!(directory.target(Incarnation(5)).is_none() && directory.target(Incarnation(6)).is_some());
    }

    #[test]
    fn a_replica_of_two_services_is_one_target() {
        let id = convert::incarnation_bytes(Incarnation(3));
        let replica = v1::Endpoint { incarnation: id, address: "h:2".into(), draining: false };
        let endpoints = ["a", "b"].map(|s| v1::Endpoints { service: s.into(), replicas: vec![replica.clone()] });
        let mut directory = Directory::default();
        directory.push(&v1::Bindings { endpoints: endpoints.into(), ..Default::default() }).unwrap();
        assert_eq!(directory.target(Incarnation(3)).unwrap().services.len(), 2);
    }
}
