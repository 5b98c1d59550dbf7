//! The world of a run: virtual time, the events to come, and the processes.

use std::collections::{BTreeMap, BTreeSet};

use routing::mapping::Answer;
use routing::step::CallFailure;
use routing::{ActivationId, Digest, Incarnation, Timestamp};

use super::Mutant;
use super::check::History;
use super::client::Client;
use super::faults::{Fault, Faults};
use super::flowd::Flowd;
use super::model::{SERVICES, models};
use super::network::{Frame, Link, LinkId, Peers};
use super::sidecar::Host;
use crate::random::Random;

/// A process: a sidecar's host, or flowd.
pub(super) type Proc = usize;

/// flowd's place among the processes; sidecars come after it.
pub(super) const FLOWD: Proc = 0;

/// When virtual time begins, milliseconds.
const EPOCH: Timestamp = 1_700_000_000_000;

/// What happens at some time.
#[derive(Debug)]
pub(super) enum Event {
    Frame(LinkId, usize, u64, Frame),
    Ended(LinkId, usize),
    NotOpened(LinkId),
    Tick(Proc, u64),
    Synced(Proc, u64),
    Committed(u64),
    Called(Proc, u64, ActivationId, u32, Result<Answer, CallFailure>),
    ProbeUp(Proc, u64, usize),
    Boot(Proc),
    GoNow(Proc, u64),
    Healed(Proc, Proc),
    Nemesis,
    Client(usize),
    Operator,
    Heal,
}

/// See the module's documentation. Times are microseconds of virtual time.
pub(super) struct World {
    pub(super) now: u64,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) mutant: Option<Mutant>,
    queue: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    pub(super) handled: u64,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) links_made: u64,
    pub(super) partitions: BTreeSet<(Proc, Proc)>,
    /// By process: which of its lives this is.
    pub(super) lives: Vec<u64>,
    pub(super) flowd: Flowd,
    /// By process; flowd's place holds nobody.
    pub(super) hosts: Vec<Host>,
    pub(super) clients: Vec<Client>,
    pub(super) history: History,
    pub(super) requests: u64,
    pub(super) trace: bool,
    pub(super) fingerprint: u64,
}

impl World {
    pub(super) fn new(seed: u64, mutant: Option<Mutant>, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let faults = Faults::of(&mut random);
        let mut hosts = vec![Host::nobody()];
        let real = random.chance(250_000);
        let groups = random.between(1, 3) as usize;
        for group in 0..groups {
            let serves: BTreeSet<_> = SERVICES.iter().skip(group).step_by(groups).map(|s| (*s).into()).collect();
            for _ in 0..random.between(1, 3) {
                hosts.push(Host::new(&serves, real, &mut random));
            }
        }
        Self {
            now: 0,
            faults,
            mutant,
            queue: BTreeMap::new(),
            scheduled: 0,
            handled: 0,
            links: BTreeMap::new(),
            links_made: 0,
            partitions: BTreeSet::new(),
            lives: vec![0; hosts.len()],
            flowd: Flowd::default(),
            hosts,
            clients: Vec::new(),
            history: History::default(),
            requests: 0,
            trace,
            fingerprint: seed,
            random,
        }
    }

    /// Milliseconds, as the cores see it.
    pub(super) fn time(&self) -> Timestamp {
        EPOCH + self.now / 1000
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.queue.insert((at.max(self.now), self.scheduled), event);
    }

    pub(super) fn after(&mut self, wait: u64, event: Event) {
        self.at(self.now + wait, event);
    }

    pub(super) fn life(&self, proc: Proc) -> u64 {
        self.lives[proc]
    }

    pub(super) fn is_up(&self, proc: Proc) -> bool {
        if proc == FLOWD { self.flowd.process.is_some() } else { self.hosts[proc].process.is_some() }
    }

    /// The incarnation and boot that a process says hello with.
    pub(super) fn identity(&self, proc: Proc) -> (Incarnation, u64) {
        if proc == FLOWD {
            (super::flowd::INCARNATION, self.flowd.boot)
        } else {
            (self.hosts[proc].incarnation, self.hosts[proc].boot)
        }
    }

    pub(super) fn peers(&mut self, proc: Proc) -> Option<&mut Peers> {
        if proc == FLOWD {
            self.flowd.process.as_mut().map(|p| &mut p.peers)
        } else {
            self.hosts[proc].process.as_mut().map(|p| &mut p.peers)
        }
    }

