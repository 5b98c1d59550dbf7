//! Where replicas are: what flowd has pushed, the fixed addresses of `--tables`, and, while flowd is away, what DNS says.
//!
//! A fixed address, or one of DNS, has no incarnation until somebody has been asked there: a link to a name made up for
//! the address tells who really answers ([`Directory::found`]). Addresses of replicas that are no longer
//! listed are remembered while something is still to be settled with them. What DNS says is added to what flowd said, and is
//! forgotten when flowd says anew. Pure.

use std::collections::{BTreeSet, HashMap};

use hop::Endpoint;
use hop::link::Target;
use proto::{convert, v1};
use routing::{Digest, Incarnation, ServiceName};

use crate::core::Bindings;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Directory {
    fixed: Vec<Place>,
    /// What DNS says.
    resolved: Vec<Place>,
    /// Where DNS lists replicas.
    names: HashMap<ServiceName, String>,
    pushed: HashMap<ServiceName, Vec<Endpoint>>,
    left: BTreeSet<Incarnation>,
    settled: BTreeSet<Incarnation>,
    known: HashMap<Incarnation, Target>,
    callbacks: String,
}

/// An address where somebody does a service.
#[derive(Debug)]
struct Place {
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
            addresses.into_iter().map(move |address| Place::new(service.clone(), address))
        };
        Self { fixed: fixed.into_iter().flat_map(each).collect(), ..Self::default() }
    }

    /// Takes what flowd says; it is complete.
    ///
    /// # Errors
    /// When an id is no id; then nothing changes.
    pub fn push(&mut self, bindings: &v1::Bindings) -> Result<(), convert::Malformed> {
        let mut pushed: HashMap<ServiceName, Vec<Endpoint>> = HashMap::new();
        let mut names = HashMap::new();
        for v1::Endpoints { service, replicas, name } in &bindings.endpoints {
            let endpoint = |replica: &v1::Endpoint| {
                let incarnation = convert::incarnation(&replica.incarnation)?;
                Ok(Endpoint { incarnation, address: replica.address.clone(), draining: replica.draining })
            };
            let replicas = replicas.iter().map(endpoint).collect::<Result<_, _>>()?;
            pushed.insert(service.as_str().into(), replicas);
            if !name.is_empty() {
                names.insert(service.as_str().into(), name.clone());
            }
        }
        let ids = |list: &[Vec<u8>]| list.iter().map(|id| convert::incarnation(id)).collect::<Result<_, _>>();
        (self.left, self.settled) = (ids(&bindings.left)?, ids(&bindings.settled)?);
        (self.pushed, self.names) = (pushed, names);
        self.resolved.clear();
        self.callbacks = bindings.callbacks.clone();
        self.remember();
        Ok(())
    }

    /// The name, `NAME:PORT`, under which DNS lists the replicas of a service.
    pub fn name(&self, service: &ServiceName) -> Option<&str> {
        self.names.get(service).map(String::as_str)
    }

    /// Takes what DNS says of a service; it is complete. True when that changes where replicas are, or may be.
    pub fn resolve(&mut self, service: &ServiceName, addresses: Vec<String>) -> bool {
        let before = self.resolved.len();
        self.resolved.retain(|it| it.service != *service || addresses.contains(&it.address));
        let mut changed = self.resolved.len() != before;
        for address in addresses {
            if !self.resolved.iter().any(|it| it.service == *service && it.address == address) {
                self.resolved.push(Place::new(service.clone(), address));
                changed = true;
            }
        }
        changed
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.fixed.iter().chain(&self.resolved)
    }

    /// For the core.
    pub fn bindings(&self) -> Bindings {
        let mut endpoints = self.pushed.clone();
        for Place { service, address, incarnation, .. } in self.places() {
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
        let placed = self.places().any(|it| it.incarnation == Some(replica));
        placed || self.pushed.values().flatten().any(|endpoint| endpoint.incarnation == replica)
    }

    /// Addresses where nobody has been met yet, under made-up names.
    pub fn unmet(&self) -> impl Iterator<Item = (Incarnation, Target)> {
        self.places().filter(|it| it.incarnation.is_none()).map(|it| (it.name, it.target()))
    }

    /// Somebody else than `wanted` answers at its address. True when that changes the bindings.
    pub fn found(&mut self, wanted: Incarnation, found: Incarnation) -> bool {
        let mut changed = false;
        for place in self.fixed.iter_mut().chain(&mut self.resolved) {
            if place.incarnation == Some(wanted) || (place.incarnation.is_none() && place.name == wanted) {
                place.incarnation = Some(found);
                changed = true;
            }
        }
        self.remember();
        changed
    }

    fn remember(&mut self) {
        let met = |it: &Place| Some((it.incarnation?, it.target()));
        let (fixed, resolved) = (self.fixed.iter().filter_map(met), self.resolved.iter().filter_map(met));
        let mut listed: HashMap<Incarnation, Target> = HashMap::new();
        let pushed = self.pushed.iter().flat_map(|(service, replicas)| {
            replicas.iter().map(move |endpoint| {
                let services = BTreeSet::from([service.clone()]);
                (endpoint.incarnation, Target { address: endpoint.address.clone(), services })
            })
        });
        for (replica, target) in fixed.chain(pushed).chain(resolved) {
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

impl Place {
    fn new(service: ServiceName, address: String) -> Self {
        let name = made_up(&address);
        Self { service, address, name, incarnation: None }
    }

    fn target(&self) -> Target {
        Target { address: self.address.clone(), services: BTreeSet::from([self.service.clone()]) }
    }
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
        let endpoints = ["a", "b"].map(|s| v1::Endpoints {
            service: s.into(),
            replicas: vec![replica.clone()],
            name: String::new(),
        });
        let mut directory = Directory::default();
        directory.push(&v1::Bindings { endpoints: endpoints.into(), ..Default::default() }).unwrap();
        assert_eq!(directory.target(Incarnation(3)).unwrap().services.len(), 2);
    }

    fn pushed(replicas: &[(u128, &str)]) -> v1::Bindings {
        let replica = |(id, address): &(u128, &str)| v1::Endpoint {
            incarnation: convert::incarnation_bytes(Incarnation(*id)),
            address: (*address).to_owned(),
            draining: false,
        };
        let replicas = replicas.iter().map(replica).collect();
        let endpoints = v1::Endpoints { service: "a".into(), replicas, name: "a-flow.n:7001".into() };
        v1::Bindings { endpoints: vec![endpoints], ..Default::default() }
    }

    fn of(directory: &Directory) -> Vec<u128> {
        directory.bindings().endpoints[&ServiceName::from("a")].iter().map(|it| it.incarnation.0).collect()
    }

    #[test]
    fn what_dns_says_is_added_until_flowd_says_anew() {
        let (a, mut directory) = (ServiceName::from("a"), Directory::default());
        directory.push(&pushed(&[(1, "10.0.0.1:7001")])).unwrap();
        assert_eq!(directory.name(&a), Some("a-flow.n:7001"));
        assert!(directory.resolve(&a, vec!["10.0.0.1:7001".into(), "10.0.0.2:7001".into()]));
        let unmet: Vec<_> = directory.unmet().collect();
        assert_eq!((unmet.len(), of(&directory)), (2, vec![1]), "nobody new has been met yet");
        assert!(directory.found(unmet[0].0, Incarnation(1)) && directory.found(unmet[1].0, Incarnation(2)));
        assert_eq!(of(&directory), [1, 2], "the one that flowd knows is there once");
        assert!(!directory.resolve(&a, vec!["10.0.0.2:7001".into(), "10.0.0.1:7001".into()]), "nothing new");
        assert!(directory.resolve(&a, vec!["10.0.0.3:7001".into()]));
        assert_eq!(of(&directory), [1], "flowd's stays, a pod that is gone does not");
        assert!(directory.target(Incarnation(2)).is_some(), "something may have to be settled with it");
        let (name, target) = directory.unmet().next().unwrap();
        assert_eq!((target.address.as_str(), target.services), ("10.0.0.3:7001", BTreeSet::from([a.clone()])));
        directory.found(name, Incarnation(3));
        directory.push(&pushed(&[(4, "10.0.0.4:7001")])).unwrap();
        assert_eq!((of(&directory), directory.unmet().count()), (vec![4], 0), "flowd's word");
    }

    #[test]
    fn whoever_has_a_known_replica_s_old_address_is_somebody_else() {
        let (a, mut directory) = (ServiceName::from("a"), Directory::default());
        directory.push(&pushed(&[(1, "10.0.0.1:7001")])).unwrap();
        directory.resolve(&a, vec!["10.0.0.1:7001".into()]);
        let (name, _) = directory.unmet().next().unwrap();
        directory.found(name, Incarnation(2));
        assert_eq!(of(&directory), [1, 2]);
    }
}
