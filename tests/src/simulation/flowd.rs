//! The simulated flowd: the ledger, a store that commits groups in order, and the simplest shell.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use control_plane::ledger::{Answer, Change, Input, Ledger, Output, Request};
use hop::Endpoint;
use routing::{ActivationId, Digest, Incarnation, InstanceId, ServiceName};
use sidecar::core::{Bindings, Closed};

use super::faults::Fault;
use super::model::models;
use super::network::{Frame, LinkId, Peers};
use super::world::{Event, FLOWD, Proc, World};

/// As whom flowd offers.
pub(super) const INCARNATION: Incarnation = Incarnation(1);

/// The machine flowd runs on.
#[derive(Debug, Default)]
pub(super) struct Flowd {
    pub(super) store: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) boot: u64,
    pub(super) process: Option<Process>,
}

/// flowd, running.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) ledger: Ledger,
    pub(super) peers: Peers,
    newest: BTreeMap<Incarnation, (u64, u64)>,
    controls: BTreeMap<Incarnation, (LinkId, Proc)>,
    registry: BTreeMap<Incarnation, (Proc, bool)>,
    left: BTreeSet<Incarnation>,
    settled: BTreeSet<Incarnation>,
    groups: VecDeque<(u64, Vec<Change>)>,
    committing: usize,
    effects: VecDeque<(u64, Output)>,
    mark: u64,
    durable: u64,
    requests: HashMap<Request, Asked>,
    tick_at: u64,
}

/// Who waits for an answer.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Start(usize),
    Operator,
    Reopen(InstanceId),
    Leave(Incarnation),
    Whereabouts(Incarnation, Incarnation),
    Tombstones(Incarnation),
}

impl World {
    pub(super) fn boot_flowd(&mut self) {
        if self.flowd.process.is_some() {
            return;
        }
        self.lives[FLOWD] += 1;
        self.flowd.boot += 1;
        self.say(|| "flowd boots".into());
        let tables = models().iter().map(|m| (m.digest(), m.ledger.clone())).collect();
        let store = &self.flowd.store;
        let entries = Ledger::prefixes()
            .iter()
            .flat_map(|p| store.range(p.to_vec()..).take_while(move |(k, _)| k.starts_with(p)))
            .map(|(k, v)| (k.clone(), v.clone()));
        let mut ledger = Ledger::load(self.flowd.boot, tables, entries).expect("the store is readable");
        let (left, settled) = ledger.left();
        let mut out = Vec::new();
        ledger.begin(self.time(), &mut out);
        self.flowd.process = Some(Process {
            ledger,
            peers: Peers::default(),
            newest: BTreeMap::new(),
            controls: BTreeMap::new(),
            registry: BTreeMap::new(),
            left,
            settled,
            groups: VecDeque::new(),
            committing: 0,
            effects: VecDeque::new(),
            mark: 0,
            durable: 0,
            requests: HashMap::new(),
            tick_at: u64::MAX,
        });
        self.flowd_execute(out);
    }

    /// flowd dies; of the commit on its way, `groups` have become durable.
    pub(super) fn crash_flowd(&mut self, groups: usize) {
        let Some(process) = self.flowd.process.take() else { return };
        self.say(|| "flowd crashes".into());
        process.groups.into_iter().take(groups).for_each(|(_, group)| self.apply(group));
        self.end_all(FLOWD);
        self.lives[FLOWD] += 1;
        let away = self.faults.hit(Fault::FlowdAway, &mut self.random);
        let wait = self.random.between(1_000, if away { 30_000_000 } else { 1_000_000 });
        self.after(wait, Event::Boot(FLOWD));
    }

    fn apply(&mut self, group: Vec<Change>) {
        for (key, value) in group {
            match value {
                Some(value) => self.flowd.store.insert(key, value),
                None => self.flowd.store.remove(&key),
            };
        }
    }

    pub(super) fn flowd_handle(&mut self, input: Input) {
        let (now, mut out) = (self.time(), Vec::new());
        let Some(process) = self.flowd.process.as_mut() else { return };
        process.ledger.handle(now, input, &mut out);
        self.flowd_execute(out);
    }

