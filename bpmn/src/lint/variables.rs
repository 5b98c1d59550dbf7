//! Names in expressions that nothing can have set.
//!
//! What an instance starts with and what services answer is not in the model, so a name that nothing sets may well be a variable. Told is
//! only what cannot be meant: a name that is a slip of the pen away from one that is set, a variable of a loop or an input outside of its
//! activity, and a function that does not exist.

mod slip;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Context;
use crate::compile::{Reading, Setting};
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::FlowNodeKind;

/// What the engine itself sets, in activities that repeat.
const OF_LOOPS: [&str; 5] = [
    "loopCounter",
    "numberOfInstances",
    "numberOfActiveInstances",
    "numberOfCompletedInstances",
    "numberOfTerminatedInstances",
];
/// What the engine sets for the condition of a complex gateway.
const OF_GATEWAYS: &str = "activationCount";

/// Compares what the process reads with what it sets.
pub(crate) fn variables(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let (readings, mut settings) = cx.source.mentions.take();
    for reading in &readings {
        out.extend(reading.functions.iter().map(|it| unknown_function(reading, it)));
    }
    if cx.annotations.dialect {
        // the original's processes carry any payload, not variables
        return;
    }
    settings.extend(data(cx));
    let names = Names::of(cx, &readings, &settings);
    let mut told = HashSet::new();
    for reading in &readings {
        for name in &reading.variables {
            let message = names.outside(reading, name).or_else(|| names.slip(reading, name));
            if let Some((message, help)) = message
                && told.insert((reading.element.as_str(), name.as_str()))
            {
                let finding = Diagnostic::warning(Rule::UnknownVariable, reading.position, message);
                out.push(finding.on(reading.element.as_str()).help(help));
            }
        }
    }
}

fn unknown_function(reading: &Reading, function: &str) -> Diagnostic {
    let message = format!("the expression of `{}` calls `{function}`, which is no function", reading.element);
    let finding = Diagnostic::warning(Rule::UnknownFunction, reading.position, message).on(reading.element.as_str());
    let similar = feel::builtin_names().filter(|it| slip::close(it, function)).min();
    match similar {
        Some(similar) => finding.help(format!("write `{similar}`, if that is meant")),
        None => finding,
    }
}

/// Data objects and properties, under all that they are called.
fn data(cx: &Context<'_>) -> Vec<Setting> {
    let own = cx.process.data.iter().map(|it| &it.element);
    let nested =
        cx.process.nodes.iter().flat_map(|it| &it.details).flat_map(|it| std::iter::once(it).chain(&it.children));
    own.chain(nested)
        .flat_map(|it| ["name", "id"].into_iter().filter_map(move |attribute| Some((it, it.attribute(attribute)?))))
        .map(|(element, name)| Setting {
            element: String::new(),
            position: element.position,
            name: name.trim().to_owned(),
            local: false,
        })
        .collect()
}

/// Who sets what, and where that is seen.
struct Names<'a> {
    cx: &'a Context<'a>,
    nodes: HashMap<&'a str, usize>,
    flows: HashMap<&'a str, Option<usize>>,
    settings: BTreeMap<&'a str, Vec<&'a Setting>>,
    /// Names that are set, by the words that are one letter shorter, and by themselves.
    close: HashMap<String, Vec<&'a str>>,
    /// What a line sets from what it reads: a renaming, both names are meant.
    renamed: HashSet<(&'a str, &'a str)>,
}

impl<'a> Names<'a> {
    fn of(cx: &'a Context<'a>, readings: &'a [Reading], settings: &'a [Setting]) -> Self {
        let mut by_name: BTreeMap<&str, Vec<&Setting>> = BTreeMap::new();
        let mut lines: HashMap<(&str, crate::model::Position), Vec<&str>> = HashMap::new();
        for setting in settings {
            by_name.entry(&setting.name).or_default().push(setting);
            lines.entry((&setting.element, setting.position)).or_default().push(&setting.name);
        }
        let mut close: HashMap<String, Vec<&str>> = HashMap::new();
        for name in by_name.keys() {
            for key in slip::keys(name) {
                close.entry(key).or_default().push(name);
            }
        }
        let mut renamed = HashSet::new();
        for reading in readings {
            let targets = lines.get(&(reading.element.as_str(), reading.position));
            for target in targets.into_iter().flatten() {
                renamed.extend(reading.variables.iter().map(|it| (it.as_str(), *target)));
            }
        }
        let nodes = cx.process.nodes.iter().enumerate().map(|(index, it)| (it.id.as_str(), index)).collect();
        let flows = cx.process.flows.iter().map(|it| (it.id.as_str(), it.parent)).collect();
        Self { cx, nodes, flows, settings: by_name, close, renamed }
    }

    /// The node that an element is or stands in, then those around it.
    fn places(&self, element: &str) -> impl Iterator<Item = usize> + '_ {
        let first = self.nodes.get(element).copied().or_else(|| self.flows.get(element).copied().flatten());
        std::iter::successors(first, |it| self.cx.process.nodes[*it].parent)
    }

    /// A name that has a value elsewhere only.
    fn outside(&self, reading: &Reading, name: &str) -> Option<(String, String)> {
        let nodes = &self.cx.process.nodes;
        let settings = self.settings.get(name).map(Vec::as_slice).unwrap_or_default();
        if settings.is_empty() {
            let wanted = if OF_LOOPS.contains(&name) {
                self.places(&reading.element)
                    .all(|it| nodes[it].loop_characteristics.is_none())
                    .then_some("activity that repeats")
            } else if name == OF_GATEWAYS {
                let mut places = self.places(&reading.element);
                let gateway = places.any(|it| matches!(nodes[it].kind, FlowNodeKind::ComplexGateway { .. }));
                (!gateway).then_some("complex gateway")
            } else {
                None
            }?;
            let message = format!("`{}` reads `{name}`, which is known inside of an {wanted} only", reading.element);
            let message = message.replace("an complex", "a complex");
            return Some((message, "read it where it is known, and keep it in a variable of another name".to_owned()));
        }
        // one that is set from itself comes from outside
        let from_itself = self.renamed.contains(&(name, name));
        let seen =
            |it: &&Setting| !it.local || self.places(&reading.element).any(|place| nodes[place].id == it.element);
        if from_itself || settings.iter().any(seen) {
            return None;
        }
        let owner = &settings[0].element;
        let message = format!("`{}` reads `{name}`, which only `{owner}` sets, for itself", reading.element);
        Some((message, format!("set it by an output of `{owner}`, if it is not in what the instance starts with")))
    }

    /// A name that nothing sets, close to one that is set.
    fn slip(&self, reading: &Reading, name: &str) -> Option<(String, String)> {
        if self.settings.contains_key(name) || OF_LOOPS.contains(&name) || name == OF_GATEWAYS {
            return None;
        }
        let candidates = slip::keys(name).into_iter().filter_map(|it| self.close.get(&it)).flatten();
        let meant = candidates.filter(|it| slip::close(it, name) && !self.renamed.contains(&(name, **it))).min()?;
        let message = format!("`{}` reads `{name}`, which nothing sets; `{meant}` is set", reading.element);
        Some((message, format!("write `{meant}`, if that is meant")))
    }
}
