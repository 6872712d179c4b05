//! What can go wrong when scenes are made.

use std::io;
use std::path::{Path, PathBuf};

/// A problem with a folder of scenes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenesError {
    /// The folder holds something else.
    #[error(
        "{path}: expected no such folder, or one made with the same settings and seed, but found {found}; delete it or choose another folder"
    )]
    Differ {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A file or folder cannot be written.
    #[error(
        "{path}: cannot write: {source}; check that the folder is writable and that the disk has room"
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file of joints cannot be written.
    #[error(transparent)]
    Joints(#[from] cropmae_eval::EvalError),
}

impl ScenesError {
    /// The error of a file or folder that cannot be written.
    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}
