//! The original's JSON shapes (its flowd's handlers), and those that its HTTP port shares.

use serde_json::{Map, Value, json};

use crate::definitions::{Deployment, State};
use crate::flow::failure_record;
use crate::ledger::{InstanceView, TimedResult};
use crate::legible::{data, text};
use crate::operations::{Applied, Operations, Probed, Updated, Verdict};

pub(super) fn applied(applied: &Applied) -> Value {
    if applied.verdict == Verdict::Refused {
        let message = format!("Failed to compile provided bpmn diagram: {}", applied.message);
        return json!({ "status": -1, "message": message });
    }
    let ids: Vec<&str> = applied.deployments.iter().map(|(id, _)| id.as_str()).collect();
    let mut answer = json!({ "status": 0, "message": "Ok.", "wf_id": ids.first() });
    if ids.len() > 1 {
        answer["wf_ids"] = json!(ids);
    }
    answer
}

pub(super) fn deployment(deployment: &Deployment) -> Value {
    let state = match deployment.state {
        State::Degraded => State::Running,
        other => other,
    };
    let mut shown = json!({ "state": state.as_str() });
    if let Ok(metadata) = serde_json::from_str::<Value>(&deployment.definition.metadata) {
        shown["user_opaque_metadata"] = metadata;
    }
    if !deployment.ingress.is_empty() {
        shown["ingress"] = json!(deployment.ingress);
    }
    shown
}

/// An instance as the original's `ps`: the result as a string, a failure's record spread out.
pub(super) fn instance(operations: &Operations, view: &InstanceView) -> Value {
    let deployment = operations.mesh.deployment(view.deployment.as_str());
    let definition = deployment.as_ref().map(|it| it.definition.as_ref());
    let mut shown = match failure_record(view, definition) {
        Some(failure) => record(&failure),
        None => Map::new(),
    };
    shown.insert("state".to_owned(), view.state.as_str().into());
    shown.insert("parent".to_owned(), view.deployment.as_str().into());
    if !view.metadata.is_empty() {
        shown.insert("metadata".to_owned(), json!(view.metadata));
    }
    if let Some(result) = &view.result {
        shown.insert("result".to_owned(), text(result));
        shown.insert("content_type".to_owned(), result.content_type.clone().into());
        shown.insert("end_event".to_owned(), view.end_event.clone().into());
    }
    if !view.timed.results.is_empty() {
        shown.insert("timed_results".to_owned(), view.timed.results.iter().map(timed).collect());
    }
    Value::Object(shown)
}

/// One of the original's `timed_results`.
fn timed(result: &TimedResult) -> Value {
    let pools: Vec<String> = result.pools.iter().map(ToString::to_string).collect();
    json!({
        "token-pool-id": pools.join(","),
        "content-type": result.payload.content_type,
        "end-event-name": result.end_event,
        "payload": text(&result.payload),
    })
}

/// A failure in the original's keys (its failure record).
pub(crate) fn record(failure: &proto::v1::FailureRecord) -> Map<String, Value> {
    let proto::v1::FailureRecord {
        error_code,
        error_msg,
        failed_task_id,
        failed_task_name,
        input,
        input_headers,
        output,
        output_headers,
    } = failure;
    let mut record = Map::new();
    let mut put = |key: &str, value: Value| drop(record.insert(key.to_owned(), value));
    put("error_code", error_code.as_str().into());
    put("error_msg", error_msg.as_str().into());
    if !failed_task_id.is_empty() {
        put("failed_task_id", failed_task_id.as_str().into());
        put("failed_task_name", failed_task_name.as_str().into());
    }
    if let Some(input) = input {
        put("input_headers", json!(input_headers));
        put("input_data", data(&input.clone().into()));
    }
    if let Some(output) = output {
        put("output_data", data(&output.clone().into()));
    }
    if !output_headers.is_empty() {
        put("output_headers", json!(output_headers));
    }
    put("content_type", "application/json".into());
    record
}

/// Elements and how they are: `[["E1","UP"], ...]`.
pub(super) fn probed(operations: &Operations, probed: &Probed) -> Value {
    if operations.mesh.deployment(&probed.id).is_none() {
        return json!({ "result": format!("Workflow '{}' not found", probed.id) });
    }
    let tasks: Vec<Value> = probed.tasks.iter().map(|it| json!([it.element, it.health.as_str()])).collect();
    let id = probed.id.as_str();
    json!({ id: tasks })
}

/// The first failure decides; what became of each document is below `results`.
pub(super) fn updated(updated: &[Updated]) -> Value {
    let results: Vec<Value> = (updated.iter())
        .map(|it| match &it.done {
            Ok(message) => json!({ "id": it.id, "status": 0, "message": message }),
            Err(error) => json!({ "id": it.id, "status": -1, "message": error.to_string() }),
        })
        .collect();
    let failed = updated.iter().find_map(|it| it.done.as_ref().err());
    let (status, message) = failed.map_or((0, "Ok.".to_owned()), |error| (-1, error.to_string()));
    json!({ "status": status, "message": message, "results": results })
}
