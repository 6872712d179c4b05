//! What a run has put on the disk before its first update. When nothing comes of it, these traces go again,
//! so that the next try finds the place as the first one did.

use std::path::{Path, PathBuf};

/// Folders and files that this process has made, and that were not there before.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Outermost first.
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Traces {
    /// Makes the folder `dir` and those above it.
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

    /// Counts the file `path` among the traces. Only who holds the run folder's lock may do so: others make
    /// files of the same names.
    pub(super) fn add_file(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    /// Removes the files, newest first, and those folders that are empty then: whatever else came into them
    /// is not ours.
    pub(super) fn remove(&self) {
        // What cannot be removed does no harm: the next session writes it anew.
        for path in self.files.iter().rev() {
            let _ = std::fs::remove_file(path);
        }
        for path in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(path);
        }
    }
}
