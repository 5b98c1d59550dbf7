//! The FEEL of boxed expressions: each kind of box is a form that FEEL has itself (DMN 1.5, clause 10.2.1), so that there is one semantics,
//! one budget of fuel, and a knowledge model is a function like any other.
//!
//! Names stand in backticks. Names of this module start with `#`, which no model can write without backticks. What was written in the model
//! is put into brackets with a line break at the end, since it may end with a comment.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::model::{Entry, IterationKind, KnowledgeModel, Logic, Type};
use super::table;

/// Parameters of a function at most.
const MAX_PARAMETERS: usize = 256;
/// How deep boxes may stand in boxes.
const MAX_BOXES: u32 = 20;

type Written = Result<(), String>;

/// What is known while source is written.
pub(super) struct Names<'a> {
    /// The names that FEEL has to be told.
    pub(super) all: Vec<&'a str>,
    /// The knowledge models, whose parameters an invocation may leave out.
    pub(super) knowledge: &'a [KnowledgeModel],
}

/// The FEEL of `logic`. `title` names it in messages.
pub(super) fn of(logic: &Logic, title: &str, names: &Names<'_>) -> Result<String, String> {
    let mut out = String::new();
    Writer { out: &mut out, names, title, depth: 0 }.logic(logic)?;
    Ok(out)
}

/// The FEEL of a function with those parameters.
pub(super) fn function(parameters: &[String], body: &Logic, title: &str, names: &Names<'_>) -> Result<String, String> {
    let mut out = String::new();
    Writer { out: &mut out, names, title, depth: 0 }.function(parameters, body)?;
    Ok(out)
}

/// The FEEL that turns the strings of `value` into what their type says.
pub(super) fn converted(value: &str, kind: &Type) -> Result<String, String> {
    let text = |function: &str| {
        format!("(function(`#s`) if `#s` instance of string then {function}(`#s`) else `#s`)({value})")
    };
    Ok(match kind {
        Type::Any => value.to_owned(),
        Type::Date => text("date"),
        Type::Time => text("time"),
        Type::DateTime => text("date and time"),
        Type::Duration => text("duration"),
        Type::List(item) => {
            let item = converted("`#i`", item)?;
            format!(
                "(function(`#l`) if `#l` instance of list<Any> then for `#i` in `#l` return {item} else `#l`)({value})"
            )
        }
        Type::Context(entries) => {
            let mut put = "`#c`".to_owned();
            for (name, kind) in entries {
                // quiet where the entry is missing
                let entry = converted(&format!("get or else(`#c`.{}, null)", quoted(name)?), kind)?;
                let name = string(name);
                put = format!("context put({put}, {name}, {entry})");
            }
            format!("(function(`#c`) if `#c` = null then null else {put})({value})")
        }
    })
}

/// A name in backticks.
pub(super) fn quoted(name: &str) -> Result<String, String> {
    if name.is_empty() || name.starts_with('#') || name.contains(['`', '\n']) {
        return Err(format!("the name {name:?} cannot be a name: use letters, digits and spaces"));
    }
    Ok(format!("`{name}`"))
}

/// A string literal.
pub(super) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What was written in a model, kept apart from what stands around it.
pub(super) fn apart(written: &str) -> String {
    if written.trim().is_empty() { "null".to_owned() } else { format!("({written}\n)") }
}

struct Writer<'o, 'a> {
    out: &'o mut String,
    names: &'a Names<'a>,
    title: &'a str,
    depth: u32,
}

impl Writer<'_, '_> {
    fn logic(&mut self, logic: &Logic) -> Written {
        if self.depth >= MAX_BOXES {
            return Err(format!("boxed expressions are nested more than {MAX_BOXES} deep"));
        }
        self.depth += 1;
        let written = self.boxed(logic);
        self.depth -= 1;
        written
    }

    fn boxed(&mut self, logic: &Logic) -> Written {
        match logic {
            Logic::Literal(text) => self.out.push_str(&apart(text)),
            Logic::Table(table) => self.out.push_str(&table::whole(table, self.title, &self.names.all)?),
            Logic::Invocation { callee, bindings } => self.invocation(callee, bindings)?,
            Logic::Context { entries, result } => self.context(entries, result.as_deref())?,
            Logic::List(items) => self.list(items)?,
            Logic::Relation { columns, rows } => self.relation(columns, rows)?,
            Logic::Function { parameters, body } => {
                self.out.push('(');
                self.function(parameters, body)?;
                self.out.push(')');
            }
            Logic::Conditional { condition, then, otherwise } => {
                self.around("(if ", condition, " then ")?;
                self.around("", then, " else ")?;
                self.around("", otherwise, ")")?;
            }
            Logic::Filter { list, holds } => {
                self.around("(", list, ")")?;
                self.around("[", holds, "]")?;
            }
            Logic::Iteration { kind, variable, list, body } => {
                let (word, then) = match kind {
                    IterationKind::For => ("for", "return"),
                    IterationKind::Every => ("every", "satisfies"),
                    IterationKind::Some => ("some", "satisfies"),
                };
                self.around(&format!("({word} {} in ", quoted(variable)?), list, &format!(" {then} "))?;
                self.around("", body, ")")?;
            }
        }
        Ok(())
    }

