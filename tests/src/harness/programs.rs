//! Where the programs are: built once, with the profile and target folder of the running test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The programs of the product and of its examples.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds them the first time it is called. `FLOW_BIN_DIR` names a folder that has them already.
    pub fn get() -> &'static Programs {
        static PROGRAMS: OnceLock<Programs> = OnceLock::new();
        PROGRAMS.get_or_init(|| match std::env::var_os("FLOW_BIN_DIR") {
            Some(folder) => Programs { folder: folder.into() },
            None => build(),
        })
    }

    /// Path of `flowd`.
    pub fn flowd(&self) -> PathBuf {
        self.folder.join("flowd")
    }

    /// Path of `flow-sidecar`.
    pub fn sidecar(&self) -> PathBuf {
        self.folder.join("flow-sidecar")
    }

    /// Path of `flowctl`.
    pub fn flowctl(&self) -> PathBuf {
        self.folder.join("flowctl")
    }
}

/// `target/PROFILE` of the running test, which lies in `target/PROFILE/deps`.
fn own_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    if folder.ends_with("deps") { folder.parent().unwrap().into() } else { folder.into() }
}

fn build() -> Programs {
    let folder = own_folder();
    let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // The whole workspace, so that its crates have the features that `cargo test --workspace` has built them with.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--workspace", "--bins", "--locked", "--quiet", "--profile", profile]);
    cargo.arg("--target-dir").arg(folder.parent().unwrap()).current_dir(root);
    // What cargo has set for this program would be news to build scripts that look at it, and all that is behind them be built anew.
    let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        cargo.env_remove(name);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "cannot build the programs: {}", String::from_utf8_lossy(&output.stderr));
    Programs { folder }
}
