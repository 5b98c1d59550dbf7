//! Keys and values of the ledger in its store.

use prost::Message as _;
use proto::convert::{self, Malformed};
use proto::v1;
use proto::v1::stored_token::Why;
use routing::instance::{Activity, Reason, Stay, Subscription};
use routing::{Failure, FlowId, Payload};

use super::instance::{InstanceView, State, Timed, TimedResult};

/// Keys, by prefix.
pub mod key {
    use routing::{ActivationId, DeploymentId, Digest, ElementId, Incarnation, InstanceId, Timestamp};

    /// Open instances.
    pub const OPEN: &[u8] = b"a/";
    /// Closed instances.
    pub const CLOSED: &[u8] = b"i/";
    /// Closed instances by the time they ended, for retention.
    pub const BY_END: &[u8] = b"r/";
    /// Tokens at the ledger.
    pub const TOKEN: &[u8] = b"w/";
    /// Activations that were here and are gone.
    pub const SEEN: &[u8] = b"s/";
    /// Products on their way to sidecars.
    pub const OUTBOX: &[u8] = b"o/";
    /// Idempotency keys.
    pub const IDEMPOTENCY: &[u8] = b"k/";
    /// Replicas that have left.
    pub const LEFT: &[u8] = b"l/";
    /// Instances closed early with tokens on their way.
    pub const TOMBSTONE: &[u8] = b"x/";

    /// What remains of instances that ended as ERROR.
    pub const REMAINS: &[u8] = b"e/";

    /// Messages that are kept, or still to be told.
    pub const MESSAGE: &[u8] = b"m/";
    /// Ids of messages that were taken.
    pub const MESSAGE_ID: &[u8] = b"n/";
    /// Topics.
    pub const TOPIC: &[u8] = b"q/";
    /// Messages that are to be produced to a broker.
    pub const THROWN: &[u8] = b"p/";
    /// How far topics of a broker were consumed.
    pub const POSITION: &[u8] = b"c/";
    /// Notices that are to be delivered.
    pub const NOTICE: &[u8] = b"h/";
    /// Timer start events.
    pub const START: &[u8] = b"t/";

    fn joined(prefix: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        [prefix, &parts.join(&b'/')].concat()
    }
    /// An open instance.
    pub fn open(instance: &InstanceId) -> Vec<u8> {
        joined(OPEN, &[instance.as_str().as_bytes()])
    }
    /// A closed instance.
    pub fn closed(instance: &InstanceId) -> Vec<u8> {
        joined(CLOSED, &[instance.as_str().as_bytes()])
    }
    /// A closed instance in the order of ending.
    pub fn by_end(ended: Timestamp, instance: &InstanceId) -> Vec<u8> {
        joined(BY_END, &[format!("{ended:016x}").as_bytes(), instance.as_str().as_bytes()])
    }
    /// A token at the ledger.
    pub fn token(instance: &InstanceId, activation: ActivationId) -> Vec<u8> {
        joined(TOKEN, &[instance.as_str().as_bytes(), activation.to_string().as_bytes()])
    }
    /// An activation that was here.
    pub fn seen(instance: &InstanceId, activation: ActivationId) -> Vec<u8> {
        joined(SEEN, &[instance.as_str().as_bytes(), activation.to_string().as_bytes()])
    }
    /// A product on its way.
    pub fn outbox(activation: ActivationId) -> Vec<u8> {
        joined(OUTBOX, &[activation.to_string().as_bytes()])
    }
    /// A client's key; hashed, so that any text will do.
    pub fn idempotency(key: &str) -> Vec<u8> {
        joined(IDEMPOTENCY, &[routing::Digest::of(key.as_bytes()).to_string().as_bytes()])
    }
    /// A replica that has left.
    pub fn left(replica: Incarnation) -> Vec<u8> {
        joined(LEFT, &[replica.to_string().as_bytes()])
    }
    /// A message, in the order of coming.
    pub fn message(number: u64) -> Vec<u8> {
        joined(MESSAGE, &[format!("{number:016x}").as_bytes()])
    }
    /// An id of a message.
    pub fn message_id(id: Digest) -> Vec<u8> {
        joined(MESSAGE_ID, &[id.to_string().as_bytes()])
    }
    /// A topic.
    pub fn topic(name: &str) -> Vec<u8> {
        joined(TOPIC, &[name.as_bytes()])
    }
    /// A message to be produced, in the order of throwing.
    pub fn thrown(number: u64) -> Vec<u8> {
        joined(THROWN, &[format!("{number:016x}").as_bytes()])
    }
    /// A notice, in the order of what happened.
    pub fn notice(number: u64) -> Vec<u8> {
        joined(NOTICE, &[format!("{number:016x}").as_bytes()])
    }
    /// How far a topic was consumed.
    pub fn position(topic: &str) -> Vec<u8> {
        joined(POSITION, &[topic.as_bytes()])
    }
    /// A timer start event.
    pub fn start(deployment: &DeploymentId, element: &ElementId, trigger: u32) -> Vec<u8> {
        joined(START, &[deployment.as_str().as_bytes(), element.as_str().as_bytes(), trigger.to_string().as_bytes()])
    }
    /// What remains of an instance that ended as ERROR; tokens of it that came back later are below.
    pub fn remains(instance: &InstanceId) -> Vec<u8> {
        joined(REMAINS, &[instance.as_str().as_bytes()])
    }
    /// A token that came back after its instance had ended as ERROR.
    pub fn came_back(instance: &InstanceId, activation: ActivationId) -> Vec<u8> {
        joined(REMAINS, &[instance.as_str().as_bytes(), activation.to_string().as_bytes()])
    }
    /// A tombstone.
    pub fn tombstone(instance: &InstanceId) -> Vec<u8> {
        joined(TOMBSTONE, &[instance.as_str().as_bytes()])
    }
}

