//! Requirements between decisions, inputs and knowledge models (DMN 1.5, clause 6).

use std::collections::HashMap;

use routing::decision::{Decisions, Requirements};

use super::Reader;
use crate::diagnostic::Rule;
use crate::model::Element;

impl<'x> Reader<'x> {
    /// What an element requires, each by its id in this file.
    pub(super) fn requirements(&mut self, element: &'x Element, id: &str) -> Requirements {
        let mut requires = Requirements::default();
        for requirement in self.children(element) {
            if !matches!(requirement.name.as_str(), "informationRequirement" | "knowledgeRequirement") {
                continue;
            }
            for required in self.children(requirement) {
                let list = match required.name.as_str() {
                    "requiredDecision" => &mut requires.decisions,
                    "requiredInput" => &mut requires.inputs,
                    "requiredKnowledge" => &mut requires.knowledge,
                    _ => continue,
                };
                if let Some(found) = self.href(required, id)
                    && !list.contains(&found)
                {
                    list.push(found);
                }
            }
        }
        requires
    }

    /// The id that an `href` names in this file.
    fn href(&mut self, required: &'x Element, id: &str) -> Option<String> {
        let href = required.attribute("href").unwrap_or_default().trim();
        let (file, target) = href.rsplit_once('#').unwrap_or(("", href));
        if !file.is_empty() && Some(file) != self.root.attribute("namespace").map(str::trim) {
            self.error(Rule::DmnImport, required, id, format!("`{id}` requires `{target}` of `{file}`"));
            return None;
        }
        let found = self.ids.get(target).copied().filter(|it| it.namespace == self.root.namespace);
        let kind = match required.name.as_str() {
            "requiredDecision" => "decision",
            "requiredInput" => "inputData",
            _ => "businessKnowledgeModel",
        };
        match found {
            Some(found) if found.name == kind => return Some(target.to_owned()),
            Some(found) if found.name == "decisionService" => {
                let message = format!("`{id}` requires the decision service `{target}`");
                self.error(Rule::DmnUnsupported, required, id, message);
            }
            Some(found) => {
                let message = format!("`{id}` requires `{target}` as {kind}, but it is {}", found.name);
                self.error(Rule::DmnReference, required, id, message);
            }
            None => {
                let message = format!("`{id}` requires the {kind} `{target}`, which there is not");
                self.error(Rule::DmnReference, required, id, message);
            }
        }
        None
    }

    /// Ids are unique, and no two things that one decision requires have one name.
    pub(super) fn check_requirements(&mut self, decisions: &Decisions) {
        let mut names: HashMap<&str, &str> = HashMap::new();
        let inputs = decisions.inputs.iter().map(|it| (it.id.as_str(), it.name.as_str()));
        let knowledge = decisions.knowledge.iter().map(|it| (it.id.as_str(), it.name.as_str()));
        let of_decision = |it: &'_ routing::decision::Decision| it.variable.clone().unwrap_or_else(|| it.name.clone());
        let variables: Vec<_> = decisions.decisions.iter().map(|it| (it.id.as_str(), of_decision(it))).collect();
        let variables = variables.iter().map(|(id, name)| (*id, name.as_str()));
        for (id, name) in inputs.chain(knowledge).chain(variables) {
            if names.insert(id, name).is_some() {
                let first = self.ids.get(id).copied().unwrap_or(self.root);
                self.error(Rule::DmnDuplicate, first, id, format!("two elements have the id `{id}`"));
            }
        }
        let all = decisions.decisions.iter().map(|it| (&it.id, &it.requires));
        for (id, requires) in all.chain(decisions.knowledge.iter().map(|it| (&it.id, &it.requires))) {
            let mut seen = HashMap::new();
            for required in requires.inputs.iter().chain(&requires.decisions).chain(&requires.knowledge) {
                let Some(name) = names.get(required.as_str()) else { continue };
                if let Some(other) = seen.insert(*name, required) {
                    let at = self.ids.get(id.as_str()).copied().unwrap_or(self.root);
                    let message = format!("`{id}` requires `{other}` and `{required}`, both with the name `{name}`");
                    self.error(Rule::DmnDuplicate, at, id, message);
                }
            }
        }
    }
}
