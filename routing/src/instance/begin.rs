//! How an instance begins (BPMN 10.5.2, 10.6.6): at a start event, an instantiating receive task or event-based gateway.
//!
//! Where several events have to happen, a parallel-multiple start event or a parallel gateway, the first one opens the instance, which then
//! waits for the others, of the same conversation: messages have to carry the key of the one that came first.

use std::sync::Arc;

use super::data::variables;
use super::{Reason, Run};
use crate::compiled::Compiled;
use crate::failure::Failure;
use crate::id::{ActivationId, ElementId, ProcessId};
use crate::payload::Payload;
use crate::table::{Catch, Message, NodeIx, NodeKind, Template, Trigger};
use crate::token::Token;
use crate::weight::Weight;

/// What began an instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Began<'a> {
    /// What it brought along; what the element maps of it is taken.
    pub came: Option<&'a Payload>,
    /// Which trigger of the element it was, in document order; `None`: somebody did it by hand, which stands for all.
    pub trigger: Option<usize>,
    /// The correlation key of what came.
    pub key: Option<&'a str>,
}

/// The signal that tells instances which wait for a timer among the events they begin with that its time has come: the shell sets these
/// timers, one for all instances. No model can throw it, its name has a character that XML does not.
pub fn timer_signal(process: &ProcessId, element: &ElementId, trigger: usize) -> String {
    format!("\u{1}timer {trigger} of {element} in {process}")
}

impl Run<'_> {
    /// The instance's first token: it is at the element that starts it (a start event, an instantiating receive task, or the event
    /// behind an instantiating gateway), which has fired.
    pub fn start(self, token: Token) {
        self.start_by(token, Began::default());
    }

    /// Likewise, by an event.
    pub fn start_by(mut self, mut token: Token, began: Began<'_>) {
        let Some((table, node)) = self.at(&token) else { return self.lost(token) };
        self.open_root(&table, &token);
        self.absorb(&table, &mut token);
        match (&table.table().node(node).kind, began.trigger) {
            (NodeKind::EventBasedGateway { parallel: false, .. }, _) => self.wait_for_first(&table, node, token),
            (NodeKind::StartEvent(start), Some(trigger)) if start.catch.parallel => {
                self.wait_for_rest(&table, node, token, &start.catch, trigger, began);
            }
            (_, Some(_)) => {
                let token = self.wait_beside(&table, node, token, began.key);
                self.fired_at(&table, node, token, began.came);
            }
            (_, None) => self.fired_at(&table, node, token, began.came),
        }
        self.settle();
    }

    /// The instance's first token fails where it would begin; started again, it begins.
    pub fn begin_failed(mut self, token: Token, failure: Failure) {
        self.incident(token, failure);
    }

    /// The instance's first token waits for an operator.
    pub fn hold(mut self, token: Token) {
        self.stay(token, Reason::Held, Vec::new());
    }

    /// One trigger of a parallel-multiple start event has fired: its token waits for the rest.
    fn wait_for_rest(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        mut token: Token,
        catch: &Catch,
        fired: usize,
        began: Began<'_>,
    ) {
        if let Some(came) = began.came {
            self.write(table, &mut token, variables(came));
        }
        let rest = awaited(table, node, &catch.triggers, began.key);
        let triggers = rest.into_iter().enumerate().filter(|(number, _)| *number != fired).map(|(_, it)| it).collect();
        self.wait_for(table, node, token, &Catch { triggers, parallel: true, ..Catch::default() });
    }

    /// The event is one of those behind a parallel instantiating gateway: a token waits at each of the others. What is left of the
    /// weight goes with the one that fired; all see what it brought.
    fn wait_beside(&mut self, table: &Arc<Compiled>, node: NodeIx, mut token: Token, key: Option<&str>) -> Token {
        let others: Vec<NodeIx> = beside(table, node).into_iter().filter(|it| *it != node).collect();
        if others.is_empty() {
            return token;
        }
        let mut shares = token.weight.split(others.len() + 1).into_iter();
        token.weight = shares.next().unwrap_or_else(Weight::zero);
        token.written = token.written.forked();
        for ((index, other), weight) in (0..).zip(others).zip(shares) {
            let element = table.table().node(other).id.clone();
            let activation = ActivationId::product(&token.instance, token.activation, element.as_str(), index);
            let waits = Token { element, activation, key: activation, weight, ..token.clone() };
            let triggers = match &table.table().node(other).kind {
                NodeKind::CatchEvent(catch) => catch.triggers.clone(),
                NodeKind::ReceiveTask(message) => vec![Trigger::Message(message.clone())],
                _ => Vec::new(),
            };
            let triggers = awaited(table, other, &triggers, key);
            self.wait_for(table, other, waits, &Catch { triggers, ..Catch::default() });
        }
        token
    }
}

/// The events that begin an instance together with this one.
fn beside(table: &Compiled, node: NodeIx) -> Vec<NodeIx> {
    let table = table.table();
    let sources = table.node(node).incoming.iter().map(|flow| table.flow(*flow).source);
    let gateway =
        |it: &NodeIx| matches!(table.node(*it).kind, NodeKind::EventBasedGateway { parallel: true, instantiate: true });
    let gateway = sources.clone().find(gateway);
    gateway.into_iter().flat_map(|it| &table.node(it).outgoing).map(|flow| table.flow(*flow).target).collect()
}

/// What an instance that has begun waits for: messages with the key of its conversation, and timers that the shell tells it of.
fn awaited(table: &Compiled, node: NodeIx, triggers: &[Trigger], key: Option<&str>) -> Vec<Trigger> {
    let table = table.table();
    let one = |(number, trigger): (usize, &Trigger)| match trigger {
        Trigger::Timer(_) => {
            Trigger::Signal(Template::Static(timer_signal(&table.process, &table.node(node).id, number)))
        }
        Trigger::Message(message) => {
            let key = key.map(|it| Template::Static(it.to_owned())).or_else(|| message.key.clone());
            Trigger::Message(Box::new(Message { key, ..(**message).clone() }))
        }
        other => other.clone(),
    };
    triggers.iter().enumerate().map(one).collect()
}
