//! What can be wrong with a folder of images or with the files in it.

use std::fmt;
use std::path::PathBuf;

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

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for BadFile {}

/// A problem with a data set, worded so that the user can mend it.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder does not exist.
    #[error("{path}: no such folder; give --data the folder that holds the images")]
    Missing {
        /// The folder that was asked for.
        path: PathBuf,
    },
    /// The path is a file.
    #[error("{path}: not a folder; give --data the folder that holds the images, not a file")]
    NotAFolder {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A folder cannot be listed.
    #[error("{path}: cannot list the folder: {source}")]
    List {
        /// The folder.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// A folder without a single image.
    #[error(
        "{path}: no images: looked for {extensions} (any case) in all subfolders and saw {other_files} other files"
    )]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// The extensions that count, comma separated.
        extensions: String,
        /// Files of any other kind.
        other_files: usize,
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
        "{count} of {total} files cannot be used; data.max_bad_fraction = {max_fraction} allows {allowed}. First: {first}"
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
    /// A folder that should be made holds something else.
    #[error(
        "{path}: expected no such folder, or one made with the same settings and seed, but found {found}; delete it or choose another folder"
    )]
    ScenesDiffer {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A file or folder that cannot be written.
    #[error(
        "{path}: cannot write: {source}; see that the folder is writable and the disk has room"
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
}
