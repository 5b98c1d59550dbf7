//! A table ready to run: its expressions parsed once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::condition::Condition;
use crate::decision;
use crate::form;
use crate::id::Digest;
use crate::table::{NodeIx, RoutingTable, TableError, UserTask};

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Compiled {
    table: RoutingTable,
    digest: Digest,
    conditions: Vec<Option<Condition>>,
    decisions: HashMap<Digest, Arc<decision::Compiled>>,
    forms: HashMap<Digest, Arc<form::Compiled>>,
    /// Parsed at their first use; all come from the table.
    expressions: Arc<RwLock<HashMap<String, feel::Expression>>>,
}

impl Compiled {
    /// Reads a table's bytes, checks them against `digest`, and parses its expressions.
    pub fn from_bytes(bytes: &[u8], digest: Digest) -> Result<Self, TableError> {
        if Digest::of(bytes) != digest {
            return Err(TableError::Unreadable("its hash is not the one it was asked for by".into()));
        }
        Self::new(RoutingTable::from_bytes(bytes)?, digest)
    }

    /// Parses the expressions of a table that is known to be well-formed.
    pub fn new(table: RoutingTable, digest: Digest) -> Result<Self, TableError> {
        let parse = |flow: &crate::table::Flow| {
            let parsed = flow.condition.as_ref().map(Condition::parse).transpose();
            parsed.map_err(|e| TableError::Unreadable(format!("condition of flow {}: {e}", flow.id)))
        };
        let conditions = table.flows.iter().map(parse).collect::<Result<_, _>>()?;
        let compile = |file: &decision::Decisions| {
            let compiled = decision::Compiled::new(file.clone());
            let compiled = compiled.map_err(|e| TableError::Unreadable(format!("decisions {}: {e}", file.name)))?;
            Ok::<_, TableError>((file.digest(), Arc::new(compiled)))
        };
        let decisions = table.decisions.iter().map(compile).collect::<Result<_, _>>()?;
        let fill = |form: &form::Form| {
            let compiled = form::Compiled::new(form.clone());
            let compiled = compiled.map_err(|e| TableError::Unreadable(format!("form field {}: {e}", e.field)))?;
            Ok::<_, TableError>((form.digest(), Arc::new(compiled)))
        };
        let forms = table.forms.iter().map(fill).collect::<Result<_, _>>()?;
        Ok(Self { table, digest, conditions, decisions, forms, expressions: Arc::default() })
    }

    /// A FEEL expression of this table, without its `=`.
    ///
    /// # Errors
    /// It does not parse: where and why.
    pub fn expression(&self, source: &str) -> Result<feel::Expression, String> {
        if let Some(known) = self.expressions.read().unwrap_or_else(PoisonError::into_inner).get(source) {
            return Ok(known.clone());
        }
        let parsed = feel::parse(source).map_err(|e| format!("expression {source:?}: {e}"))?;
        let mut expressions = self.expressions.write().unwrap_or_else(PoisonError::into_inner);
        expressions.insert(source.to_owned(), parsed.clone());
        Ok(parsed)
    }

    /// A file of decisions that this table carries.
    pub fn decisions(&self, file: Digest) -> Option<&decision::Compiled> {
        self.decisions.get(&file).map(Arc::as_ref)
    }

    /// The form of a user task: its own, or the one of the name that was computed when it opened.
    pub fn form(&self, task: &UserTask, name: Option<&str>) -> Option<Arc<form::Compiled>> {
        match (task.fields, name) {
            (Some(digest), _) => self.forms.get(&digest).cloned(),
            (None, Some(name)) => self.forms.values().find(|it| it.form().names.iter().any(|it| it == name)).cloned(),
            (None, None) => None,
        }
    }

    /// The table.
    pub fn table(&self) -> &RoutingTable {
        &self.table
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The parsed condition of a flow.
    pub fn condition(&self, flow: u32) -> Option<&Condition> {
        self.conditions.get(flow as usize)?.as_ref()
    }

    /// The node of an element.
    pub fn find(&self, element: &str) -> Option<NodeIx> {
        self.table.find(element)
    }
}
