//! BPMN 2.0 XML to a model, to diagnostics, to routing tables.
//!
//! [`check`] is the one verdict on a file: flowd, flowctl and the tests all call it, and nothing
//! else decides whether a process can run. It is a pure function of the file's bytes and
//! [`Options`]. Below it stand, in the order in which a file passes them:
//!
//! * [`mod@parse`]: untrusted bytes to the model, within limits.
//! * [`model`]: BPMN's own metamodel, permissive: it holds what cannot be executed, too.
//! * [`binding`]: which service does a task, out of annotations and vendors' extensions.
//! * `lint`: the rules; each finding is a [`Diagnostic`] with a stable rule id.
//! * `soundness`: whether what is drawn can get stuck, by playing it.
//! * [`compile`]: one routing table per task and one for the ledger.
//!
//! [`workloads`] tells what has to run for it in a cluster.
//!
//! [`mod@import`] reads models of other engines, and says what of them runs here.
//! [`dmn`] reads the decisions that stand beside a process, for its business rule tasks, [`mod@form`] the forms of its user tasks.
//!
//! What is accepted runs as drawn; what cannot run so is refused, never reinterpreted.

mod beside;
pub mod binding;
pub mod compile;
pub mod diagnostic;
pub mod dmn;
pub mod form;
mod graph;
pub mod import;
mod lint;
pub mod model;
pub mod parse;
mod soundness;
mod workload;

pub use beside::{beside, forms, is_form};
pub use compile::{Checked, Options, ProcessDefinition, Table, check};
pub use diagnostic::{CATALOGUE, Diagnostic, Rule, Severity};
pub use import::{Dialect, Import, import};
pub use parse::{Limits, parse};
pub use workload::{Origin, Workload, workloads};
