//! What a video benchmark is.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use cropmae_config::Protocol;

use crate::error::EvalError;
use crate::findings::Findings;
use crate::report::Scores;
use crate::run::Run;
use crate::sequence::SequenceFiles;

/// A video benchmark: where its files are, what they must hold, and how predictions are scored.
///
/// A new benchmark is a file in `benchmarks/`, which is declared and listed in [`benchmarks`](crate::benchmarks).
pub trait Benchmark: Debug + Sync {
    /// Its name on the command line and in reports, in lowercase.
    fn name(&self) -> &'static str;

    /// Its folder where several benchmarks lie beside each other: the name in uppercase.
    fn folder(&self) -> String {
        self.name().to_uppercase()
    }

    /// What it is and what it measures, in one line.
    fn about(&self) -> &'static str;

    /// The reference's settings.
    fn protocol(&self) -> Protocol;

    /// The sequences of the data set at `root`.
    ///
    /// # Errors
    /// [`EvalError::Layout`] if the data set is not there.
    fn list(&self, root: &Path) -> Result<SequenceList, EvalError>;

    /// The files of a sequence of the data set at `root`.
    ///
    /// # Errors
    /// [`EvalError::Layout`] if there are none.
    fn files(&self, root: &Path, sequence: &str) -> Result<SequenceFiles, EvalError>;

    /// Follows and scores all sequences of `run`: one entry for each setting. Implementations call [`Run::score`] with
    /// their [`Truth`](crate::run::Truth).
    ///
    /// # Errors
    /// As [`Run::score`].
    fn score(&self, run: &mut Run<'_>) -> Result<Vec<Box<dyn Scores>>, EvalError>;

    /// Checks the annotations of a sequence whose frames were checked already.
    fn check(&self, files: &SequenceFiles, found: &mut Findings);

    /// What the complete download holds.
    fn official(&self) -> Official;
}

/// The sequences of a data set, and where they were listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceList {
    /// The file or folder that lists them.
    pub source: PathBuf,
    /// Their names, in the order of the list.
    pub names: Vec<String>,
}

/// What the complete download of a benchmark holds.
#[derive(Debug, Clone, Copy)]
pub struct Official {
    /// What the benchmark calls the evaluated part.
    pub part: &'static str,
    /// The number of sequences in it.
    pub sequences: usize,
    /// A remark on where that number is from; empty if it is the download itself.
    pub source: &'static str,
    /// Sequences and how many frames they have, where that is known.
    pub frames: &'static [(&'static str, usize)],
}
