//! Offers from other sidecars and from the ledger; what the ledger says about instances and tables.

use hop::{Origin, Refusal, Seen};
use routing::step::Activity;
use routing::table::{Place, Predecessor};

use super::{
    ActivationId, After, Alarm, Arc, Compiled, Core, Digest, ElementId, Held, Incarnation, Link, Output, Record,
    Sender, Timestamp, Token,
};

/// Acceptances that are not gathered any longer.
const ACCEPTS: usize = 128;

impl Core {
    pub(super) fn sender_linked(&mut self, link: Link, sender: Sender) {
        // a newer link of the same sender replaces the older, whose frames are void from now on
        if let Some(old) = self.link_of.insert(sender.incarnation, link) {
            self.links.remove(&old);
        }
        self.links.insert(link, sender);
    }

    pub(super) fn sender_unlinked(&mut self, link: Link) {
        if let Some(sender) = self.links.remove(&link)
            && self.link_of.get(&sender.incarnation) == Some(&link)
        {
            self.link_of.remove(&sender.incarnation);
        }
    }

    pub(super) fn offered(
        &mut self,
        now: Timestamp,
        link: Link,
        watermark: u64,
        offers: Vec<(u64, Token)>,
        out: &mut Vec<Output>,
    ) {
        let Some(sender) = self.links.get(&link).cloned() else { return };
        if self.settled.contains(&sender.incarnation) || self.replaced.contains(&sender.incarnation) {
            // its ids may be forgotten here: this is an offer that was late, and somebody has decided it
            return;
        }
        let (_, changed) = self.inbox.released(sender.incarnation, watermark);
        if changed {
            self.write_lazily(now, Record::Released { sender: sender.incarnation, watermark }, None);
        }
        for (seq, token) in offers {
            let origin = Origin { sender: sender.incarnation, seq };
            let seen = if self.config.switches.no_dedup { Seen::New } else { self.inbox.seen(token.activation) };
            match seen {
                Seen::Durable => {
                    self.inbox.take(token.activation, origin);
                    out.push(Output::Accept(link, token.activation, now));
                }
                Seen::Taken => self.inbox.take(token.activation, origin),
                Seen::New => self.offered_new(now, link, &sender, origin, token, out),
            }
        }
    }

    pub(super) fn replaced(&mut self, link: Link, replicas: Vec<Incarnation>) {
        if self.links.get(&link).is_some_and(|sender| sender.ledger) {
            self.replaced.extend(replicas.into_iter().filter(|replica| !self.settled.contains(replica)));
        }
    }

    fn offered_new(
        &mut self,
        now: Timestamp,
        link: Link,
        sender: &Sender,
        origin: Origin,
        token: Token,
        out: &mut Vec<Output>,
    ) {
        let activation = token.activation;
        match self.admit(sender, &token) {
            Ok((table, _)) if self.closed.has(&token.instance) => {
                self.inbox.take(activation, origin);
                self.give_back(Arc::new(token), Some(origin), &table, now, out);
            }
            Ok((table, node)) => {
                self.inbox.take(activation, origin);
                if self.config.switches.early_accept {
                    out.push(Output::Accept(link, activation, now));
                }
                self.hold(now, token, origin, table, node, out);
            }
            Err(why) => {
                if why == Refusal::UnknownTable {
                    out.push(Output::WantTables(token.definition));
                }
                out.push(Output::Refuse(link, activation, why));
            }
        }
    }

