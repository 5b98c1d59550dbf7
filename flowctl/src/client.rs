//! The connection to flowd: one method per question, answers as `output/` shows them.
//!
//! Every error says what was attempted and ends in the exit code that fits; flowd not being there is told with
//! what to start. Conversions from the wire are in `client/wire.rs`, and nobody else sees the wire.

mod channel;
mod failure;
#[cfg(feature = "kubernetes")]
mod forward;
pub(crate) mod tasks;
#[cfg(feature = "kubernetes")]
mod user;
mod wire;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use proto::v1;
use proto::v1::flow_client::FlowClient;
use runtime::token::AttachToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::args::Flowd;
use crate::args::kind::Kind;
use crate::exit::Exit;
use crate::output::deployment::Deployment;
use crate::output::describe::Sidecar;
use crate::output::instance::Instance;
use crate::output::message::Receipt;
use crate::output::report::Outcome;
use crate::output::timer::Timer;
use crate::output::{apply, probe, swap, trace};
use crate::payload::Payload;
use channel::Place;
use failure::failed;

/// Time between two looks at the deployments while they are watched.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Answers that come one by one.
pub(crate) type Stream<T> = BoxStream<'static, anyhow::Result<T>>;

/// What to start.
#[derive(Debug)]
pub(crate) struct Start {
    /// Deployment id, process id, or a unique part of a deployment id.
    pub(crate) id: String,
    pub(crate) payload: Payload,
    /// Empty: the only one.
    pub(crate) start_event: String,
    pub(crate) stopped: bool,
    pub(crate) metadata: HashMap<String, String>,
    /// Idempotency key; empty: none.
    pub(crate) key: String,
    /// How long to wait for its end; none: not at all.
    pub(crate) wait: Option<Duration>,
}

/// A message to publish.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    /// Empty: none.
    pub(crate) id: String,
    pub(crate) time_to_live: Duration,
    pub(crate) payload: Payload,
}

/// A file beside a model: its name and content.
pub(crate) type Resource = (String, Vec<u8>);

/// What to list; everything by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) ids: Vec<String>,
    pub(crate) metadata: HashMap<String, String>,
    /// Instances of this deployment only; empty: of all.
    pub(crate) deployment: String,
    /// 0: no limit.
    pub(crate) limit: u32,
}

impl Selection {
    /// One thing by its id.
    pub(crate) fn one(id: &str) -> Self {
        Self { ids: vec![id.to_owned()], ..Self::default() }
    }
}

/// What to swap, and to what; one of the URL, the service, the image, `undo` and `commit`.
#[derive(Debug)]
pub(crate) struct Repoint {
    pub(crate) task: String,
    pub(crate) url: String,
    pub(crate) image: String,
    pub(crate) service: String,
    /// Of 100 activations; 0: all.
    pub(crate) weight: u32,
    /// How long to wait for pods to be replaced.
    pub(crate) timeout: Duration,
    /// Empty: everywhere.
    pub(crate) deployment: String,
    pub(crate) undo: bool,
    /// The image is for the pods that there are.
    pub(crate) in_place: bool,
    /// What was swapped in place is kept.
    pub(crate) commit: bool,
}

/// What to do to a deployment or an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// With another payload, or as it is.
    Start {
        same_key: bool,
        /// Also of an instance that has ended as ERROR.
        force: bool,
        payload: Option<Payload>,
        by: Operator,
    },
    Stop {
        force: bool,
        by: Operator,
    },
    Delete {
        force: bool,
    },
    Suspend(Operator),
    Resume(Operator),
    /// Variables, a JSON object; of an open activity, or of the process.
    Set {
        values: Payload,
        scope: String,
        by: Operator,
    },
    /// Tokens go from one element to another, with variables or as they are.
    Modify {
        moves: Vec<(String, String)>,
        values: Option<Payload>,
        by: Operator,
    },
    /// Timers get another time.
    Rearm {
        timers: Vec<(String, String)>,
        by: Operator,
    },
    /// They go on with another version, where some elements and flows are called otherwise.
    Migrate {
        to: String,
        names: Vec<(String, String)>,
        by: Operator,
    },
}

/// Who does something, and why; empty: unsaid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) who: String,
    pub(crate) why: String,
}

