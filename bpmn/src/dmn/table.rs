//! Decision tables (DMN 1.5, clause 8).

use routing::decision::{Aggregator, HitPolicy, Input, Output, Rule as TableRule, Table};

use super::{Reader, name_of};
use crate::diagnostic::Rule;
use crate::model::{Element, Namespace};

impl<'x> Reader<'x> {
    pub(super) fn table(&mut self, element: &'x Element, id: &str, title: &str) -> Option<Table> {
        let hit_policy = self.hit_policy(element, id, title)?;
        let inputs: Vec<_> =
            self.named_children(element, "input").into_iter().map(|it| self.input(it, id, title)).collect();
        let outputs = self.named_children(element, "output");
        let places = outputs.clone();
        let outputs: Vec<_> = outputs.into_iter().map(|it| self.output(it, id, title)).collect();
        self.check_outputs(element, &places, &outputs, id, title);
        self.check_policy(element, hit_policy, &outputs, id, title);
        let rules = self.named_children(element, "rule").into_iter().enumerate();
        let rules = rules.map(|(at, it)| self.rule(it, at + 1, &inputs, &outputs, id, title)).collect();
        Some(Table { hit_policy, inputs, outputs, rules })
    }

    fn hit_policy(&mut self, element: &'x Element, id: &str, title: &str) -> Option<HitPolicy> {
        let aggregation = element.attribute("aggregation").map(str::trim).filter(|it| !it.is_empty());
        let policy = match element.attribute("hitPolicy").map(str::trim).unwrap_or("UNIQUE") {
            "UNIQUE" => HitPolicy::Unique,
            "FIRST" => HitPolicy::First,
            "PRIORITY" => HitPolicy::Priority,
            "ANY" => HitPolicy::Any,
            "RULE ORDER" => HitPolicy::RuleOrder,
            "OUTPUT ORDER" => HitPolicy::OutputOrder,
            "COLLECT" => HitPolicy::Collect(match aggregation {
                None => Aggregator::List,
                Some("SUM") => Aggregator::Sum,
                Some("MIN") => Aggregator::Min,
                Some("MAX") => Aggregator::Max,
                Some("COUNT") => Aggregator::Count,
                Some(other) => {
                    let message = format!("the table `{title}` has the unknown aggregation `{other}`");
                    self.error(Rule::DmnHitPolicy, element, id, message);
                    return None;
                }
            }),
            other => {
                let message = format!("the table `{title}` has the unknown hit policy `{other}`");
                self.error(Rule::DmnHitPolicy, element, id, message);
                return None;
            }
        };
        if aggregation.is_some() && !matches!(policy, HitPolicy::Collect(_)) {
            let message = format!("the table `{title}` aggregates nothing: only COLLECT does");
            self.warning(Rule::DmnHitPolicy, element, id, message);
        }
        Some(policy)
    }

    fn input(&mut self, element: &'x Element, id: &str, title: &str) -> Input {
        let label = element.attribute("label").map(str::trim).filter(|it| !it.is_empty());
        let renamed = |it: &&crate::model::Attribute| it.namespace == Namespace::Camunda && it.name == "inputVariable";
        if let Some(renamed) = element.attributes.iter().find(renamed) {
            let message = format!("an input of the table `{title}` is not available as `{}`, use `?`", renamed.value);
            self.warning(Rule::DmnUnsupported, element, id, message);
        }
        let Some(asked) = self.child(element, "inputExpression") else {
            self.error(Rule::DmnTable, element, id, format!("an input of the table `{title}` has no expression"));
            return Input::default();
        };
        let before = self.out.len();
        let expression = self.expression(asked, id, format!("an input of the table `{title}`"));
        if expression.is_empty() && self.out.len() == before {
            self.error(Rule::DmnTable, asked, id, format!("an input of the table `{title}` has no expression"));
        }
        let label = label.unwrap_or(&expression).to_owned();
        let values = self.child(element, "inputValues").map(|it| {
            let what = format!("the values that the input `{label}` of the table `{title}` may have");
            self.tests(it, id, what)
        });
        Input { kind: self.type_ref(asked, id), label, expression, values: values.filter(|it| !it.is_empty()) }
    }

    fn output(&mut self, element: &'x Element, id: &str, title: &str) -> Output {
        let name = name_of(element);
        self.check_name(&name, element, id);
        let values = self.child(element, "outputValues").or_else(|| self.types.allowed_values(element));
        let values = values.map(|it| {
            let what = format!("the values that the output `{name}` of the table `{title}` may have");
            self.tests(it, id, what)
        });
        let default = self.child(element, "defaultOutputEntry").map(|it| {
            let what = format!("the default of the output `{name}` of the table `{title}`");
            self.expression(it, id, what)
        });
        self.type_ref(element, id);
        Output { name, values: values.filter(|it| !it.is_empty()), default: default.filter(|it| !it.is_empty()) }
    }

    fn check_outputs(&mut self, table: &'x Element, places: &[&'x Element], outputs: &[Output], id: &str, title: &str) {
        if outputs.is_empty() {
            self.error(Rule::DmnTable, table, id, format!("the table `{title}` has no output"));
        }
        if outputs.len() < 2 {
            return;
        }
        let mut seen = std::collections::HashSet::new();
        for (place, output) in places.iter().zip(outputs) {
            if output.name.is_empty() {
                let message = format!("an output of the table `{title}` has no name, though there are several");
                self.error(Rule::DmnTable, place, id, message);
            } else if !seen.insert(output.name.as_str()) {
                let message = format!("two outputs of the table `{title}` have the name `{}`", output.name);
                self.error(Rule::DmnTable, place, id, message);
            }
        }
    }

    fn check_policy(&mut self, table: &'x Element, policy: HitPolicy, outputs: &[Output], id: &str, title: &str) {
        let message = match policy {
            HitPolicy::Priority | HitPolicy::OutputOrder if outputs.iter().all(|it| it.values.is_none()) => {
                format!("the table `{title}` has no output values, and so no order of them")
            }
            HitPolicy::Collect(Aggregator::Sum | Aggregator::Min | Aggregator::Max) if outputs.len() > 1 => {
                format!("the table `{title}` aggregates, and has more than one output")
            }
            _ => return,
        };
        self.error(Rule::DmnHitPolicy, table, id, message);
    }

    fn rule(
        &mut self,
        element: &'x Element,
        number: usize,
        inputs: &[Input],
        outputs: &[Output],
        id: &str,
        title: &str,
    ) -> TableRule {
        let cells = self.named_children(element, "inputEntry");
        let results = self.named_children(element, "outputEntry");
        if cells.len() != inputs.len() || results.len() != outputs.len() {
            let message = format!(
                "rule {number} of the table `{title}` has {} conditions and {} results, the table has {} inputs and {} outputs",
                cells.len(),
                results.len(),
                inputs.len(),
                outputs.len()
            );
            self.error(Rule::DmnTable, element, id, message);
        }
        let tests = cells.into_iter().zip(inputs).map(|(cell, input)| {
            self.tests(cell, id, format!("rule {number} of the table `{title}`: the condition for `{}`", input.label))
        });
        let tests = tests.collect();
        let results = results
            .into_iter()
            .map(|cell| self.expression(cell, id, format!("rule {number} of the table `{title}`: the result")));
        TableRule { id: element.attribute("id").map(str::to_owned), tests, outputs: results.collect() }
    }
}
