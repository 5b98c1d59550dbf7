//! A simulated sidecar: the core, a journal, and the shell around them in its simplest form.

mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::sidecar::core::{Bindings, Config, Core, Input, Output};
use ::sidecar::record::Record;
use routing::mapping::Answer;
use routing::step::CallFailure;
use routing::{ActivationId, Compiled, Digest, ElementId, Incarnation, ServiceName};

use super::disk::Disk;
use super::faults::Fault;
use super::model::{SERVICES, models};
use super::network::{Frame, LinkId, Peers};
use super::task;
use super::world::{Event, Proc, World};
use crate::random::Random;

/// Where a sidecar runs, and what stays when it does not.
pub(super) struct Host {
    pub(super) serves: BTreeSet<ServiceName>,
    pub(super) incarnation: Incarnation,
    pub(super) boot: u64,
    pub(super) process: Option<Process>,
    real: bool,
    disk: Disk,
    tables: BTreeSet<Digest>,
    bindings: Option<Bindings>,
}

/// A sidecar that runs.
pub(super) struct Process {
    pub(super) core: Core,
    pub(super) peers: Peers,
    /// Highest (boot, link) by sender.
    newest: BTreeMap<Incarnation, (u64, u64)>,
    control: Option<LinkId>,
    control_open: bool,
    control_retry: u64,
    mark: u64,
    synced: u64,
    syncing: Option<u64>,
    decisions: Vec<(u64, Record)>,
    for_good: bool,
    wants: BTreeSet<Digest>,
    tick_at: u64,
}

impl Process {
    /// For people.
    pub(super) fn state(&self) -> String {
        format!(
            "control {:?} open {}, wants {:?}, links {:?}",
            self.control, self.control_open, self.wants, self.peers.links
        )
    }
}

impl Host {
    pub(super) fn nobody() -> Self {
        Self::new(&BTreeSet::new(), false, &mut Random::new(0))
    }

    pub(super) fn new(serves: &BTreeSet<ServiceName>, real: bool, random: &mut Random) -> Self {
        Self {
            serves: serves.clone(),
            incarnation: Incarnation(u128::from(random.next()) << 64 | 2),
            boot: 0,
            process: None,
            real,
            disk: Disk::new(real),
            tables: BTreeSet::new(),
            bindings: None,
        }
    }
}

fn tables_of(digest: Digest) -> Vec<(ElementId, Arc<Compiled>)> {
    models().iter().find(|m| m.digest() == digest).map(|m| m.tasks.clone()).unwrap_or_default()
}

impl World {
    pub(super) fn boot_sidecar(&mut self, proc: Proc) {
        if self.hosts[proc].process.is_some() {
            return;
        }
        self.lives[proc] += 1;
        let lost = self.faults.hit(Fault::TablesLost, &mut self.random);
        let mut switches = ::sidecar::core::Switches::default();
        if let Some(mutant) = self.mutant {
            mutant.switch(&mut switches);
        }
        let config = Config {
            serves: self.hosts[proc].serves.clone(),
            max_held: [3, 10, 1000][self.random.below(3) as usize],
            max_calls: [1, 4, 256][self.random.below(3) as usize],
            seed: self.random.next(),
            switches,
            ..Config::default()
        };
        let host = &mut self.hosts[proc];
        host.boot += 1;
        if lost {
            (host.tables, host.bindings) = (BTreeSet::new(), None);
        }
        let read = host.disk.open(&mut self.random);
        let records: Vec<Record> =
            read.into_iter().map(|r| Record::decode(r).expect("what was encoded can be decoded")).collect();
        let (incarnation, real, count, now) = (host.incarnation, host.real, records.len(), self.time());
        for record in &records {
            self.history.decided(incarnation, record);
        }
        let process = Process {
            core: Core::recover(config, records),
            peers: Peers::default(),
            newest: BTreeMap::new(),
            control: None,
            control_open: false,
            control_retry: 0,
            mark: 0,
            synced: 0,
            syncing: None,
            decisions: Vec::new(),
            for_good: false,
            wants: BTreeSet::new(),
            tick_at: u64::MAX,
        };
        let host = &mut self.hosts[proc];
        host.process = Some(process);
        let (tables, bindings) = (host.tables.clone(), host.bindings.clone());
        self.say(|| format!("sidecar {proc} boots as {incarnation:?}, {count} records, real journal {real}"));
        for digest in tables {
            self.sidecar_handle(proc, Input::Tables(digest, tables_of(digest)));
        }
        if let Some(bindings) = bindings {
            self.learn(proc, bindings);
        }
        let (life, mut out) = (self.life(proc), Vec::new());
        if let Some(process) = self.running(proc, life) {
            process.core.begin(now, &mut out);
        }
        self.execute(proc, out);
    }

