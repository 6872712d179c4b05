//! JHMDB, the propagation of 15 joints (Jhuang et al., ICCV 2013).
//!
//! The official downloads contain `Rename_Images/<action>/<clip>/00001.png`,
//! `joint_positions/<action>/<clip>/joint_positions.mat`, and `splits/<action>_test_split1.txt` with lines
//! `<clip>.avi 2` for test clips. If there is no `splits` folder, every clip with joint positions is evaluated.

mod layout;
mod predictions;
mod scores;

use std::path::Path;

use cropmae_config::Protocol;

use crate::benchmark::{Benchmark, Official, SequenceList};
use crate::error::EvalError;
use crate::findings::Findings;
use crate::joints::{self, Pose};
use crate::metrics::Pck;
use crate::observer::Prediction;
use crate::pose::{POSE_CHANNELS, joint_maps, key_points};
use crate::propagation::Grid;
use crate::report::Scores;
use crate::run::{Run, Sizes, SoftLabels, Truth, Video};
use crate::sequence::SequenceFiles;
use crate::size::Size;

use layout::{files_of, list_clips};
use predictions::write_joints;
use scores::ClipScore;

pub use layout::{frame, frames_of, joint_positions};
pub use scores::{JhmdbClip, JhmdbScores, PckAt};

/// The test clips of JHMDB's split 1: 15 joints, scored by PCK.
#[derive(Debug, Clone, Copy)]
pub struct Jhmdb;

impl Benchmark for Jhmdb {
    fn name(&self) -> &'static str {
        "jhmdb"
    }

    fn about(&self) -> &'static str {
        "JHMDB, key points: PCK"
    }

    fn protocol(&self) -> Protocol {
        Protocol::jhmdb()
    }

    fn list(&self, root: &Path) -> Result<SequenceList, EvalError> {
        list_clips(root)
    }

    fn files(&self, root: &Path, sequence: &str) -> Result<SequenceFiles, EvalError> {
        files_of(root, sequence)
    }

    fn score(&self, run: &mut Run<'_>) -> Result<Vec<Box<dyn Scores>>, EvalError> {
        run.score::<JhmdbTruth, _>(JhmdbScores::of)
    }

    fn check(&self, files: &SequenceFiles, found: &mut Findings) {
        found.require_numbers(files, 1);
        if let Err(error) = clip_joints(files) {
            found.problem(error);
        }
    }

    /// Returns the number of test clips, 268 of 928 in 21 actions, which was not compared with the download.
    fn official(&self) -> Official {
        Official {
            part: "JHMDB's test split 1",
            sequences: 268,
            source: " (not compared with the download)",
            frames: &[],
        }
    }
}

/// The annotations of one clip.
struct JhmdbTruth {
    video: Video,
    joints: Vec<Pose<f64>>,
}

impl Truth for JhmdbTruth {
    type Prediction = Pose<f32>;
    type Score = ClipScore;

    fn open(name: &str, files: SequenceFiles, sizes: &mut Sizes) -> Result<Self, EvalError> {
        files.require_frames(2, "frame 0 is not scored")?;
        let joints = clip_joints(&files)?;
        Ok(Self {
            video: sizes.video(name, files.frames)?,
            joints,
        })
    }

    fn video(&self) -> &Video {
        &self.video
    }

    fn first_labels(&self) -> SoftLabels {
        let Video {
            original,
            input,
            grid,
            patch_size,
            ..
        } = self.video;
        let first = to_grid(&self.joints[0], original, input, patch_size);
        SoftLabels {
            values: joint_maps(&first, grid),
            classes: POSE_CHANNELS,
        }
    }

    fn new_score(&self) -> ClipScore {
        ClipScore {
            name: self.video.name.clone(),
            predicted: Vec::with_capacity(self.joints.len()),
            pck: Pck::default(),
        }
    }

    fn predict(&self, soft: &[f32]) -> Pose<f32> {
        let Video { grid, original, .. } = self.video;
        to_pixels(&key_points(soft, grid), grid, original)
    }

    fn score(
        &self,
        index: usize,
        prediction: &Pose<f32>,
        score: &mut ClipScore,
    ) -> Result<(), EvalError> {
        if index > 0 {
            score.pck.add_frame(&self.joints[index], prediction);
        }
        score.predicted.push(*prediction);
        Ok(())
    }

    fn write_whole(&self, out: &Path, score: &ClipScore) -> Result<(), EvalError> {
        let Video { name, frames, .. } = &self.video;
        write_joints(&out.join("joints"), name, frames, &score.predicted)
    }

    fn show<'a>(&'a self, index: usize, prediction: &'a Pose<f32>) -> Prediction<'a> {
        Prediction::Joints {
            predicted: prediction,
            annotated: &self.joints[index],
        }
    }
}

/// Reads the joints of all frames of a clip.
fn clip_joints(files: &SequenceFiles) -> Result<Vec<Pose<f64>>, EvalError> {
    let annotation = &files.annotations[0];
    let joints = joints::read(annotation)?;
    if joints.len() == files.frames.len() {
        return Ok(joints);
    }
    Err(EvalError::Mat {
        path: annotation.clone(),
        message: format!(
            "joints of {} frames, expected {} as in {}",
            joints.len(),
            files.frames.len(),
            files.folder.display()
        ),
    })
}

/// Converts joints from pixels of the frame to cells of the grid, in the reference's order of operations.
pub(crate) fn to_grid(
    joints: &Pose<f64>,
    original: Size,
    input: Size,
    patch_size: usize,
) -> Pose<f64> {
    let cell = |position: f64, input: usize, original: usize| {
        position * input as f64 / original as f64 / patch_size as f64
    };
    joints.map(|[x, y]| {
        [
            cell(x, input.width, original.width),
            cell(y, input.height, original.height),
        ]
    })
}

/// Converts joints from cells of the grid to pixels of the frame, without a half-pixel shift.
///
/// Lost joints stay negative.
pub(crate) fn to_pixels(points: &Pose<f32>, grid: Grid, original: Size) -> Pose<f32> {
    points.map(|[x, y]| {
        [
            x / grid.width as f32 * original.width as f32,
            y / grid.height as f32 * original.height as f32,
        ]
    })
}
