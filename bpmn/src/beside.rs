//! What is applied beside a model: files of decisions, and forms, told apart by their names.

use routing::Digest;

use crate::{Diagnostic, Options, dmn};

/// Takes a file into the options, under all names that a model may know it by. Gives what is worth telling of it.
///
/// # Errors
/// All findings: a DMN file that cannot be evaluated as drawn.
pub fn beside(options: &mut Options, name: &str, content: &[u8]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    if let Some(stem) = name.strip_suffix(".form") {
        let json: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
        let id = json.get("id").and_then(|it| it.as_str());
        let names = [id, Some(stem), Some(name)].into_iter().flatten();
        options.forms.extend(names.map(|it| (it.to_owned(), Digest::of(content))));
        return Ok(Vec::new());
    }
    let read = dmn::read(content, options.limits)?;
    options.decisions.push(read.decisions);
    Ok(read.warnings)
}