    fn running(&mut self, proc: Proc, life: u64) -> Option<&mut Process> {
        if self.lives[proc] == life { self.hosts[proc].process.as_mut() } else { None }
    }

    /// The process, or the machine under it, is gone.
    pub(super) fn crash_sidecar(&mut self, proc: Proc, half: bool) {
        if self.hosts[proc].process.take().is_none() {
            return;
        }
        self.say(|| format!("sidecar {proc} crashes"));
        let machine = self.faults.hit(Fault::LostWrites, &mut self.random);
        self.hosts[proc].disk.crash(half, machine, &mut self.random);
        self.stopped(proc);
        let wait = self.random.between(1_000, 3_000_000);
        self.after(wait, Event::Boot(proc));
    }

    fn stopped(&mut self, proc: Proc) {
        self.hosts[proc].process = None;
        self.end_all(proc);
        self.lives[proc] += 1;
    }

    pub(super) fn sidecar_handle(&mut self, proc: Proc, input: Input) {
        let (now, mut out) = (self.time(), Vec::new());
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        process.core.handle(now, input, &mut out);
        self.execute(proc, out);
    }

    fn execute(&mut self, proc: Proc, out: Vec<Output>) {
        let life = self.life(proc);
        for output in out {
            if self.running(proc, life).is_none() {
                return; // it crashed on the way
            }
            self.execute_one(proc, output);
        }
        if self.running(proc, life).is_some() {
            self.connect_wanted(proc);
            self.connect_control(proc);
            self.schedule_tick(proc);
        }
    }

    fn execute_one(&mut self, proc: Proc, output: Output) {
        if !matches!(output, Output::Hop(_)) {
            self.say(|| format!("  sidecar {proc}: {output:?}").chars().take(400).collect());
        }
        let Some(process) = self.hosts[proc].process.as_ref() else { return };
        let control = process.control.filter(|_| process.control_open);
        let hop = |replica: &Incarnation| process.peers.links.get(replica).filter(|p| p.open).and_then(|p| p.link);
        let frame = match output {
            Output::Write(mark, record) => return self.write(proc, mark, record),
            Output::Call(call) => return self.call(proc, call),
            Output::Drained => return self.drained(proc),
            Output::Abort(_) | Output::Hop(_) => return,
            Output::WantTables(digest) => {
                if let Some(process) = self.hosts[proc].process.as_mut() {
                    process.wants.insert(digest);
                }
                control.map(|id| (id, 0, Frame::Want(digest)))
            }
            Output::Accept(id, activation, _) => Some((id, 1, Frame::Accepted(activation))),
            Output::Refuse(id, activation, why) => Some((id, 1, Frame::Refused(activation, why))),
            Output::Send(replica, watermark, offers) => {
                let replaced = offers.iter().filter_map(|o| o.instead_of).collect();
                let offers = offers.into_iter().map(|o| (o.seq, o.product.token.clone())).collect();
                hop(&replica).map(|id| (id, 0, Frame::Offers(watermark, offers, replaced)))
            }
            Output::HandTables(replica, digest, _) => hop(&replica).map(|id| (id, 0, Frame::Tables(vec![digest]))),
            Output::Report(seq, product) => control.map(|id| (id, 0, Frame::Report(seq, product))),
            Output::Whereabouts(replica, ids) => control.map(|id| (id, 0, Frame::Whereabouts(replica, ids))),
            Output::Leave(leaving) => control.map(|id| (id, 0, Frame::Leaving(Box::new(leaving)))),
        };
        if let Some((id, side, frame)) = frame {
            self.send(id, side, frame);
        }
    }

    fn write(&mut self, proc: Proc, mark: u64, record: Record) {
        if self.faults.hit(Fault::CrashBeforeAppend, &mut self.random) {
            return self.crash_sidecar(proc, false);
        }
        self.hosts[proc].disk.append(record.clone().encode());
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        process.mark = mark;
        if matches!(record, Record::Decided { .. }) {
            process.decisions.push((mark, record));
        }
        if self.faults.hit(Fault::CrashAfterAppend, &mut self.random) {
            return self.crash_sidecar(proc, false);
        }
        self.sync_soon(proc);
    }

