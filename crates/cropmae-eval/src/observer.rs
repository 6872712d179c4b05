//! Reports the progress of an evaluation, for progress bars and overlays.

use image::RgbImage;

use crate::error::EvalError;
use crate::joints::Pose;
use crate::labels::LabelMap;

/// Receives every sequence and frame, in order. All methods do nothing by default.
pub trait Observer {
    /// Called at the beginning of a sequence.
    fn sequence_started(&mut self, sequence: &SequenceInfo<'_>) {
        let _ = sequence;
    }

    /// Called after a frame was predicted.
    fn frame_done(&mut self, frame: &FrameDone<'_>) {
        let _ = frame;
    }

    /// Called after a sequence was scored or failed. The other sequences continue.
    fn sequence_finished(&mut self, sequence: &str, outcome: Result<(), &EvalError>) {
        let _ = (sequence, outcome);
    }
}

/// An observer that ignores all events.
impl Observer for () {}

/// A sequence that is being evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceInfo<'a> {
    /// The name in the list of the data set.
    pub name: &'a str,
    /// The position in this evaluation, from 0.
    pub index: usize,
    /// The number of sequences in this evaluation.
    pub sequences: usize,
}

/// A predicted frame.
#[derive(Debug, Clone, Copy)]
pub struct FrameDone<'a> {
    /// The name of the sequence.
    pub sequence: &'a str,
    /// The position in the sequence, from 0. The labels of frame 0 are the given ones.
    pub index: usize,
    /// The number of frames of the sequence.
    pub frames: usize,
    /// The decoded frame.
    pub picture: &'a RgbImage,
    /// The prediction.
    pub prediction: Prediction<'a>,
}

/// The prediction of one frame.
#[derive(Debug, Clone, Copy)]
pub enum Prediction<'a> {
    /// An id for every pixel of the annotation (DAVIS and VIP).
    Labels(&'a LabelMap),
    /// Joints at (x, y) in pixels of the frame (JHMDB).
    Joints {
        /// The predicted joints. The coordinates of lost joints are negative.
        predicted: &'a Pose<f32>,
        /// The annotated joints.
        annotated: &'a Pose<f64>,
    },
}
