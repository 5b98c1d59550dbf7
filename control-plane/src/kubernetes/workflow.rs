//! The custom resource `Workflow`: a model that is applied by whoever may write to the API server, beside flowctl, and into the same ledger.
//!
//! * `resource`: what stands in it; `seen`: what the API server has told; `source`: the model that a spec means. Pure.
//! * `versions`: what becomes of earlier versions; `status`: what a Workflow says of itself. Pure.
//! * `watches`: from the API server; `controller`: one look after another at each Workflow, as far as something has changed.
//!
//! What is applied, swapped, retired and forgotten is `operations`' to do; whose a deployment is stands in the ledger. Only the flowd that leads
//! looks. A Workflow that is deleted stays until its deployments are gone, and its condition Ready says what that waits for.

mod controller;
mod resource;
mod seen;
mod source;
mod status;
#[cfg(test)]
mod tests;
mod versions;
mod watches;

pub(super) use controller::run;
