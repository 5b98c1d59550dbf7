//! Camunda 8's REST and GraphQL connectors, as their element templates write them.

use std::collections::BTreeSet;

use routing::table::{Assignment, Connector, ConnectorKind, Mapping, Template};

use super::source::{Source, shorten};
use super::{mapping, secrets};
use crate::binding::milliseconds;
use crate::diagnostic::{Diagnostic, Rule};
use crate::lint;
use crate::model::{FlowNode, Position};

/// Methods that a connector can be asked for.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
/// Kinds of authentication.
const AUTHENTICATION: [&str; 5] = ["noAuth", "basic", "bearer", "apiKey", "oauth-client-credentials-flow"];
/// Inputs that should be secrets.
const SECRET: [&str; 4] =
    ["authentication.password", "authentication.token", "authentication.value", "authentication.clientSecret"];
/// Headers that only modelers read.
const OF_TEMPLATES: [&str; 4] = ["elementTemplateId", "elementTemplateVersion", "elementTemplateIcon", "retries"];

/// The connector of the task at `index`; what is wrong with it is reported.
pub(super) fn compile(source: &Source<'_>, index: usize, kind: ConnectorKind) -> Connector {
    let node = source.node(index);
    let Mapping { inputs, outputs } = mapping::of(source, index).unwrap_or_default();
    check(source, node, kind, &inputs);
    let mut names = BTreeSet::new();
    let inputs = inputs.into_iter().map(|input| with_secrets(source, node, input, &mut names)).collect();
    let mut connector = Connector {
        kind,
        inputs,
        secrets: names.into_iter().collect(),
        result_variable: None,
        result_expression: None,
        error_expression: None,
        retry_backoff: 0,
        outputs,
    };
    headers(source, node, &mut connector);
    connector
}

fn with_secrets(source: &Source<'_>, node: &FlowNode, input: Assignment, names: &mut BTreeSet<String>) -> Assignment {
    let Assignment { target, source: value } = input;
    let read = secrets::read(value.clone(), names).unwrap_or_else(|why| {
        let message = format!("the input `{target}` of {}: {why}", lint::describe(node));
        source.error(node, Rule::ConnectorInvalid, place(node, &target), message);
        value
    });
    Assignment { target, source: read }
}

fn headers(source: &Source<'_>, node: &FlowNode, connector: &mut Connector) {
    for header in node.extensions.task_headers() {
        let value = header.value.trim();
        let some = || (!value.is_empty()).then_some(value);
        match header.key {
            "resultVariable" => {
                connector.result_variable = some().map(|it| source.variable(node, header.position, it));
            }
            "resultExpression" => {
                connector.result_expression = some().and_then(|it| source.feel_text(node, header.position, it));
                for name in connector.result_expression.iter().flat_map(|it| made(it)) {
                    source.mentions.set(&node.id, header.position, &name, false);
                }
            }
            "errorExpression" => {
                connector.error_expression = some().and_then(|it| source.feel_text(node, header.position, it));
            }
            "retryBackoff" => match some().map(milliseconds_or_none) {
                None => {}
                Some(Some(backoff)) => connector.retry_backoff = backoff,
                Some(None) => {
                    let message = format!("retryBackoff `{}` is not an ISO 8601 duration", shorten(value));
                    source.error(node, Rule::ConnectorInvalid, header.position, message);
                }
            },
            other if OF_TEMPLATES.contains(&other) => {}
            other => {
                let message = format!("header `{other}` has no effect: a connector does not know it");
                source.report(Diagnostic::info(Rule::UnknownExtension, header.position, message).on(node.id.as_str()));
            }
        }
    }
}

/// The variables that a result expression makes, whatever the response is: what it gives without one.
fn made(expression: &str) -> Vec<String> {
    let nothing = serde_json::Value::Null;
    let env = feel::Env::at(jiff::Timestamp::UNIX_EPOCH);
    let made = feel::parse(expression).ok().and_then(|it| it.evaluate(&nothing, &env).ok());
    match made.map(|it| it.value.to_json()) {
        Some(serde_json::Value::Object(entries)) => entries.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

/// `PT0S` is what templates write for none.
fn milliseconds_or_none(text: &str) -> Option<u64> {
    let zero = text.parse::<jiff::Span>().is_ok_and(|it| it.is_zero());
    if zero { Some(0) } else { milliseconds(text) }
}

/// What can be told of the inputs before anything runs: those that are no expressions.
fn check(source: &Source<'_>, node: &FlowNode, kind: ConnectorKind, inputs: &[Assignment]) {
    let fixed = |name: &str| inputs.iter().rev().find(|it| it.target == name).map(|it| &it.source);
    let prefix = match kind {
        ConnectorKind::Rest => "",
        ConnectorKind::GraphQl if inputs.iter().any(|it| it.target.starts_with("graphql.")) => "graphql.",
        ConnectorKind::GraphQl => "",
    };
    let at = |name: &str| place(node, name);
    let wrong = |name: &str, message: String| source.error(node, Rule::ConnectorInvalid, at(name), message);
    let url = format!("{prefix}url");
    match fixed(&url) {
        None => wrong(&url, format!("{} has no input `{url}`: it calls nothing", lint::describe(node))),
        Some(Template::Static(text)) if !is_url(text) => {
            wrong(&url, format!("the url `{}` of {} is not http:// or https://", shorten(text), lint::describe(node)));
        }
        Some(_) => {}
    }
    let method = format!("{prefix}method");
    if let Some(Template::Static(text)) = fixed(&method)
        && !METHODS.iter().any(|it| it.eq_ignore_ascii_case(text))
    {
        let message = format!("the method `{}` of {} is none of {METHODS:?}", shorten(text), lint::describe(node));
        wrong(&method, message);
    }
    if kind == ConnectorKind::GraphQl && fixed(&format!("{prefix}query")).is_none() {
        wrong("query", format!("{} has no input `{prefix}query`", lint::describe(node)));
    }
    if let Some(Template::Static(text)) = fixed("authentication.type")
        && !AUTHENTICATION.contains(&text.as_str())
    {
        let message = format!(
            "the authentication type `{}` of {} is none of {AUTHENTICATION:?}",
            shorten(text),
            lint::describe(node)
        );
        wrong("authentication.type", message);
    }
    for name in SECRET {
        if let Some(Template::Static(text)) = fixed(name)
            && !text.is_empty()
            && !text.contains("secrets.")
        {
            let message = format!("the input `{name}` of {} is written into the model", lint::describe(node));
            source.report(Diagnostic::warning(Rule::ConnectorSecret, at(name), message).on(node.id.as_str()));
        }
    }
    if let Some(stored) = fixed("storeResponse").filter(|it| **it != Template::Static("false".to_owned())) {
        let off = matches!(stored, Template::Feel(text) if text == "false");
        if !off {
            let message =
                format!("`storeResponse` of {} has no effect: responses are not stored", lint::describe(node));
            source
                .report(Diagnostic::warning(Rule::UnknownExtension, at("storeResponse"), message).on(node.id.as_str()));
        }
    }
}

fn is_url(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://") || text.contains("secrets.")
}

/// Where an input stands, else its task.
fn place(node: &FlowNode, target: &str) -> Position {
    let lines = node.extensions.io_mappings();
    let found = lines.iter().rev().find(|it| !it.output && it.target.trim() == target);
    found.map_or(node.position, |it| it.position)
}
