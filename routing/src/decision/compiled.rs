//! Decisions ready to run, and their evaluation.

use std::collections::HashMap;

use feel::{Env, EvalError, Expression, Scope, Value};

use super::graph::{Graph, Node};
use super::model::{Aggregator, DecisionError, Decisions, HitPolicy, Logic, Table};
use super::source::{self, Names, quoted};
use super::table;
use crate::token::Timestamp;

/// Names with operators or keywords in them at most: every expression is read with all of them in mind.
const MAX_NAMES: usize = 128;
/// Steps of FEEL that one evaluation may take, with all required decisions.
const FUEL: u64 = 10_000_000;
/// Warnings of one evaluation at most.
const MAX_WARNINGS: usize = 64;

/// Decisions with every expression parsed and every reference resolved.
#[derive(Clone, Debug)]
pub struct Compiled {
    decisions: Decisions,
    graph: Graph,
    inputs: Vec<Option<Expression>>,
    knowledge: Vec<Expression>,
    programs: Vec<Program>,
}

/// What a decision evaluates.
#[derive(Clone, Debug)]
enum Program {
    /// One expression.
    Expression(Expression),
    /// A table, part by part, so that it can tell which rules matched.
    Table(TableProgram),
}

#[derive(Clone, Debug)]
struct TableProgram {
    inputs: Vec<Expression>,
    allowed: Option<Expression>,
    rules: Vec<Expression>,
    policy: Expression,
}

/// The answer to one decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The result; dates, times and durations as their ISO strings.
    pub value: serde_json::Value,
    /// The rules that matched, of this decision's table and of those it requires, in the order of evaluation.
    pub matched: Vec<Matched>,
    /// Why parts of the result are null, one line each.
    pub warnings: Vec<String>,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The id of the decision.
    pub decision: String,
    /// The number of the rule in its table, from 1.
    pub rule: usize,
    /// The id of the rule, if it has one.
    pub id: Option<String>,
}

impl Compiled {
    /// Decisions, knowledge models and inputs of one file at most.
    pub const MAX_NODES: usize = 2_000;

    /// Parses every expression and resolves every requirement. The error names the decision or knowledge model and what is wrong with it.
    pub fn new(decisions: Decisions) -> Result<Self, DecisionError> {
        let count = decisions.decisions.len() + decisions.inputs.len() + decisions.knowledge.len();
        if count > Self::MAX_NODES {
            let most = Self::MAX_NODES;
            let message = format!("a file holds {most} decisions, inputs and knowledge models at most, not {count}");
            return Err(DecisionError::new("", message));
        }
        let graph = Graph::of(&decisions)?;
        let names = Names { all: decisions.names(), knowledge: &decisions.knowledge };
        if names.all.len() > MAX_NAMES {
            let message = format!("the file has more than {MAX_NAMES} names with operators or keywords in them");
            return Err(DecisionError::new("", message));
        }
        let inputs = decisions.inputs.iter().map(|it| {
            let source = (!it.kind.is_any()).then(|| source::converted(&quoted(&it.name)?, &it.kind)).transpose();
            let parsed = source.and_then(|it| it.map(|it| parse(&it, &names)).transpose());
            parsed.map_err(|message| DecisionError::new(&it.id, message))
        });
        let inputs = inputs.collect::<Result<_, _>>()?;
        let knowledge = (0..decisions.knowledge.len()).map(|at| {
            let parsed = function(&decisions, &graph, at, &names);
            parsed.map_err(|message| DecisionError::new(&decisions.knowledge[at].id, message))
        });
        let knowledge = knowledge.collect::<Result<_, _>>()?;
        let programs = decisions
            .decisions
            .iter()
            .map(|it| Program::of(&it.logic, &it.name, &names).map_err(|message| DecisionError::new(&it.id, message)));
        let programs = programs.collect::<Result<_, _>>()?;
        Ok(Self { graph, inputs, knowledge, programs, decisions })
    }

