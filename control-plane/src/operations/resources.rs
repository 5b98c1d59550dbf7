//! What is applied beside a model: files of decisions, and forms.

use bpmn::{Diagnostic, Options};
use bytes::Bytes;

/// Files that one call may bring.
const MAX_FILES: usize = 256;

/// A file beside a model.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// Its name; the extension says what it is.
    pub(crate) name: String,
    pub(crate) content: Bytes,
}

/// Reads them into the options of the judgement; gives what is worth telling.
///
/// # Errors
/// What speaks against them.
pub(crate) fn read(resources: &[Resource], options: &mut Options) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let mut warnings = Vec::new();
    for Resource { name, content } in resources.iter().take(MAX_FILES) {
        // positions are of this file, and the answer is about the model: the message says so
        let of_file = |mut it: Diagnostic| {
            it.message = format!("{name}:{}:{}: {}", it.line, it.column, it.message);
            it
        };
        match bpmn::beside(options, name, content) {
            Ok(found) => warnings.extend(found.into_iter().map(of_file)),
            Err(found) => return Err(found.into_iter().map(of_file).collect()),
        }
    }
    Ok(warnings)
}
