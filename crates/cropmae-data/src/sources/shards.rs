//! Tar archives of images that follow the naming of WebDataset.
//!
//! The headers of an archive are read once. After that, an image takes one read at a known position, so shards are
//! shuffled, resumed and shared between processes exactly as a folder is. A folder and the shards packed from it give
//! the same batches.

pub(crate) mod gzip;
mod index;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use self::index::Index;
use super::names::Names;
use super::{Content, FileBytes, Opened, Picture, Source, count, positioned};
use crate::fingerprint::Fingerprint;
use crate::{BadFile, DataError};

/// The largest number of archives that are kept open, well below the usual limit of 1024 open files.
///
/// If there are more, each read opens its archive.
const KEPT_OPEN: usize = 256;

/// A source in which every image in the archives is a sample.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Vec<Shard>,
    len: usize,
}

/// A tar archive.
#[derive(Debug)]
struct Shard {
    /// The path that the user knows.
    path: PathBuf,
    /// The path of the uncompressed archive, which is the same path or that of an unpacked copy.
    plain: PathBuf,
    open: Option<File>,
    /// The number of the first image among those of all archives.
    first: usize,
    names: Names,
    spans: Vec<(u64, u64)>,
}

impl Shards {
    /// Lists the archives at `paths`, in this order.
    pub(crate) fn list(root: &Path, paths: &[PathBuf]) -> Result<Opened, DataError> {
        Self::list_with_cache(root, paths, &gzip::cache_folder())
    }

    fn list_with_cache(root: &Path, paths: &[PathBuf], cache: &Path) -> Result<Opened, DataError> {
        let indexed: Vec<io::Result<(PathBuf, Index)>> = paths
            .par_iter()
            .map(|path| {
                let plain = if gzip::is_compressed(path) {
                    gzip::unpacked(path, cache)?
                } else {
                    path.clone()
                };
                let index = Index::of(&plain)?;
                Ok((plain, index))
            })
            .collect();
        let mut this = Self {
            shards: Vec::new(),
            len: 0,
        };
        let (mut left_out, mut bad_parts, mut bad_files) = (0, Vec::new(), Vec::new());
        for (path, indexed) in paths.iter().zip(indexed) {
            let broken = |reason| BadFile {
                path: path.clone(),
                reason,
            };
            let (plain, index) = match indexed {
                Ok(indexed) => indexed,
                Err(error) => {
                    bad_parts.push(broken(format!("cannot read: {error}")));
                    continue;
                }
            };
            bad_parts.extend(index.broken.map(broken));
            bad_files.extend(index.bad_entries.into_iter().map(|(name, reason)| BadFile {
                // Joining an absolute name would replace the path of the shard.
                path: path.join(name.strip_prefix("/").unwrap_or(&name)),
                reason,
            }));
            left_out += index.other_files;
            let first = this.len;
            this.len += index.spans.len();
            this.shards.push(Shard {
                path: path.clone(),
                open: (paths.len() <= KEPT_OPEN)
                    .then(|| File::open(&plain).ok())
                    .flatten(),
                plain,
                first,
                names: index.names,
                spans: index.spans,
            });
        }
        if this.len == 0 && bad_parts.is_empty() {
            return Err(DataError::NoImages {
                path: root.to_owned(),
                parts: paths.len(),
                other_files: left_out,
            });
        }
        Ok(Opened {
            left_out,
            bad_files,
            bad_parts,
            parts: paths.len(),
            source: Box::new(this),
        })
    }

    fn place(&self, sample: usize) -> (&Shard, usize) {
        let shard = self.shards.partition_point(|shard| shard.first <= sample) - 1;
        let shard = &self.shards[shard];
        (shard, sample - shard.first)
    }
}

impl Source for Shards {
    fn len(&self) -> usize {
        self.len
    }

    fn describe(&self) -> String {
        let (images, shards) = (self.len, self.shards.len());
        format!(
            "{} in {}",
            count(images, "image"),
            count(shards, "tar shard")
        )
    }

    fn name(&self, sample: usize) -> PathBuf {
        let (shard, index) = self.place(sample);
        shard.names.get(index)
    }

    fn fingerprint(&self, hash: &mut Fingerprint) {
        for shard in &self.shards {
            for (name, (_, size)) in shard.names.iter().zip(&shard.spans) {
                hash.add(&name, *size);
            }
        }
    }

    fn read(&self, sample: usize) -> Result<Picture, BadFile> {
        let (shard, index) = self.place(sample);
        let (offset, size) = shard.spans[index];
        let path = || shard.path.join(shard.names.get(index));
        let read = FileBytes::filled(|bytes| {
            bytes.resize(size as usize, 0);
            match &shard.open {
                Some(file) => positioned::read_exact_at(file, bytes, offset),
                None => positioned::read_exact_at(&File::open(&shard.plain)?, bytes, offset),
            }
        });
        match read {
            Ok(bytes) => Ok(Picture {
                path: path(),
                content: Content::Encoded(bytes),
            }),
            Err(error) => Err(BadFile {
                path: path(),
                reason: format!("cannot read the image in its shard: {error}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