/// Everything about one thing.
#[derive(Debug)]
pub(crate) enum Description {
    Deployment(Box<Deployment>, Vec<Sidecar>),
    Instance(Box<Instance>),
}

/// Who flowd is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Daemon {
    pub(crate) version: String,
    /// Where it keeps its data.
    pub(crate) store: String,
    /// Whether it is the one that decides.
    pub(crate) leading: bool,
}

/// A connection to flowd.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    flow: FlowClient<InterceptedService<Channel, AttachToken>>,
    place: Place,
}

impl Client {
    /// Connects; an error says what to start if nobody is there.
    pub(crate) async fn connect(flowd: &Flowd) -> anyhow::Result<Self> {
        let (channel, token, place) = channel::open(flowd).await?;
        let flow = FlowClient::with_interceptor(channel, token)
            .max_decoding_message_size(proto::MAX_MESSAGE)
            .max_encoding_message_size(proto::MAX_MESSAGE);
        Ok(Self { flow, place })
    }

    /// Deploys a model.
    pub(crate) async fn apply(
        &mut self,
        file: &str,
        bpmn_xml: Vec<u8>,
        stopped: bool,
        bindings: HashMap<String, String>,
        resources: &[Resource],
    ) -> anyhow::Result<apply::File> {
        let (file_name, bpmn_xml) = (file.to_owned(), bpmn_xml.into());
        let resources = resources.iter().map(wire::resource).collect();
        let request = v1::ApplyRequest { file: file_name, bpmn_xml, stopped, bindings, resources };
        let answer = self.flow.apply(request).await;
        let answer = answer.map_err(|status| failed(&self.place, &format!("cannot apply {file}"), status))?;
        Ok(wire::file(file, answer.into_inner()))
    }

    /// Starts an instance and, if asked, waits for its end or its first incident. When the time is over the
    /// answer is the instance as it is.
    pub(crate) async fn run(&mut self, start: Start) -> anyhow::Result<Instance> {
        let attempt = format!("cannot run {}", start.id);
        let request = v1::RunRequest {
            id: start.id,
            payload: Some(v1::Payload { content_type: start.payload.content_type, body: start.payload.bytes.into() }),
            stopped: start.stopped,
            start_event: start.start_event,
            metadata: start.metadata,
            idempotency_key: start.key,
            trace: None,
        };
        let answer = self.flow.run(request).await;
        let instance = answer.map_err(|status| failed(&self.place, &attempt, status))?.into_inner();
        match start.wait {
            Some(limit) => self.wait(wire::instance(instance), limit).await,
            None => Ok(wire::instance(instance)),
        }
    }

    /// An instance once it has settled; as it is when the time is up.
    pub(crate) async fn wait(&mut self, started: Instance, limit: Duration) -> anyhow::Result<Instance> {
        let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let request = v1::WaitRequest { instance: started.id.clone(), timeout_ms };
        match self.flow.wait(request).await {
            Ok(answer) => Ok(wire::instance(answer.into_inner())),
            Err(status) if status.code() == tonic::Code::DeadlineExceeded => {
                self.instances(Selection::one(&started.id)).await?.next().await.unwrap_or(Ok(started))
            }
            Err(status) => Err(failed(&self.place, &format!("cannot wait for {}", started.id), status)),
        }
    }

    /// Instances, newest first.
    pub(crate) async fn instances(&mut self, selection: Selection) -> anyhow::Result<Stream<Instance>> {
        let answer = self.flow.list_instances(wire::list(selection)).await;
        Ok(self.stream("cannot list instances", answer, wire::instance)?.boxed())
    }

    /// Timers of these instances and deployments, or of all; the next one due first.
    pub(crate) async fn timers(&mut self, ids: Vec<String>, limit: u32) -> anyhow::Result<Stream<Timer>> {
        let answer = self.flow.list_timers(v1::ListTimersRequest { ids, limit }).await;
        Ok(self.stream("cannot list timers", answer, wire::timer)?.boxed())
    }

    /// Instances as they are, then each one as it changes; without end.
    pub(crate) async fn watch_instances(&mut self, selection: Selection) -> anyhow::Result<Stream<Instance>> {
        let answer = self.flow.watch_instances(wire::list(selection)).await;
        Ok(self.stream("cannot watch instances", answer, wire::instance)?.boxed())
    }

