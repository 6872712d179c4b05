//! The scores of the three tasks, as they stand in a report.

use serde::{Deserialize, Serialize};

use crate::joints::JOINTS;
use crate::metrics::{Confusion, Pck, Statistics, THRESHOLDS};
use crate::nan;

/// Scores of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// Region similarity and contour accuracy.
    Davis(DavisScores),
    /// Mean intersection over union.
    Vip(VipScores),
    /// Percentage of correct key points.
    Jhmdb(JhmdbScores),
}

impl Scores {
    /// The numbers a paper's table shows, under the names its evaluation gives them. J, F and IoU are
    /// shares of 1, PCK is in percent.
    pub fn headline(&self) -> Vec<(String, f64)> {
        match self {
            Self::Davis(scores) => scores.columns(),
            Self::Vip(scores) => vec![("mIoU".into(), scores.mean_iou)],
            Self::Jhmdb(scores) => {
                let means = scores.thresholds.iter();
                means
                    .map(|at| (format!("PCK@{}", at.threshold), at.mean))
                    .collect()
            }
        }
    }
}

/// DAVIS-2017. Global values are means over the objects of all sequences, not over sequences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DavisScores {
    /// Mean of the two measures' means.
    #[serde(with = "nan")]
    pub j_and_f_mean: f64,
    /// Region similarity J.
    pub j: Statistics,
    /// Contour accuracy F.
    pub f: Statistics,
    /// The sequences in the order of the list.
    pub sequences: Vec<DavisSequence>,
}

/// One sequence of DAVIS-2017.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DavisSequence {
    /// Its name.
    pub name: String,
    /// Its frames, the two unscored ones included.
    pub frames: usize,
    /// Its objects in the order of their ids.
    pub objects: Vec<DavisObject>,
}

/// One object of a sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DavisObject {
    /// Its id in the annotation.
    pub id: u32,
    /// Region similarity J over the scored frames.
    pub j: Statistics,
    /// Contour accuracy F over the scored frames.
    pub f: Statistics,
    /// J of every scored frame.
    pub j_per_frame: Vec<f64>,
    /// F of every scored frame.
    pub f_per_frame: Vec<f64>,
}

impl DavisScores {
    pub(crate) fn of(sequences: Vec<DavisSequence>) -> Self {
        let objects = || sequences.iter().flat_map(|sequence| &sequence.objects);
        let j = Statistics::mean_of(objects().map(|object| &object.j));
        let f = Statistics::mean_of(objects().map(|object| &object.f));
        Self {
            j_and_f_mean: (j.mean + f.mean) / 2.0,
            j,
            f,
            sequences,
        }
    }

    /// Column names of davis2017-evaluation's table of global results, and their values.
    pub fn columns(&self) -> Vec<(String, f64)> {
        [
            ("J&F-Mean", self.j_and_f_mean),
            ("J-Mean", self.j.mean),
            ("J-Recall", self.j.recall),
            ("J-Decay", self.j.decay),
            ("F-Mean", self.f.mean),
            ("F-Recall", self.f.recall),
            ("F-Decay", self.f.decay),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into()
    }
}

/// VIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VipScores {
    /// Mean over the classes that are annotated or predicted, over all videos together.
    #[serde(with = "nan")]
    pub mean_iou: f64,
    /// IoU of each class; null where it is neither annotated nor predicted.
    pub iou_per_class: Vec<Option<f64>>,
    /// Pixels by annotated class (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
    /// The videos in the order of the list.
    pub videos: Vec<VipVideo>,
}

/// One video of VIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VipVideo {
    /// Its name.
    pub name: String,
    /// Its frames.
    pub frames: usize,
    /// Mean IoU of this video alone; the task's score is not the mean of these.
    #[serde(with = "nan")]
    pub mean_iou: f64,
}

impl VipScores {
    pub(crate) fn of(videos: Vec<(VipVideo, Confusion)>) -> Self {
        let mut total = Confusion::default();
        for (_, confusion) in &videos {
            total.merge(confusion);
        }
        Self {
            mean_iou: total.mean_iou(),
            iou_per_class: total.iou().to_vec(),
            confusion: total.rows().map(<[u64]>::to_vec).collect(),
            videos: videos.into_iter().map(|(video, _)| video).collect(),
        }
    }
}

/// JHMDB, in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JhmdbScores {
    /// PCK at 0.1 to 0.5.
    pub thresholds: Vec<PckAt>,
    /// Key points that count, by joint.
    pub items: [u64; JOINTS],
    /// The clips in the order of the list.
    pub clips: Vec<JhmdbClip>,
}

/// PCK at one threshold, in percent, over all clips together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PckAt {
    /// Share of the normaliser up to which a key point is correct.
    pub threshold: f64,
    /// Mean over joints.
    #[serde(with = "nan")]
    pub mean: f64,
    /// By joint; null for a joint that never counts.
    pub per_joint: [Option<f64>; JOINTS],
}

/// One clip of JHMDB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JhmdbClip {
    /// `<action>/<clip>`.
    pub name: String,
    /// Its frames, the unscored first one included.
    pub frames: usize,
    /// PCK at 0.1 to 0.5 of this clip alone, in percent; the task's score is not the mean of these.
    pub pck: [f64; THRESHOLDS.len()],
}

impl JhmdbScores {
    pub(crate) fn of(clips: Vec<(JhmdbClip, Pck)>) -> Self {
        let mut total = Pck::default();
        for (_, pck) in &clips {
            total.merge(pck);
        }
        let thresholds = THRESHOLDS.into_iter().enumerate();
        Self {
            thresholds: thresholds
                .map(|(index, threshold)| PckAt {
                    threshold,
                    mean: total.mean(index),
                    per_joint: total.per_joint(index),
                })
                .collect(),
            items: *total.items(),
            clips: clips.into_iter().map(|(clip, _)| clip).collect(),
        }
    }
}