    fn flowd_execute(&mut self, out: Vec<Output>) {
        let life = self.life(FLOWD);
        for output in out {
            let Some(process) = self.flowd.process.as_mut().filter(|_| self.lives[FLOWD] == life) else { return };
            match output {
                Output::Write(mark, group) => {
                    process.mark = mark;
                    process.groups.push_back((mark, group));
                }
                effect if process.durable >= process.mark => self.effect(effect),
                effect => process.effects.push_back((process.mark, effect)),
            }
        }
        self.commit_soon();
        self.connect_wanted(FLOWD);
        self.flowd_schedule_tick();
    }

    fn flowd_schedule_tick(&mut self) {
        let (now, time, life) = (self.now, self.time(), self.life(FLOWD));
        let Some(process) = self.flowd.process.as_mut() else { return };
        let Some(next) = process.ledger.next_tick() else { return };
        let at = now + next.saturating_sub(time).max(1) * 1000;
        if at < process.tick_at || process.tick_at <= now {
            process.tick_at = at;
            self.at(at, Event::Tick(FLOWD, life));
        }
    }

    fn commit_soon(&mut self) {
        let slow = self.faults.hit(Fault::SlowSync, &mut self.random);
        let wait = self.random.between(100, if slow { 500_000 } else { 4_000 });
        let life = self.life(FLOWD);
        let Some(process) = self.flowd.process.as_mut() else { return };
        if process.committing == 0 && !process.groups.is_empty() {
            process.committing = process.groups.len();
            self.after(wait, Event::Committed(life));
        }
    }

    pub(super) fn committed(&mut self) {
        let Some(process) = self.flowd.process.as_mut() else { return };
        let count = std::mem::take(&mut process.committing);
        if self.faults.hit(Fault::CrashInCommit, &mut self.random) {
            let part = self.random.below(count as u64 + 1) as usize;
            return self.crash_flowd(part);
        }
        let groups: Vec<_> = process.groups.drain(..count).collect();
        let Some(mark) = groups.last().map(|(mark, _)| *mark) else { return };
        process.durable = mark;
        groups.into_iter().for_each(|(_, group)| self.apply(group));
        if self.faults.hit(Fault::CrashAfterCommit, &mut self.random) {
            return self.crash_flowd(0);
        }
        let life = self.life(FLOWD);
        while let Some(process) = self.flowd.process.as_mut().filter(|_| self.lives[FLOWD] == life) {
            match process.effects.front() {
                Some((wants, _)) if *wants <= mark => {}
                _ => break,
            }
            if let Some((_, effect)) = process.effects.pop_front() {
                self.effect(effect);
            }
        }
        if self.life(FLOWD) == life {
            self.flowd_handle(Input::Written(mark));
        }
    }

    /// An effect whose writes are durable.
    fn effect(&mut self, effect: Output) {
        if !matches!(effect, Output::Hop(_) | Output::Measured(_)) {
            self.say(|| format!("  flowd: {effect:?}").chars().take(400).collect());
        }
        let Some(process) = self.flowd.process.as_mut() else { return };
        let control = |replica: &Incarnation| process.controls.get(replica).map(|(id, _)| *id);
        let hop = |replica: &Incarnation| process.peers.links.get(replica).filter(|p| p.open).and_then(|p| p.link);
        let frame = match effect {
            Output::Write(..)
            | Output::Hop(_)
            | Output::Started(_)
            | Output::Measured(_)
            | Output::Appended(_)
            | Output::Thrown
            | Output::Noticed
            | Output::NoticeLost
            | Output::Listening => return,
            Output::Answer(request, answer) => return self.flowd_answer(request, answer),
            Output::Alarm(what) => return self.history.alarm(what),
            Output::Changed(view) => {
                self.say(|| format!("{} is {}", view.id, view.state));
                return self.history.changed(&view);
            }
            Output::Tombstone(instance, kept) => {
                let controls: Vec<LinkId> = process.controls.values().map(|(id, _)| *id).collect();
                let closed = Closed { instance, kept };
                return controls.into_iter().for_each(|id| self.send(id, 1, Frame::Closed(vec![closed.clone()])));
            }
            Output::Reopened(instance) => {
                let controls: Vec<LinkId> = process.controls.values().map(|(id, _)| *id).collect();
                return controls.into_iter().for_each(|id| self.send(id, 1, Frame::Reopened(instance.clone())));
            }
            Output::Settled(replica) => {
                process.settled.insert(replica);
                return self.publish();
            }
            Output::Acked(replica, seq) => control(&replica).map(|id| (id, 1, Frame::Acked(seq))),
            Output::HandTables(replica, digest, _) => hop(&replica).map(|id| (id, 0, Frame::Tables(vec![digest]))),
            Output::Send(replica, watermark, offers) => {
                let replaced = offers.iter().filter_map(|o| o.instead_of).collect();
                let offers = offers.into_iter().map(|o| (o.seq, o.product.token.clone())).collect();
                hop(&replica).map(|id| (id, 0, Frame::Offers(watermark, offers, replaced)))
            }
        };
        if let Some((id, side, frame)) = frame {
            self.send(id, side, frame);
        }
    }

