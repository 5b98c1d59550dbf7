//! What YAML documents ask for, as the original's `update` took them.
//!
//! ```yaml
//! action: expose_ingress         # POST http://shop.example/orders starts an instance, .../wrapper waits for its result
//! host: shop.example             # or "*" for any host that nothing else answers
//! wf_id: order-1a2b3c4d          # or the process id: its newest running deployment
//! component_id: start            # or component_name; needed when there are several start events
//! args: {path: /orders}          # "/" if left out
//! ---
//! action: clear_ingress          # all paths of the host, or args.path alone; of all deployments, or of wf_id alone
//! host: shop.example
//! ---
//! action: swap_service           # repoint a task, as `flowctl swap` does
//! wf_id: order-1a2b3c4d          # everywhere if left out
//! component_id: charge           # or component_name
//! args: {url: "http://127.0.0.1:7002/"}
//! ---
//! action: subscribe_to_topic     # each message of the topic starts an instance, from now on
//! topic: orders
//! wf_id: order-1a2b3c4d
//! component_id: start            # or component_name; needed when there are several start events
//! ---
//! action: unsubscribe_from_topic # of all deployments, or of wf_id alone
//! topic: orders
//! ```
//! Every document is tried; each has an outcome of its own.

use std::time::Duration;

use routing::ElementId;
use serde::Deserialize;

use super::{Error, Operations, Swap, SwapTo, instance_name};
use crate::definitions::{Deployment, Listening};
use crate::ingress::{Lead, Route};
use crate::topics;

/// Bytes of all documents together.
const MAX_SPEC: usize = 1 << 20;

/// One document.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    action: String,
    host: String,
    topic: String,
    wf_id: String,
    component_id: String,
    component_name: String,
    args: Arguments,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Arguments {
    path: String,
    url: String,
    topic: String,
}

/// What became of one document.
#[derive(Debug)]
pub(crate) struct Updated {
    /// What it was about: the deployment as the document names it, else the host, the topic or the task.
    pub(crate) id: String,
    pub(crate) done: Result<String, Error>,
}

impl Operations {
    /// Carries the documents out, in order.
    pub(crate) async fn update(&self, text: &str) -> Result<Vec<Updated>, Error> {
        if text.len() > MAX_SPEC {
            return Err(Error::TooLarge { size: text.len(), limit: MAX_SPEC });
        }
        let read = serde_saphyr::from_multiple::<Spec>(text);
        let specs = read.map_err(|error| Error::Invalid(format!("this is no update: {error}")))?;
        if specs.is_empty() {
            return Err(Error::Invalid("there is no document in this update".to_owned()));
        }
        let mut updated = Vec::new();
        for spec in specs {
            let named = [&spec.wf_id, &spec.host, &spec.topic, &spec.component_id, &spec.component_name];
            let id = named.into_iter().find(|it| !it.is_empty()).cloned().unwrap_or_default();
            updated.push(Updated { id, done: self.carry_out(spec).await });
        }
        Ok(updated)
    }

    async fn carry_out(&self, spec: Spec) -> Result<String, Error> {
        match spec.action.as_str() {
            "expose_ingress" => self.expose(spec).await,
            "clear_ingress" => self.clear(spec).await,
            "swap_service" => self.swap_service(spec).await,
            "subscribe_to_topic" => self.subscribe(spec).await,
            "unsubscribe_from_topic" => self.unsubscribe(spec).await,
            _ => Err(Error::Invalid("Provided action not supported.".to_owned())),
        }
    }

    async fn expose(&self, spec: Spec) -> Result<String, Error> {
        if spec.wf_id.is_empty() {
            return Err(Error::Invalid("expose_ingress needs wf_id, the deployment or its process".to_owned()));
        }
        let _one = self.deploying.lock().await;
        let deployment = self.mesh.resolve(&spec.wf_id)?;
        let start = start_event(&deployment, &spec.component_id, &spec.component_name)?;
        let route = Route::new(&spec.host, &spec.args.path, start).map_err(Error::Invalid)?;
        let id = deployment.definition.deployment.clone();
        let by = match (self.orchestrated, &self.gateway) {
            (false, _) => String::new(),
            (true, None) => format!(" {}.", Lead::none().message),
            (true, Some(gateway)) => {
                format!(" Gateway {gateway} is asked to lead there; `flowctl describe` says whether it does.")
            }
        };
        let told = format!("{}{} starts {} of {id}.{by}", route.host, route.path, route.start_event);
        let writes = self.mesh.expose(&id, route).map_err(Error::WrongState)?;
        self.commit(writes).await?;
        tracing::info!(deployment = %id, "ingress exposed");
        Ok(told)
    }

