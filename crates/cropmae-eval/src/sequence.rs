//! The files of one sequence.

use std::path::{Path, PathBuf};

use crate::error::EvalError;

/// The files of one sequence as they lie there, not yet checked against each other.
#[derive(Debug, Clone)]
pub struct SequenceFiles {
    /// Folder of the frames.
    pub folder: PathBuf,
    /// The frames, in the order of their numbers.
    pub frames: Vec<PathBuf>,
    /// One mask for each frame, or one file with the joints of all frames.
    pub annotations: Vec<PathBuf>,
}

impl SequenceFiles {
    /// Refuses a sequence with fewer than `needed` frames.
    ///
    /// # Errors
    /// [`EvalError::TooShort`], naming the folder and the `reason`.
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

/// A sequence of a data set's list. Its files may be missing, which concerns this sequence alone.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// Its name in the list.
    pub name: String,
    /// Its files.
    pub files: Result<SequenceFiles, EvalError>,
}

impl Sequence {
    /// Files that identify the sequence below `root`. One whose files cannot be listed counts by its name.
    pub fn identity(&self, root: &Path) -> Vec<PathBuf> {
        match &self.files {
            Ok(files) => [&files.frames[..], &files.annotations].concat(),
            Err(_) => vec![root.join(&self.name)],
        }
    }
}
