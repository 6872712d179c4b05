//! Files that are never visible half-written.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{builder, parent, sync_folder};

/// A file that gets its name only once it is complete, and then replaces any file with this name.
///
/// It is written under a hidden name in the same folder (`.NAME.XXXXXX.partial`). If there is no successful
/// [`NewFile::commit`], it is removed on drop. Only a killed program leaves such a file behind.
#[derive(Debug)]
pub struct NewFile {
    made: NamedTempFile,
    wanted: PathBuf,
}

impl NewFile {
    /// Creates an empty file that will become `wanted`.
    ///
    /// # Errors
    /// Returns any error of the file system, for example if the folder does not exist.
    pub fn create(wanted: &Path) -> io::Result<Self> {
        Ok(Self {
            made: builder(wanted, 0o666, |builder| builder.tempfile_in(parent(wanted)))?,
            wanted: wanted.to_owned(),
        })
    }

    /// Waits until the file is on disk, and then renames it.
    ///
    /// # Errors
    /// Returns any error of the file system. The old file is then intact, and the new one is removed.
    pub fn commit(self) -> io::Result<()> {
        self.made.as_file().sync_all()?;
        self.made.persist(&self.wanted)?;
        sync_folder(parent(&self.wanted))
    }

    fn file(&mut self) -> &mut File {
        self.made.as_file_mut()
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

impl Seek for NewFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file().seek(to)
    }
}