    /// Something for `--trace`, and for the fingerprint by which two runs are compared.
    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>10.3} ms  {}", self.now as f64 / 1000.0, what());
        }
    }

    /// Handles the next event, if there is one before `until`.
    pub(super) fn step(&mut self, until: u64) -> bool {
        let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= until) else { return false };
        let ((at, number), event) = entry.remove_entry();
        self.now = at;
        self.handled += 1;
        self.fingerprint = crate::random::mix(self.fingerprint ^ at ^ number << 32 ^ self.random.clone().next());
        self.handle(event);
        true
    }

    fn handle(&mut self, event: Event) {
        self.say(|| format!("{event:?}").chars().take(300).collect());
        match event {
            Event::Frame(link, side, n, frame) => self.deliver(link, side, n, frame),
            Event::Ended(link, side) => self.end(link, side),
            Event::NotOpened(link) => self.not_opened(link),
            Event::Tick(proc, life) if self.lives[proc] == life => self.tick(proc),
            Event::Synced(proc, life) if self.lives[proc] == life => self.synced(proc),
            Event::Committed(life) if self.lives[FLOWD] == life => self.committed(),
            Event::Called(proc, life, activation, number, result) if self.lives[proc] == life => {
                self.called(proc, activation, number, result);
            }
            Event::ProbeUp(proc, life, service) if self.lives[proc] == life => self.probe(proc, service, None),
            Event::GoNow(proc, life) if self.lives[proc] == life => self.go_now(proc),
            Event::Tick(..)
            | Event::Synced(..)
            | Event::Committed(..)
            | Event::Called(..)
            | Event::ProbeUp(..)
            | Event::GoNow(..) => {}
            Event::Boot(FLOWD) => self.boot_flowd(),
            Event::Boot(proc) => self.boot_sidecar(proc),
            Event::Healed(a, b) => {
                self.partitions.remove(&(a, b));
            }
            Event::Nemesis => self.nemesis(),
            Event::Client(client) => self.client(client),
            Event::Operator => self.operator(),
            Event::Heal => self.heal(),
        }
    }

    fn tick(&mut self, proc: Proc) {
        if proc == FLOWD {
            self.flowd_handle(control_plane::ledger::Input::Tick);
        } else {
            self.sidecar_handle(proc, sidecar::core::Input::Tick);
        }
    }

    /// What goes wrong beside what goes wrong at every step.
    fn nemesis(&mut self) {
        if !self.faults.on {
            return;
        }
        let wait = self.random.between(20_000, 120_000);
        self.after(wait, Event::Nemesis);
        let proc = self.random.between(1, self.hosts.len() as u64 - 1) as usize;
        if self.faults.hit(Fault::CrashSidecar, &mut self.random) {
            self.crash_sidecar(proc, false);
        }
        if self.faults.hit(Fault::CrashFlowd, &mut self.random) {
            self.crash_flowd(0);
        }
        if self.faults.hit(Fault::Drain, &mut self.random) {
            self.drain(proc);
        }
        if self.faults.hit(Fault::Checkpoint, &mut self.random) {
            self.checkpoint(proc);
        }
        if self.faults.hit(Fault::ProbeDown, &mut self.random) {
            let (service, wait) = (self.random.below(6) as usize, self.random.between(100_000, 3_000_000));
            self.probe(proc, service, Some("the probe got 500".into()));
            self.after(wait, Event::ProbeUp(proc, self.life(proc), service));
        }
        if self.faults.hit(Fault::Partition, &mut self.random) {
            let other = self.random.below(self.hosts.len() as u64) as usize;
            let (a, b) = (proc.min(other), proc.max(other));
            if a != b && self.partitions.insert((a, b)) {
                let wait = self.random.between(100_000, 5_000_000);
                self.after(wait, Event::Healed(a, b));
            }
        }
    }

    /// From here on nothing goes wrong any more.
    fn heal(&mut self) {
        self.say(|| "faults stop".into());
        self.faults.on = false;
        self.partitions.clear();
        for proc in 0..self.hosts.len() {
            if !self.is_up(proc) {
                self.after(1_000, Event::Boot(proc));
            }
        }
    }

    /// The table digests of every model.
    pub(super) fn definitions() -> Vec<Digest> {
        models().iter().map(super::model::Model::digest).collect()
    }
}
