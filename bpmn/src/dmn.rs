//! DMN 1.1 to 1.5 XML to [`Decisions`], for business rule tasks.
//!
//! Reads untrusted bytes as [`parse`](mod@crate::parse) does, with the same limits; drawings and annotations are skipped. What it promises:
//! what it gives compiles ([`routing::decision::Compiled`]), and whatever cannot be evaluated as drawn is a diagnostic at its place in the
//! file. It evaluates nothing, imports nothing and knows no decision services.

mod boxed;
mod expression;
mod names;
mod requirements;
mod table;
mod types;

use std::collections::HashMap;
use std::sync::Arc;

use routing::decision::{Compiled, Decision, Decisions, InputData, KnowledgeModel};

use crate::diagnostic::{self, Diagnostic, Rule};
use crate::model::{Element, Namespace, Position};
use crate::parse::{self, Limits};

/// The namespaces of DMN, by version.
const NAMESPACES: [&str; 7] = [
    "http://www.omg.org/spec/DMN/20151101/dmn.xsd",
    "http://www.omg.org/spec/DMN/20151101/dmn11.xsd",
    "http://www.omg.org/spec/DMN/20151101",
    "http://www.omg.org/spec/DMN/20180521/MODEL/",
    "https://www.omg.org/spec/DMN/20191111/MODEL/",
    "https://www.omg.org/spec/DMN/20211108/MODEL/",
    "https://www.omg.org/spec/DMN/20230324/MODEL/",
];

/// What a DMN file holds.
#[derive(Debug, Clone)]
pub struct Read {
    /// The decisions; they compile.
    pub decisions: Decisions,
    /// Findings that refuse nothing.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a DMN file.
///
/// # Errors
/// All findings, at least one of severity error: why the decisions cannot be evaluated as drawn.
pub fn read(xml: &[u8], limits: Limits) -> Result<Read, Vec<Diagnostic>> {
    let root = parse::element(xml, limits).map_err(|it| vec![*it])?;
    if root.name != "definitions" || !NAMESPACES.contains(&root.namespace.label()) {
        return Err(vec![not_dmn(&root)]);
    }
    let mut reader = Reader::new(&root);
    let decisions = reader.definitions();
    reader.check_expressions(&decisions);
    if !reader.out.iter().any(Diagnostic::is_error) {
        reader.check_compiled(&decisions);
    }
    let mut findings = reader.out;
    diagnostic::sort(&mut findings);
    if findings.iter().any(Diagnostic::is_error) { Err(findings) } else { Ok(Read { decisions, warnings: findings }) }
}

fn not_dmn(root: &Element) -> Diagnostic {
    let message = format!("the root element is `{}`, not DMN `definitions`", root.qualified());
    let diagnostic = Diagnostic::error(Rule::NotDmn, root.position, message);
    if root.namespace == Namespace::Bpmn {
        return diagnostic.help("this is a BPMN file; apply it as a process");
    }
    diagnostic
}

/// Reading under way.
struct Reader<'x> {
    root: &'x Element,
    types: types::Types<'x>,
    /// The elements of the requirements graph by id; of two with one id the first.
    ids: HashMap<&'x str, &'x Element>,
    /// The expressions met, to be checked when all names are known.
    expressions: Vec<expression::Written<'x>>,
    out: Vec<Diagnostic>,
}

impl<'x> Reader<'x> {
    fn new(root: &'x Element) -> Self {
        let mut ids = HashMap::new();
        for element in &root.children {
            if let Some(id) = element.attribute("id") {
                ids.entry(id.trim()).or_insert(element);
            }
        }
        Self { root, types: types::Types::of(root), ids, expressions: Vec::new(), out: Vec::new() }
    }

    fn definitions(&mut self) -> Decisions {
        let root = self.root;
        let mut decisions = Decisions { format: Decisions::FORMAT, name: name_of(root), ..Decisions::default() };
        let nodes = ["decision", "inputData", "businessKnowledgeModel"];
        let count = self.children(root).filter(|it| nodes.contains(&it.name.as_str())).count();
        if count > Compiled::MAX_NODES {
            let limit = Compiled::MAX_NODES;
            let message = format!("the file has {count} decisions, inputs and knowledge models, the limit is {limit}");
            self.error(Rule::TooManyElements, root, "", message);
            return decisions;
        }
        for element in self.children(root) {
            match element.name.as_str() {
                "decision" => decisions.decisions.extend(self.decision(element)),
                "inputData" => decisions.inputs.extend(self.input_data(element)),
                "businessKnowledgeModel" => decisions.knowledge.extend(self.knowledge_model(element)),
                "import" => {
                    let what = element.attribute("locationURI").or(element.attribute("namespace")).unwrap_or_default();
                    self.error(Rule::DmnImport, element, "", format!("the file imports `{what}`"));
                }
                _ => {}
            }
        }
        if decisions.decisions.is_empty() && !self.out.iter().any(Diagnostic::is_error) {
            self.error(Rule::DmnNoDecision, root, "", "the file has no decision".to_owned());
        }
        self.check_requirements(&decisions);
        decisions
    }

