//! Tells when a model file has changed, for `flowctl dev` to apply it again.
//!
//! Editors replace files instead of writing them, so the folders are watched and not the files. A burst of
//! events is one change. What is told may have changed back: whoever listens reads the file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::verbs::is_resource;

/// Events this close together are one change.
const SETTLE: Duration = Duration::from_millis(150);

/// Events that may wait; more than that are the same files again, or told with a later one.
const WAITING: usize = 256;

/// Watches some files.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Canonical path -> as it was named.
    files: Vec<(PathBuf, PathBuf)>,
    events: mpsc::Receiver<Event>,
    /// Stops watching when dropped.
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Begins to watch; files that do not exist cannot be watched.
    pub(crate) fn start(files: &[PathBuf]) -> anyhow::Result<Self> {
        let (sender, events) = mpsc::channel(WAITING);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if let Ok(event) = event
                && !event.kind.is_access()
            {
                let _ = sender.try_send(event);
            }
        })
        .context("cannot watch files for changes")?;
        let mut named = Vec::new();
        for file in files {
            let full = file.canonicalize().with_context(|| format!("cannot watch {}", file.display()))?;
            named.push((full, file.clone()));
        }
        let folders: BTreeSet<&Path> = named.iter().filter_map(|(full, _)| full.parent()).collect();
        for folder in folders {
            watcher
                .watch(folder, RecursiveMode::NonRecursive)
                .with_context(|| format!("cannot watch {}", folder.display()))?;
        }
        Ok(Self { files: named, events, _watcher: watcher })
    }

    /// The files of the next burst of changes, as they were named; never returns without one.
    pub(crate) async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            let Some(first) = self.events.recv().await else {
                return std::future::pending().await;
            };
            let mut paths: BTreeSet<PathBuf> = first.paths.into_iter().collect();
            let settled = Instant::now() + SETTLE;
            while let Ok(Some(event)) = timeout_at(settled, self.events.recv()).await {
                paths.extend(event.paths);
            }
            // decisions and forms belong to the models of their folder
            let beside = |full: &Path| paths.iter().any(|it| it.parent() == full.parent() && is_resource(it));
            let changed = self.files.iter().filter(|(full, _)| paths.contains(full) || beside(full));
            let changed: Vec<PathBuf> = changed.map(|(_, named)| named.clone()).filter(|file| file.exists()).collect();
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_replaced_file_is_told_once_and_its_neighbour_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("order.bpmn");
        std::fs::write(&file, "1").unwrap();
        let mut watch = Watch::start(std::slice::from_ref(&file)).unwrap();
        std::fs::write(folder.path().join("other.txt"), "x").unwrap();
        std::fs::write(folder.path().join("new"), "2").unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();
        let changed = timeout(LIMIT, watch.changed()).await.expect("the change is told");
        assert_eq!(changed, [file]);
    }

    #[tokio::test]
    async fn a_form_that_changes_tells_the_models_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("order.bpmn");
        std::fs::write(&file, "1").unwrap();
        let mut watch = Watch::start(std::slice::from_ref(&file)).unwrap();
        std::fs::write(folder.path().join("order.form"), "{}").unwrap();
        let changed = timeout(LIMIT, watch.changed()).await.expect("the change is told");
        assert_eq!(changed, [file]);
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = Watch::start(&[PathBuf::from("/nowhere/x.bpmn")]).expect_err("it does not exist");
        assert!(format!("{error:#}").contains("/nowhere/x.bpmn"));
    }
}
