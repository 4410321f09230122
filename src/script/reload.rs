//! Tells when a file of the script folder, or one that scripts do not know of, has changed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use notify::{Event, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// How long the folder must be quiet: editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(100);

/// How long at most to wait for quiet, so that a change is live within a second.
const SETTLE: Duration = Duration::from_millis(500);

/// A watch on folders.
pub struct Watch {
    _watcher: notify::RecommendedWatcher,
    changes: mpsc::Receiver<()>,
    /// Something has changed, and nobody was told.
    has_changed: bool,
}

impl Watch {
    /// Watches the scripts in the folder that `script` is in and in those below it.
    pub fn new(script: &Path) -> notify::Result<Self> {
        Self::of([folder(script)], RecursiveMode::Recursive, concerns_a_script)
    }

    /// Watches the folders that these files are in. A file may be a link that is made anew in its folder.
    pub fn beside<'p>(files: impl Iterator<Item = &'p Path>) -> notify::Result<Self> {
        Self::of(files.map(folder), RecursiveMode::NonRecursive, |event| !event.kind.is_access())
    }

    fn of<'p>(
        folders: impl IntoIterator<Item = &'p Path>,
        mode: RecursiveMode,
        concerns_us: fn(&Event) -> bool,
    ) -> notify::Result<Self> {
        let (changed, changes) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| concerns_us(&event)) {
                // A full channel holds a change already.
                let _ = changed.try_send(());
            }
        })?;
        for folder in folders.into_iter().collect::<BTreeSet<_>>() {
            watcher.watch(folder, mode)?;
        }
        Ok(Self { _watcher: watcher, changes, has_changed: false })
    }

    /// Waits until a file has changed and the folder has been quiet since. Whoever stops waiting misses no change.
    pub async fn changed(&mut self) {
        if !self.has_changed && self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        self.has_changed = true;
        let quiet = async {
            while let Ok(Some(())) = tokio::time::timeout(QUIET, self.changes.recv()).await {}
        };
        // Busy or not, the check decides whether the files are whole.
        let _ = tokio::time::timeout(SETTLE, quiet).await;
        self.has_changed = false;
    }
}

fn folder(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn concerns_a_script(event: &Event) -> bool {
    let is_script =
        |path: &std::path::PathBuf| path.extension().is_some_and(|ending| ending == "rhai");
    !event.kind.is_access() && event.paths.iter().any(is_script)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn a_change_outlives_whoever_stops_waiting_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(&folder.path().join("route.rhai")).unwrap();
        let (change, changes) = mpsc::channel(1);
        watch.changes = changes;
        change.try_send(()).unwrap();
        let first = pin!(watch.changed()).poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending(), "it waits for quiet");
        let told = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
        assert!(told.is_ok());
    }
}