/// The parts of a record that are not tokens, as JSON.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Parts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activity: Option<Box<Activity>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<Output>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset: Option<Vec<FlowId>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscriptions: Vec<Subscription>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Output {
    index: u32,
    value: serde_json::Value,
    written: serde_json::Map<String, serde_json::Value>,
}

/// The stored form of a record.
pub(super) fn encode_stay(stay: &Stay) -> Vec<u8> {
    store_stay(stay).encode_to_vec()
}

/// See [`encode_stay`].
pub(super) fn store_stay(stay: &Stay) -> v1::StoredToken {
    let mut parts = Parts { subscriptions: stay.subscriptions.clone(), ..Parts::default() };
    let why = match stay.reason.clone() {
        Reason::Ended => Why::Ended(v1::Empty {}),
        Reason::Joining => Why::Joining(v1::Empty {}),
        Reason::Again(at) => Why::AgainMs(at),
        Reason::Incident(failure) => Why::Incident((*failure).into()),
        Reason::Held => Why::Held(v1::Empty {}),
        Reason::Suspended => Why::Suspended(v1::Empty {}),
        Reason::Waiting => Why::Waiting(v1::Empty {}),
        Reason::Activity(activity) => {
            parts.activity = Some(activity);
            Why::PartsOnly(v1::Empty {})
        }
        Reason::Output { index, value, written } => {
            parts.output = Some(Output { index, value, written });
            Why::PartsOnly(v1::Empty {})
        }
        Reason::Reset(flows) => {
            parts.reset = Some(flows);
            Why::PartsOnly(v1::Empty {})
        }
    };
    let plain = parts.subscriptions.is_empty() && !matches!(why, Why::PartsOnly(_));
    let parts = if plain { Vec::new() } else { serde_json::to_vec(&parts).expect("records have only string keys") };
    let token = Some(stay.token.clone().into());
    v1::StoredToken { token, why: Some(why), since_ms: stay.since, order: stay.order, parts }
}

pub(super) fn decode_stay(bytes: &[u8]) -> Result<Stay, Malformed> {
    let bad = |why| Malformed { field: "stored token", why };
    read_stay(v1::StoredToken::decode(bytes).map_err(|_| bad("not protobuf"))?)
}

/// Reads what [`store_stay`] made.
pub(super) fn read_stay(stored: v1::StoredToken) -> Result<Stay, Malformed> {
    let bad = |why| Malformed { field: "stored token", why };
    let parts = match &stored.parts[..] {
        [] => Parts::default(),
        json => serde_json::from_slice(json).map_err(|_| bad("parts that this build cannot read"))?,
    };
    let reason = match stored.why.ok_or(bad("no reason"))? {
        Why::Ended(_) => Reason::Ended,
        Why::Joining(_) => Reason::Joining,
        Why::AgainMs(at) => Reason::Again(at),
        Why::Incident(failure) => Reason::Incident(Box::new(failure.try_into()?)),
        Why::Held(_) => Reason::Held,
        Why::Suspended(_) => Reason::Suspended,
        Why::Waiting(_) => Reason::Waiting,
        Why::PartsOnly(_) => match (parts.activity, parts.output, parts.reset) {
            (Some(activity), ..) => Reason::Activity(activity),
            (_, Some(Output { index, value, written }), _) => Reason::Output { index, value, written },
            (.., Some(flows)) => Reason::Reset(flows),
            (None, None, None) => return Err(bad("no parts")),
        },
    };
    let token = stored.token.ok_or(bad("no token"))?.into_routing()?;
    Ok(Stay { token, reason, since: stored.since_ms, order: stored.order, subscriptions: parts.subscriptions })
}

