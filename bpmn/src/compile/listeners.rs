//! Listeners as nodes of the table: tasks that no flow leads to, and who calls them.

use std::collections::{BTreeMap, HashSet};

use routing::table::{DataMapping, Listener, Mapping, Moment, Node, NodeKind, Place, RetryPolicy, Task};
use routing::{ElementId, ServiceName};

use super::nodes::number;
use super::source::Source;
use super::task;
use crate::binding::{self, TypedTask};
use crate::model::{Extensions, FlowNodeKind};

/// Adds the listeners of all nodes behind them; gives those of the process's end.
///
/// What begins a process or an event sub-process is one of its start events, so that its start listeners are called behind that.
pub(super) fn add(source: &Source<'_>, nodes: &mut Vec<Node>) -> Vec<Listener> {
    let process = source.graph.process;
    let mut taken: HashSet<String> = nodes.iter().map(|it| it.id.as_str().to_owned()).collect();
    let mut read = |extensions: &Extensions, owner: &str, parent: Option<u32>, nodes: &mut Vec<Node>| {
        let listeners = binding::listeners(extensions, owner, &mut Vec::new());
        let mut all = Vec::new();
        for (index, listener) in listeners.into_iter().enumerate() {
            let mut id = format!("{owner}-{}-{}", word(listener.on), index + 1);
            while !taken.insert(id.clone()) {
                id.push_str("-listener");
            }
            all.push(Listener { on: listener.on, node: number(nodes.len()) });
            nodes.push(node(id, listener.on, listener.task, parent));
        }
        all
    };
    let own = read(&process.extensions, &process.id, None, nodes);
    let (begin, end): (Vec<_>, Vec<_>) = own.into_iter().partition(|it| it.on == Moment::Start);
    let starts = |parent: Option<usize>| {
        let all = process.nodes.iter().enumerate();
        let starts =
            all.filter(move |(_, it)| it.parent == parent && matches!(it.kind, FlowNodeKind::StartEvent { .. }));
        starts.map(|(index, _)| index)
    };
    let mut first: Vec<(usize, Vec<Listener>)> = starts(None).map(|it| (it, begin.clone())).collect();
    for (index, it) in process.nodes.iter().enumerate() {
        let mut listeners = read(&it.extensions, &it.id, Some(number(index)), nodes);
        if matches!(it.kind, FlowNodeKind::SubProcess { triggered_by_event: true }) {
            let (begin, rest): (Vec<_>, Vec<_>) = listeners.into_iter().partition(|it| it.on == Moment::Start);
            if !begin.is_empty() {
                first.extend(starts(Some(index)).map(|it| (it, begin.clone())));
            }
            listeners = rest;
        }
        if !listeners.is_empty() {
            map_at_ledger(&mut nodes[index]);
        }
        nodes[index].listeners = listeners;
    }
    for (start, listeners) in first {
        let behind = listeners.into_iter().map(|it| Listener { on: Moment::End, ..it });
        nodes[start].listeners.splice(0..0, behind);
    }
    end
}

/// Listeners are called between a task's mappings and its service, so that it is the ledger that maps.
fn map_at_ledger(node: &mut Node) {
    let NodeKind::Task(task) = &mut node.kind else { return };
    let usual = DataMapping::Merge { result_variable: None };
    task.data = match std::mem::replace(&mut task.data, usual) {
        DataMapping::Mapped { inputs, result_variable, outputs, inputs_only: false } => {
            node.mapping = Some(Box::new(Mapping { inputs, outputs }));
            DataMapping::Merge { result_variable }
        }
        other => other,
    };
}

fn word(on: Moment) -> &'static str {
    match on {
        Moment::Start => "start",
        Moment::End => "end",
        Moment::Creating => "creating",
        Moment::Assigning => "assigning",
        Moment::Completing => "completing",
    }
}

fn node(id: String, on: Moment, typed: TypedTask, parent: Option<u32>) -> Node {
    let execution = matches!(on, Moment::Start | Moment::End);
    Node {
        name: typed.task_type.clone(),
        safe_name: id.clone(),
        id: ElementId::from(id),
        element: if execution { "executionListener" } else { "taskListener" }.to_owned(),
        kind: NodeKind::Task(Box::new(listener(typed))),
        place: Place::Ledger,
        parent,
        incoming: Vec::new(),
        outgoing: Vec::new(),
        default: None,
        boundaries: Vec::new(),
        guarded: true,
        mapping: None,
        marks: None,
        listeners: Vec::new(),
    }
}

fn listener(typed: TypedTask) -> Task {
    let usual = RetryPolicy::default();
    Task {
        service: ServiceName::from(typed.task_type),
        address: None,
        method: typed.method.unwrap_or_else(|| "POST".to_owned()),
        path: typed.path.unwrap_or_else(|| "/".to_owned()),
        data: DataMapping::Merge { result_variable: typed.result_variable },
        retry: RetryPolicy { attempts: typed.attempts.unwrap_or(usual.attempts), ..usual },
        timeout: typed.timeout.unwrap_or(task::TIMEOUT),
        down_timeout: task::DOWN_TIMEOUT,
        asynchronous: typed.asynchronous,
        callback_timeout: typed.callback_timeout.unwrap_or(routing::callback::TIMEOUT),
        health: None,
        labels: BTreeMap::new(),
        listener: true,
    }
}
