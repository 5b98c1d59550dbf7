//! Tables made by hand.

use std::collections::BTreeMap;

use flow_sidecar::tables::StaticDefinition;
use routing::table::{
    Boundary, Catch, ConditionSource, DataMapping, Flow, FlowIx, Host, Manifest, Node, NodeIx, NodeKind, Place,
    Predecessor, RetryPolicy, Settings, Task, Trigger,
};
use routing::{
    ActivationId, Digest, ElementId, InstanceId, Payload, RoutingTable, Token, TraceContext, Weight, Written,
};
use serde_json::Value;

pub(crate) const DEPLOYMENT: &str = "order-0123abcd";

/// A process graph; every table made of it holds the whole graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    nodes: Vec<Node>,
    flows: Vec<Flow>,
}

impl Model {
    fn node(mut self, id: &str, kind: NodeKind, place: Place) -> Self {
        let element = match &kind {
            NodeKind::Task(_) => "serviceTask",
            NodeKind::ExclusiveGateway => "exclusiveGateway",
            NodeKind::Boundary(_) => "boundaryEvent",
            _ => "endEvent",
        };
        self.nodes.push(Node {
            id: id.into(),
            name: id.to_uppercase(),
            safe_name: id.into(),
            element: element.into(),
            kind,
            place,
            parent: None,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            default: None,
            boundaries: Vec::new(),
            guarded: false,
            mapping: None,
            marks: None,
            listeners: Vec::new(),
        });
        self
    }

    /// A task whose id is the service's name.
    pub(crate) fn task(self, id: &str) -> Self {
        let task = Task {
            service: id.into(),
            address: None,
            method: "POST".into(),
            path: "/".into(),
            data: DataMapping::Merge { result_variable: None },
            retry: RetryPolicy { attempts: 3, initial: 5, max: 20 },
            timeout: 20_000,
            down_timeout: 20_000,
            asynchronous: false,
            callback_timeout: routing::callback::TIMEOUT,
            health: None,
            labels: BTreeMap::new(),
            listener: false,
        };
        self.node(id, NodeKind::Task(Box::new(task)), Place::Service(id.into()))
    }

    pub(crate) fn end(self, id: &str) -> Self {
        self.node(id, NodeKind::EndEvent(Vec::new()), Place::Ledger)
    }

    pub(crate) fn exclusive(self, id: &str) -> Self {
        self.node(id, NodeKind::ExclusiveGateway, Place::Folded)
    }

    pub(crate) fn error_boundary(self, id: &str, on: &str, code: &str) -> Self {
        let attached_to = self.ix(on);
        let catch = Catch { triggers: vec![Trigger::Error(Some(code.into()))], ..Catch::default() };
        let kind = NodeKind::Boundary(Boundary { attached_to, interrupting: true, catch });
        let mut model = self.node(id, kind, Place::Folded);
        let boundary = model.ix(id);
        model.nodes[attached_to as usize].boundaries.push(boundary);
        model
    }

    pub(crate) fn flow(mut self, from: &str, to: &str, condition: Option<&str>) -> Self {
        let (source, target) = (self.ix(from), self.ix(to));
        let ix = self.flows.len() as FlowIx;
        let condition = condition.map(|text| ConditionSource::Feel(text.into()));
        self.flows.push(Flow { id: format!("{from}-{to}").into(), source, target, condition });
        self.nodes[source as usize].outgoing.push(ix);
        self.nodes[target as usize].incoming.push(ix);
        self
    }

    /// Makes the last flow the default of its source.
    pub(crate) fn by_default(mut self) -> Self {
        let ix = self.flows.len() as FlowIx - 1;
        let source = self.flows[ix as usize].source;
        self.nodes[source as usize].default = Some(ix);
        self
    }

    fn ix(&self, id: &str) -> NodeIx {
        self.nodes.iter().position(|node| node.id.as_str() == id).unwrap() as NodeIx
    }

    fn table(&self, element: &str, predecessors: &[&str]) -> RoutingTable {
        let predecessor = |p: &&str| Predecessor { element: (*p).into(), service: (*p).into() };
        RoutingTable {
            format: RoutingTable::FORMAT,
            process: "order".into(),
            deployment: DEPLOYMENT.into(),
            host: Host::Task(element.into()),
            settings: Settings::default(),
            predecessors: predecessors.iter().map(predecessor).collect(),
            nodes: self.nodes.clone(),
            flows: self.flows.clone(),
            decisions: Vec::new(),
            forms: Vec::new(),
        }
    }

    /// Tables of every task, each with its predecessors.
    pub(crate) fn compile(&self, tasks: &[(&str, &[&str])]) -> StaticDefinition {
        let tables: BTreeMap<ElementId, RoutingTable> =
            tasks.iter().map(|(task, from)| ((*task).into(), self.table(task, from))).collect();
        let manifest = Manifest {
            deployment: DEPLOYMENT.into(),
            ledger: Digest::of(b"the ledger's table"),
            tasks: tables.iter().map(|(e, t)| (e.clone(), Digest::of(&t.to_bytes()))).collect(),
        };
        StaticDefinition { manifest, tables }
    }
}

/// a, then b, then the end.
pub(crate) fn linear() -> StaticDefinition {
    let model = Model::default().task("a").task("b").end("end");
    model.flow("a", "b", None).flow("b", "end", None).compile(&[("a", &[]), ("b", &["a"])])
}

/// a, then the end.
pub(crate) fn single() -> StaticDefinition {
    Model::default().task("a").end("end").flow("a", "end", None).compile(&[("a", &[])])
}

/// A token of instance `number` about to enter `element`.
pub(crate) fn token(definition: &StaticDefinition, element: &str, number: u32, payload: &Value) -> Token {
    let instance = InstanceId::from(format!("{DEPLOYMENT}-{number:032x}"));
    let root = ActivationId::root(&instance);
    let activation = ActivationId::product(&instance, root, "start", 0);
    Token {
        instance,
        definition: Digest::of(&definition.manifest.to_bytes()),
        element: element.into(),
        flow: Some("start".into()),
        activation,
        key: activation,
        parent: root,
        scope: root,
        generation: 0,
        attempts: 0,
        weight: Weight::one(),
        written: Written::default(),
        pools: Vec::new(),
        emitted: 0,
        trace: TraceContext {
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            ..TraceContext::default()
        },
        payload: Payload::json(payload),
    }
}