    fn admit(&self, sender: &Sender, token: &Token) -> Result<(Arc<Compiled>, u32), Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        let table =
            self.tables.get(&token.definition).and_then(|t| t.get(&token.element)).ok_or(Refusal::UnknownTable)?;
        let node = table.find(token.element.as_str()).ok_or(Refusal::NotServed)?;
        let splits = self.outbox.splits();
        match &table.table().node(node).place {
            Place::Service(service) if splits.done_by(service, &self.config.serves).is_some() => {}
            Place::Service(_) | Place::Ledger | Place::Folded => return Err(Refusal::NotServed),
        }
        let sends = |it: &Predecessor| splits.done_by(&it.service, &sender.serves).is_some();
        let known = sender.ledger || table.table().predecessors.iter().any(sends);
        if !known {
            return Err(Refusal::Forbidden);
        }
        let limit = if sender.ledger { self.config.max_held / 2 } else { self.config.max_held };
        if self.held.len() >= limit.max(1) {
            return Err(Refusal::Full(100));
        }
        Ok((table.clone(), node))
    }

    fn hold(
        &mut self,
        now: Timestamp,
        token: Token,
        origin: Origin,
        table: Arc<Compiled>,
        node: u32,
        out: &mut Vec<Output>,
    ) {
        let token = Arc::new(token);
        let activity = Activity::new(&token, now);
        let activation = token.activation;
        self.alarms.insert((now + self.config.accept_after, activation, Alarm::Accept), ());
        self.insert(token, origin, table, node, activity, false);
        self.step(now, activation, routing::step::Input::Activated, out);
    }

    pub(super) fn insert(
        &mut self,
        token: Arc<Token>,
        origin: Origin,
        table: Arc<Compiled>,
        node: u32,
        activity: Activity,
        recorded: bool,
    ) {
        let Place::Service(service) = &table.table().node(node).place else { return };
        let service = self.outbox.splits().done_by(service, &self.config.serves).unwrap_or(service).clone();
        let held =
            Held { token, table, node, service, activity, origin, recorded, calls: 0, calling: false, waiting: None };
        self.held.insert(held.token.activation, held);
    }

    /// The task takes its time: the token gets a record of its own, so that the sender may let go.
    pub(super) fn record_held(&mut self, activation: ActivationId, out: &mut Vec<Output>) {
        let Some(held) = self.held.get_mut(&activation) else { return };
        if std::mem::replace(&mut held.recorded, true) {
            return;
        }
        let record =
            Record::Accepted { token: held.token.clone(), origin: held.origin, activated: held.activity.activated };
        self.write(record, After::Accept(activation), out);
    }

    /// Tells everyone who offered it, over the links they have now; once, since who offers it again is
    /// told at once.
    pub(super) fn accept(&mut self, now: Timestamp, activation: ActivationId) {
        if self.inbox.seen(activation) == Seen::Durable && !self.config.switches.no_dedup {
            return;
        }
        for origin in self.inbox.durable(activation) {
            if let Some(link) = self.link_of.get(&origin.sender) {
                self.accepts.push((*link, activation, now));
            }
        }
    }

    /// Tells senders once it is worth waking them; at once when this sidecar is going.
    pub(super) fn tell_accepted(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let due = |since: Timestamp| self.draining || since + self.config.accepts_for <= now;
        if self.accepts.len() < ACCEPTS && !self.accepts.first().is_some_and(|(_, _, since)| due(*since)) {
            return;
        }
        // over a link that is gone nobody hears it: who has offered offers again, and is told then
        let told = self.accepts.drain(..).filter(|(link, ..)| self.links.contains_key(link));
        out.extend(told.map(|(link, activation, since)| Output::Accept(link, activation, since)));
    }

    pub(super) fn tables(
        &mut self,
        now: Timestamp,
        definition: Digest,
        tables: Vec<(ElementId, Arc<Compiled>)>,
        out: &mut Vec<Output>,
    ) {
        self.tables.entry(definition).or_default().extend(tables);
        for (token, origin, activated) in std::mem::take(&mut self.orphans) {
            self.resume(now, token, origin, activated, out);
        }
    }

    pub(super) fn retired(&mut self, definitions: &[Digest]) {
        for definition in definitions {
            let busy = self.held.values().any(|h| h.token.definition == *definition);
            if !busy {
                self.tables.remove(definition);
            }
        }
    }
}
