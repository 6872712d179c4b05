//! Folders that are never visible half-written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{builder, parent, sync_folder};

/// A folder that gets its name only once it is complete.
///
/// It is filled under a hidden name in the same parent folder (`.NAME.XXXXXX.partial`). If there is no successful
/// [`NewFolder::commit`], it is removed on drop. Only a killed program leaves such a folder behind.
#[derive(Debug)]
pub struct NewFolder {
    made: TempDir,
    wanted: PathBuf,
}

impl NewFolder {
    /// Creates an empty folder that will become `wanted`, and missing parent folders.
    ///
    /// # Errors
    /// Returns any error of the file system.
    pub fn create(wanted: &Path) -> io::Result<Self> {
        let beside = parent(wanted);
        fs::create_dir_all(beside)?;
        Ok(Self {
            made: builder(wanted, 0o777, |builder| builder.tempdir_in(beside))?,
            wanted: wanted.to_owned(),
        })
    }

    /// Returns the current path of the folder, to write files into it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.made.path()
    }

    /// Renames the folder.
    ///
    /// The files in it must already be on disk. [`write`](crate::write) and [`NewFile`](crate::NewFile) ensure this.
    ///
    /// # Errors
    /// Returns any error of the file system, for example if there is a file or a folder that is not empty with this
    /// name. The new folder is then removed.
    pub fn commit(self) -> io::Result<()> {
        sync_folder(self.made.path())?;
        fs::rename(self.made.path(), &self.wanted)?;
        // The folder was renamed, so there is nothing to remove.
        let _ = self.made.keep();
        sync_folder(parent(&self.wanted))
    }
}
