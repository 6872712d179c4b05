//! The interface of a video benchmark.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use cropmae_config::Protocol;

use crate::error::EvalError;
use crate::findings::Findings;
use crate::report::Scores;
use crate::run::Run;
use crate::sequence::SequenceFiles;

/// A video benchmark, which knows the layout of its data set, checks the files, and scores predictions.
///
/// To add a benchmark, create a file in `benchmarks/`, and declare and list it in [`benchmarks`](crate::benchmarks).
pub trait Benchmark: Debug + Sync {
    /// Returns the name on the command line and in reports, in lowercase.
    fn name(&self) -> &'static str;

    /// Returns the name of the folder in a folder of several benchmarks, which is the name in uppercase.
    fn folder(&self) -> String {
        self.name().to_uppercase()
    }

    /// Returns one line about the benchmark and its measures.
    fn about(&self) -> &'static str;

    /// Returns the settings of the reference.
    fn protocol(&self) -> Protocol;

    /// Returns the sequences of the data set at `root`.
    ///
    /// # Errors
    /// Returns [`EvalError::Layout`] if the data set is missing.
    fn list(&self, root: &Path) -> Result<SequenceList, EvalError>;

    /// Returns the files of a sequence of the data set at `root`.
    ///
    /// # Errors
    /// Returns [`EvalError::Layout`] if the files are missing.
    fn files(&self, root: &Path, sequence: &str) -> Result<SequenceFiles, EvalError>;

    /// Evaluates all sequences of `run` and returns the scores for each setting.
    ///
    /// Implementations call [`Run::score`] with their [`Truth`](crate::run::Truth).
    ///
    /// # Errors
    /// Returns the errors of [`Run::score`].
    fn score(&self, run: &mut Run<'_>) -> Result<Vec<Box<dyn Scores>>, EvalError>;

    /// Checks the annotations of a sequence whose frames are already checked.
    fn check(&self, files: &SequenceFiles, found: &mut Findings);

    /// Returns the contents of the complete download.
    fn official(&self) -> Official;
}

/// The sequences of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceList {
    /// The file or folder that lists the sequences.
    pub source: PathBuf,
    /// The names of the sequences, in the order of the list.
    pub names: Vec<String>,
}

/// The contents of the complete download of a benchmark.
#[derive(Debug, Clone, Copy)]
pub struct Official {
    /// The name of the part that is evaluated.
    pub part: &'static str,
    /// The number of sequences in this part.
    pub sequences: usize,
    /// A remark on the source of that number, or an empty text if it was counted in the download.
    pub source: &'static str,
    /// The sequences and their numbers of frames, as far as they are known.
    pub frames: &'static [(&'static str, usize)],
}
