//! An instance goes on with another version of its process, where it stands: all of its tokens, or none.
//!
//! Every token of the old version must be at the ledger. Each finds its element in the new version by id, or by the name that the operator
//! gives: an element of the same kind, in the same place of the nesting. What it waits for stays as it is where the new version draws the
//! event alike (a due date, a correlation key); other events of the new version are waited for from now on. What has ended stays ended, and
//! processes that are called stay on their versions.

mod plan;

use self::plan::{Plan, same_kind, same_loop};
use super::{Body, Instance, Reason, Run, Stay};
use crate::failure::Resume;
use crate::id::Digest;
use crate::table::{Node, NodeIx, NodeKind};
use crate::token::{Product, To, Token};
use crate::weight::Weight;

const ELSEWHERE: &str =
    "tokens of it are with sidecars: suspend the instance, and try again when they have come to flowd";

impl Run<'_> {
    /// Takes every token of definition `from` to definition `to`; `names` gives elements and flows that are called otherwise there.
    ///
    /// # Errors
    /// Why it cannot be; nothing has changed for whoever drops the instance then.
    pub fn migrate(mut self, from: Digest, to: Digest, names: &[(String, String)]) -> Result<(), String> {
        let missing = "flowd has no table of it; apply the same file again";
        let (old, new) = (self.table(from).ok_or(missing)?, self.table(to).ok_or(missing)?);
        let plan = Plan { old, new, from, to, names };
        plan.check()?;
        self.all_at_ledger(from)?;
        let stays: Vec<Stay> = self.instance.stays().filter(|it| plan.concerns(it)).cloned().collect();
        let mut changed = Vec::new();
        for stay in &stays {
            changed.push(self.migrated(&plan, stay)?);
        }
        changed.into_iter().for_each(|stay| self.instance.becomes(stay));
        for stay in &stays {
            self.wait_anew(&plan, stay)?;
        }
        let tables = self.tables;
        self.instance.rejoin(tables);
        self.ask_parallel_joins(&plan);
        self.stirred = true;
        self.settle();
        Ok(())
    }

    /// That no token of the definition is with a sidecar.
    fn all_at_ledger(&self, definition: Digest) -> Result<(), String> {
        let root = self.instance.root();
        let interrupted = self.activity(root).is_some_and(|(_, it)| it.interrupted);
        let mut scopes = Vec::from_iter((!interrupted).then_some(root));
        for stay in self.instance.stays() {
            let Reason::Activity(activity) = &stay.reason else { continue };
            let (inside, counted) = match activity.body {
                Body::Service | Body::Listens => (stay.token.definition, true),
                Body::Scope => (stay.token.definition, !self.is_uncounted(stay.token.activation)),
                Body::Call(called) => (called, true),
                Body::Waits | Body::Loop(_) => continue,
            };
            if activity.listening.is_some() && !self.instance.has_incident_inside(stay.token.activation) {
                return Err(ELSEWHERE.to_owned());
            }
            if activity.compensating.is_some() && inside == definition {
                return Err(format!("{} is being compensated: try again when that is over", stay.token.element));
            }
            if stay.token.activation != root && inside == definition && counted && !activity.interrupted {
                scopes.push(stay.token.activation);
            }
        }
        for scope in scopes {
            let inside = self.instance.inside(scope);
            let weights = inside.iter().filter_map(|it| self.instance.stay(*it)).map(|it| &it.token.weight);
            if !weights.fold(Weight::zero(), |sum, it| sum.plus(it)).is_one() {
                return Err(ELSEWHERE.to_owned());
            }
        }
        Ok(())
    }

    /// A record as it is in the new version; what it waits for anew is not in it yet.
    fn migrated(&self, plan: &Plan<'_>, stay: &Stay) -> Result<Stay, String> {
        let mut stay = Stay { subscriptions: plan.kept(stay), ..stay.clone() };
        if let Reason::Activity(activity) = &mut stay.reason {
            plan.activity(stay.token.definition, activity)?;
        }
        if stay.token.definition != plan.from {
            return Ok(stay);
        }
        stay.token.definition = plan.to;
        let gone = matches!(stay.reason, Reason::Ended | Reason::Output { .. });
        if gone || stay.token.activation == self.instance.root() {
            // only what it has written counts
            if let Ok(node) = plan.element(&stay.token.element) {
                stay.token.element = plan.new.table().node(node).id.clone();
            }
            return Ok(stay);
        }
        let node = plan.element(&stay.token.element)?;
        let old = plan.old_node(&stay.token.element)?;
        self.fits(plan, &stay, old, node)?;
        stay.token.flow = plan.came_by(&stay, node)?;
        stay.token.element = plan.new.table().node(node).id.clone();
        match &mut stay.reason {
            Reason::Reset(flows) => {
                *flows = flows.iter().filter_map(|flow| plan.flow(flow, node)).collect();
            }
            Reason::Incident(failure) => {
                if let Ok(ix) = plan.element(&failure.element) {
                    failure.element = plan.new.table().node(ix).id.clone();
                }
            }
            _ => {}
        }
        Ok(stay)
    }

    /// That the token can be at this element of the new version.
    fn fits(&self, plan: &Plan<'_>, stay: &Stay, old: &Node, node: NodeIx) -> Result<(), String> {
        let (table, id) = (plan.new.table(), &stay.token.element);
        let new = table.node(node);
        if !same_kind(&old.kind, &new.kind) {
            return Err(format!("{id} is a {} and {} is a {}: they must be alike", old.element, new.id, new.element));
        }
        let again = match &stay.reason {
            Reason::Suspended => true,
            Reason::Incident(failure) => failure.resume == Resume::Call,
            _ => false,
        };
        let enters = again && !self.serves(&stay.token);
        if !enters && old.guarded != new.guarded {
            return Err(format!(
                "{id} has begun, and only one of the versions has boundary events, a loop or compensation at it: try again when it is done"
            ));
        }
        if matches!(stay.reason, Reason::Activity(_)) && !same_loop(old, new) {
            return Err(format!("{id} has begun and loops otherwise in the new version: try again when it is done"));
        }
        let expected = match self.activity(stay.token.scope) {
            Some((owner, _)) if owner.token.element == *id && owner.token.definition == plan.from => return Ok(()),
            Some((owner, activity))
                if owner.token.activation != self.instance.root() && !matches!(activity.body, Body::Call(_)) =>
            {
                Some(plan.element(&owner.token.element)?)
            }
            _ => None,
        };
        if new.parent != expected {
            return Err(format!("{} is in another sub-process than {id}: a token cannot cross scopes", new.id));
        }
        Ok(())
    }

    /// The events of the new version that the record did not wait for in the old one.
    fn wait_anew(&mut self, plan: &Plan<'_>, before: &Stay) -> Result<(), String> {
        let activation = before.token.activation;
        let Some(stay) = self.instance.stay(activation).filter(|it| it.token.definition == plan.to) else {
            return Ok(());
        };
        let table = &plan.new;
        let fresh: Vec<NodeIx> = (plan.events_of(table, stay, self.instance).into_iter())
            .filter(|event| {
                !plan.events_of(&plan.old, before, self.instance).iter().any(|old| plan.draws_alike(*old, *event))
            })
            .collect();
        let seen = match &stay.reason {
            Reason::Activity(_) => self.inner_view(table, activation),
            _ => self.seen_by(table, &stay.token),
        };
        let mut all = Vec::new();
        for event in fresh {
            all.extend(self.waits_for(table, event, &seen).map_err(|why| {
                format!("what {} would wait for cannot be told: {why}", plan.new.table().node(event).id)
            })?);
        }
        if !all.is_empty()
            && let Some(mut stay) = self.instance.stay(activation).cloned()
        {
            stay.subscriptions.extend(all);
            self.instance.becomes(stay);
        }
        Ok(())
    }

    /// A parallel gateway of the new version may have all that it waits for: its tokens come again.
    fn ask_parallel_joins(&mut self, plan: &Plan<'_>) {
        let parallel = |token: &Token| {
            let node = plan.new.find(token.element.as_str()).map(|ix| &plan.new.table().node(ix).kind);
            token.definition == plan.to && matches!(node, Some(NodeKind::ParallelGateway))
        };
        let mut waiting: Vec<_> = (self.instance.stays())
            .filter(|it| it.reason == Reason::Joining && parallel(&it.token))
            .map(|it| (it.order, it.token.activation))
            .collect();
        waiting.sort_unstable();
        let taken: Vec<Stay> = waiting.into_iter().filter_map(|(_, it)| self.instance.take(it)).collect();
        let tables = self.tables;
        self.instance.rejoin(tables);
        self.pending.extend(taken.into_iter().map(|stay| Product { token: stay.token, to: To::Ledger }));
    }
}

impl Instance {
    /// A record changes in place: what it weighs, and why it is here, stay.
    fn becomes(&mut self, stay: Stay) {
        self.note(stay.token.activation);
        self.stays.insert(stay.token.activation, stay);
    }
}
