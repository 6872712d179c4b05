//! The files of one sequence.

use std::path::{Path, PathBuf};

use crate::error::EvalError;

/// The files of one sequence, which are not yet compared with each other.
#[derive(Debug, Clone)]
pub struct SequenceFiles {
    /// The folder of the frames.
    pub folder: PathBuf,
    /// The frames, in the order of their numbers.
    pub frames: Vec<PathBuf>,
    /// The masks, one for each frame, or one file with the joints of all frames.
    pub annotations: Vec<PathBuf>,
}

impl SequenceFiles {
    /// Checks that the sequence has at least `needed` frames.
    ///
    /// # Errors
    /// Returns [`EvalError::TooShort`] with the folder and the `reason` if it has fewer.
    pub fn require_frames(&self, needed: usize, reason: &'static str) -> Result<(), EvalError> {
        if self.frames.len() >= needed {
            return Ok(());
        }
        Err(EvalError::TooShort {
            path: self.folder.clone(),
            found: self.frames.len(),
            needed,
            reason,
        })
    }
}

/// A sequence in the list of a data set. Missing files only affect this sequence.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// The name in the list.
    pub name: String,
    /// The files of the sequence.
    pub files: Result<SequenceFiles, EvalError>,
}

impl Sequence {
    /// Returns the files below `root` that identify the sequence, or its name if the files cannot be listed.
    pub fn identity(&self, root: &Path) -> Vec<PathBuf> {
        match &self.files {
            Ok(files) => [&files.frames[..], &files.annotations].concat(),
            Err(_) => vec![root.join(&self.name)],
        }
    }
}
