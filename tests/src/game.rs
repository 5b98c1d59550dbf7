//! The token game without a mesh: the real tables, steps and ledger, moved by hand in one thread, so that a
//! test of an element reads as five lines. Tasks take the time that their behaviour says, side by side; nothing else takes any.
//! Nothing is lost or late here; the simulation is for that.

mod model;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bpmn::{Options, ProcessDefinition, check};
use control_plane::ledger::{
    self, Actor, Answer as Reply, Deployed, Input, InstanceView, Ledger, Operation, Operator, Output, Reopening, Start,
    TaskAction,
};
use hop::Endpoint;
use routing::callback::{Address, Callback};
use routing::mapping::Answer;
use routing::step::{self, Activity, CallFailure, Effect};
use routing::{
    ActivationId, Compiled, Digest, ElementId, Incarnation, InstanceId, Payload, Product, Timestamp, To, Token,
};
use serde_json::Value;

pub use model::{flow, flow_if, model, model_beside, task};

/// What a task does when it is called: how long it takes (milliseconds), and its answer.
pub type Behaviour = Box<dyn FnMut(&str, u32, &Value) -> (u64, Result<Answer, CallFailure>)>;

/// The seal of every call's callback URL.
pub const SEAL: &str = "seal";

/// A JSON answer with a status.
pub fn answer(status: u16, body: &Value) -> Result<Answer, CallFailure> {
    Ok(Answer { status, payload: Payload::json(body), ..Answer::default() })
}

/// A task that answers what it was sent, with `{"<element>": true}` added.
pub fn echo() -> Behaviour {
    Box::new(|element, _, input| {
        let mut output = input.clone();
        output[element] = Value::Bool(true);
        (1, answer(200, &output))
    })
}

fn compiled(table: &bpmn::Table) -> Arc<Compiled> {
    Arc::new(Compiled::new(table.table.clone(), table.digest).expect("it was checked"))
}

const REPLICA: Incarnation = Incarnation(1);

/// A task that works on a token.
struct Running {
    table: Arc<Compiled>,
    token: Token,
    activity: Activity,
    due: Timestamp,
    then: step::Input,
    alarm: Option<(u32, Timestamp)>,
}

impl Running {
    /// When something of it happens next.
    fn next(&self) -> Timestamp {
        self.alarm.map_or(self.due, |(_, at)| at.min(self.due))
    }
}

/// See the module's documentation.
pub struct Game {
    definitions: Vec<ProcessDefinition>,
    ledger: Ledger,
    tables: BTreeMap<(Digest, ElementId), Arc<Compiled>>,
    now: Timestamp,
    behaviour: Behaviour,
    offers: VecDeque<Token>,
    running: Vec<Running>,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    views: HashMap<InstanceId, InstanceView>,
    /// Elements that tokens went through, in order, with how they left.
    pub moves: Vec<(String, String)>,
    /// Calls of tasks, in order.
    pub calls: Vec<String>,
    /// When each of them was made.
    pub called_at: Vec<Timestamp>,
    /// For which activation each of them was made.
    pub activations: Vec<ActivationId>,
    /// With which idempotency key.
    pub keys: Vec<ActivationId>,
    /// Broken rules that the ledger saw; a test that ends with some has found a bug.
    pub alarms: Vec<String>,
    instances: u32,
}

impl Game {
    /// Compiles a model and stands ready to start instances of it.
    pub fn new(xml: &str, behaviour: Behaviour) -> Self {
        Self::with(xml, behaviour, &Options::default())
    }

    /// The same for a model that stands beside decisions or forms.
    pub fn with(xml: &str, behaviour: Behaviour, options: &Options) -> Self {
        let checked = check(xml.as_bytes(), options).unwrap_or_else(|mut found| {
            found.retain(|it| it.severity == bpmn::Severity::Error);
            panic!("the model is refused: {found:#?}\n{xml}")
        });
        let mut definitions = checked.definitions;
        // the process under test is `p`; what it calls stands beside it
        definitions.sort_by_key(|d| d.process.as_str() != "p");
        let own = |d: &ProcessDefinition| {
            let digest = d.digest;
            d.tasks.iter().map(move |(e, t)| ((digest, e.clone()), compiled(t))).collect::<Vec<_>>()
        };
        let tables = definitions.iter().flat_map(own).collect();
        let mut game = Self {
            ledger: Ledger::new(1),
            tables,
            now: 1_000_000,
            behaviour,
            offers: VecDeque::new(),
            running: Vec::new(),
            store: BTreeMap::new(),
            views: HashMap::new(),
            moves: Vec::new(),
            calls: Vec::new(),
            called_at: Vec::new(),
            activations: Vec::new(),
            keys: Vec::new(),
            alarms: Vec::new(),
            instances: 0,
            definitions,
        };
        for (digest, table) in game.ledger_tables() {
            game.tell(Input::Definition(digest, table));
        }
        game.connect();
        game
    }

