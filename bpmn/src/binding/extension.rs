//! One task's binding, out of annotation, `zeebe:taskDefinition` or `camunda:connector`.

use routing::table::ConnectorKind;

use super::{Annotations, Service};
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{FlowNode, Header, Namespace, TaskDefinition};

/// How a task is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TaskBinding {
    /// By its annotation.
    Annotated(Service),
    /// By a type that somebody serves or binds to a URL.
    Typed(TypedTask),
    /// By nothing in the model: only `--bind ID=URL` can help.
    Unbound,
}

/// A task bound by the name of its type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TypedTask {
    /// `type`, or the connector's id.
    pub(crate) task_type: String,
    /// `retries`: calls in all.
    pub(crate) attempts: Option<u32>,
    /// Header `method`.
    pub(crate) method: Option<String>,
    /// Header `path`.
    pub(crate) path: Option<String>,
    /// Header `resultVariable`.
    pub(crate) result_variable: Option<String>,
    /// Header `timeout`, in milliseconds.
    pub(crate) timeout: Option<u64>,
    /// Header `asynchronous`: it answers by a callback.
    pub(crate) asynchronous: bool,
    /// Header `callbackTimeout`, in milliseconds.
    pub(crate) callback_timeout: Option<u64>,
    /// Whether it is a connector, whose answer replaces the payload as in the original.
    pub(crate) connector: bool,
}

impl TypedTask {
    /// The connector of Camunda 8 that it is, of those that a sidecar without a container does.
    pub(crate) fn native(&self) -> Option<ConnectorKind> {
        if self.task_type.starts_with("io.camunda:http-json:") {
            Some(ConnectorKind::Rest)
        } else if self.task_type.starts_with("io.camunda:connector-graphql:") {
            Some(ConnectorKind::GraphQl)
        } else {
            None
        }
    }
}

/// The binding of the task, or message event, at `index`; findings go to `out`.
pub(crate) fn of_task(
    node: &FlowNode,
    index: usize,
    annotations: &Annotations,
    out: &mut Vec<Diagnostic>,
) -> TaskBinding {
    if let Some(service) = &annotations.elements[index].service {
        return TaskBinding::Annotated(service.clone());
    }
    if let Some(definition) = node.extensions.task_definition() {
        let Some(mut task) = typed("zeebe:taskDefinition", &definition, &node.id, out) else {
            return TaskBinding::Unbound;
        };
        if task.native().is_none() {
            for header in node.extensions.task_headers() {
                apply_header(&node.id, &header, &mut task, out);
            }
        }
        return TaskBinding::Typed(task);
    }
    let Some(task) = connector(node) else {
        return TaskBinding::Unbound;
    };
    if annotations.dialect && super::element::is_host(&task.task_type) {
        return TaskBinding::Annotated(Service {
            host: task.task_type,
            port: 80,
            target_port: 80,
            asynchronous: false,
        });
    }
    TaskBinding::Typed(task)
}

/// The task of a type that `what` of `owner` defines; `None` if it names none.
pub(super) fn typed(
    what: &str,
    definition: &TaskDefinition<'_>,
    owner: &str,
    out: &mut Vec<Diagnostic>,
) -> Option<TypedTask> {
    let mut invalid = |message: String| {
        out.push(Diagnostic::error(Rule::BindingInvalid, definition.position, message).on(owner));
    };
    let task_type = definition.task_type.unwrap_or_default().trim();
    if task_type.is_empty() {
        invalid(format!("{what} has no type"));
        return None;
    }
    let literal = task_type.strip_prefix('=').and_then(|it| serde_json::from_str::<String>(it.trim()).ok());
    let task_type = literal.as_deref().unwrap_or(task_type);
    if task_type.starts_with('=') {
        invalid(format!(
            "the type `{task_type}` is an expression; a task's service is fixed when the process is applied"
        ));
    }
    let retries = definition.retries.map(|it| it.trim().trim_start_matches('=').trim()).filter(|it| !it.is_empty());
    let attempts = match retries.map(str::parse::<u32>) {
        None => None,
        Some(Ok(attempts)) => Some(attempts.max(1)),
        Some(Err(_)) => {
            let retries = retries.unwrap_or_default();
            invalid(format!("retries `{retries}` is not a whole number"));
            None
        }
    };
    Some(TypedTask { task_type: task_type.to_owned(), attempts, ..TypedTask::default() })
}

/// A connector's id names the service; in the original's dialect it is its host, at port 80.
fn connector(node: &FlowNode) -> Option<TypedTask> {
    let external = || {
        let attribute = |name| node.extensions.attribute(&Namespace::Camunda, name).map(str::trim);
        let topic = attribute("topic").filter(|it| !it.is_empty() && attribute("type") == Some("external"))?;
        Some(TypedTask { task_type: topic.to_owned(), ..TypedTask::default() })
    };
    let Some(connector) = connector_element(node) else { return external() };
    let mut ids = connector.children_named(&Namespace::Camunda, "connectorId");
    let id = ids.next()?.text.trimmed();
    (!id.is_empty()).then(|| TypedTask { task_type: id.to_owned(), connector: true, ..TypedTask::default() })
}

/// `camunda:connector` of a task, or of the message event definition of an event.
pub(crate) fn connector_element(node: &FlowNode) -> Option<&crate::model::Element> {
    let own = node.event_definitions.iter().map(|it| &it.extensions);
    std::iter::once(&node.extensions).chain(own).find_map(|it| it.find(&Namespace::Camunda, "connector"))
}

pub(super) fn apply_header(owner: &str, header: &Header<'_>, task: &mut TypedTask, out: &mut Vec<Diagnostic>) {
    let value = header.value.trim();
    let problem = match header.key {
        "method" => {
            task.method = Some(value.to_ascii_uppercase());
            let letters = value.chars().all(|it| it.is_ascii_alphabetic());
            (value.is_empty() || !letters).then(|| format!("`{value}` is not an HTTP method"))
        }
        "path" => {
            let slash = if value.starts_with('/') { "" } else { "/" };
            task.path = Some(format!("{slash}{value}"));
            let bad = value.chars().any(|it| it.is_whitespace() || it.is_control());
            bad.then(|| format!("path `{value}` holds white space"))
        }
        "resultVariable" => {
            task.result_variable = Some(value.to_owned()).filter(|it| !it.is_empty());
            None
        }
        "asynchronous" => {
            task.asynchronous = value == "true";
            (!["true", "false"].contains(&value)).then(|| format!("asynchronous `{value}` is neither true nor false"))
        }
        key @ ("timeout" | "callbackTimeout") => {
            let timeout = if key == "timeout" { &mut task.timeout } else { &mut task.callback_timeout };
            *timeout = milliseconds(value);
            timeout.is_none().then(|| format!("{key} `{value}` is neither seconds nor an ISO 8601 duration"))
        }
        other => {
            let message = format!("header `{other}` has no effect: the task's service does not see it");
            out.push(Diagnostic::info(Rule::UnknownExtension, header.position, message).on(owner));
            None
        }
    };
    if let Some(problem) = problem {
        out.push(Diagnostic::error(Rule::BindingInvalid, header.position, problem).on(owner));
    }
}

/// Seconds, or an ISO 8601 duration without months and years.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds > 0.0 && seconds < 31_536_000.0).then_some((seconds * 1000.0) as u64);
    }
    let span: jiff::Span = text.parse().ok()?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    u64::try_from(duration.as_millis()).ok().filter(|it| *it > 0)
}
