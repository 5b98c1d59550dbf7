//! A block-structured process as BPMN.

use std::fmt::Write as _;

use super::{Block, Boundary, Code, End, Kind, Marks, Scope, Task, Trigger};

/// Definitions whose process `p` is the scope between a start and an end event; what it calls stands beside it.
pub fn write(scope: &Scope) -> String {
    let mut writer = Writer::default();
    let start = writer.node("startEvent", "", "");
    let last = writer.scope(scope, From::of(&start));
    writer.end(last, "");
    let mut roots = String::new();
    for code in [Code::A, Code::B].map(Code::text) {
        let _ = write!(
            roots,
            r#"<error id="error{code}" errorCode="{code}"/><escalation id="escalation{code}" escalationCode="{code}"/>"#
        );
    }
    format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" id="d" targetNamespace="t">{roots}<process id="p" isExecutable="true">{}</process>{}</definitions>"#,
        writer.out, writer.called
    )
}

/// Every task, and whether it may fail.
pub(super) fn each_task(scope: &Scope, see: &mut dyn FnMut(&str, bool)) {
    let xml = write(scope);
    let mut ids: Vec<&str> = xml.split("<serviceTask id=\"").skip(1).filter_map(|it| it.split('"').next()).collect();
    ids.sort_unstable();
    ids.into_iter().for_each(|id| see(id, !id.ends_with("-sure")));
}

/// Where a flow comes from.
#[derive(Clone, Debug)]
struct From {
    node: String,
    condition: Option<String>,
    id: Option<String>,
}

impl From {
    fn of(node: &str) -> Vec<Self> {
        vec![Self { node: node.to_owned(), condition: None, id: None }]
    }
}

/// The open ends of what was written: none where the token has ended.
type Ends = Vec<From>;

#[derive(Default)]
struct Writer {
    out: String,
    called: String,
    count: u32,
}

