//! What is applied beside a model: files of decisions, and forms, told apart by their names.

use crate::binding::Annotations;
use crate::{Diagnostic, Limits, Options, dmn, form, parse};

/// Whether a file of this name is a form.
pub fn is_form(name: &str) -> bool {
    name.ends_with(".form") || name.ends_with(".json")
}

/// Takes a file into the options, under all names that a model may know it by. Gives what is worth telling of it.
///
/// # Errors
/// All findings: a DMN file that cannot be evaluated as drawn, a form whose data cannot be judged as it says.
pub fn beside(options: &mut Options, name: &str, content: &[u8]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    if is_form(file) {
        let mut read = form::read(content)?;
        let id = read.form.source.as_ref().and_then(|it| it.get("id")?.as_str()).map(str::to_owned);
        let stem = file.rsplit_once('.').map(|(stem, _)| stem.to_owned());
        let names = [id, stem, Some(file.to_owned()), Some(name.to_owned())];
        read.form.names = names.into_iter().flatten().collect();
        read.form.names.dedup();
        options.forms.push(read.form);
        return Ok(read.warnings);
    }
    let read = dmn::read(content, options.limits)?;
    options.decisions.push(read.decisions);
    Ok(read.warnings)
}

/// The files of forms that the annotations of a model name, each once; none of what is no model.
pub fn forms(xml: &[u8]) -> Vec<String> {
    let Ok(definitions) = parse(xml, Limits::default()) else { return Vec::new() };
    let mut files = Vec::new();
    for process in &definitions.processes {
        let elements = Annotations::read(&definitions, process, &mut Vec::new()).elements;
        for fields in elements.into_iter().filter_map(|it| it.form).filter(|it| it.described.is_none()) {
            files.extend(fields.file.filter(|it| !files.contains(it)));
        }
    }
    files
}