    fn around(&mut self, before: &str, logic: &Logic, after: &str) -> Written {
        self.out.push_str(before);
        self.logic(logic)?;
        self.out.push_str(after);
        Ok(())
    }

    fn list(&mut self, items: &[Logic]) -> Written {
        self.out.push('[');
        for (at, item) in items.iter().enumerate() {
            self.around(if at > 0 { ", " } else { "" }, item, "")?;
        }
        self.out.push(']');
        Ok(())
    }

    fn context(&mut self, entries: &[Entry], result: Option<&Logic>) -> Written {
        self.out.push('{');
        let mut seen = HashSet::new();
        for (at, entry) in entries.iter().enumerate() {
            if !seen.insert(entry.name.as_str()) {
                return Err(format!("a context has the entry `{}` twice", entry.name));
            }
            let before = format!("{}{}: ", if at > 0 { ", " } else { "" }, quoted(&entry.name)?);
            self.around(&before, &entry.logic, "")?;
        }
        if let Some(result) = result {
            self.around(if entries.is_empty() { "`#r`: " } else { ", `#r`: " }, result, "")?;
        }
        self.out.push_str(if result.is_some() { "}.`#r`" } else { "}" });
        Ok(())
    }

    fn relation(&mut self, columns: &[String], rows: &[Vec<Logic>]) -> Written {
        self.out.push('[');
        for (at, row) in rows.iter().enumerate() {
            if row.len() != columns.len() {
                let (row, has, wants) = (at + 1, row.len(), columns.len());
                return Err(format!("row {row} of a relation has {has} cells, not {wants}"));
            }
            self.out.push_str(if at > 0 { ", {" } else { "{" });
            for (at, (column, cell)) in columns.iter().zip(row).enumerate() {
                let before = format!("{}{}: ", if at > 0 { ", " } else { "" }, quoted(column)?);
                self.around(&before, cell, "")?;
            }
            self.out.push('}');
        }
        self.out.push(']');
        Ok(())
    }

    fn function(&mut self, parameters: &[String], body: &Logic) -> Written {
        if parameters.len() > MAX_PARAMETERS {
            return Err(format!("a function has {} parameters, the limit is {MAX_PARAMETERS}", parameters.len()));
        }
        let quoted = parameters.iter().map(|it| quoted(it)).collect::<Result<Vec<_>, _>>()?;
        let _ = write!(self.out, "function({}) ", quoted.join(", "));
        self.logic(body)
    }

    /// A call. Of a knowledge model the parameters are known, and those without a binding are null.
    fn invocation(&mut self, callee: &str, bindings: &[Entry]) -> Written {
        let Some(model) = self.names.knowledge.iter().find(|it| it.name == callee.trim()) else {
            self.out.push_str(&apart(callee));
            self.out.push('(');
            for (at, binding) in bindings.iter().enumerate() {
                let before = format!("{}{}: ", if at > 0 { ", " } else { "" }, quoted(&binding.name)?);
                self.around(&before, &binding.logic, "")?;
            }
            self.out.push(')');
            return Ok(());
        };
        if bindings.len() > MAX_PARAMETERS || model.parameters.len() > MAX_PARAMETERS {
            return Err(format!("an invocation of `{}` binds more than {MAX_PARAMETERS} parameters", model.name));
        }
        if let Some(other) = bindings.iter().find(|it| !model.parameters.contains(&it.name)) {
            return Err(format!("`{}` has no parameter `{}`", model.name, other.name));
        }
        let _ = write!(self.out, "{}(", quoted(&model.name)?);
        for (at, parameter) in model.parameters.iter().enumerate() {
            self.out.push_str(if at > 0 { ", " } else { "" });
            match bindings.iter().find(|it| it.name == *parameter) {
                Some(binding) => self.logic(&binding.logic)?,
                None => self.out.push_str("null"),
            }
        }
        self.out.push(')');
        Ok(())
    }
}
