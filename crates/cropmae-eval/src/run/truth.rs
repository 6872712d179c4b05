//! The interface of a benchmark for one sequence.

use std::path::Path;

use super::{Sizes, SoftLabels, Video};
use crate::error::EvalError;
use crate::observer::Prediction;
use crate::sequence::SequenceFiles;

/// The annotations of one sequence, which turn soft labels into predictions and score them.
///
/// A run opens it, propagates [`first_labels`](Self::first_labels), calls [`advance`](Self::advance) for each frame, and
/// then calls the methods below that for each setting.
pub trait Truth: Sized {
    /// The prediction of a frame.
    type Prediction;

    /// The scores of the sequence with one setting.
    type Score;

    /// Reads the annotations that are needed in advance. `sizes` determines the sizes of the video.
    ///
    /// # Errors
    /// Returns an error if the files do not match each other or cannot be scored.
    fn open(name: &str, files: SequenceFiles, sizes: &mut Sizes) -> Result<Self, EvalError>;

    /// Returns the frames.
    fn video(&self) -> &Video;

    /// Returns the soft labels of frame 0, from which all others are propagated.
    fn first_labels(&self) -> SoftLabels;

    /// Returns the scores before the first frame.
    fn new_score(&self) -> Self::Score;

    /// Moves to frame `index` and reads its annotation if the frame is scored and has its own annotation.
    ///
    /// # Errors
    /// Returns an error if the annotation cannot be read or has the wrong size.
    fn advance(&mut self, index: usize) -> Result<(), EvalError> {
        let _ = index;
        Ok(())
    }

    /// Returns the prediction of a frame from its soft labels (h*w, L).
    fn predict(&self, soft: &[f32]) -> Self::Prediction;

    /// Scores the prediction of frame `index`, if the benchmark scores this frame.
    ///
    /// # Errors
    /// Returns an error if the prediction or the annotation contains a value that cannot be scored.
    fn score(
        &self,
        index: usize,
        prediction: &Self::Prediction,
        score: &mut Self::Score,
    ) -> Result<(), EvalError>;

    /// Writes the prediction of frame `index` below `out`, if the benchmark has one file for each frame.
    ///
    /// # Errors
    /// Returns [`EvalError::Write`] with the path if the file cannot be written.
    fn write(
        &self,
        out: &Path,
        index: usize,
        prediction: &Self::Prediction,
    ) -> Result<(), EvalError> {
        let _ = (out, index, prediction);
        Ok(())
    }

    /// Writes the predictions of the sequence below `out`, if the benchmark has one file for all frames.
    ///
    /// # Errors
    /// Returns [`EvalError::Write`] with the path if the file cannot be written.
    fn write_whole(&self, out: &Path, score: &Self::Score) -> Result<(), EvalError> {
        let _ = (out, score);
        Ok(())
    }

    /// Returns the prediction of frame `index` for the observer.
    fn show<'a>(&'a self, index: usize, prediction: &'a Self::Prediction) -> Prediction<'a>;
}