    /// Deployments, newest first.
    pub(crate) async fn deployments(&mut self, selection: Selection) -> anyhow::Result<Stream<Deployment>> {
        let answer = self.flow.list_deployments(wire::list(selection)).await;
        Ok(self.stream("cannot list deployments", answer, wire::deployment)?.boxed())
    }

    /// Deployments as they are, then each one as it changes; without end.
    pub(crate) fn watch_deployments(&self, selection: Selection) -> Stream<Deployment> {
        let seen: HashMap<String, Deployment> = HashMap::new();
        let looks = stream::unfold(
            (self.clone(), selection, seen, true),
            |(mut client, selection, mut seen, first)| async move {
                if !first {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                let news = client.changed_deployments(selection.clone(), &mut seen).await;
                let news = news.unwrap_or_else(|error| vec![Err(error)]);
                Some((stream::iter(news), (client, selection, seen, false)))
            },
        );
        looks.flatten().boxed()
    }

    async fn changed_deployments(
        &mut self,
        selection: Selection,
        seen: &mut HashMap<String, Deployment>,
    ) -> anyhow::Result<Vec<anyhow::Result<Deployment>>> {
        let mut stream = self.deployments(selection).await?;
        let mut news = Vec::new();
        while let Some(deployment) = stream.next().await {
            let deployment = deployment?;
            if seen.insert(deployment.id.clone(), deployment.clone()).as_ref() != Some(&deployment) {
                news.push(Ok(deployment));
            }
        }
        Ok(news)
    }

    /// Everything about an instance or a deployment.
    pub(crate) async fn describe(&mut self, id: &str) -> anyhow::Result<Description> {
        let answer = self.flow.describe(v1::DescribeRequest { id: id.to_owned() }).await;
        let answer = answer.map_err(|status| failed(&self.place, &format!("cannot describe {id}"), status))?;
        wire::description(answer.into_inner()).with_context(|| format!("flowd says nothing about {id}"))
    }

    /// The hops of an instance, in order.
    pub(crate) async fn trace(&mut self, instance: String) -> anyhow::Result<trace::Trace> {
        let attempt = format!("cannot trace {instance}");
        let answer = self.flow.trace(v1::TraceRequest { instance: instance.clone() }).await;
        let mut stream = self.stream(&attempt, answer, wire::hop)?;
        let mut hops = Vec::new();
        while let Some(hop) = stream.next().await {
            hops.push(hop?);
        }
        hops.sort_by_key(|hop| hop.started);
        Ok(trace::Trace { instance, hops })
    }

    /// Does something to one deployment or instance; that it could not be done is an answer too.
    pub(crate) async fn operate(&mut self, operation: &Operation, kind: Kind, id: String) -> anyhow::Result<Outcome> {
        let request = wire::operate(operation, kind, &id);
        let (answer, verb) = match operation {
            Operation::Start { .. } => (self.flow.start(request).await, "start"),
            Operation::Stop { .. } => (self.flow.stop(request).await, "stop"),
            Operation::Suspend(_) => (self.flow.suspend(request).await, "suspend"),
            Operation::Resume(_) => (self.flow.resume(request).await, "resume"),
            Operation::Set { .. } => (self.flow.set(request).await, "set variables of"),
            Operation::Modify { .. } => (self.flow.modify(request).await, "modify"),
            Operation::Migrate { .. } => (self.flow.migrate(request).await, "migrate"),
            Operation::Rearm { .. } => (self.flow.rearm(request).await, "rearm timers of"),
            Operation::Delete { .. } => (self.flow.delete(request).await, "delete"),
        };
        match answer {
            Ok(answer) => Ok(wire::outcome(kind, id, answer.into_inner())),
            Err(status) if status.code() == tonic::Code::NotFound => {
                Ok(Outcome { kind, id, exit: Exit::NotFound, message: status.message().to_owned() })
            }
            Err(status) => Err(failed(&self.place, &format!("cannot {verb} {kind} {id}"), status)),
        }
    }

    /// Publishes a message.
    pub(crate) async fn publish(&mut self, message: Message) -> anyhow::Result<Receipt> {
        let attempt = format!("cannot send {}", message.name);
        let request = v1::PublishRequest {
            name: message.name,
            key: message.key,
            id: message.id,
            time_to_live_ms: u64::try_from(message.time_to_live.as_millis()).unwrap_or(u64::MAX),
            payload: Some(wire::payload(message.payload)),
        };
        let answer = self.flow.publish(request).await.map_err(|status| failed(&self.place, &attempt, status))?;
        Ok(wire::receipt(answer.into_inner()))
    }

    /// Broadcasts a signal.
    pub(crate) async fn signal(&mut self, name: String, payload: Payload) -> anyhow::Result<Receipt> {
        let attempt = format!("cannot signal {name}");
        let request = v1::SignalRequest { name, payload: Some(wire::payload(payload)) };
        let answer = self.flow.signal(request).await.map_err(|status| failed(&self.place, &attempt, status))?;
        Ok(wire::receipt(answer.into_inner()))
    }

    /// Offers variables to the conditional start events of a process, or of all.
    pub(crate) async fn offer(&mut self, process: String, payload: Payload) -> anyhow::Result<Receipt> {
        let request = v1::OfferRequest { process, payload: Some(wire::payload(payload)) };
        let attempt = "cannot offer the variables";
        let answer = self.flow.offer(request).await.map_err(|status| failed(&self.place, attempt, status))?;
        Ok(wire::receipt(answer.into_inner()))
    }

    /// The health of the tasks of deployments; of all if none is named.
    pub(crate) async fn probe(&mut self, ids: Vec<String>) -> anyhow::Result<probe::List> {
        let answer = self.flow.probe(v1::ProbeRequest { ids }).await;
        let answer = answer.map_err(|status| failed(&self.place, "cannot probe", status))?;
        Ok(wire::probes(answer.into_inner()))
    }

    /// Swaps a task.
    pub(crate) async fn swap(&mut self, repoint: Repoint) -> anyhow::Result<swap::Swap> {
        let attempt = format!("cannot swap {}", repoint.task);
        let request = v1::SwapRequest {
            task: repoint.task.clone(),
            url: repoint.url,
            deployment: repoint.deployment,
            undo: repoint.undo,
            in_place: repoint.in_place,
            commit: repoint.commit,
            image: repoint.image,
            service: repoint.service,
            weight: repoint.weight,
            timeout_ms: u64::try_from(repoint.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let answer = self.flow.swap(request).await.map_err(|status| failed(&self.place, &attempt, status))?;
        Ok(wire::swap(repoint.task, answer.into_inner()))
    }

    /// What a task was swapped to.
    pub(crate) async fn swaps(&mut self, task: String, deployment: String) -> anyhow::Result<swap::History> {
        let attempt = format!("cannot list the swaps of {task}");
        let request = v1::ListSwapsRequest { task, deployment };
        let answer = self.flow.list_swaps(request).await.map_err(|status| failed(&self.place, &attempt, status))?;
        Ok(wire::swaps(answer.into_inner()))
    }

    /// Carries out the actions of YAML documents; what could not be done is an answer too.
    pub(crate) async fn update(&mut self, file: &str, spec: String) -> anyhow::Result<Vec<Outcome>> {
        let attempt = format!("cannot update by {file}");
        let answer = self.flow.update(v1::UpdateRequest { spec }).await;
        let answer = answer.map_err(|status| failed(&self.place, &attempt, status))?;
        Ok(answer.into_inner().results.into_iter().map(|it| wire::operated(Kind::Deployment, it)).collect())
    }

    /// Who flowd is.
    pub(crate) async fn version(&mut self) -> anyhow::Result<Daemon> {
        let answer = self.flow.version(v1::Empty {}).await;
        let answer = answer.map_err(|status| failed(&self.place, "cannot ask flowd for its version", status))?;
        let v1::VersionResponse { version, store, leading } = answer.into_inner();
        Ok(Daemon { version, store, leading })
    }

    /// A streamed answer, converted; its errors say what was attempted.
    fn stream<W: Send + 'static, T: 'static>(
        &self,
        attempt: &str,
        answer: Result<tonic::Response<tonic::Streaming<W>>, tonic::Status>,
        convert: fn(W) -> T,
    ) -> anyhow::Result<impl futures_util::Stream<Item = anyhow::Result<T>> + Send + 'static> {
        let (place, attempt) = (self.place.clone(), attempt.to_owned());
        let stream = answer.map_err(|status| failed(&place, &attempt, status))?.into_inner();
        Ok(stream.map(move |item| item.map(convert).map_err(|status| failed(&place, &attempt, status))))
    }
}
