//! Tracks the files that a run creates before its first update. If the run fails until then, they are removed, so that
//! the next attempt starts from the same state.

use std::path::{Path, PathBuf};

/// The folders and files that this process created and that did not exist before.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// The folders, outermost first.
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Traces {
    /// Creates the folder `dir` and its missing parents.
    pub(super) fn of_folder(dir: &Path) -> std::io::Result<Self> {
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let mut folders: Vec<_> = dir.ancestors().take_while(missing).collect();
        folders.reverse();
        let traces = Self {
            folders: folders.into_iter().map(Path::to_owned).collect(),
            files: Vec::new(),
        };
        std::fs::create_dir_all(dir).inspect_err(|_| traces.remove())?;
        Ok(traces)
    }

    /// Adds the file `path` to the traces.
    ///
    /// Only the process that holds the lock of the run folder may call this, because other processes create files
    /// with the same names.
    pub(super) fn add_file(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    /// Removes the files, newest first, and then the empty folders. A folder with other files in it stays.
    pub(super) fn remove(&self) {
        // Leftovers do no harm, because the next session overwrites them.
        for path in self.files.iter().rev() {
            let _ = std::fs::remove_file(path);
        }
        for path in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(path);
        }
    }
}
