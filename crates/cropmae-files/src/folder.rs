//! Folders that appear complete or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{builder, parent, sync_folder};

/// A folder that gets its name only once it is complete.
///
/// It is filled under a hidden name beside the wanted one (`.NAME.XXXXXX.partial`). Without a successful
/// [`NewFolder::commit`] it is removed; only a program that is killed leaves such a folder behind.
#[derive(Debug)]
pub struct NewFolder {
    made: TempDir,
    wanted: PathBuf,
}

impl NewFolder {
    /// Makes an empty folder that is to become `wanted`, and the folders above it.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn create(wanted: &Path) -> io::Result<Self> {
        let beside = parent(wanted);
        fs::create_dir_all(beside)?;
        Ok(Self {
            made: builder(wanted, 0o777, |builder| builder.tempdir_in(beside))?,
            wanted: wanted.to_owned(),
        })
    }

    /// Where to write what goes into the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.made.path()
    }

    /// Gives the folder its name. The files in it must be on the disk by then: [`write`](crate::write) and
    /// [`NewFile`](crate::NewFile) see to that.
    ///
    /// # Errors
    /// Any error of the file system, in particular when a file or a folder with contents has the name; what
    /// was written is removed then.
    pub fn commit(self) -> io::Result<()> {
        sync_folder(self.made.path())?;
        fs::rename(self.made.path(), &self.wanted)?;
        // It has moved: there is nothing left to remove.
        let _ = self.made.keep();
        sync_folder(parent(&self.wanted))
    }
}