    fn flowd_answer(&mut self, request: Request, answer: Answer) {
        let Some(process) = self.flowd.process.as_mut() else { return };
        match (process.requests.remove(&request), answer) {
            (Some(Asked::Start(client)), answer) => self.start_answered(client, answer),
            (Some(Asked::Leave(replica)), Answer::Done) => {
                process.left.insert(replica);
                process.registry.remove(&replica);
                let control = process.controls.get(&replica).map(|(id, _)| *id);
                self.publish();
                if let Some(id) = control {
                    self.send(id, 1, Frame::Left);
                }
            }
            (Some(Asked::Whereabouts(asker, replica)), Answer::Fates(fates)) => {
                if let Some((id, _)) = process.controls.get(&asker).copied() {
                    self.send(id, 1, Frame::Fates(replica, fates));
                }
            }
            (Some(Asked::Tombstones(asker)), Answer::Tombstones(closed)) => {
                if let Some((id, _)) = process.controls.get(&asker).copied() {
                    let closed = closed.into_iter().map(|(instance, kept)| Closed { instance, kept }).collect();
                    self.send(id, 1, Frame::AllClosed(closed));
                }
            }
            (Some(Asked::Reopen(_) | Asked::Operator | Asked::Leave(_) | Asked::Whereabouts(..)), _) => {}
            (Some(Asked::Tombstones(_)) | None, _) => {}
        }
    }

    /// Whether somebody has an instance run again and has no answer yet.
    pub(super) fn reopens(&self, instance: &InstanceId) -> bool {
        let asked = self.flowd.process.iter().flat_map(|process| process.requests.values());
        asked.into_iter().any(|it| matches!(it, Asked::Reopen(of) if of == instance))
    }

    /// Asks the ledger something that is answered.
    pub(super) fn ask(&mut self, asked: Asked, input: impl FnOnce(Request) -> Input) {
        self.requests += 1;
        let request = self.requests;
        let Some(process) = self.flowd.process.as_mut() else { return };
        process.requests.insert(request, asked);
        self.flowd_handle(input(request));
    }

    fn endpoints(&self) -> HashMap<ServiceName, Vec<Endpoint>> {
        let mut all: HashMap<ServiceName, Vec<Endpoint>> = HashMap::new();
        let Some(process) = &self.flowd.process else { return all };
        for (incarnation, (proc, draining)) in &process.registry {
            for service in &self.hosts[*proc].serves {
                let endpoint = Endpoint { incarnation: *incarnation, address: proc.to_string(), draining: *draining };
                all.entry(service.clone()).or_default().push(endpoint);
            }
        }
        all
    }

    /// Tells everyone where replicas are.
    fn publish(&mut self) {
        let endpoints = self.endpoints();
        let Some(process) = self.flowd.process.as_mut() else { return };
        process.peers.addresses = process.registry.iter().map(|(i, (proc, _))| (*i, *proc)).collect();
        let bindings = Bindings {
            endpoints: endpoints.clone(),
            left: process.left.clone(),
            settled: process.settled.clone(),
            callbacks: String::new(),
        };
        let controls: Vec<LinkId> = process.controls.values().map(|(id, _)| *id).collect();
        for id in controls {
            self.send(id, 1, Frame::Bindings(Box::new(bindings.clone())));
        }
        self.flowd_handle(Input::Endpoints(endpoints));
    }

