//! A writer of tar shards with a limited size.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// An image to write into a shard.
pub(super) struct Entry {
    pub(super) name: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) resized: bool,
}

/// A writer of the shards of a folder, one after the other.
pub(super) struct ShardWriter<'a> {
    folder: &'a Path,
    shard_bytes: u64,
    open: Option<tar::Builder<BufWriter<File>>>,
    in_open: u64,
    shards: usize,
    bytes: u64,
}

impl<'a> ShardWriter<'a> {
    pub(super) fn new(folder: &'a Path, shard_bytes: u64) -> Self {
        Self {
            folder,
            shard_bytes,
            open: None,
            in_open: 0,
            shards: 0,
            bytes: 0,
        }
    }

    /// Appends an image. Starts a new shard if the open one is full.
    pub(super) fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if self.in_open >= self.shard_bytes {
            self.close()?;
        }
        let shard = match &mut self.open {
            Some(shard) => shard,
            None => {
                let name = format!("shard-{:06}.tar", self.shards);
                self.shards += 1;
                let file = File::create_new(self.folder.join(name))?;
                self.open.insert(tar::Builder::new(BufWriter::new(file)))
            }
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.bytes.len() as u64);
        header.set_mode(0o644);
        shard.append_data(&mut header, &entry.name, entry.bytes.as_slice())?;
        self.in_open += 512 + entry.bytes.len().next_multiple_of(512) as u64;
        Ok(())
    }

    /// Writes the end of the open shard and waits until it is on disk.
    fn close(&mut self) -> io::Result<()> {
        if let Some(shard) = self.open.take() {
            let mut writer = shard.into_inner()?;
            writer.flush()?;
            let file = writer.into_inner().map_err(|error| error.into_error())?;
            file.sync_all()?;
            self.bytes += file.metadata()?.len();
            self.in_open = 0;
        }
        Ok(())
    }

    /// Closes the last shard. Returns the number of shards and their total size in bytes.
    pub(super) fn finish(mut self) -> io::Result<(usize, u64)> {
        self.close()?;
        Ok((self.shards, self.bytes))
    }
}
