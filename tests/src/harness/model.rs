//! Small BPMN models, written in the order in which a token sees them.

use std::fmt::Write as _;

/// An event that a topic's annotation says more of.
const MESSAGE: &str = "<bpmn:messageEventDefinition/>";

/// A process under construction.
#[derive(Debug, Clone)]
pub struct Model {
    id: String,
    /// Elements, flows and annotations, as XML.
    inside: String,
    flows: usize,
    /// What stands beside the process: errors.
    beside: String,
}

impl Model {
    /// A process without elements.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), inside: String::new(), flows: 0, beside: String::new() }
    }

    fn add(mut self, xml: std::fmt::Arguments<'_>) -> Self {
        writeln!(self.inside, "    {xml}").unwrap();
        self
    }

    /// The original's global properties, as YAML.
    pub fn global(self, yaml: &str) -> Self {
        let yaml = indented(yaml);
        let text = format_args!(
            "<bpmn:textAnnotation id=\"global\"><bpmn:text>rexflow_global_properties:\n{yaml}</bpmn:text></bpmn:textAnnotation>"
        )
        .to_string();
        self.add(format_args!("{text}"))
    }

    /// A start event.
    pub fn start(self, id: &str) -> Self {
        self.add(format_args!("<bpmn:startEvent id=\"{id}\"/>"))
    }

    /// An end event.
    pub fn end(self, id: &str) -> Self {
        self.add(format_args!("<bpmn:endEvent id=\"{id}\" name=\"{id}\"/>"))
    }

    /// A service task bound by the original's annotation: `host: SERVICE`.
    pub fn task(self, id: &str, service: &str) -> Self {
        self.annotated(id, &format!("service:\n  host: {service}"))
    }

    /// A service task with an annotation in the original's dialect.
    pub fn annotated(self, id: &str, yaml: &str) -> Self {
        let yaml = indented(yaml);
        self.add(format_args!("<bpmn:serviceTask id=\"{id}\" name=\"{id}\"/>"))
            .add(format_args!(
                "<bpmn:textAnnotation id=\"note-{id}\"><bpmn:text>rexflow:\n{yaml}</bpmn:text></bpmn:textAnnotation>"
            ))
            .add(format_args!("<bpmn:association id=\"to-note-{id}\" sourceRef=\"{id}\" targetRef=\"note-{id}\"/>"))
    }

    /// A service task bound by `zeebe:taskDefinition`.
    pub fn typed(self, id: &str, kind: &str) -> Self {
        self.typed_with(id, kind, "")
    }

    /// The same with more attributes of the task definition, as `retries="1"`.
    pub fn typed_with(self, id: &str, kind: &str, attributes: &str) -> Self {
        self.add(format_args!(
            "<bpmn:serviceTask id=\"{id}\" name=\"{id}\"><bpmn:extensionElements>\
             <zeebe:taskDefinition type=\"{kind}\" {attributes}/></bpmn:extensionElements></bpmn:serviceTask>"
        ))
    }

    /// An exclusive gateway with a default flow.
    pub fn exclusive(self, id: &str, default: &str) -> Self {
        self.add(format_args!("<bpmn:exclusiveGateway id=\"{id}\" default=\"{default}\"/>"))
    }

    /// An exclusive gateway that only merges.
    pub fn merge(self, id: &str) -> Self {
        self.add(format_args!("<bpmn:exclusiveGateway id=\"{id}\"/>"))
    }

    /// A parallel gateway.
    pub fn parallel(self, id: &str) -> Self {
        self.add(format_args!("<bpmn:parallelGateway id=\"{id}\"/>"))
    }

    /// A timer that waits for an ISO 8601 duration.
    pub fn timer(self, id: &str, duration: &str) -> Self {
        self.add(format_args!(
            "<bpmn:intermediateCatchEvent id=\"{id}\"><bpmn:timerEventDefinition><bpmn:timeDuration \
             xsi:type=\"bpmn:tFormalExpression\">{duration}</bpmn:timeDuration></bpmn:timerEventDefinition>\
             </bpmn:intermediateCatchEvent>"
        ))
    }

    /// An error boundary event that catches `code`; every error if it is empty.
    pub fn on_error(mut self, id: &str, task: &str, code: &str) -> Self {
        let mut reference = String::new();
        if !code.is_empty() {
            reference = format!(" errorRef=\"error-{id}\"");
            writeln!(self.beside, "  <bpmn:error id=\"error-{id}\" name=\"{code}\" errorCode=\"{code}\"/>").unwrap();
        }
        self.add(format_args!(
            "<bpmn:boundaryEvent id=\"{id}\" attachedToRef=\"{task}\"><bpmn:errorEventDefinition{reference}/></bpmn:boundaryEvent>"
        ))
    }

    /// An event of the original's: `kind` as `startEvent`, what it defines as XML, its annotation.
    pub fn event(self, kind: &str, id: &str, defines: &str, yaml: &str) -> Self {
        let yaml = indented(yaml);
        self.add(format_args!("<bpmn:{kind} id=\"{id}\" name=\"{id}\">{defines}</bpmn:{kind}>"))
            .add(format_args!(
                "<bpmn:textAnnotation id=\"note-{id}\"><bpmn:text>rexflow:\n{yaml}</bpmn:text></bpmn:textAnnotation>"
            ))
            .add(format_args!("<bpmn:association id=\"to-note-{id}\" sourceRef=\"{id}\" targetRef=\"note-{id}\"/>"))
    }

    /// An intermediate throw event that publishes to a topic.
    pub fn throws(self, id: &str, topic: &str) -> Self {
        self.event("intermediateThrowEvent", id, MESSAGE, &format!("topic: {topic}"))
    }

    /// An intermediate catch event that listens to a topic; more of its annotation behind.
    pub fn catches(self, id: &str, topic: &str, more: &str) -> Self {
        self.event("intermediateCatchEvent", id, MESSAGE, &format!("topic: {topic}\n{more}"))
    }

    /// A sequence flow.
    pub fn flow(self, id: &str, from: &str, to: &str) -> Self {
        self.add(format_args!("<bpmn:sequenceFlow id=\"{id}\" sourceRef=\"{from}\" targetRef=\"{to}\"/>"))
    }

    /// A sequence flow with a condition.
    pub fn when(self, id: &str, from: &str, to: &str, condition: &str) -> Self {
        let condition = escaped(condition);
        self.add(format_args!(
            "<bpmn:sequenceFlow id=\"{id}\" sourceRef=\"{from}\" targetRef=\"{to}\"><bpmn:conditionExpression \
             xsi:type=\"bpmn:tFormalExpression\">{condition}</bpmn:conditionExpression></bpmn:sequenceFlow>"
        ))
    }

    /// Flows from each element to the next.
    pub fn path(mut self, elements: &[&str]) -> Self {
        for pair in elements.windows(2) {
            self.flows += 1;
            let id = format!("flow-{}", self.flows);
            self = self.flow(&id, pair[0], pair[1]);
        }
        self
    }

    /// Start, tasks and end in a row, every task's service named like it, bound by `zeebe:taskDefinition`.
    pub fn row(id: &str, tasks: &[&str]) -> Self {
        let started = Self::new(id).start("start");
        let drawn = tasks.iter().fold(started, |model, task| model.typed(task, task)).end("end");
        drawn.path(&[&["start"], tasks, &["end"]].concat())
    }

    /// The file.
    pub fn xml(&self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <bpmn:definitions xmlns:bpmn=\"http://www.omg.org/spec/BPMN/20100524/MODEL\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:zeebe=\"http://camunda.org/schema/zeebe/1.0\" \
             targetNamespace=\"urn:test\">\n{beside}  <bpmn:process id=\"{id}\" isExecutable=\"true\">\n\
             {inside}  </bpmn:process>\n</bpmn:definitions>\n",
            id = self.id,
            inside = self.inside,
            beside = self.beside,
        )
    }
}

fn indented(yaml: &str) -> String {
    let lines: Vec<String> = yaml.lines().map(|line| format!("  {line}")).collect();
    escaped(&lines.join("\n"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
