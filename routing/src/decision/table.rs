//! The FEEL of decision tables (DMN 1.5, clause 8): inputs, then rules, then the hit policy.
//!
//! In three parts, since a decision's table tells which rules matched and can have more rules than fit into one expression. A table within
//! another box is all three in one. Inputs are `#1`, `#2` ...; a match is `{#n: number of the rule, #v: its output}`; matches are `#m`.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::model::{Aggregator, HitPolicy, Output, Rule, Table};
use super::source::{apart, converted, quoted, string};

/// Rules are cut into parts of about this many bytes, below the longest source that FEEL takes.
const PART: usize = 64 * 1024;

/// The whole table as one expression.
pub(super) fn whole(table: &Table, title: &str, names: &[&str]) -> Result<String, String> {
    let mut out = String::from("{");
    for (at, input) in inputs(table)?.iter().enumerate() {
        let _ = write!(out, "`#{}`: {input}, ", at + 1);
    }
    let parts = rules(table, names)?;
    let matches = match parts.as_slice() {
        [one] => one.clone(),
        parts => format!("concatenate({})", parts.join(", ")),
    };
    let _ = write!(out, "`#m`: {matches}, `#r`: {}}}.`#r`", policy(table, title)?);
    Ok(out)
}

/// The expressions of the inputs.
pub(super) fn inputs(table: &Table) -> Result<Vec<String>, String> {
    table.inputs.iter().map(|it| converted(&apart(&it.expression), &it.kind)).collect()
}

/// For each input whether its value is one that it may have; `None` if no input says.
pub(super) fn allowed(table: &Table, names: &[&str]) -> Result<Option<String>, String> {
    if table.inputs.iter().all(|it| it.values.is_none()) {
        return Ok(None);
    }
    let mut each = Vec::new();
    for (at, input) in table.inputs.iter().enumerate() {
        let values = input.values.as_deref().map(|it| test(at, it, names)).transpose()?.flatten();
        each.push(values.map_or("true".to_owned(), |it| format!("(`#{}` = null or {it})", at + 1)));
    }
    Ok(Some(format!("[{}]", each.join(", "))))
}

/// The lists of matches, of all rules in order.
pub(super) fn rules(table: &Table, names: &[&str]) -> Result<Vec<String>, String> {
    if table.outputs.is_empty() {
        return Err("the table has no output".to_owned());
    }
    let mut seen = HashSet::new();
    if let Some(output) = table.outputs.iter().find(|it| !seen.insert(it.name.as_str())) {
        return Err(format!("two outputs of the table have the name `{}`", output.name));
    }
    let (mut parts, mut part) = (Vec::new(), String::new());
    for (at, rule) in table.rules.iter().enumerate() {
        let rule = self::rule(table, rule, at + 1, names)?;
        if !part.is_empty() && part.len() + rule.len() > PART {
            parts.push(std::mem::take(&mut part));
        }
        part.push_str(if part.is_empty() { "" } else { ",\n" });
        part.push_str(&rule);
    }
    parts.push(part);
    Ok(parts.into_iter().map(|it| format!("[{it}][item != null]")).collect())
}

fn rule(table: &Table, rule: &Rule, number: usize, names: &[&str]) -> Result<String, String> {
    let (inputs, outputs) = (table.inputs.len(), table.outputs.len());
    if rule.tests.len() != inputs || rule.outputs.len() != outputs {
        let (tests, values) = (rule.tests.len(), rule.outputs.len());
        return Err(format!(
            "rule {number} has {tests} conditions and {values} results, the table {inputs} inputs and {outputs} outputs"
        ));
    }
    let tests = rule.tests.iter().enumerate().filter_map(|(at, it)| test(at, it, names).transpose());
    let tests = tests.collect::<Result<Vec<_>, _>>()?;
    let value = value(&table.outputs, rule.outputs.iter().map(|it| apart(it)))?;
    let found = format!("{{`#n`: {number}, `#v`: {value}}}");
    Ok(match tests.as_slice() {
        [] => found,
        // Null, an unknown truth, is no match.
        tests => format!("if ({}) = true then {found} else null", tests.join(" and ")),
    })
}

/// The result of a rule: a value, or a context if there are several outputs.
fn value(outputs: &[Output], values: impl Iterator<Item = String>) -> Result<String, String> {
    if outputs.len() == 1 {
        return Ok(values.into_iter().collect());
    }
    let mut entries = Vec::new();
    for (output, value) in outputs.iter().zip(values) {
        entries.push(format!("{}: {value}", quoted(&output.name)?));
    }
    Ok(format!("{{{}}}", entries.join(", ")))
}

/// The condition that a cell of unary tests makes of its input; `None` for one that always holds.
fn test(input: usize, cell: &str, names: &[&str]) -> Result<Option<String>, String> {
    let (cell, input) = (cell.trim(), input + 1);
    if cell.is_empty() || cell == "-" {
        return Ok(None);
    }
    feel::parse_unary_tests_with(cell, names).map_err(|error| format!("`{cell}` is no unary test: {error}"))?;
    Ok(Some(match negated(cell, names) {
        Some(tests) => format!("not(`#{input}` in ({tests}\n))"),
        None => format!("`#{input}` in ({cell}\n)"),
    }))
}