    fn sync_soon(&mut self, proc: Proc) {
        let slow = self.faults.hit(Fault::SlowSync, &mut self.random);
        let wait = self.random.between(50, if slow { 400_000 } else { 2_000 });
        let life = self.life(proc);
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        if process.syncing.is_none() && process.mark > process.synced {
            process.syncing = Some(process.mark);
            self.after(wait, Event::Synced(proc, life));
        }
    }

    pub(super) fn synced(&mut self, proc: Proc) {
        if self.faults.hit(Fault::CrashInSync, &mut self.random) {
            return self.crash_sidecar(proc, true);
        }
        self.hosts[proc].disk.sync();
        let incarnation = self.hosts[proc].incarnation;
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        // whatever was appended since is on the disk as well; it may only be said later
        process.syncing = None;
        process.synced = process.mark;
        let mark = process.synced;
        for (_, record) in process.decisions.drain(..) {
            self.history.decided(incarnation, &record);
        }
        if self.faults.hit(Fault::CrashAfterSync, &mut self.random) {
            return self.crash_sidecar(proc, false);
        }
        self.sidecar_handle(proc, Input::Written(mark));
    }

    pub(super) fn checkpoint(&mut self, proc: Proc) {
        self.say(|| format!("sidecar {proc} checkpoints"));
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        let live = process.core.checkpoint().into_iter().map(Record::encode).collect();
        self.hosts[proc].disk.checkpoint(live);
        self.synced(proc);
    }

    fn call(&mut self, proc: Proc, call: ::sidecar::core::Call) {
        let now = self.time();
        let element = call.token.element.clone();
        let model = models().iter().find(|m| m.digest() == call.token.definition);
        let Some(work) = model.and_then(|m| task::work(&m.block, element.as_str())) else { return };
        self.history.called(&call.token, &call.request.body, now);
        let (wait, result) = task::call(self, work, element.as_str(), &call.request.body, call.timeout);
        let life = self.life(proc);
        self.after(wait, Event::Called(proc, life, call.activation, call.number, result));
    }

    pub(super) fn called(&mut self, proc: Proc, id: ActivationId, number: u32, result: Result<Answer, CallFailure>) {
        self.sidecar_handle(proc, Input::Called(id, number, result));
    }

    pub(super) fn probe(&mut self, proc: Proc, service: usize, down: Option<String>) {
        self.sidecar_handle(proc, Input::Health(SERVICES[service].into(), down));
    }

    fn schedule_tick(&mut self, proc: Proc) {
        let (now, time, life) = (self.now, self.time(), self.life(proc));
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        let Some(next) = process.core.next_tick() else { return };
        let at = now + next.saturating_sub(time).max(1) * 1000;
        if at < process.tick_at || process.tick_at <= now {
            process.tick_at = at;
            self.at(at, Event::Tick(proc, life));
        }
    }

    pub(super) fn drain(&mut self, proc: Proc) {
        let for_good = self.faults.hit(Fault::Leave, &mut self.random);
        let at_once = for_good && self.faults.hit(Fault::LeaveAtOnce, &mut self.random);
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        process.for_good |= for_good;
        self.say(|| format!("sidecar {proc} drains, for good: {for_good}"));
        if let Some(id) = self.hosts[proc].process.as_ref().and_then(|p| p.control.filter(|_| p.control_open)) {
            self.send(id, 0, Frame::Draining);
        }
        let wait = if at_once { 0 } else { self.random.between(100_000, 2_000_000) };
        self.after(wait, Event::GoNow(proc, self.life(proc)));
        self.sidecar_handle(proc, Input::Drain);
    }

    /// The grace period is over.
    pub(super) fn go_now(&mut self, proc: Proc) {
        let (now, mut out) = (self.time(), Vec::new());
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        if process.for_good {
            process.core.leave(now, &mut out);
            self.execute(proc, out);
        } else {
            self.crash_sidecar(proc, false);
        }
    }

    /// Nothing is held any more, or the ledger has it.
    fn drained(&mut self, proc: Proc) {
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        if !process.for_good && !process.core.is_leaving() {
            // its journal stays: what it remembers is still there when it comes back
            self.crash_sidecar(proc, false);
        }
    }

    fn left(&mut self, proc: Proc) {
        self.say(|| format!("sidecar {proc} has left"));
        let (serves, real) = (self.hosts[proc].serves.clone(), self.hosts[proc].real);
        self.stopped(proc);
        self.hosts[proc] = Host::new(&serves, real, &mut self.random);
        let wait = self.random.between(1_000, 3_000_000);
        self.after(wait, Event::Boot(proc));
    }
}
