//! A table ready to run: its expressions parsed once.

use crate::condition::Condition;
use crate::id::Digest;
use crate::table::{NodeIx, RoutingTable, TableError};

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Compiled {
    table: RoutingTable,
    digest: Digest,
    conditions: Vec<Option<Condition>>,
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
        Ok(Self { table, digest, conditions })
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
