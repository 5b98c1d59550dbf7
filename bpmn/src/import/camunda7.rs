//! Camunda 7's models: `camunda:` attributes and elements, JUEL.

use super::draft::{Draft, written_name};
use super::{Outcome, juel};
use crate::model::Namespace;

const SERVED: [&str; 3] = ["serviceTask", "sendTask", "businessRuleTask"];
const BIND: &str = "put the code behind HTTP and serve or bind it by this name: `flow-sidecar --serve NAME=URL`, `flowctl apply --bind NAME=URL`";

/// Attributes that are read as they are.
const READ: [&str; 20] = [
    "type",
    "topic",
    "assignee",
    "candidateUsers",
    "candidateGroups",
    "dueDate",
    "followUpDate",
    "priority",
    "formKey",
    "formRef",
    "decisionRef",
    "resultVariable",
    "mapDecisionResult",
    "calledElementBinding",
    "calledElementVersionTag",
    "calledElementVersion",
    "collection",
    "elementVariable",
    "versionTag",
    "formRefBinding",
];

/// Attributes that have no effect, and need none.
const IDLE: [(&str, &str); 13] = [
    ("asyncBefore", "every hop is durable"),
    ("asyncAfter", "every hop is durable"),
    ("async", "every hop is durable"),
    ("exclusive", "tokens of an instance run side by side; gateways and joins decide what waits"),
    ("jobPriority", "jobs have no priority"),
    ("taskPriority", "tasks of services have no priority"),
    ("historyTimeToLive", "instances expire by flowd's retention"),
    ("isStartableInTasklist", "there is no task list of processes"),
    ("candidateStarterUsers", "flowd does not restrict who starts a process"),
    ("candidateStarterGroups", "flowd does not restrict who starts a process"),
    ("modelerTemplate", "for modelers only"),
    ("modelerTemplateVersion", "for modelers only"),
    ("modelerTemplateIcon", "for modelers only"),
];

/// Attributes without a counterpart, and what to use instead.
const ABSENT: [(&str, &str); 8] = [
    ("expression", "a script task in FEEL, or a service"),
    ("initiator", "say who starts it in the payload"),
    ("errorCodeVariable", "the error document that the boundary event gets"),
    ("errorMessageVariable", "the error document that the boundary event gets"),
    ("escalationCodeVariable", "the escalation's payload"),
    ("variableMappingClass", "camunda:in and camunda:out"),
    ("variableMappingDelegateExpression", "camunda:in and camunda:out"),
    ("resource", "write the script into the model"),
];

/// Extension elements without a counterpart, and what to use instead.
const NO_ELEMENT: [(&str, &str); 6] = [
    ("executionListener", "a task before or behind the element"),
    ("taskListener", "a task before or behind the user task; `GET /tasks` and `trace` show what happens to it"),
    ("field", "an input parameter: the service sees it in its payload"),
    ("errorEventDefinition", "let the service answer 4xx with the header `x-rexflow-error-code`"),
    ("taskReturning", "check the result in a gateway behind the task"),
    ("script", "FEEL, or a service"),
];

/// Goes through all tags.
pub(super) fn import(draft: &mut Draft<'_>) {
    for index in 0..draft.tags.len() {
        let (namespace, name) = (draft.tags[index].namespace.clone(), draft.tags[index].name.clone());
        if namespace == Namespace::Diagram {
            continue;
        }
        for place in 0..draft.tags[index].attributes.len() {
            attribute(draft, index, place);
        }
        let replaced = match namespace {
            Namespace::Camunda => element(draft, index, &name),
            _ => false,
        };
        let prose = ["documentation", "text", "script"].contains(&name.as_str());
        if !replaced && !prose && draft.tags[index].leaf {
            text(draft, index);
        }
    }
}

fn attribute(draft: &mut Draft<'_>, index: usize, place: usize) {
    let tag = &draft.tags[index];
    let found = &tag.attributes[place];
    let name = found.name.clone();
    match found.namespace {
        Namespace::Camunda => of_camunda(draft, index, place),
        Namespace::None if name == "expressionLanguage" && tag.is_bpmn("definitions") => {
            let (whole, value) = (found.whole.clone(), found.value.clone());
            if !value.to_ascii_lowercase().contains("feel") {
                draft.replace(whole.clone(), "");
                let message = format!("`{value}` is not what the expressions are in: they are JUEL, and FEEL now");
                draft.tell(index, whole.start, Outcome::Changed, name, message, "");
            }
        }
        Namespace::None => {
            let read = match name.as_str() {
                "calledElement" | "sourceExpression" => true,
                "name" => tag.is_bpmn("message") || tag.is_bpmn("signal"),
                "errorCode" => tag.is_bpmn("error"),
                "escalationCode" => tag.is_bpmn("escalation"),
                "defaultValue" => tag.namespace == Namespace::Camunda && tag.name == "formField",
                "value" => false,
                "businessKey" if tag.namespace == Namespace::Camunda => {
                    let at = found.at.start;
                    let message = "there are no business keys";
                    let help = "a variable of the payload, by which messages are correlated";
                    return draft.tell(index, at, Outcome::Unmapped, name, message, help);
                }
                _ => false,
            };
            if read {
                translate_attribute(draft, index, place);
            }
        }
        _ => {}
    }
}

