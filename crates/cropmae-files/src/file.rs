//! Files that appear complete or not at all.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{builder, parent, sync_folder};

/// A file that gets its name only once it is complete, in place of the file that has the name.
///
/// It is written under a hidden name beside the wanted one (`.NAME.XXXXXX.partial`). Without a successful
/// [`NewFile::commit`] it is removed; only a program that is killed leaves such a file behind.
#[derive(Debug)]
pub struct NewFile {
    made: NamedTempFile,
    wanted: PathBuf,
}

impl NewFile {
    /// Makes an empty file that is to become `wanted`.
    ///
    /// # Errors
    /// Any error of the file system, in particular when there is no folder to put it in.
    pub fn create(wanted: &Path) -> io::Result<Self> {
        Ok(Self {
            made: builder(wanted, 0o666, |builder| builder.tempfile_in(parent(wanted)))?,
            wanted: wanted.to_owned(),
        })
    }

    /// Waits until the file is on the disk, then gives it its name.
    ///
    /// # Errors
    /// Any error of the file system; what has the name is intact then, and what was written is removed.
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