    /// The decisions.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// Evaluates the decision with this id, or else with this name, and before it all that it requires. Variables are the process's; those
    /// that are declared as input data with a date's, time's or duration's type may be strings.
    ///
    /// # Errors
    /// There is no such decision, rules overlap that must not, or a limit is spent; names the decision and what is to be done.
    pub fn evaluate(&self, decision: &str, variables: &dyn Scope, now: Timestamp) -> Result<Outcome, String> {
        let all = &self.decisions.decisions;
        let by_id = all.iter().position(|it| it.id == decision);
        let Some(root) = by_id.or_else(|| all.iter().position(|it| it.name == decision)) else {
            let known: Vec<_> = all.iter().take(8).map(|it| it.id.as_str()).collect();
            return Err(format!("evaluate the decision `{decision}`: there is none, but {}", known.join(", ")));
        };
        let plan = self.graph.plan(root);
        let mut env = crate::condition::env(now);
        env.fuel = (FUEL / self.expressions(&plan).max(1)).min(Env::FUEL);
        let mut run =
            Run { compiled: self, variables, env, results: HashMap::new(), matched: vec![], warnings: vec![] };
        for node in &plan {
            run.node(*node)?;
        }
        let value = run.results.get(&Node::Decision(root)).map_or(serde_json::Value::Null, Value::to_json);
        Ok(Outcome { value, matched: run.matched, warnings: run.warnings })
    }

    /// How many expressions a plan evaluates; they share the fuel.
    fn expressions(&self, plan: &[Node]) -> u64 {
        let of = |node: &Node| match node {
            Node::Decision(at) => match &self.programs[*at] {
                Program::Expression(_) => 1,
                Program::Table(table) => table.inputs.len() + table.rules.len() + 2,
            },
            Node::Input(_) | Node::Knowledge(_) => 1,
        };
        plan.iter().map(of).sum::<usize>() as u64
    }
}

impl Program {
    fn of(logic: &Logic, title: &str, names: &Names<'_>) -> Result<Self, String> {
        let Logic::Table(table) = logic else {
            return Ok(Self::Expression(parse(&source::of(logic, title, names)?, names)?));
        };
        let all = |sources: Vec<String>| sources.iter().map(|it| parse(it, names)).collect::<Result<Vec<_>, _>>();
        Ok(Self::Table(TableProgram {
            inputs: all(table::inputs(table)?)?,
            allowed: table::allowed(table, &names.all)?.map(|it| parse(&it, names)).transpose()?,
            rules: all(table::rules(table, &names.all)?)?,
            policy: parse(&table::policy(table, title)?, names)?,
        }))
    }
}

fn parse(source: &str, names: &Names<'_>) -> Result<Expression, String> {
    feel::parse_with(source, &names.all).map_err(|error| error.message)
}

/// A knowledge model as a function that has the functions it needs with it.
fn function(decisions: &Decisions, graph: &Graph, at: usize, names: &Names<'_>) -> Result<Expression, String> {
    let model = &decisions.knowledge[at];
    let own = source::function(&model.parameters, &model.body, &model.name, names)?;
    let needs = graph.needs(Node::Knowledge(at)).filter_map(|it| match it {
        Node::Knowledge(at) => Some(quoted(&decisions.knowledge[at].name)),
        _ => None,
    });
    let needs = needs.collect::<Result<Vec<_>, _>>()?.join(", ");
    parse(&if needs.is_empty() { own } else { format!("(function({needs}) {own})({needs})") }, names)
}

/// One evaluation under way.
struct Run<'a> {
    compiled: &'a Compiled,
    variables: &'a dyn Scope,
    env: Env,
    results: HashMap<Node, Value>,
    matched: Vec<Matched>,
    warnings: Vec<String>,
}

/// What an expression sees: results and functions it requires, then the process's variables.
struct Seen<'a> {
    bound: HashMap<String, Value>,
    variables: &'a dyn Scope,
}

impl Scope for Seen<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        self.bound.get(name).cloned().or_else(|| self.variables.get(name))
    }

    fn json(&self, name: &str) -> Option<&serde_json::Value> {
        if self.bound.contains_key(name) { None } else { self.variables.json(name) }
    }
}

impl<'a> Run<'a> {
    fn node(&mut self, node: Node) -> Result<(), String> {
        let compiled = self.compiled;
        let seen = self.seen(node);
        let value = match node {
            Node::Input(at) => {
                let input = &compiled.decisions.inputs[at];
                let there = seen.variables.json(&input.name).is_some() || seen.variables.get(&input.name).is_some();
                match &compiled.inputs[at] {
                    Some(conversion) if there => self.expression(conversion, &seen, &input.name)?,
                    _ => return Ok(()),
                }
            }
            Node::Knowledge(at) => {
                self.expression(&compiled.knowledge[at], &seen, &compiled.decisions.knowledge[at].name)?
            }
            Node::Decision(at) => match (&compiled.programs[at], &compiled.decisions.decisions[at].logic) {
                (Program::Table(program), Logic::Table(table)) => self.table(program, table, at, seen)?,
                (Program::Expression(expression), _) => {
                    self.expression(expression, &seen, &compiled.decisions.decisions[at].name)?
                }
                (Program::Table(_), _) => return Err("a decision's program is not that of its logic".to_owned()),
            },
        };
        self.results.insert(node, value);
        Ok(())
    }