    fn ledger_tables(&self) -> HashMap<Digest, Arc<Compiled>> {
        self.definitions.iter().map(|d| (d.digest, compiled(&d.ledger))).collect()
    }

    fn connect(&mut self) {
        let deployed = self.definitions.iter().map(|d| Deployed {
            process: d.process.clone(),
            deployment: d.deployment.clone(),
            definition: d.digest,
            tag: None,
            applied: 1,
            starts: d.start_events.clone(),
            topics: Vec::new(),
        });
        self.tell(Input::Deployed(deployed.collect()));
        let endpoint = Endpoint { incarnation: REPLICA, address: "sidecar:1".into(), draining: false };
        let services = self.definitions.iter().flat_map(|d| d.services().into_keys());
        let endpoints = services.map(|s| (s, vec![endpoint.clone()])).collect();
        self.tell(Input::Endpoints(endpoints));
        self.tell(Input::Linked(REPLICA));
    }

    /// Starts an instance at the first start event and lets everything happen that can.
    pub fn run(&mut self, payload: &Value) -> InstanceView {
        let start = self.definitions[0].start_events[0].clone();
        let instance = self.start(start.as_str(), payload);
        self.settle();
        self.view(&instance)
    }

    /// Starts an instance without letting anything happen yet.
    pub fn start(&mut self, start_event: &str, payload: &Value) -> InstanceId {
        self.instances += 1;
        let definition = &self.definitions[0];
        let instance = InstanceId::from(format!("{}-{:032x}", definition.deployment, self.instances));
        let start = Start {
            instance: instance.clone(),
            deployment: definition.deployment.clone(),
            process: definition.process.clone(),
            definition: definition.digest,
            start_event: start_event.into(),
            payload: Payload::json(payload),
            metadata: BTreeMap::new(),
            idempotency_key: None,
            known: None,
            trace: routing::TraceContext::default(),
            stopped: false,
            graphql_uri: None,
        };
        self.tell(Input::Start(0, Box::new(start)));
        instance
    }

    /// Starts a stopped instance again.
    pub fn restart(&mut self, instance: &InstanceId, payload: Option<&Value>) -> InstanceView {
        let again = Operation::Start { payload: payload.map(Payload::json), same_key: false };
        self.tell(Input::Operate(0, instance.clone(), Operator::default(), again));
        self.settle();
        self.view(instance)
    }

    /// Runs an instance again that has ended as ERROR; what follows waits.
    pub fn reopen(&mut self, instance: &InstanceId, payload: Option<Payload>) {
        let reopening = self.reopening(instance, payload);
        self.tell(reopening);
    }

    /// What an operator asks for who runs an instance again, by what the store has of it now.
    pub fn reopening(&self, instance: &InstanceId, payload: Option<Payload>) -> Input {
        let remains = self.store.iter().filter(|(key, _)| ledger::remains_of(key, instance));
        let remains = remains.map(|(key, value)| (key.clone(), value.clone())).collect();
        let view = ledger::decode_instance(&self.store[&ledger::key::closed(instance)]).expect("it has ended");
        let by = Operator { who: "ann".into(), why: "it works now".into() };
        Input::Reopen(0, Box::new(Reopening { view, remains, by, payload, same_key: false }))
    }

    /// Lets everything happen, time included, until nothing more can.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let due = self.running.iter().map(Running::next).min();
            if let Some(token) = self.offers.pop_front() {
                self.act(token);
            } else if let Some(at) = self.ledger.next_tick().filter(|at| due.is_none_or(|due| *at < due)) {
                self.now = self.now.max(at);
                self.tell(Input::Tick);
            } else if !self.next_of_tasks() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Lets the tasks act that were offered tokens; of the ledger's times, only those that come before their ends pass.
    pub fn settle_offers(&mut self) {
        while !self.offers.is_empty() || !self.running.is_empty() {
            let due = self.running.iter().map(Running::next).min();
            if let Some(token) = self.offers.pop_front() {
                self.act(token);
            } else if let Some(at) = self.ledger.next_tick().filter(|at| due.is_some_and(|due| *at < due)) {
                self.now = self.now.max(at);
                self.tell(Input::Tick);
            } else {
                self.next_of_tasks();
            }
        }
    }