    async fn clear(&self, spec: Spec) -> Result<String, Error> {
        if spec.host.is_empty() {
            return Err(Error::Invalid("clear_ingress needs host".to_owned()));
        }
        let _one = self.deploying.lock().await;
        let deployment = match spec.wf_id.as_str() {
            "" => None,
            text => Some(self.mesh.resolve(text)?.definition.deployment.clone()),
        };
        // normalised as when it was exposed
        let wanted = Route::new(&spec.host, &spec.args.path, ElementId::from("")).map_err(Error::Invalid)?;
        let path = (!spec.args.path.is_empty()).then_some(wanted.path.as_str());
        let (cleared, writes) = self.mesh.clear(&wanted.host, path, deployment.as_ref());
        if cleared == 0 {
            return Err(Error::NotFound(format!("there is no ingress {}{}", wanted.host, path.unwrap_or_default())));
        }
        self.commit(writes).await?;
        tracing::info!(host = wanted.host, cleared, "ingress cleared");
        Ok(format!("Cleared {cleared} of {}.", wanted.host))
    }

    async fn subscribe(&self, spec: Spec) -> Result<String, Error> {
        if spec.wf_id.is_empty() {
            return Err(Error::Invalid("subscribe_to_topic needs wf_id, the deployment or its process".to_owned()));
        }
        let topic = topic_of(&spec)?;
        let _one = self.deploying.lock().await;
        let deployment = self.mesh.resolve(&spec.wf_id)?;
        let start_event = start_event(&deployment, &spec.component_id, &spec.component_name)?;
        let id = deployment.definition.deployment.clone();
        let told = format!("Topic {topic} starts {start_event} of {id}.");
        let writes = self.mesh.subscribe(&id, Listening { topic, start_event }).map_err(Error::WrongState)?;
        self.commit(writes).await?;
        self.told.tell(&self.mesh, &self.ledger).await?;
        tracing::info!(deployment = %id, "subscribed to a topic");
        Ok(told)
    }

    async fn unsubscribe(&self, spec: Spec) -> Result<String, Error> {
        let topic = topic_of(&spec)?;
        let _one = self.deploying.lock().await;
        let deployment = match spec.wf_id.as_str() {
            "" => None,
            text => Some(self.mesh.resolve(text)?.definition.deployment.clone()),
        };
        let (ended, writes) = self.mesh.unsubscribe(&topic, deployment.as_ref());
        if ended == 0 {
            return Err(Error::NotFound(format!(
                "nothing has subscribed to topic {topic}; what a model says of its start event stays"
            )));
        }
        self.commit(writes).await?;
        self.told.tell(&self.mesh, &self.ledger).await?;
        tracing::info!(topic, ended, "unsubscribed from a topic");
        Ok(format!("Topic {topic} does not start {ended} any more."))
    }

    async fn swap_service(&self, spec: Spec) -> Result<String, Error> {
        let Spec { wf_id, component_id, component_name, args, .. } = spec;
        let task = if component_id.is_empty() { component_name } else { component_id };
        if task.is_empty() || args.url.is_empty() {
            return Err(Error::Invalid("swap_service needs component_id (or component_name) and args.url".to_owned()));
        }
        let deployment = (!wf_id.is_empty()).then_some(wf_id);
        let swap = Swap { task: task.clone(), to: SwapTo::Url(args.url), deployment, within: Duration::ZERO };
        let swapped = self.swap(swap).await?;
        match swapped.sidecars.iter().find(|it| !it.error.is_empty() && !it.incarnation.is_empty()) {
            None => Ok(format!("Swapped {task}.")),
            Some(it) => Err(Error::Unavailable(format!("sidecar {} is not reached: {}", it.address, it.error))),
        }
    }
}

/// The topic that a document names.
fn topic_of(spec: &Spec) -> Result<String, Error> {
    let topic = if spec.topic.is_empty() { &spec.args.topic } else { &spec.topic };
    if topic.is_empty() {
        return Err(Error::Invalid(format!("{} needs topic", spec.action)));
    }
    topics::named(topic)?;
    Ok(topic.clone())
}

/// The start event that a document names, or the only one there is.
fn start_event(deployment: &Deployment, id: &str, name: &str) -> Result<ElementId, Error> {
    let definition = &deployment.definition;
    let starts = &definition.start_events;
    if id.is_empty() && name.is_empty() {
        return definition.only_start().cloned().ok_or_else(|| Error::ChooseStart(starts.clone()));
    }
    let meant =
        |it: &&ElementId| it.as_str() == id || !name.is_empty() && instance_name(Some(definition), it.as_str()) == name;
    let missing = || {
        let wanted = if id.is_empty() { name } else { id };
        Error::NotFound(format!("{} has no start event {wanted:?} that can be called", definition.deployment))
    };
    starts.iter().find(meant).cloned().ok_or_else(missing)
}