impl From<TimedResult> for v1::TimedResult {
    fn from(TimedResult { pools, end_event, payload }: TimedResult) -> Self {
        let pools = pools.into_iter().map(convert::id_bytes).collect();
        Self { pools, end_event, payload: Some(payload.into()) }
    }
}

impl TryFrom<v1::TimedResult> for TimedResult {
    type Error = Malformed;
    fn try_from(v1::TimedResult { pools, end_event, payload }: v1::TimedResult) -> Result<Self, Malformed> {
        let pools = pools.iter().map(|it| convert::activation(it)).collect::<Result<_, _>>()?;
        Ok(Self { pools, end_event, payload: payload.unwrap_or_default().into() })
    }
}

/// The stored form of an instance.
pub(super) fn encode_instance(view: &InstanceView) -> Vec<u8> {
    let (failure, failure_input) = match &view.failure {
        Some((failure, input)) => (Some(failure.clone().into()), Some(input.clone().into())),
        None => (None, None),
    };
    v1::StoredInstance {
        id: view.id.as_str().to_owned(),
        deployment: view.deployment.as_str().to_owned(),
        process: view.process.as_str().to_owned(),
        definition: convert::digest_bytes(view.definition),
        state: view.state.as_str().to_owned(),
        start_event: view.start_event.as_str().to_owned(),
        started_ms: view.started,
        ended_ms: view.ended.unwrap_or(0),
        metadata: view.metadata.clone().into_iter().collect(),
        trace: Some(view.trace.clone().into()),
        idempotency_key: view.idempotency_key.clone().unwrap_or_default(),
        input: Some(view.input.clone().into()),
        result: view.result.clone().map(Into::into),
        end_event: view.end_event.clone(),
        failure,
        failure_input,
        reason: view.reason.clone(),
        correlation_key: view.correlation_key.clone().unwrap_or_default(),
        operations: view.operations.iter().map(|it| it.clone().into()).collect(),
        timed: view.timed.results.iter().map(|it| it.clone().into()).collect(),
        timed_left_out: view.timed.left_out,
        graphql_uri: view.graphql_uri.clone().unwrap_or_default(),
    }
    .encode_to_vec()
}

/// Reads a stored instance, open or closed.
pub fn decode_instance(bytes: &[u8]) -> Result<InstanceView, Malformed> {
    let bad = |why| Malformed { field: "stored instance", why };
    let stored = v1::StoredInstance::decode(bytes).map_err(|_| bad("not protobuf"))?;
    let failure = stored.failure.map(Failure::try_from).transpose()?;
    let failure_input: Payload = stored.failure_input.unwrap_or_default().into();
    Ok(InstanceView {
        id: stored.id.into(),
        deployment: stored.deployment.into(),
        process: stored.process.into(),
        definition: convert::digest(&stored.definition)?,
        state: State::parse(&stored.state).ok_or(bad("a state this build does not know"))?,
        start_event: stored.start_event.into(),
        started: stored.started_ms,
        ended: (stored.ended_ms != 0).then_some(stored.ended_ms),
        metadata: stored.metadata.into_iter().collect(),
        trace: stored.trace.unwrap_or_default().into(),
        idempotency_key: (!stored.idempotency_key.is_empty()).then_some(stored.idempotency_key),
        input: stored.input.unwrap_or_default().into(),
        result: stored.result.map(Into::into),
        end_event: stored.end_event,
        failure: failure.map(|f| (f, failure_input)),
        reason: stored.reason,
        correlation_key: (!stored.correlation_key.is_empty()).then_some(stored.correlation_key),
        operations: stored.operations.into_iter().map(Into::into).collect(),
        graphql_uri: (!stored.graphql_uri.is_empty()).then_some(stored.graphql_uri),
        timed: Timed {
            results: stored.timed.into_iter().map(TimedResult::try_from).collect::<Result<_, _>>()?,
            left_out: stored.timed_left_out,
        },
        incidents: Vec::new(),
        waiting: Vec::new(),
        tasks: Vec::new(),
        missing: routing::Weight::zero(),
    })
}