/// An attribute in Camunda's namespace.
fn of_camunda(draft: &mut Draft<'_>, index: usize, place: usize) {
    let found = &draft.tags[index].attributes[place];
    let (what, name, at) = (written_name(found), found.name.clone(), found.at.start);
    if let Some((_, why)) = IDLE.iter().find(|it| it.0 == name) {
        return draft.tell(index, at, Outcome::Changed, what, format!("has no effect: {why}"), "");
    }
    if let Some((_, instead)) = ABSENT.iter().find(|it| it.0 == name) {
        return draft.tell(index, at, Outcome::Unmapped, what, "has no counterpart", instead);
    }
    match name.as_str() {
        "class" | "delegateExpression" => delegate(draft, index, place),
        "type" if draft.tags[index].attributes[place].value != "external" => {
            let message = format!("`{}` tasks have no counterpart", draft.tags[index].attributes[place].value);
            draft.tell(index, at, Outcome::Unmapped, what, message, "an external task, or the REST connector");
        }
        "type" | "topic" if !SERVED.contains(&draft.tags[index].name.as_str()) => {
            let help = "give the event a zeebe:taskDefinition with this topic as its type";
            draft.tell(index, at, Outcome::Unmapped, what, "external tasks of events are not read", help);
        }
        "topic" if juel::is_juel(&draft.tags[index].attributes[place].value) => {
            let message = "a task's service is fixed when the process is applied";
            draft.tell(index, at, Outcome::Unmapped, what, message, "a gateway with a task for each service");
        }
        _ if READ.contains(&name.as_str()) => translate_attribute(draft, index, place),
        _ => draft.tell(index, at, Outcome::Unmapped, what, "is not known", ""),
    }
}

/// Java becomes a service: the task is an external one, whose topic is the name of the class or bean.
fn delegate(draft: &mut Draft<'_>, index: usize, place: usize) {
    let tag = &draft.tags[index];
    let found = &tag.attributes[place];
    let (what, at, whole, prefix) = (written_name(found), found.at.start, found.whole.clone(), found.prefix.clone());
    let topic = topic(&found.name, &found.value).filter(|_| SERVED.contains(&tag.name.as_str()));
    let Some(topic) = topic.filter(|_| tag.of(&Namespace::Camunda, "topic").is_none()) else {
        let message = format!("`{}` is Java", found.value);
        return draft.tell(index, at, Outcome::Unmapped, what, message, "a service task whose service does it");
    };
    let space: String = draft.text(&whole).chars().take_while(|it| it.is_whitespace()).collect();
    draft.replace(whole, format!("{space}{prefix}type=\"external\" {prefix}topic=\"{topic}\""));
    draft.tell(index, at, Outcome::Changed, what, format!("the service `{topic}` does it, over HTTP"), BIND);
}

/// The name for a class, or for the bean of a delegate expression.
fn topic(attribute: &str, value: &str) -> Option<String> {
    let value = value.trim();
    let name = match attribute {
        "class" => value.rsplit(['.', '$']).next()?,
        _ => value.strip_prefix("${").or_else(|| value.strip_prefix("#{"))?.strip_suffix('}')?.trim(),
    };
    let usable = !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || "_-".contains(it));
    usable.then(|| name.to_owned())
}

/// An element in Camunda's namespace; whether it is replaced.
fn element(draft: &mut Draft<'_>, index: usize, name: &str) -> bool {
    let tag = &draft.tags[index];
    let at = tag.whole.start;
    let what = format!("camunda:{name}");
    if let Some((_, instead)) = NO_ELEMENT.iter().find(|it| it.0 == name) {
        let feel = name == "script" && tag.plain("scriptFormat").is_some_and(|it| it.eq_ignore_ascii_case("feel"));
        if !feel {
            draft.tell(index, at, Outcome::Unmapped, what, "has no counterpart", instead);
        }
        return name == "script";
    }
    match name {
        "failedJobRetryTimeCycle" => return retries(draft, index),
        "constraint" if tag.plain("name") == Some("validator") => {
            let help = "the other constraints, or a form of fields with patterns";
            draft.tell(index, at, Outcome::Unmapped, what, "a validator of Java is not run", help);
        }
        "connectorId" => {
            let id = draft.text(&tag.inner).trim();
            if ["http-connector", "soap-http-connector"].contains(&id) {
                let message = format!("`{id}` is Java");
                let help = "the REST connector (`io.camunda:http-json:1`), or a service named by the connector's id";
                draft.tell(index, at, Outcome::Unmapped, what, message, help);
            } else {
                draft.tell(index, at, Outcome::Changed, what, format!("the service `{id}` does it, over HTTP"), BIND);
            }
        }
        _ => {}
    }
    false
}

