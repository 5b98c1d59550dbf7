//! `flowctl inject` and `uninject`: the sidecar into manifests and out again, without a cluster. The rules are the webhook's own.

use anyhow::Context as _;
use clap::Args;
use control_plane::kubernetes::{CONTROL_PORT, Flags, HopTls, Orchestrator, Settings, inject};
use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::output::{self, value};
use crate::payload;

/// Put the sidecar into the pods of Kubernetes manifests
#[derive(Debug, Args)]
pub(crate) struct Inject {
    /// Manifests, YAML or JSON; - for standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<String>,

    /// The namespace that flowd is in
    #[arg(long, value_name = "NAME", default_value = "rexflow")]
    mesh: String,

    /// Port of flowd where sidecars attach
    #[arg(long, value_name = "PORT", default_value_t = CONTROL_PORT)]
    port: u16,

    /// The image of the sidecar [default: the one of this version]
    #[arg(long, value_name = "IMAGE")]
    sidecar_image: Option<String>,

    /// Whether Istio is in the pods, too
    #[arg(long)]
    istio: bool,

    /// Who encrypts the hops: Istio's proxies, or the sidecars themselves [default: mesh with --istio, else own]
    #[arg(long, value_enum)]
    hop_tls: Option<HopTls>,
}

impl Inject {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Self { files, mesh, port, sidecar_image, istio, hop_tls } = self;
        let orchestrator = if istio { Orchestrator::Istio } else { Orchestrator::Kubernetes };
        let mut flags = Flags { orchestrator, namespace: mesh, hop_tls, ..Flags::default() };
        if let Some(image) = sidecar_image {
            flags.sidecar_image = image;
        }
        let settings = Settings::of(&flags, port);
        let mut skipped = Vec::new();
        changed(&files, |object| inject::manifest(object, &settings, &mut skipped))?;
        for why in skipped {
            output::note(format_args!("note: no sidecar for {why}"));
        }
        Ok(Exit::Ok)
    }
}

/// Take the sidecar out of the pods of Kubernetes manifests
#[derive(Debug, Args)]
pub(crate) struct Uninject {
    /// Manifests, YAML or JSON; - for standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<String>,
}

impl Uninject {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        changed(&self.files, inject::clean)?;
        Ok(Exit::Ok)
    }
}

/// Prints every object of the files, changed.
fn changed(files: &[String], mut change: impl FnMut(&Value) -> Value) -> anyhow::Result<()> {
    let mut text = String::new();
    for name in files {
        for object in objects(name)? {
            text += "---\n";
            text += &value::yaml(&change(&object))?;
        }
    }
    output::data(&text)
}

/// The objects of a file of manifests.
fn objects(name: &str) -> anyhow::Result<Vec<Value>> {
    let bytes = payload::read_source(name)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{name} is no text"))?;
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| {
        Failure::new(Exit::Invalid, format!("{name} is no YAML: {error}")).hint("give manifests as kubectl takes them")
    })?;
    Ok(all.into_iter().filter(|it| !it.is_null()).collect())
}

/// What a cluster would run for an accepted model, as YAML.
pub(crate) fn rendered(xml: &[u8], checked: &bpmn::Checked) -> anyhow::Result<String> {
    let flags = Flags { orchestrator: Orchestrator::Istio, ..Flags::default() };
    let objects = control_plane::kubernetes::objects::render(xml, checked, &Settings::of(&flags, CONTROL_PORT));
    let mut text = String::new();
    for object in objects {
        text += "---\n";
        text += &value::yaml(&object)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_go_through_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.yaml");
        let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {app: a}\nspec:\n  containers:\n  - name: a\n    \
                    image: a:1\n    ports: [{containerPort: 5000}]\n---\nkind: ConfigMap\nmetadata: {name: c}\n";
        std::fs::write(&file, text).unwrap();
        let before = objects(&file.display().to_string()).unwrap();
        assert_eq!(before.len(), 2);
        let settings = Settings::of(&Flags::default(), CONTROL_PORT);
        let mut skipped = Vec::new();
        let after: Vec<Value> = before.iter().map(|it| inject::manifest(it, &settings, &mut skipped)).collect();
        let written: String = after.iter().map(|it| format!("---\n{}", value::yaml(it).unwrap())).collect();
        std::fs::write(&file, written).unwrap();
        let read = objects(&file.display().to_string()).unwrap();
        assert_eq!(read, after, "YAML says the same");
        let clean: Vec<Value> = read.iter().map(inject::clean).collect();
        assert_eq!(clean, before);
    }
}
