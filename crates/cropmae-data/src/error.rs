//! Errors of data sets and of the files in them.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file that could not be decoded, and the reason.
///
/// The loader replaces such a file and continues. See [`crate::Loader`] for the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The reason in words.
    pub reason: String,
}

impl BadFile {
    /// Creates the record that the file at `path` cannot be used for this `reason`.
    pub(crate) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for BadFile {}

/// A problem with a data set, worded so that the user can correct it.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no file or folder at the path.
    #[error(
        "{path}: no such file or folder; expected a folder, a list file (.txt), or tar shards or Parquet files, several of them as shard-{{000..146}}.tar; the wildcard * is not supported"
    )]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The path is a file that is not a source of samples.
    #[error(
        "{path}: not a source of samples; expected a folder of images, a list of paths (.txt), or a file that ends in {known}"
    )]
    UnknownSource {
        /// The path.
        path: PathBuf,
        /// The file name endings that are supported.
        known: String,
    },
    /// A pattern with braces cannot be expanded.
    #[error("{pattern}: {reason}; expected something like shard-{{000000..000146}}.tar")]
    Braces {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The data needs a cargo feature that this build does not have.
    #[error(
        "{path}: {found} need the cargo feature {feature}; build again with --features {feature}"
    )]
    NeedsFeature {
        /// The path of the data.
        path: PathBuf,
        /// What was found, in the plural.
        found: &'static str,
        /// The feature that reads it.
        feature: &'static str,
    },
    /// A data set of the Hugging Face hub can neither be downloaded nor found in the cache.
    #[error("{address}: {message}")]
    Hub {
        /// The requested address.
        address: String,
        /// The reason.
        message: String,
    },
    /// A folder, list or archive cannot be listed.
    #[error(
        "{path}: cannot list its contents: {source}; check that you may read it, or give another path"
    )]
    List {
        /// The folder or file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A list file contains no path.
    #[error(
        "{path}: the list is empty; expected one path per line, absolute or relative to the list's folder"
    )]
    EmptyList {
        /// The list.
        path: PathBuf,
    },
    /// The paths of a list do not exist.
    #[error(
        "{path}: none of the first {looked_for} paths in the list exists; the first is {first}; expected one path per line and nothing else, absolute or relative to the list's folder"
    )]
    ListOfNothing {
        /// The list.
        path: PathBuf,
        /// The number of paths that were looked for.
        looked_for: usize,
        /// The first of them.
        first: PathBuf,
    },
    /// A folder contains no images.
    #[error(
        "{path}: no images; expected files that end in {known} (upper or lower case) in the folder or its subfolders, found {other_files} other files"
    )]
    NothingInFolder {
        /// The folder.
        path: PathBuf,
        /// The file name endings that are supported.
        known: String,
        /// The number of files of other kinds.
        other_files: usize,
    },
    /// Tar shards or Parquet files contain no images.
    #[error(
        "{path}: no images in {parts} tar or Parquet file(s), which hold {other_files} other file(s); expected names that end in .jpg, .jpeg, .png or .webp"
    )]
    NoImages {
        /// The path of the shards or Parquet files.
        path: PathBuf,
        /// The number of tar or Parquet files.
        parts: usize,
        /// The number of entries of other kinds.
        other_files: usize,
    },
    /// A Parquet file has no column of images.
    #[error(
        "{path}: no image column; expected a struct column named image with a field named bytes, as Hugging Face's datasets library writes images, found {columns}; write the file in this layout, or give the images as a folder"
    )]
    NoImageColumn {
        /// The file.
        path: PathBuf,
        /// The columns of the file, comma separated.
        columns: String,
    },
    /// The images of a Parquet file are compressed in a way that this build cannot read.
    #[error(
        "{path}: compressed with {codec}, expected {expected}; build with --features zstd to read Zstandard, or write the file again with a supported compression"
    )]
    Codec {
        /// The file.
        path: PathBuf,
        /// The compression of the file.
        codec: String,
        /// The compressions that this build reads.
        expected: &'static str,
    },
    /// Frames were requested from a source that holds single images.
    #[error(
        "{path}: Parquet files hold single images, but data.views = \"frame_pair\" or data.samples = \"videos\" needs videos; give folders of frames, tar shards of them, or video files"
    )]
    NoFramesInParquet {
        /// The path of the files.
        path: PathBuf,
    },
    /// A folder contains images, but no folder of at least two frames.
    #[error(
        "{path}: no videos: none of its folders holds 2 or more frames ({images} images seen); expected one folder of frames per video"
    )]
    NoVideos {
        /// The folder.
        path: PathBuf,
        /// The number of images found.
        images: usize,
    },
    /// The samples do not fill one batch.
    #[error(
        "{count} samples, fewer than one batch: train.batch_size = {batch_size} on {world_size} processes needs {}; lower train.batch_size or add data",
        batch_size * world_size
    )]
    TooFewSamples {
        /// The number of samples of the data set.
        count: usize,
        /// The number of samples per batch and process.
        batch_size: usize,
        /// The number of processes that share an epoch.
        world_size: usize,
    },
    /// A setting of the loader is out of range.
    #[error("loader setting {field} = {found}: expected {expected}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// The value of the setting.
        found: usize,
        /// The values that are accepted.
        expected: String,
    },
    /// A file cannot be used.
    #[error(transparent)]
    BadFile(#[from] BadFile),
    /// More files are unusable than the configuration tolerates.
    #[error(
        "{count} of {total} files cannot be used, but data.max_bad_fraction = {max_fraction} allows {allowed}; repair or remove them, or raise data.max_bad_fraction. First: {first}"
    )]
    TooManyBadFiles {
        /// The number of different unusable files found so far.
        count: usize,
        /// The number of files of the data set.
        total: usize,
        /// The configured fraction.
        max_fraction: f64,
        /// The number of files that the fraction allows.
        allowed: usize,
        /// The first few files with their reasons, separated by semicolons.
        first: String,
    },
    /// The worker threads of the loader cannot be started.
    #[error("cannot start {workers} loader threads: {message}")]
    Workers {
        /// The number of threads.
        workers: usize,
        /// The message of the system.
        message: String,
    },
    /// A worker thread panicked.
    #[error(
        "a loader thread panicked while building batch {batch}; this is a bug, please report it"
    )]
    WorkerPanicked {
        /// The number of the batch in the epoch.
        batch: usize,
    },
    /// The folder to create exists and is not empty, or is a file.
    #[error(
        "{path}: is not empty; expected a new or an empty folder; delete it or choose another path"
    )]
    OutExists {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder cannot be written.
    #[error(
        "{path}: cannot write: {source}; check that the folder is writable and that the disk has room"
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
}