    /// The instance as it is now.
    pub fn view(&self, instance: &InstanceId) -> InstanceView {
        self.ledger.view(instance).unwrap_or_else(|| self.views[instance].clone())
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Somebody completes the instance's first user task; what follows of it happens.
    pub fn complete_task(&mut self, instance: &InstanceId, payload: &Value) -> InstanceView {
        self.act_on_task(instance, "", TaskAction::Complete(Payload::json(payload)))
    }

    /// Somebody does something with the instance's first user task; what follows of it happens.
    pub fn act_on_task(&mut self, instance: &InstanceId, who: &str, action: TaskAction) -> InstanceView {
        let task = self.view(instance).tasks.remove(0).activation;
        let actor = Actor { who: who.to_owned(), force: false };
        self.tell(Input::Task(0, instance.clone(), task, actor, action));
        self.settle_offers();
        self.view(instance)
    }

    /// The names of the elements that tokens went through, in order.
    pub fn path(&self) -> Vec<&str> {
        self.moves.iter().map(|(element, _)| element.as_str()).collect()
    }

    /// How often a task was called.
    pub fn count(&self, task: &str) -> usize {
        self.calls.iter().filter(|c| *c == task).count()
    }

    /// The ledger again, from what it wrote.
    pub fn restart_ledger(&mut self) {
        let tables = self.ledger_tables();
        let entries = Ledger::prefixes().iter().flat_map(|p| {
            self.store.iter().filter(move |(k, _)| k.starts_with(p)).map(|(k, v)| (k.clone(), v.clone()))
        });
        self.ledger = Ledger::load(2, tables, entries.collect::<Vec<_>>()).expect("it wrote that itself");
        let mut out = Vec::new();
        self.ledger.begin(self.now, &mut out);
        self.execute(out);
        self.connect();
    }

    /// Lets so many milliseconds pass at the ledger; its offers wait.
    pub fn pass(&mut self, milliseconds: u64) {
        let until = self.now + milliseconds;
        while let Some(at) = self.ledger.next_tick().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.tell(Input::Tick);
        }
        self.now = until;
    }

    /// An operator starts the instance's incidents again; what follows waits.
    pub fn tell_start(&mut self, instance: &InstanceId) {
        let again = Operation::Start { payload: None, same_key: false };
        self.tell(Input::Operate(0, instance.clone(), Operator::default(), again));
    }

    /// The task of a call calls back.
    pub fn call_back(&mut self, instance: &InstanceId, activation: ActivationId, seal: &str, with: Callback) -> Reply {
        let mut out = Vec::new();
        let hash = Digest::of(seal.as_bytes());
        self.ledger.handle(self.now, Input::CalledBack(1, instance.clone(), activation, hash, with), &mut out);
        let at = out.iter().position(|it| matches!(it, Output::Answer(..)));
        let written = out.iter().position(|it| matches!(it, Output::Write(..)));
        assert!(written.is_none_or(|it| Some(it) < at), "told before it is on the disk: {out:?}");
        let Some(Output::Answer(_, reply)) = at.map(|at| out.remove(at)) else { panic!("no answer: {out:?}") };
        self.execute(out);
        reply
    }