    /// The names that `node` may use besides the variables. A result has the name of its variable, and the decision's name and id.
    fn seen(&self, node: Node) -> Seen<'a> {
        let decisions = &self.compiled.decisions;
        let mut bound = HashMap::new();
        let known = |it: &Node| self.results.get(it).cloned();
        let needs: Vec<_> = self.compiled.graph.needs(node).filter_map(|it| Some((it, known(&it)?))).collect();
        let named: [fn(&Decisions, Node) -> Option<&str>; 3] = [
            |it, node| if let Node::Decision(at) = node { Some(&it.decisions[at].id) } else { None },
            |it, node| match node {
                Node::Decision(at) => Some(&it.decisions[at].name),
                Node::Input(at) => Some(&it.inputs[at].name),
                Node::Knowledge(at) => Some(&it.knowledge[at].name),
            },
            |it, node| if let Node::Decision(at) = node { it.decisions[at].variable.as_deref() } else { None },
        ];
        for name in named {
            for (node, value) in &needs {
                if let Some(name) = name(decisions, *node) {
                    bound.insert(name.to_owned(), value.clone());
                }
            }
        }
        Seen { bound, variables: self.variables }
    }

    fn expression(&mut self, expression: &Expression, seen: &Seen<'_>, of: &str) -> Result<Value, String> {
        let evaluated = expression.evaluate(seen, &self.env).map_err(|error| match error {
            EvalError::Assertion(cause) => format!("`{of}`: {cause}"),
            error => format!("`{of}`: {error}"),
        })?;
        evaluated.warnings.into_iter().for_each(|it| self.warn(of, &it));
        Ok(evaluated.value)
    }

    fn warn(&mut self, of: &str, warning: &str) {
        let warning = format!("`{of}`: {warning}");
        if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn table(&mut self, program: &TableProgram, table: &Table, at: usize, mut seen: Seen<'_>) -> Result<Value, String> {
        let decision = &self.compiled.decisions.decisions[at];
        let title = decision.name.as_str();
        let inputs = program.inputs.iter().map(|it| self.expression(it, &seen, title));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        seen.bound.extend(inputs.into_iter().enumerate().map(|(at, it)| (format!("#{}", at + 1), it)));
        if let Some(allowed) = &program.allowed {
            let Value::List(allowed) = self.expression(allowed, &seen, title)? else { return Ok(Value::Null) };
            for (input, _) in table.inputs.iter().zip(allowed.iter()).filter(|(_, it)| !it.is_true()) {
                let (label, values) = (&input.label, input.values.as_deref().unwrap_or_default());
                self.warn(title, &format!("the input `{label}` has a value that is not among {values}"));
            }
        }
        let mut matches = Vec::new();
        for part in &program.rules {
            if let Value::List(found) = self.expression(part, &seen, title)? {
                matches.extend(found.iter().cloned());
            }
        }
        let numbers = matches.iter().filter_map(number_of);
        let matched = numbers.map(|rule| Matched {
            decision: decision.id.clone(),
            rule,
            id: table.rules.get(rule - 1).and_then(|it| it.id.clone()),
        });
        self.matched.extend(matched);
        let counted = table.hit_policy == HitPolicy::Collect(Aggregator::Count);
        if matches.is_empty() && !counted && table.outputs.iter().all(|it| it.default.is_none()) {
            self.warn(title, "no rule matches, and no output has a default");
        }
        seen.bound.insert("#m".to_owned(), Value::from(matches));
        self.expression(&program.policy, &seen, title)
    }
}

/// The number of the rule that a match is of.
fn number_of(found: &Value) -> Option<usize> {
    let Value::Context(found) = found else { return None };
    let Some(Value::Number(number)) = found.get("#n") else { return None };
    usize::try_from(number.to_i64()?).ok().filter(|it| *it > 0)
}
