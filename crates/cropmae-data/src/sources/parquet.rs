//! Parquet files in the layout of Hugging Face image data sets.
//!
//! They have a struct column (`image`) with the encoded `bytes` and the original `path`. A row cannot be read alone,
//! because its row group (about a hundred photos) is decompressed as a whole. An epoch is therefore shuffled in two
//! levels ([`Source::groups`]): first the row groups, and then the rows of a window of groups. The groups of a window
//! stay in memory while it is in use. With several processes, each of them reads every group. Tar shards do not have
//! this cost.

mod cache;
mod column;

use std::fs::File;
use std::path::{Path, PathBuf};

use ::parquet::basic::Compression;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{FileReader, SerializedFileReader};

use self::cache::Cache;
use self::column::image_column;
use super::{Content, FileBytes, Opened, Picture, Source, count};
use crate::fingerprint::Fingerprint;
use crate::order::Groups;
use crate::{BadFile, DataError};

/// The size in bytes of the images that a window of row groups may hold in memory.
///
/// The next window may hold as many at the same time.
const WINDOW_BYTES: u64 = 128 << 20;

/// The compressions that this build can read, for messages.
const READABLE: &str = if cfg!(feature = "zstd") {
    "none, Snappy or Zstandard"
} else {
    "none or Snappy"
};

/// A source in which every row of the files is a sample.
#[derive(Debug)]
pub(crate) struct Parquet {
    tables: Vec<Table>,
    groups: Vec<Group>,
    len: usize,
    /// The number of row groups in a window.
    window: usize,
    cache: Cache,
}

/// A Parquet file.
#[derive(Debug)]
struct Table {
    path: PathBuf,
    bytes: u64,
    /// The number of the first row group among those of all files.
    first_group: usize,
    /// The leaf column that holds the bytes of the images.
    column: usize,
}

/// A row group.
#[derive(Debug)]
struct Group {
    table: usize,
    /// The number of the first row among those of all files.
    first: usize,
    rows: usize,
}

impl Parquet {
    /// Reads the footers of the files at `paths`, in this order.
    pub(crate) fn list(root: &Path, paths: &[PathBuf]) -> Result<Opened, DataError> {
        Self::list_with_windows(root, paths, WINDOW_BYTES)
    }

    fn list_with_windows(
        root: &Path,
        paths: &[PathBuf],
        window_bytes: u64,
    ) -> Result<Opened, DataError> {
        let (mut tables, mut groups) = (Vec::new(), Vec::new());
        let (mut len, mut largest_group, mut bad_parts) = (0, 1, Vec::new());
        for path in paths {
            let (metadata, bytes) = match footer(path) {
                Ok(read) => read,
                Err(reason) => {
                    bad_parts.push(BadFile {
                        path: path.clone(),
                        reason,
                    });
                    continue;
                }
            };
            let schema = metadata.file_metadata().schema_descr();
            let Some(column) = image_column(schema) else {
                let columns = schema.columns().iter().map(|column| column.path().string());
                return Err(DataError::NoImageColumn {
                    path: path.clone(),
                    columns: columns.collect::<Vec<_>>().join(", "),
                });
            };
            let first_group = groups.len();
            for group in metadata.row_groups() {
                require_codec(path, group.column(column).compression())?;
                let rows = group.num_rows() as usize;
                let size = group.column(column).uncompressed_size() as u64;
                largest_group = largest_group.max(size);
                groups.push(Group {
                    table: tables.len(),
                    first: len,
                    rows,
                });
                len += rows;
            }
            tables.push(Table {
                path: path.clone(),
                bytes,
                first_group,
                column,
            });
        }
        if len == 0 && bad_parts.is_empty() {
            return Err(DataError::NoImages {
                path: root.to_owned(),
                parts: paths.len(),
                other_files: 0,
            });
        }
        let window = (window_bytes / largest_group).max(1) as usize;
        Ok(Opened {
            bad_parts,
            parts: paths.len(),
            ..Opened::whole(Self {
                cache: Cache::new(2 * window),
                tables,
                groups,
                len,
                window,
            })
        })
    }

    /// Returns the group that holds a row, and the position of the row in it.
    fn place(&self, sample: usize) -> (usize, usize) {
        let group = self.groups.partition_point(|group| group.first <= sample) - 1;
        (group, sample - self.groups[group].first)
    }

    /// Returns the path of a row for messages: its file, and its number there from 0.
    fn path(&self, sample: usize) -> PathBuf {
        let table = &self.tables[self.groups[self.place(sample).0].table];
        let row = sample - self.groups[table.first_group].first;
        table.path.join(format!("row {row}"))
    }
}

/// Returns an error if this build cannot read a compression, so that this is found before a run starts.
fn require_codec(path: &Path, codec: Compression) -> Result<(), DataError> {
    match codec {
        Compression::UNCOMPRESSED | Compression::SNAPPY => Ok(()),
        Compression::ZSTD(_) if cfg!(feature = "zstd") => Ok(()),
        _ => Err(DataError::Codec {
            path: path.to_owned(),
            codec: codec.to_string(),
            expected: READABLE,
        }),
    }
}

/// Reads the metadata and the size of the file at `path`.
fn footer(path: &Path) -> Result<(ParquetMetaData, u64), String> {
    let unreadable = |error: std::io::Error| format!("cannot read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let reader = SerializedFileReader::new(file)
        .map_err(|error| format!("not a complete Parquet file: {error}"))?;
    Ok((reader.metadata().clone(), bytes))
}

impl Source for Parquet {
    fn len(&self) -> usize {
        self.len
    }

    fn describe(&self) -> String {
        format!(
            "{} in {}",
            count(self.len, "image"),
            count(self.tables.len(), "Parquet file")
        )
    }

    fn name(&self, sample: usize) -> PathBuf {
        let path = self.path(sample);
        let file = path.parent().and_then(Path::file_name).unwrap_or_default();
        Path::new(file).join(path.file_name().unwrap_or_default())
    }

    fn fingerprint(&self, hash: &mut Fingerprint) {
        for table in &self.tables {
            hash.add(
                Path::new(table.path.file_name().unwrap_or_default()),
                table.bytes,
            );
        }
    }

    fn groups(&self) -> Option<Groups> {
        Some(Groups {
            rows: self.groups.iter().map(|group| group.rows).collect(),
            window: self.window,
        })
    }

    fn read(&self, sample: usize) -> Result<Picture, BadFile> {
        let (group, row) = self.place(sample);
        let table = &self.tables[self.groups[group].table];
        let path = self.path(sample);
        let in_table = group - table.first_group;
        let bytes = self.cache.with(
            group,
            || column::read(&table.path, in_table, table.column),
            |pictures| {
                let rows = pictures.as_ref().map_err(String::clone)?;
                let picture = rows.get(row).and_then(Option::as_ref);
                let picture = picture.ok_or_else(|| "no image bytes".to_owned())?;
                FileBytes::filled(|bytes| {
                    bytes.extend_from_slice(picture.data());
                    Ok(())
                })
            },
        );
        match bytes {
            Ok(bytes) => Ok(Picture {
                path,
                content: Content::Encoded(bytes),
            }),
            Err(reason) => Err(BadFile { path, reason }),
        }
    }
}

#[cfg(test)]
mod tests;
