//! Fingerprints, which identify the data of a run in its records.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// Returns the SHA-256 of the names and sizes of `files` in `root`, in their order, in hexadecimal.
///
/// For all practical purposes, equal fingerprints mean the same files. No contents are read.
pub fn of_files(root: &Path, files: &[PathBuf]) -> String {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add_files(root, files);
    fingerprint.finish()
}

/// A fingerprint under construction.
#[derive(Default)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Adds one file by its relative name and its size in bytes.
    pub(crate) fn add(&mut self, name: &Path, size: u64) {
        self.0.update(name.as_os_str().as_encoded_bytes());
        self.0.update([0]);
        self.0.update(size.to_le_bytes());
    }

    /// Adds `files` in the folder `root`. A missing file still counts, with an impossible size.
    pub(crate) fn add_files(&mut self, root: &Path, files: &[PathBuf]) {
        let size = |file: &PathBuf| {
            std::fs::metadata(root.join(file)).map_or(u64::MAX, |metadata| metadata.len())
        };
        let sizes: Vec<u64> = files.par_iter().map(size).collect();
        for (file, size) in files.iter().zip(sizes) {
            self.add(file, size);
        }
    }

    pub(crate) fn finish(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}