    /// Gives the ledger an input.
    pub fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.ledger.handle(self.now, input, &mut out);
        self.execute(out);
    }

    fn execute(&mut self, mut outputs: Vec<Output>) {
        while !outputs.is_empty() {
            let mut mark = None;
            for output in std::mem::take(&mut outputs) {
                match output {
                    Output::Write(at, changes) => {
                        mark = Some(at);
                        self.write(changes);
                    }
                    Output::Send(_, _, offers) => {
                        self.offers.extend(offers.into_iter().map(|o| o.product.token.clone()))
                    }
                    Output::Hop(record) => self.moves.push((record.element.as_str().to_owned(), record.status)),
                    Output::Changed(view) => {
                        self.views.insert(view.id.clone(), *view);
                    }
                    Output::Alarm(what) => self.alarms.push(what),
                    Output::Answer(_, Reply::NotFound | Reply::WrongState(_)) => {
                        self.alarms.push("a request was refused".into())
                    }
                    Output::Answer(..)
                    | Output::Acked(..)
                    | Output::Appended(_)
                    | Output::Thrown
                    | Output::Noticed
                    | Output::NoticeLost
                    | Output::Listening
                    | Output::Started(_)
                    | Output::Measured(_)
                    | Output::HandTables(..)
                    | Output::Reopened(_)
                    | Output::Settled(_) => {}
                    Output::Tombstone(instance, kept) => self.give_back(&instance, kept),
                }
            }
            if let Some(mark) = mark {
                self.ledger.handle(self.now, Input::Written(mark), &mut outputs);
            }
        }
    }

    fn write(&mut self, changes: Vec<ledger::Change>) {
        for (key, value) in changes {
            match value {
                Some(value) => self.store.insert(key, value),
                None => self.store.remove(&key),
            };
        }
    }

    /// Sidecars are told that an instance is closed: they let go of its tokens.
    fn give_back(&mut self, instance: &InstanceId, kept: bool) {
        let (offers, running) = (std::mem::take(&mut self.offers), std::mem::take(&mut self.running));
        let of = |token: &Token| token.instance == *instance;
        let (own, offers): (VecDeque<_>, VecDeque<_>) = offers.into_iter().partition(of);
        let (called, running): (Vec<_>, Vec<_>) = running.into_iter().partition(|it| of(&it.token));
        (self.offers, self.running) = (offers, running);
        for mut token in own.into_iter().chain(called.into_iter().map(|it| it.token)) {
            self.tell(Input::Answered(REPLICA, vec![token.activation], Vec::new()));
            token = token.returned();
            if !kept {
                token.payload = Payload::default();
            }
            self.report(Product { token, to: To::Cancelled });
        }
    }

    /// A task takes a token.
    fn act(&mut self, token: Token) {
        self.tell(Input::Answered(REPLICA, vec![token.activation], Vec::new()));
        let table = self.tables[&(token.definition, token.element.clone())].clone();
        let callback = Some(Box::new(Address::new("http://flowd", &token, SEAL)));
        let activity = Activity { callback, ..Activity::new(&token, self.now) };
        let running = Running { table, activity, token, due: self.now, then: step::Input::Activated, alarm: None };
        self.drive(running, step::Input::Activated);
    }

    /// Whatever comes next of the tasks that run: an answer, a boundary timer. False when none runs.
    fn next_of_tasks(&mut self) -> bool {
        let next =
            self.running.iter().enumerate().min_by_key(|(index, it)| (it.next(), *index)).map(|(index, _)| index);
        let Some(next) = next else { return false };
        let mut running = self.running.remove(next);
        self.now = self.now.max(running.next());
        let input = match running.alarm {
            Some((boundary, at)) if at < running.due => step::Input::TimerFired(boundary),
            _ => std::mem::replace(&mut running.then, step::Input::Activated),
        };
        self.drive(running, input);
        true
    }

    /// One step of a task, up to what it waits for next or its decision.
    fn drive(&mut self, mut running: Running, input: step::Input) {
        let Running { table, token, activity, .. } = &mut running;
        let node = table.find(token.element.as_str()).expect("its own element");
        for effect in step::step(table, node, activity, token, input, self.now, 0) {
            match effect {
                Effect::Arm(boundary, at) => {
                    running.alarm = running.alarm.filter(|(_, earlier)| *earlier <= at).or(Some((boundary, at)));
                }
                Effect::Again(at) => (running.due, running.then) = (at, step::Input::Again),
                Effect::Call(request) => {
                    let element = running.token.element.as_str();
                    self.calls.push(element.to_owned());
                    self.activations.push(running.token.activation);
                    self.keys.push(running.token.key);
                    self.called_at.push(self.now);
                    let input = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
                    let (takes, result) = (self.behaviour)(element, running.activity.attempts, &input);
                    running.due = self.now + takes;
                    running.then = match result {
                        Ok(answer) => step::Input::Answered(answer),
                        Err(failure) => step::Input::CallFailed(failure),
                    };
                }
                Effect::Decided(decision) => return self.decided(&running.table, &running.token, *decision),
            }
        }
        self.running.push(running);
    }

    fn decided(&mut self, table: &Compiled, token: &Token, decision: step::Decision) {
        self.moves.push((token.element.as_str().to_owned(), decision.status));
        for passed in decision.passed {
            self.moves.push((table.table().node(passed.node).id.as_str().to_owned(), "completed".to_owned()));
        }
        for product in decision.products {
            match &product.to {
                To::Service(_) => self.offers.push_back(product.token),
                To::Ledger | To::Incident(_) | To::Wait(_) | To::Callback(_) | To::Cancelled => {
                    self.report(product);
                }
            }
        }
    }

    /// Reports a product to the ledger, as a sidecar would.
    pub fn report(&mut self, product: Product) {
        self.tell(Input::Report(REPLICA, 1, Box::new(product)));
    }
}
