//! The chart of `deploy/istio`, as it was when flowctl was built, rendered as Helm renders it.
//!
//! Its templates are Go's; what Helm adds to them and the chart uses is in [`functions`]. A function that is not there is an error of the
//! template that calls it.

mod functions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use gotmpl::Value as Datum;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../deploy/istio/", $path)))),*]
    };
}

/// The names that templates share.
const NAMES: &str = include_str!("../../../deploy/istio/templates/_names.tpl");
/// The values' defaults.
pub(crate) const DEFAULTS: &str = include_str!("../../../deploy/istio/values.yaml");
/// What the values may be.
pub(crate) const SCHEMA: &str = include_str!("../../../deploy/istio/values.schema.json");
const ABOUT: &str = include_str!("../../../deploy/istio/Chart.yaml");
const TEMPLATES: [(&str, &str); 8] = files![
    "templates/access.yaml",
    "templates/flowd.yaml",
    "templates/gateway.yaml",
    "templates/observability.yaml",
    "templates/options.yaml",
    "templates/users.yaml",
    "templates/webhook.yaml",
    "templates/workflows.yaml",
];
/// What templates read.
const FILES: [(&str, &str); 3] =
    files!["observability/alerts.yaml", "observability/overview.json", "observability/workflow.json"];

/// What the chart is rendered for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    /// Who manages the objects.
    pub(crate) manager: &'a str,
}

/// The objects, in the order of the templates; `values` are all values, defaults included.
///
/// # Errors
/// When the chart says that the values do not go together.
pub(crate) fn render(release: Release<'_>, values: &Value) -> anyhow::Result<Vec<Value>> {
    let about: Value = serde_saphyr::from_str(ABOUT).context("Chart.yaml")?;
    let data = functions::datum(&json!({
        "Values": values,
        "Release": {"Name": release.name, "Namespace": release.namespace, "Service": release.manager},
        "Chart": {"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
        "Files": FILES.into_iter().collect::<BTreeMap<_, _>>(),
    }));
    let mut objects = Vec::new();
    for (name, source) in TEMPLATES {
        let text = fill(name, source, &data)?;
        let found: Vec<Value> = serde_saphyr::from_multiple(&text).with_context(|| format!("{name} gives no YAML"))?;
        objects.extend(found.into_iter().filter(|it| !it.is_null()));
    }
    Ok(objects)
}

/// The version of what the chart installs.
pub(crate) fn version() -> anyhow::Result<String> {
    let about: Value = serde_saphyr::from_str(ABOUT).context("Chart.yaml")?;
    Ok(about["appVersion"].as_str().unwrap_or_default().to_owned())
}

fn fill(name: &str, source: &str, data: &Datum) -> anyhow::Result<String> {
    let template = functions::template(name, &[NAMES, source]).map_err(|error| anyhow!("{name}: {error}"))?;
    let text = template.execute_to_string(data).map_err(|error| match functions::refusal(&error) {
        // the chart's own word about the values
        Some(refusal) => Failure::new(Exit::Invalid, refusal).into(),
        None => anyhow!("{name}: {error}"),
    })?;
    // as Helm has it: what has no value is nothing
    Ok(text.replace("<no value>", ""))
}
