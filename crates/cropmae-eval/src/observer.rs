//! What an evaluation tells while it runs, for progress bars and overlays.

use image::RgbImage;

use crate::error::EvalError;
use crate::joints::Pose;
use crate::labels::LabelMap;

/// Is told about every sequence and frame, in order. All methods do nothing unless they are implemented.
pub trait Observer {
    /// A sequence begins.
    fn sequence_started(&mut self, sequence: &SequenceInfo<'_>) {
        let _ = sequence;
    }

    /// A frame is predicted.
    fn frame_done(&mut self, frame: &FrameDone<'_>) {
        let _ = frame;
    }

    /// A sequence is scored, or has failed; the others go on.
    fn sequence_finished(&mut self, sequence: &str, outcome: Result<(), &EvalError>) {
        let _ = (sequence, outcome);
    }
}

/// An observer that ignores everything.
impl Observer for () {}

/// A sequence about to be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceInfo<'a> {
    /// Its name in the data set's list.
    pub name: &'a str,
    /// Its place among the sequences of this evaluation, from 0.
    pub index: usize,
    /// The number of sequences of this evaluation.
    pub sequences: usize,
}

/// A predicted frame.
#[derive(Debug, Clone, Copy)]
pub struct FrameDone<'a> {
    /// Name of its sequence.
    pub sequence: &'a str,
    /// Its place in the sequence, from 0; frame 0 shows the given labels.
    pub index: usize,
    /// The number of frames of the sequence.
    pub frames: usize,
    /// The frame as it was decoded.
    pub picture: &'a RgbImage,
    /// What was predicted.
    pub prediction: Prediction<'a>,
}

/// The prediction of one frame.
#[derive(Debug, Clone, Copy)]
pub enum Prediction<'a> {
    /// DAVIS and VIP: an id for every pixel of the annotation.
    Labels(&'a LabelMap),
    /// JHMDB: joints at (x, y) in pixels of the frame.
    Joints {
        /// Negative where a joint was lost.
        predicted: &'a Pose<f32>,
        /// Those of the annotation.
        annotated: &'a Pose<f64>,
    },
}
