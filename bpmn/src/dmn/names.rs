//! Names in the expressions of a DMN file: a result of the file is there only where it is required (DMN 1.5, clause 6), every other name
//! is a variable of the process, drawn as input data or not.

use std::collections::{HashMap, HashSet};

use routing::decision::Decisions;

use super::expression::Written;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::Element;

/// Decisions and knowledge models by what they are called.
pub(super) struct Results<'d> {
    /// Their ids, by name, variable and id.
    called: HashMap<&'d str, Vec<&'d str>>,
    /// What each of them requires.
    required: HashSet<(&'d str, &'d str)>,
    ids: &'d HashMap<&'d str, &'d Element>,
    /// The names that the boxes of each of them give to their parts; filled when they are asked for.
    bound: HashMap<String, HashSet<&'d str>>,
}

impl<'d> Results<'d> {
    pub(super) fn of<'x: 'd>(decisions: &'d Decisions, ids: &'d HashMap<&'x str, &'x Element>) -> Self {
        let mut called: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut required = HashSet::new();
        for it in &decisions.decisions {
            for name in [Some(&it.name), Some(&it.id), it.variable.as_ref()].into_iter().flatten() {
                called.entry(name).or_default().push(&it.id);
            }
        }
        for it in &decisions.knowledge {
            called.entry(&it.name).or_default().push(&it.id);
        }
        let all = decisions.decisions.iter().map(|it| (&it.id, &it.requires));
        for (id, requires) in all.chain(decisions.knowledge.iter().map(|it| (&it.id, &it.requires))) {
            required.extend(requires.decisions.iter().chain(&requires.knowledge).map(|it| (id.as_str(), it.as_str())));
        }
        Self { called, required, ids, bound: HashMap::new() }
    }

    /// The names of an expression that are not there.
    pub(super) fn check(&mut self, written: &Written<'_>, names: &feel::Names) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        for name in names.variables.iter().chain(&names.functions) {
            let known = self.called.get(name.as_str());
            let problem = match known {
                Some(ids) if ids.iter().any(|it| self.required.contains(&(written.owner.as_str(), *it))) => continue,
                Some(_) => "a result of this file that is not required there",
                None if names.functions.contains(name) => "which is no function",
                None => continue,
            };
            if self.bound(&written.owner).contains(name.as_str()) {
                continue;
            }
            let position = written.text.position_of(0).unwrap_or_default();
            let message = format!("{} uses `{name}`, {problem}", written.what);
            findings.push(Diagnostic::warning(Rule::DmnUnknownName, position, message).on(&*written.element));
        }
        findings
    }

    fn bound(&mut self, owner: &str) -> &HashSet<&'d str> {
        let ids = self.ids;
        self.bound.entry(owner.to_owned()).or_insert_with(|| {
            let mut names = HashSet::new();
            // the element's own name is that of its result
            let parts = ids.get(owner).into_iter().flat_map(|it| &it.children);
            let mut open: Vec<&'d Element> = parts.filter(|it| it.name != "variable").collect();
            while let Some(element) = open.pop() {
                let given = ["name", "iteratorVariable"].into_iter().filter_map(|it| element.attribute(it));
                names.extend(given.map(str::trim));
                open.extend(&element.children);
            }
            names
        })
    }
}
