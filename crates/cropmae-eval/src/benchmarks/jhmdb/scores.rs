//! The scores of JHMDB.

use serde::{Deserialize, Serialize};

use crate::joints::{JOINTS, Pose};
use crate::metrics::{Pck, THRESHOLDS};
use crate::nan;
use crate::report::{Measure, Scores, TOOLKIT_DECIMALS, Table};

/// The scores of JHMDB in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JhmdbScores {
    /// The PCK at the thresholds 0.1 to 0.5.
    pub thresholds: Vec<PckAt>,
    /// The number of scored key points, by joint.
    pub items: [u64; JOINTS],
    /// The clips in the order of the list.
    pub clips: Vec<JhmdbClip>,
}

/// The PCK at one threshold in percent, over all clips together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PckAt {
    /// The distance, as a share of the normalizer, up to which a key point is correct.
    pub threshold: f64,
    /// The mean over joints.
    #[serde(with = "nan")]
    pub mean: f64,
    /// The PCK by joint, which is null for a joint that is never scored.
    pub per_joint: [Option<f64>; JOINTS],
}

/// The scores of one clip of JHMDB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JhmdbClip {
    /// The name `<action>/<clip>`.
    pub name: String,
    /// The number of frames, including the first one, which is not scored.
    pub frames: usize,
    /// The PCK at 0.1 to 0.5 of this clip in percent. The score of the task is not the mean of these.
    pub pck: [f64; THRESHOLDS.len()],
}

/// The results of one clip with one setting.
pub(super) struct ClipScore {
    pub name: String,
    /// The predicted joints of every frame.
    pub predicted: Vec<Pose<f32>>,
    pub pck: Pck,
}

impl JhmdbScores {
    /// Combines the scores of all clips.
    pub(super) fn of(clips: Vec<ClipScore>) -> Self {
        let mut total = Pck::default();
        for clip in &clips {
            total.merge(&clip.pck);
        }
        let thresholds = THRESHOLDS.into_iter().enumerate();
        let clips = clips.into_iter().map(|clip| JhmdbClip {
            name: clip.name,
            frames: clip.predicted.len(),
            pck: std::array::from_fn(|threshold| clip.pck.mean(threshold)),
        });
        Self {
            thresholds: thresholds
                .map(|(index, threshold)| PckAt {
                    threshold,
                    mean: total.mean(index),
                    per_joint: total.per_joint(index),
                })
                .collect(),
            items: *total.items(),
            clips: clips.collect(),
        }
    }
}

#[typetag::serde(name = "jhmdb")]
impl Scores for JhmdbScores {
    fn headline(&self) -> Vec<Measure> {
        let thresholds = self.thresholds.iter();
        thresholds
            .map(|at| Measure::percent(format!("PCK@{}", at.threshold), at.mean))
            .collect()
    }

    /// Returns a table with a row for each joint and each clip. The official evaluation writes no table.
    fn tables(&self) -> Vec<Table> {
        let columns = || THRESHOLDS.map(|at| format!("PCK@{at}")).to_vec();
        let joints = (0..self.items.len()).map(|joint| {
            let at = self.thresholds.iter().map(|at| at.per_joint[joint]);
            (joint.to_string(), at.collect())
        });
        let means = self.thresholds.iter().map(|at| Some(at.mean));
        let mean = std::iter::once(("mean".to_owned(), means.collect()));
        let clips = self.clips.iter();
        let clips = clips.map(|clip| (clip.name.clone(), clip.pck.map(Some).to_vec()));
        vec![
            Table {
                file: "per-joint_pck",
                key: Some("Joint"),
                decimals: TOOLKIT_DECIMALS,
                columns: columns(),
                rows: joints.chain(mean).collect(),
            },
            Table {
                file: "per-clip_pck",
                key: Some("Clip"),
                decimals: TOOLKIT_DECIMALS,
                columns: columns(),
                rows: clips.collect(),
            },
        ]
    }
}
