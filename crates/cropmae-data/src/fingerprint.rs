//! What identifies data in a record.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// SHA-256 over the names and the sizes of `files` below `root`, in their order, in hexadecimal: equal
/// fingerprints mean the same files for all practical purposes. Reads no contents.
pub fn of_files(root: &Path, files: &[PathBuf]) -> String {
    // A file that is gone still counts, with an impossible size.
    let size = |file: &PathBuf| {
        std::fs::metadata(root.join(file)).map_or(u64::MAX, |metadata| metadata.len())
    };
    let sizes: Vec<u64> = files.par_iter().map(size).collect();
    let mut hash = Sha256::new();
    for (file, size) in files.iter().zip(sizes) {
        hash.update(file.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(size.to_le_bytes());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
