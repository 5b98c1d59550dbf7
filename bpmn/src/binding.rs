//! Which service does a task, and how it is called.
//!
//! Three sources, the first that is there wins: REXFlow's text annotation (`rexflow: service:`),
//! `zeebe:taskDefinition` with `zeebe:taskHeaders`, `camunda:connector`. Annotations also carry the
//! settings of a whole process (`rexflow_global_properties`). This module reads and checks them;
//! it resolves no name and calls nothing. What it promises: no key of an annotation is dropped
//! silently; each is used, or named by a diagnostic.

mod annotation;
mod closure;
mod element;
mod extension;
mod global;
mod listener;
mod name;
mod yaml;

pub use closure::{Parameter, ParameterType};
pub use element::{Call, ElementAnnotation, Fields, Health, Service, Topic};
pub use global::{ConditionLanguage, Durability, GlobalProperties};
pub use name::safe_name;

pub(crate) use closure::parameters;
pub(crate) use extension::{TaskBinding, TypedTask, connector_element, milliseconds, of_task};
pub(crate) use listener::{Listener, listeners};

use crate::diagnostic::Diagnostic;
use crate::model::{Definitions, Process};

/// Whether an annotation's key is a setting of the whole process.
pub(crate) fn is_global(key: &str) -> bool {
    global::KEYS.contains(&key)
}

/// Everything that annotations say about one process.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    /// Whether the process has any REXFlow annotation: the original's defaults hold then.
    pub dialect: bool,
    /// The settings of the whole process.
    pub global: GlobalProperties,
    /// Each node's annotation, by index into [`Process::nodes`].
    pub elements: Vec<ElementAnnotation>,
}

impl Annotations {
    /// Those of a process that has none.
    pub(crate) fn none(process: &Process) -> Annotations {
        Annotations { elements: vec![ElementAnnotation::default(); process.nodes.len()], ..Annotations::default() }
    }

    /// Reads the annotations of `process`.
    pub fn read(definitions: &Definitions, process: &Process, out: &mut Vec<Diagnostic>) -> Annotations {
        annotation::read(definitions, process, out)
    }
}
