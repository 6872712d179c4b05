//! Where the four sets lie.

use std::path::{Path, PathBuf};

/// Where the four sets of a folder of scenes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenesPaths {
    /// Folder of training images.
    pub train: PathBuf,
    /// Objects to follow, in DAVIS-2017's layout.
    pub davis: PathBuf,
    /// Human parts, in VIP's layout.
    pub vip: PathBuf,
    /// Key points, in JHMDB's layout.
    pub jhmdb: PathBuf,
}

impl ScenesPaths {
    /// The sets in the folder `dir`.
    pub(crate) fn below(dir: &Path) -> Self {
        Self {
            train: dir.join("train"),
            davis: dir.join("DAVIS"),
            vip: dir.join("VIP"),
            jhmdb: dir.join("JHMDB"),
        }
    }
}
