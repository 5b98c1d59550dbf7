//! Where a service's program is: in the example's folder, beside flowctl, in `PATH`, or built by cargo.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::output;

/// A name with a slash is relative to the folder. A bare one is looked for beside flowctl, then in `PATH`; where
/// it is in neither and flowctl itself was built by cargo, it is built to stand beside flowctl.
pub(super) async fn find(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    if name.contains('/') {
        let path = folder.join(name);
        return std::path::absolute(&path).with_context(|| format!("cannot find {}", path.display()));
    }
    let own = std::env::current_exe().context("cannot find flowctl's own folder")?;
    let beside = own.with_file_name(name);
    if beside.is_file() {
        return Ok(beside);
    }
    if let Some(found) = in_path(name) {
        return Ok(found);
    }
    let Some(build) = Build::like(&own) else {
        bail!("there is no program `{name}`: neither beside flowctl nor in PATH");
    };
    build.run(folder, name).await?;
    Ok(build.folder.join(name))
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A cargo build into the folder where flowctl itself is.
#[derive(Debug, PartialEq, Eq)]
struct Build {
    folder: PathBuf,
    target: PathBuf,
    release: bool,
}

impl Build {
    /// The build that flowctl came out of, told by its path `TARGET/{debug,release}/flowctl`.
    fn like(own: &Path) -> Option<Self> {
        let folder = own.parent()?;
        let release = match folder.file_name()?.to_str()? {
            "release" => true,
            "debug" => false,
            _ => return None,
        };
        Some(Self { folder: folder.to_owned(), target: folder.parent()?.to_owned(), release })
    }

    /// Builds one program of the workspace that `from` belongs to.
    async fn run(&self, from: &Path, name: &str) -> anyhow::Result<()> {
        output::note(format_args!("building `{name}`"));
        let mut command = Command::new("cargo");
        command.args(["build", "--bin", name, "--target-dir"]).arg(&self.target).current_dir(from);
        if self.release {
            command.arg("--release");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let status = command.status().await.with_context(|| format!("cannot find or build the program `{name}`"))?;
        if !status.success() {
            bail!("there is no program `{name}`: neither beside flowctl nor in PATH, and cargo cannot build it");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_in_the_folder_or_in_path() {
        let found = find(Path::new("/example"), "./serve.sh").await.unwrap();
        assert_eq!(found, Path::new("/example/./serve.sh").components().collect::<PathBuf>());
        assert!(find(Path::new("/example"), "sh").await.unwrap().is_absolute());
    }

    #[test]
    fn a_build_is_like_the_one_flowctl_came_out_of() {
        let build = Build::like(Path::new("/w/target/release/flowctl")).unwrap();
        assert_eq!((build.target, build.release), (PathBuf::from("/w/target"), true));
        assert_eq!(Build::like(Path::new("/usr/bin/flowctl")), None);
    }
}
