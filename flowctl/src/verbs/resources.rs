//! What a model refers to and stands beside it: decisions and forms.

use std::path::Path;

use anyhow::Context as _;

use super::apply::named;
use crate::client::Resource;
use crate::payload;

/// Whether a file that is named is a decision or a form, and not a model.
pub(crate) fn is_resource(path: &Path) -> bool {
    in_folder(path) || path.extension().is_some_and(|extension| extension == "json")
}

/// Whether a file of a folder is meant with the folder's models; JSON may be anything, unless a model names it.
pub(super) fn in_folder(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "dmn" || extension == "form")
}

/// What stands in the folder of a model, and the forms that it names.
pub(crate) fn resources_beside(model: &Path, source: &[u8]) -> anyhow::Result<Vec<Resource>> {
    let read = |path: std::path::PathBuf| {
        let name = path.display().to_string();
        payload::read_source(&name).map(|content| (name, content))
    };
    let found = named(folder_of(model), in_folder)?.into_iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    with_forms(&model.display().to_string(), source, &found)
}

/// What is given, and the forms that the model names and that lie beside it. One that does not is flowd's to tell: the model may run without.
pub(super) fn with_forms(model: &str, source: &[u8], given: &[Resource]) -> anyhow::Result<Vec<Resource>> {
    let mut all = given.to_vec();
    for file in bpmn::forms(source) {
        let path = folder_of(Path::new(model)).join(&file);
        let is_given = given.iter().any(|(name, _)| Path::new(name) == path || Path::new(name).ends_with(&file));
        if !is_given && path.is_file() {
            let name = path.display().to_string();
            let content = payload::read_source(&name).with_context(|| format!("{model} names the form {file}"))?;
            all.push((file, content));
        }
    }
    Ok(all)
}

/// Of standard input it is the current folder.
fn folder_of(model: &Path) -> &Path {
    model.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_that_a_model_names_is_taken_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("m.bpmn");
        let xml = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="t"><process id="p" isExecutable="true">
            <userTask id="T"/><userTask id="U"/><textAnnotation id="N"><text>rexflow: {fields: {file: forms/a.json}}</text></textAnnotation>
            <association id="A" sourceRef="T" targetRef="N"/><textAnnotation id="O"><text>rexflow: {fields: {file: gone.json}}</text></textAnnotation>
            <association id="B" sourceRef="U" targetRef="O"/></process></definitions>"#;
        std::fs::create_dir(folder.path().join("forms")).unwrap();
        for (name, content) in
            [("m.bpmn", xml), ("forms/a.json", "[]"), ("package.json", "{}"), ("b.form", "{}"), ("c.dmn", "")]
        {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let names = |all: Vec<Resource>| all.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let beside = names(resources_beside(&model, xml.as_bytes()).unwrap());
        let full = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(beside, [full("b.form"), full("c.dmn"), "forms/a.json".to_owned()]);
        let given = vec![(full("forms/a.json"), Vec::new())];
        let model = model.display().to_string();
        assert_eq!(names(with_forms(&model, xml.as_bytes(), &given).unwrap()), [full("forms/a.json")]);
        assert!(is_resource(Path::new("x.json")) && !in_folder(Path::new("x.json")));
    }
}