    pub(super) fn flowd_frame(&mut self, id: LinkId, side: usize, frame: Frame) {
        let Some(link) = self.links.get(&id) else { return };
        let (from, wanted) = (link.ends[0], link.wanted);
        let Some(process) = self.flowd.process.as_mut() else { return };
        let sender = process.controls.iter().find(|(_, (link, _))| *link == id).map(|(i, _)| *i);
        match (frame, sender) {
            (Frame::Hello { incarnation, boot, link, draining }, _) => {
                self.registered(id, from, incarnation, (boot, link), draining);
            }
            (Frame::Welcome(incarnation), _) if incarnation == wanted => {
                if let Some(peer) = process.peers.links.get_mut(&wanted) {
                    peer.open = true;
                }
                self.flowd_handle(Input::Linked(wanted));
            }
            (Frame::Welcome(_), _) => self.end(id, side),
            (Frame::Accepted(activation), _) => self.flowd_handle(Input::Answered(wanted, vec![activation], vec![])),
            (Frame::Refused(activation, why), _) => {
                self.flowd_handle(Input::Answered(wanted, vec![], vec![(activation, why)]));
            }
            (Frame::Report(seq, product), Some(sender)) => {
                self.flowd_handle(Input::Report(sender, seq, Box::new(Arc::unwrap_or_clone(product))))
            }
            (Frame::Want(digest), Some(_)) => self.send(id, 1, Frame::Tables(vec![digest])),
            (Frame::Whereabouts(replica, ids), Some(sender)) => self.whereabouts(sender, replica, ids),
            (Frame::Leaving(leaving), Some(sender)) => {
                let leaving = *leaving;
                let leaving = control_plane::ledger::Leaving {
                    held: leaving.held,
                    unfinished: leaving.unfinished,
                    accepted: leaving.accepted,
                };
                self.ask(Asked::Leave(sender), |r| Input::Leave(r, sender, leaving));
            }
            (Frame::Draining, Some(sender)) => {
                if let Some(entry) = process.registry.get_mut(&sender) {
                    entry.1 = true;
                }
                self.publish();
            }
            _ => {}
        }
    }

    fn whereabouts(&mut self, asker: Incarnation, replica: Incarnation, ids: Vec<ActivationId>) {
        self.ask(Asked::Whereabouts(asker, replica), |r| Input::Whereabouts(r, replica, ids));
    }

    /// A sidecar has opened its control stream.
    fn registered(&mut self, id: LinkId, from: Proc, who: Incarnation, number: (u64, u64), draining: bool) {
        let Some(process) = self.flowd.process.as_mut() else { return };
        let newest = process.newest.entry(who).or_default();
        if *newest >= number {
            return self.end(id, 1);
        }
        *newest = number;
        process.controls.insert(who, (id, from));
        if !process.left.contains(&who) {
            process.registry.insert(who, (from, draining));
        }
        self.send(id, 1, Frame::Welcome(INCARNATION));
        self.ask(Asked::Tombstones(who), Input::Tombstones);
        if !self.faults.hit(Fault::TablesMissing, &mut self.random) {
            let all: Vec<Digest> = Self::definitions();
            self.send(id, 1, Frame::Tables(all));
        }
        self.publish();
    }

    pub(super) fn flowd_unlinked(&mut self, id: LinkId, side: usize, wanted: Incarnation, control: bool) {
        if control {
            if let Some(process) = self.flowd.process.as_mut() {
                process.controls.retain(|_, (link, _)| *link != id);
            }
            return;
        }
        debug_assert_eq!(side, 0, "nobody calls flowd's hop port");
        match self.peer_ended(FLOWD, id, wanted) {
            Some(true) => self.flowd_handle(Input::Unlinked(wanted)),
            Some(false) => self.unreachable(FLOWD, wanted),
            None => {}
        }
    }
}
