//! What a benchmark knows of one sequence.

use std::path::Path;

use super::{Sizes, SoftLabels, Video};
use crate::error::EvalError;
use crate::observer::Prediction;
use crate::sequence::SequenceFiles;

/// The annotations of one sequence, and how predictions are made and compared with them.
///
/// A run opens it, propagates [`first_labels`](Self::first_labels), comes to one frame after another with
/// [`advance`](Self::advance), and calls the methods below that for every setting.
pub trait Truth: Sized {
    /// What is predicted for a frame.
    type Prediction;

    /// The scores of the sequence under one setting.
    type Score;

    /// Reads what must be known in advance. `sizes` settles the sizes of the video.
    ///
    /// # Errors
    /// If the files do not fit each other or cannot be scored.
    fn open(name: &str, files: SequenceFiles, sizes: &mut Sizes) -> Result<Self, EvalError>;

    /// The frames.
    fn video(&self) -> &Video;

    /// The soft labels of frame 0, from which all others are propagated.
    fn first_labels(&self) -> SoftLabels;

    /// Scores before the first frame.
    fn new_score(&self) -> Self::Score;

    /// Comes to frame `index`; reads its annotation if the frame is scored and has one of its own.
    ///
    /// # Errors
    /// If the annotation cannot be read or does not fit.
    fn advance(&mut self, index: usize) -> Result<(), EvalError> {
        let _ = index;
        Ok(())
    }

    /// The prediction of a frame from its soft labels (h*w, L).
    fn predict(&self, soft: &[f32]) -> Self::Prediction;

    /// Scores the prediction of frame `index`, if the benchmark counts it.
    ///
    /// # Errors
    /// If the prediction or the annotation holds a value that cannot be scored.
    fn score(
        &self,
        index: usize,
        prediction: &Self::Prediction,
        score: &mut Self::Score,
    ) -> Result<(), EvalError>;

    /// Writes the prediction of frame `index` below `out`, where the benchmark has a file for each.
    ///
    /// # Errors
    /// [`EvalError::Write`], naming the file.
    fn write(
        &self,
        out: &Path,
        index: usize,
        prediction: &Self::Prediction,
    ) -> Result<(), EvalError> {
        let _ = (out, index, prediction);
        Ok(())
    }

    /// Writes the predictions of the sequence below `out`, where the benchmark has one file for them all.
    ///
    /// # Errors
    /// [`EvalError::Write`], naming the file.
    fn write_whole(&self, out: &Path, score: &Self::Score) -> Result<(), EvalError> {
        let _ = (out, score);
        Ok(())
    }

    /// The prediction of frame `index` as the observer sees it.
    fn show<'a>(&'a self, index: usize, prediction: &'a Self::Prediction) -> Prediction<'a>;
}
