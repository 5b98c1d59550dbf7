//! The original's models: older spellings become the present ones.

use serde_json::Value;

use super::Outcome;
use super::draft::Draft;
use crate::binding;
use crate::model::{Definitions, Namespace};

const GLOBAL: &str = "rexflow_global_properties";

/// Spells anew what has another name today.
pub(super) fn import(definitions: &Definitions, draft: &mut Draft<'_>) {
    for index in 0..draft.tags.len() {
        let tag = &draft.tags[index];
        if !(tag.is_bpmn("text") && tag.leaf) {
            continue;
        }
        let Some(annotation) = tag.parent.filter(|it| draft.tags[*it].is_bpmn("textAnnotation")) else { continue };
        let range = tag.inner.clone();
        let text = draft.text(&range);
        if !text.trim_start().starts_with("rexflow") {
            continue;
        }
        let owner = attached(draft, annotation);
        topic(draft, owner.unwrap_or(annotation), range.start, text);
        if let Some(owner) = owner {
            settings(definitions, draft, owner, range.start, text);
        }
    }
}

/// The element that an association connects the annotation with.
fn attached(draft: &Draft<'_>, annotation: usize) -> Option<usize> {
    let id = draft.tags[annotation].plain("id")?;
    let associations = draft.tags.iter().filter(|it| it.is_bpmn("association"));
    let other = associations.into_iter().find_map(|it| match (it.plain("sourceRef")?, it.plain("targetRef")?) {
        (source, target) if target == id => Some(source),
        (source, target) if source == id => Some(target),
        _ => None,
    })?;
    draft.tags.iter().position(|it| it.namespace == Namespace::Bpmn && it.plain("id") == Some(other))
}

/// `kafka_topic` is `topic` now.
fn topic(draft: &mut Draft<'_>, owner: usize, start: usize, text: &str) {
    const OLD: &str = "kafka_topic";
    let is_key = |at: usize| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|it| it.is_whitespace() || "{,".contains(it))
            && text[at + OLD.len()..].trim_start().starts_with(':')
    };
    let places: Vec<usize> = text.match_indices(OLD).map(|(at, _)| at).filter(|at| is_key(*at)).collect();
    let [at] = places[..] else { return };
    draft.replace(start + at..start + at + OLD.len(), "topic");
    draft.tell(owner, start + at, Outcome::Changed, OLD, "`kafka_topic` is spelled `topic`", "");
}

/// Settings of the process on a start event go into the process's own annotation, if nothing else is said there.
fn settings(definitions: &Definitions, draft: &mut Draft<'_>, owner: usize, start: usize, text: &str) {
    if !draft.tags[owner].is_bpmn("startEvent") || definitions.processes.len() != 1 {
        return;
    }
    let global = |index: usize| {
        let tag = &draft.tags[index];
        tag.is_bpmn("text") && draft.text(&tag.inner).trim_start().starts_with(GLOBAL)
    };
    if (0..draft.tags.len()).any(global) {
        return;
    }
    let Ok(plain) = quick_xml::escape::unescape(text) else { return };
    let Ok(Value::Object(document)) = serde_saphyr::from_str::<Value>(&plain) else { return };
    let Some(Value::Object(body)) = document.get("rexflow") else { return };
    if body.is_empty() || !body.keys().all(|it| binding::is_global(it)) {
        return;
    }
    let at = text.len() - text.trim_start().len();
    draft.replace(start + at..start + at + "rexflow".len(), GLOBAL);
    let message = format!("settings of the whole process stand below `{GLOBAL}`");
    draft.tell(owner, start + at, Outcome::Changed, "rexflow", message, "");
}