/// The tests within `not(...)`, when that is the whole cell (grammar rule 15). A comment may follow.
fn negated<'c>(cell: &'c str, names: &[&str]) -> Option<&'c str> {
    let rest = cell.strip_prefix("not")?.trim_start().strip_prefix('(')?;
    let parses = |tests: &str| feel::parse_unary_tests_with(tests, names).is_ok();
    // no cell that is meant so has more of them in its comment
    let mut closing = rest.rmatch_indices(')').map(|(at, _)| at).take(16);
    closing.find(|at| parses(&rest[..*at]) && parses(&format!("-{}", &rest[at + 1..]))).map(|at| &rest[..at])
}

/// What the matches `#m` result in.
pub(super) fn policy(table: &Table, title: &str) -> Result<String, String> {
    let hits = match default(table)? {
        Some(value) => format!("if count(`#m`) = 0 then [{{`#n`: 0, `#v`: {value}}}] else `#m`"),
        None => "`#m`".to_owned(),
    };
    let one = |hit: &str| format!("`#h`{hit}[1].`#v`");
    let all = "for `#i` in `#h` return `#i`.`#v`";
    let refuse = |why: &str| {
        let (before, after) = (string("the rules "), string(&format!(" of the table `{title}` {why}")));
        let numbers = "string join(for `#i` in `#m` return string(`#i`.`#n`), \", \")";
        format!("assert(null, false, {before} + {numbers} + {after})")
    };
    let result = match table.hit_policy {
        HitPolicy::Unique => {
            let refuse = refuse("overlap: its hit policy UNIQUE lets one match");
            format!("if count(`#m`) > 1 then {refuse} else {}", one(""))
        }
        HitPolicy::First => one(""),
        HitPolicy::Any => {
            let refuse = refuse("give different results: its hit policy ANY lets several match only with equal ones");
            let same = "every `#i` in `#m` satisfies `#i`.`#v` = `#m`[1].`#v`";
            format!("if count(`#m`) > 1 and not(({same}) = true) then {refuse} else {}", one(""))
        }
        HitPolicy::Priority => sorted(table, "`#s`[1].`#v`")?,
        HitPolicy::OutputOrder => sorted(table, "for `#i` in `#s` return `#i`.`#v`")?,
        HitPolicy::RuleOrder | HitPolicy::Collect(Aggregator::List) => all.to_owned(),
        HitPolicy::Collect(Aggregator::Count) => return Ok("count(`#m`)".to_owned()),
        HitPolicy::Collect(_) if table.outputs.len() > 1 => {
            return Err("COLLECT with an aggregator needs a table of one output".to_owned());
        }
        HitPolicy::Collect(Aggregator::Sum) => format!("sum({all})"),
        HitPolicy::Collect(Aggregator::Min) => format!("min({all})"),
        HitPolicy::Collect(Aggregator::Max) => format!("max({all})"),
    };
    Ok(format!("{{`#h`: {hits}, `#r`: if count(`#h`) = 0 then null else ({result})}}.`#r`"))
}

/// The result when no rule matches, if an output has a default.
fn default(table: &Table) -> Result<Option<String>, String> {
    if table.outputs.iter().all(|it| it.default.is_none()) {
        return Ok(None);
    }
    let values = table.outputs.iter().map(|it| apart(it.default.as_deref().unwrap_or_default()));
    value(&table.outputs, values).map(Some)
}

/// `result`, with the hits as `#s` in the order of the output values. The first output counts most; what is not among the values comes last.
fn sorted(table: &Table, result: &str) -> Result<String, String> {
    if table.outputs.iter().all(|it| it.values.is_none()) {
        return Err("PRIORITY and OUTPUT ORDER need output values, those of the highest priority first".to_owned());
    }
    let (mut lists, mut rank) = (String::new(), "0".to_owned());
    for (at, output) in table.outputs.iter().enumerate() {
        let Some(values) = &output.values else { continue };
        let value =
            if table.outputs.len() == 1 { "`#i`.`#v`" } else { &format!("`#i`.`#v`.{}", quoted(&output.name)?) };
        let list = format!("`#o{}`", at + 1);
        let _ = write!(lists, "{list}: [{values}\n], ");
        rank = format!(
            "(({rank}) * (count({list}) + 2) + (if list contains({list}, {value}) then index of({list}, {value})[1] else count({list}) + 1))"
        );
    }
    Ok(format!(
        "{{{lists}`#p`: for `#i` in `#h` return {{`#v`: `#i`.`#v`, `#p`: {rank}}}, `#s`: sort(`#p`, function(`#a`, `#b`) `#a`.`#p` < `#b`.`#p`), `#r`: {result}}}.`#r`"
    ))
}