    fn decision(&mut self, element: &'x Element) -> Option<Decision> {
        let (id, name) = self.identity(element)?;
        let requires = self.requirements(element, &id);
        let variable = self.child(element, "variable").map(name_of).filter(|it| !it.is_empty() && *it != name);
        if let Some(variable) = &variable {
            self.check_name(variable, element, &id);
        }
        let logic = self.logic_of(element, &id, &name)?;
        Some(Decision { id, name, variable, requires, logic })
    }

    fn input_data(&mut self, element: &'x Element) -> Option<InputData> {
        let (id, name) = self.identity(element)?;
        let variable = self.child(element, "variable");
        let kind = variable.map(|it| self.type_ref(it, &id)).unwrap_or_default();
        let name = variable.map(name_of).filter(|it| !it.is_empty()).unwrap_or(name);
        self.check_name(&name, element, &id);
        Some(InputData { id, name, kind })
    }

    fn knowledge_model(&mut self, element: &'x Element) -> Option<KnowledgeModel> {
        let (id, name) = self.identity(element)?;
        let requires = self.requirements(element, &id);
        let Some(logic) = self.child(element, "encapsulatedLogic") else {
            self.error(Rule::DmnLogic, element, &id, format!("the knowledge model `{name}` has no logic"));
            return None;
        };
        let (parameters, body) = self.function(logic, &id, &name, 0)?;
        Some(KnowledgeModel { id, name, requires, parameters, body })
    }

    /// The id and the name; each stands in for the other, since the standard needs an id only where something refers to it.
    fn identity(&mut self, element: &'x Element) -> Option<(String, String)> {
        let name = name_of(element);
        let id = element.attribute("id").map(str::trim).filter(|it| !it.is_empty()).unwrap_or(&name);
        if id.is_empty() {
            self.error(Rule::DmnName, element, "", format!("{} has neither an id nor a name", element.name));
            return None;
        }
        let name = if name.is_empty() { id.to_owned() } else { name.clone() };
        self.check_name(&name, element, id);
        Some((id.to_owned(), name))
    }

    fn check_name(&mut self, name: &str, element: &'x Element, id: &str) {
        if name.starts_with('#') || name.contains('`') {
            self.error(Rule::DmnName, element, id, format!("no expression can use the name `{name}`"));
        }
    }

    /// Whatever is left that only compiling finds.
    fn check_compiled(&mut self, decisions: &Decisions) {
        let Err(error) = Compiled::new(decisions.clone()) else { return };
        let at = self.ids.get(error.element.as_str()).copied().unwrap_or(self.root);
        let rule = if error.message.contains("form a cycle") { Rule::DmnCycle } else { Rule::DmnLogic };
        self.error(rule, at, &error.element, error.message);
    }

    fn error(&mut self, rule: Rule, at: &Element, element: &str, message: String) {
        self.error_at(rule, at.position, element, message);
    }

    fn error_at(&mut self, rule: Rule, at: Position, element: &str, message: String) {
        self.out.push(named(Diagnostic::error(rule, at, message), element));
    }

    fn warning(&mut self, rule: Rule, at: &Element, element: &str, message: String) {
        self.out.push(named(Diagnostic::warning(rule, at.position, message), element));
    }

    /// The children in DMN's own namespace.
    fn children(&self, of: &'x Element) -> impl Iterator<Item = &'x Element> + use<'x> {
        let namespace = &self.root.namespace;
        of.children.iter().filter(move |it| it.namespace == *namespace)
    }

    fn child(&self, of: &'x Element, name: &str) -> Option<&'x Element> {
        self.children(of).find(|it| it.name == name)
    }

    fn named_children(&self, of: &'x Element, name: &'static str) -> Vec<&'x Element> {
        self.children(of).filter(|it| it.name == name).collect()
    }
}

fn named(diagnostic: Diagnostic, element: &str) -> Diagnostic {
    if element.is_empty() { diagnostic } else { diagnostic.on(element) }
}

/// The `name` of an element, white space as FEEL has it in names.
fn name_of(element: &Element) -> String {
    let name = element.attribute("name").unwrap_or_default();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What an element is called in messages: its own id, or that of the decision it is part of.
fn id_of<'e>(element: &'e Element, within: &'e str) -> Arc<str> {
    Arc::from(element.attribute("id").unwrap_or(within))
}