impl Writer {
    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    fn node(&mut self, kind: &str, attributes: &str, inside: &str) -> String {
        let id = format!("n{}", self.next());
        let _ = write!(self.out, r#"<{kind} id="{id}" {attributes}>{inside}</{kind}>"#);
        id
    }

    fn link(&mut self, from: Ends, to: &str) {
        for from in from {
            let id = from.id.unwrap_or_else(|| format!("f{}", self.next()));
            let condition = from.condition.map_or(String::new(), |it| {
                format!(r#"<conditionExpression xsi:type="tFormalExpression">={it}</conditionExpression>"#)
            });
            let _ = write!(
                self.out,
                r#"<sequenceFlow id="{id}" sourceRef="{}" targetRef="{to}">{condition}</sequenceFlow>"#,
                from.node
            );
        }
    }

    fn then(&mut self, from: Ends, kind: &str, attributes: &str, inside: &str) -> Ends {
        let node = self.node(kind, attributes, inside);
        self.link(from, &node);
        From::of(&node)
    }

    fn end(&mut self, from: Ends, inside: &str) {
        if !from.is_empty() {
            self.then(from, "endEvent", "", inside);
        }
    }

    fn block(&mut self, block: &Block, from: Ends) -> Ends {
        match block {
            Block::Task(task) => self.task(task, from),
            Block::Wait(time) => self.then(from, "intermediateCatchEvent", "", &timer(*time)),
            Block::Seq(blocks) => blocks.iter().fold(from, |from, block| self.block(block, from)),
            Block::Choice(branches, otherwise) => {
                let ends = self.conditional("exclusiveGateway", branches, otherwise, from);
                if ends.is_empty() { ends } else { self.then(ends, "exclusiveGateway", "", "") }
            }
            Block::Inclusive(branches, otherwise) => {
                let ends = self.conditional("inclusiveGateway", branches, otherwise, from);
                if ends.is_empty() { ends } else { self.then(ends, "inclusiveGateway", "", "") }
            }
            Block::Parallel(branches) => {
                let split = self.then(from, "parallelGateway", "", "");
                let mut ends = Ends::new();
                for branch in branches {
                    let last = self.block(branch, split.clone());
                    // one flow for each branch, however many lead out of it
                    ends.extend(if last.len() > 1 { self.then(last, "exclusiveGateway", "", "") } else { last });
                }
                self.then(ends, "parallelGateway", "", "")
            }
            Block::Race(branches) => {
                let gateway = self.then(from, "eventBasedGateway", "", "");
                let mut ends = Ends::new();
                for (time, block) in branches {
                    let event = self.then(gateway.clone(), "intermediateCatchEvent", "", &timer(*time));
                    ends.extend(self.block(block, event));
                }
                if ends.is_empty() { ends } else { self.then(ends, "exclusiveGateway", "", "") }
            }
            Block::Repeat(times, block) => self.repeat(*times, block, from),
            Block::AdHoc(tasks, sequential) => {
                let outer = std::mem::take(&mut self.out);
                tasks.iter().for_each(|task| drop(self.task(task, Ends::new())));
                let inside = std::mem::replace(&mut self.out, outer);
                let ordering = if *sequential { r#"ordering="Sequential""# } else { "" };
                self.then(from, "adHocSubProcess", ordering, &inside)
            }
            Block::Scope(scope) => self.scope(scope, from),
            Block::Raise(task, code) => {
                let from = self.task(task, from);
                self.then(from, "intermediateThrowEvent", "", &escalation(Some(*code)))
            }
            Block::Ends(task, end) => {
                let from = self.task(task, from);
                let definition = match end {
                    End::None => String::new(),
                    End::Error(code) => error(Some(*code)),
                    End::Escalation(code) => escalation(Some(*code)),
                    End::Terminate => "<terminateEventDefinition/>".to_owned(),
                    End::Cancel => "<cancelEventDefinition/>".to_owned(),
                };
                self.end(from, &definition);
                Ends::new()
            }
        }
    }

    fn conditional(&mut self, kind: &str, branches: &[(u64, Block)], otherwise: &Block, from: Ends) -> Ends {
        let default = format!("f{}", self.next());
        let gateway = self.node(kind, &format!(r#"default="{default}""#), "");
        self.link(from, &gateway);
        let mut ends = Ends::new();
        let conditions = branches.iter().map(|(variable, block)| (Some(format!("v{variable}")), None, block));
        for (condition, id, block) in conditions.chain([(None, Some(default), otherwise)]) {
            let last = self.block(block, vec![From { node: gateway.clone(), condition, id }]);
            ends.extend(if last.len() > 1 { self.then(last, "exclusiveGateway", "", "") } else { last });
        }
        ends
    }

    fn repeat(&mut self, times: u32, block: &Block, from: Ends) -> Ends {
        let counter = format!("k{}", self.next());
        let script = |value: &str| {
            format!(
                r#"<extensionElements><zeebe:script expression="={value}" resultVariable="{counter}"/></extensionElements>"#
            )
        };
        let first = self.then(from, "scriptTask", "", &script("0"));
        let again = self.node("exclusiveGateway", "", "");
        self.link(first, &again);
        let last = self.block(block, From::of(&again));
        let counted = self.then(last, "scriptTask", "", &script(&format!("{counter} + 1")));
        let leave = format!("f{}", self.next());
        let asked = self.node("exclusiveGateway", &format!(r#"default="{leave}""#), "");
        self.link(counted, &asked);
        let condition = Some(format!("{counter} &lt; {times}"));
        self.link(vec![From { node: asked.clone(), condition, id: None }], &again);
        vec![From { node: asked, condition: None, id: Some(leave) }]
    }

    fn task(&mut self, task: &Task, from: Ends) -> Ends {
        let bare = Boundary::bare();
        let boundary = task.boundary.as_deref().unwrap_or(&bare);
        let service = |id: &str, attributes: &str, marks: &str| {
            format!(
                r#"<serviceTask id="{id}" {attributes}><extensionElements><zeebe:taskDefinition type="{id}"/></extensionElements>{marks}</serviceTask>"#
            )
        };
        self.out += &service(&task.id, "", &marks(boundary.marks));
        self.link(from, &task.id);
        if let Some(undo) = &task.undo {
            let event =
                self.node("boundaryEvent", &format!(r#"attachedToRef="{}""#, task.id), "<compensateEventDefinition/>");
            self.out += &service(undo, r#"isForCompensation="true""#, "");
            let association = self.next();
            let _ = write!(
                self.out,
                r#"<association id="a{association}" associationDirection="One" sourceRef="{event}" targetRef="{undo}"/>"#
            );
        }
        self.around(&task.id, boundary, None)
    }

    fn scope(&mut self, scope: &Scope, from: Ends) -> Ends {
        let outer = std::mem::take(&mut self.out);
        let start = self.node("startEvent", "", "");
        let mut last = self.block(&scope.body, From::of(&start));
        if scope.compensates && !last.is_empty() {
            last = self.then(last, "intermediateThrowEvent", "", "<compensateEventDefinition/>");
        }
        self.end(last, "");
        if let Some((trigger, block)) = &scope.event {
            self.event_sub_process(*trigger, block);
        }
        let inside = std::mem::replace(&mut self.out, outer);
        let marks = marks(scope.boundary.marks);
        let node = match scope.kind {
            Kind::Embedded => self.node("subProcess", "", &format!("{marks}{inside}")),
            Kind::Transaction => self.node("transaction", "", &format!("{marks}{inside}")),
            Kind::Called => {
                let process = format!("q{}", self.next());
                let _ = write!(self.called, r#"<process id="{process}" isExecutable="true">{inside}</process>"#);
                self.node("callActivity", &format!(r#"calledElement="{process}""#), &marks)
            }
        };
        self.link(from, &node);
        self.around(&node, &scope.boundary, scope.cancelled.as_ref())
    }

    fn event_sub_process(&mut self, trigger: Trigger, block: &Block) {
        let outer = std::mem::take(&mut self.out);
        let (interrupting, definition) = match trigger {
            Trigger::Error(code) => (true, error(code)),
            Trigger::Timer(time, interrupting) => (interrupting, timer(time)),
        };
        let start = self.node("startEvent", &format!(r#"isInterrupting="{interrupting}""#), &definition);
        let last = self.block(block, From::of(&start));
        self.end(last, "");
        let inside = std::mem::replace(&mut self.out, outer);
        self.node("subProcess", r#"triggeredByEvent="true""#, &inside);
    }

    /// Boundary events and what follows them; where the main path and the interrupting ones go on.
    fn around(&mut self, node: &str, boundary: &Boundary, cancelled: Option<&Block>) -> Ends {
        let mut ends = From::of(node);
        let mut events: Vec<(String, bool, &Block)> = Vec::new();
        events.extend(boundary.catches.iter().map(|(code, block)| (error(*code), true, block)));
        events.extend(boundary.timeout.as_ref().map(|(time, interrupts, block)| (timer(*time), *interrupts, block)));
        let escalated = boundary.escalation.as_ref();
        events.extend(escalated.map(|(code, interrupts, block)| (escalation(*code), *interrupts, block)));
        events.extend(cancelled.map(|block| ("<cancelEventDefinition/>".to_owned(), true, block)));
        for (definition, interrupts, block) in events {
            let attributes = format!(r#"attachedToRef="{node}" cancelActivity="{interrupts}""#);
            let event = self.node("boundaryEvent", &attributes, &definition);
            let last = self.block(block, From::of(&event));
            if interrupts {
                ends.extend(last);
            } else {
                self.end(last, "");
            }
        }
        if ends.len() > 1 { self.then(ends, "exclusiveGateway", "", "") } else { ends }
    }
}

fn timer(time: u64) -> String {
    let seconds = format!("{}.{:03}", time / 1000, time % 1000);
    format!("<timerEventDefinition><timeDuration>PT{seconds}S</timeDuration></timerEventDefinition>")
}

fn error(code: Option<Code>) -> String {
    code.map_or("<errorEventDefinition/>".to_owned(), |code| {
        format!(r#"<errorEventDefinition errorRef="error{}"/>"#, code.text())
    })
}

fn escalation(code: Option<Code>) -> String {
    code.map_or("<escalationEventDefinition/>".to_owned(), |code| {
        format!(r#"<escalationEventDefinition escalationRef="escalation{}"/>"#, code.text())
    })
}

fn marks(marks: Marks) -> String {
    let multi = |sequential: bool, times: u32| {
        format!(
            r#"<multiInstanceLoopCharacteristics isSequential="{sequential}"><loopCardinality>{times}</loopCardinality></multiInstanceLoopCharacteristics>"#
        )
    };
    match marks {
        Marks::Once => String::new(),
        Marks::Loop(times) => format!(
            r#"<standardLoopCharacteristics loopMaximum="{times}"><loopCondition xsi:type="tFormalExpression">=true</loopCondition></standardLoopCharacteristics>"#
        ),
        Marks::Sequential(times) => multi(true, times),
        Marks::Parallel(times) => multi(false, times),
    }
}
