//! What can be wrong with a folder of images or with the files in it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file that could not be turned into pixels, and why.
///
/// The loader replaces such a file and goes on; see [`crate::Loader`] for the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// The file.
    pub path: PathBuf,
    /// What was found, in words.
    pub reason: String,
}

impl BadFile {
    /// The file at `path`, which cannot be used for this `reason`.
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
    /// Nothing is there.
    #[error(
        "{path}: no such file or folder; expected a folder, a list file (.txt), tar shards or Parquet files, several as shard-{{000..146}}.tar; the wildcard * is not supported"
    )]
    Missing {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The path is a file that holds no samples.
    #[error(
        "{path}: not a source of samples; expected a folder of images, a list of paths (.txt), or a file that ends in {known}"
    )]
    UnknownSource {
        /// The path that was asked for.
        path: PathBuf,
        /// Endings that are understood.
        known: String,
    },
    /// A pattern with braces that cannot be expanded.
    #[error("{pattern}: {reason}; expected something like shard-{{000000..000146}}.tar")]
    Braces {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that this build of the program was not made for.
    #[error(
        "{path}: {found} need a build with the cargo feature {feature}: add --features {feature}"
    )]
    NeedsFeature {
        /// Where it was found.
        path: PathBuf,
        /// What was found.
        found: &'static str,
        /// The feature that reads it.
        feature: &'static str,
    },
    /// A data set of the Hugging Face hub cannot be downloaded or found in the cache.
    #[error("{address}: {message}")]
    Hub {
        /// What was asked for.
        address: String,
        /// Why not.
        message: String,
    },
    /// A folder, list or archive cannot be listed.
    #[error("{path}: cannot list it: {source}; check that you may read it, or give another path")]
    List {
        /// The folder or file.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// A list file without a path in it.
    #[error("{path}: names no file; expected one path per line, relative to the list's folder")]
    EmptyList {
        /// The list.
        path: PathBuf,
    },
    /// A list whose paths do not exist.
    #[error(
        "{path}: none of its first {looked_for} paths is there, the first is {first}; expected one path per line and nothing else, absolute or relative to the list's folder"
    )]
    ListOfNothing {
        /// The list.
        path: PathBuf,
        /// Paths that were looked for.
        looked_for: usize,
        /// The first of them.
        first: PathBuf,
    },
    /// A folder without a single image.
    #[error(
        "{path}: no images: looked for {known} (any case) in all subfolders and saw {other_files} other files"
    )]
    NothingInFolder {
        /// The folder.
        path: PathBuf,
        /// Endings that count.
        known: String,
        /// Files of any other kind.
        other_files: usize,
    },
    /// Shards or Parquet files without a single image.
    #[error(
        "{path}: no images in {parts} tar or Parquet file(s), which hold {other_files} other file(s); expected names that end in .jpg, .jpeg, .png or .webp"
    )]
    NoImages {
        /// Where they are.
        path: PathBuf,
        /// Number of files looked into.
        parts: usize,
        /// Entries of any other kind.
        other_files: usize,
    },
    /// A Parquet file without a column of pictures.
    #[error(
        "{path}: no image column; expected a struct column image with the field bytes, as Hugging Face's datasets writes images, found {columns}; write it so, or give the images as a folder"
    )]
    NoImageColumn {
        /// The file.
        path: PathBuf,
        /// Its columns, comma separated.
        columns: String,
    },
    /// The pictures of a Parquet file are compressed in a way that this build cannot undo.
    #[error(
        "{path}: compressed with {codec}, expected {expected}: build with --features zstd if that is what it needs, or write the file again"
    )]
    Codec {
        /// The file.
        path: PathBuf,
        /// What it is compressed with.
        codec: String,
        /// What this build reads.
        expected: &'static str,
    },
    /// Frames were asked of a source that holds single images.
    #[error(
        "{path}: Parquet files hold single images, but data.views = \"frame_pair\" or data.samples = \"videos\" needs videos: give folders of frames, tar shards of them, or video files"
    )]
    NoFramesInParquet {
        /// Where the files are.
        path: PathBuf,
    },
    /// A folder with images but without a folder of at least two frames.
    #[error(
        "{path}: no videos: none of its folders holds 2 or more frames ({images} images seen); expected one folder of frames per video"
    )]
    NoVideos {
        /// The folder.
        path: PathBuf,
        /// Images seen.
        images: usize,
    },
    /// Not even one batch can be filled.
    #[error(
        "{count} samples, fewer than one batch: train.batch_size = {batch_size} on {world_size} processes needs {}; lower train.batch_size or add data",
        batch_size * world_size
    )]
    TooFewSamples {
        /// Samples of the data set.
        count: usize,
        /// Samples per batch and process.
        batch_size: usize,
        /// Processes that share an epoch.
        world_size: usize,
    },
    /// A loader setting out of range.
    #[error("loader setting {field} = {found}: expected {expected}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: usize,
        /// What would be accepted.
        expected: String,
    },
    /// One file that cannot be used.
    #[error(transparent)]
    BadFile(#[from] BadFile),
    /// More unusable files than the configuration tolerates.
    #[error(
        "{count} of {total} files cannot be used, data.max_bad_fraction = {max_fraction} allows {allowed}; repair or remove them, or raise it. First: {first}"
    )]
    TooManyBadFiles {
        /// Distinct unusable files met so far.
        count: usize,
        /// Files of the data set.
        total: usize,
        /// The configured share.
        max_fraction: f64,
        /// The share in files.
        allowed: usize,
        /// The first few, with reasons, semicolon separated.
        first: String,
    },
    /// The loader's worker threads cannot be started.
    #[error("cannot start {workers} loader threads: {message}")]
    Workers {
        /// Threads asked for.
        workers: usize,
        /// The system's words.
        message: String,
    },
    /// A worker thread panicked.
    #[error(
        "a loader thread panicked while building batch {batch}; this is a bug, please report it"
    )]
    WorkerPanicked {
        /// The batch of the epoch.
        batch: usize,
    },
    /// A folder that is to be created exists and is not empty.
    #[error(
        "{path}: expected no such folder, or an empty one, but it is not empty; delete it or choose another"
    )]
    OutExists {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder that cannot be written.
    #[error(
        "{path}: cannot write: {source}; check that the folder is writable and that the disk has room"
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
}