/// `R3/PT10S` of a task that a service does: the number of calls in all.
fn retries(draft: &mut Draft<'_>, index: usize) -> bool {
    let tag = &draft.tags[index];
    let (at, whole) = (tag.whole.start, tag.whole.clone());
    let owner = &draft.tags[draft.owner(index)];
    let said = |name: &str| owner.of(&Namespace::Camunda, name);
    let external = said("topic").map(|it| it.value.trim().to_owned()).filter(|it| !it.is_empty() && !juel::is_juel(it));
    let named = ["class", "delegateExpression"].into_iter().find_map(|it| topic(it, &said(it)?.value));
    let name = external.or(named).filter(|_| SERVED.contains(&owner.name.as_str()));
    let cycle = draft.text(&tag.inner).trim();
    let count = cycle.strip_prefix('R').and_then(|it| it.split('/').next()).and_then(|it| it.parse::<u32>().ok());
    let what = "camunda:failedJobRetryTimeCycle";
    match (name, count) {
        (Some(name), Some(count)) => {
            let name = quick_xml::escape::escape(&name).into_owned();
            let uri = "http://camunda.org/schema/zeebe/1.0";
            draft.replace(
                whole,
                format!("<zeebe:taskDefinition xmlns:zeebe=\"{uri}\" type=\"{name}\" retries=\"{count}\"/>"),
            );
            let message = format!("`{cycle}`: {count} calls in all, with the back-off of tasks instead of a fixed one");
            draft.tell(index, at, Outcome::Changed, what, message, "");
            true
        }
        (None, _) => {
            let message = "has no effect: nothing here is a call of a service that could be made again";
            draft.tell(index, at, Outcome::Changed, what, message, "");
            true
        }
        (Some(_), None) => {
            let message = format!("`{cycle}` is not a number of calls and a pause");
            draft.tell(index, at, Outcome::Unmapped, what, message, "as in R3/PT10S");
            true
        }
    }
}

/// JUEL between start and end of an element.
fn text(draft: &mut Draft<'_>, index: usize) {
    let tag = &draft.tags[index];
    let range = tag.inner.clone();
    let raw = draft.text(&range);
    if !juel::is_juel(raw) {
        return;
    }
    let (name, trimmed) = (tag.name.clone(), raw.trim());
    let start = range.start + (raw.len() - raw.trim_start().len());
    let cdata = trimmed.strip_prefix("<![CDATA[").and_then(|it| it.strip_suffix("]]>"));
    let plain = match cdata {
        Some(text) => text.to_owned(),
        None => quick_xml::escape::unescape(trimmed).map_or_else(|_| trimmed.to_owned(), |it| it.into_owned()),
    };
    let translated = if cdata.is_none() && trimmed.contains('<') {
        Err("a comment stands in it".to_owned())
    } else {
        juel::translate(&plain)
    };
    let language = tag.of(&Namespace::None, "language").map(|it| it.whole.clone());
    if let Ok(feel) = &translated {
        let feel = quick_xml::escape::partial_escape(format!("={feel}")).into_owned();
        draft.replace(start..start + trimmed.len(), feel);
        if let Some(language) = language {
            draft.replace(language, "");
        }
    }
    told(draft, index, start, &name, &plain, translated);
}

fn translate_attribute(draft: &mut Draft<'_>, index: usize, place: usize) {
    let found = &draft.tags[index].attributes[place];
    if !juel::is_juel(&found.value) {
        return;
    }
    let (what, at, value) = (written_name(found), found.at.clone(), found.value.clone());
    let translated = juel::translate(&value);
    if let Ok(feel) = &translated {
        draft.set(&at, &format!("={feel}"));
    }
    told(draft, index, at.start, &what, &value, translated);
}

fn told(draft: &mut Draft<'_>, index: usize, at: usize, what: &str, juel: &str, translated: Result<String, String>) {
    let juel = juel.trim();
    match translated {
        Ok(feel) => draft.tell(index, at, Outcome::Changed, what, format!("`{juel}` is `={feel}` in FEEL"), ""),
        Err(why) => {
            let message = format!("`{juel}` cannot be translated: {why}");
            draft.tell(index, at, Outcome::Unmapped, what, message, "write it in FEEL, or let a service compute it");
        }
    }
}
