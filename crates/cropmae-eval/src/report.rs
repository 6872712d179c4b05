//! The report of one task: `report.json`, and tables with the official toolkits' column names.

use std::collections::BTreeMap;
use std::path::Path;

use cropmae_config::{ComputeDtype, Protocol};
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::evaluate::Task;
use crate::files::replace_json;
use crate::metrics::THRESHOLDS;
use crate::scores::{DavisObject, DavisScores, JhmdbScores, Scores, VipScores};
use crate::table::{TOOLKIT_DECIMALS, Table};

/// Everything an evaluation found, and what decided it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task.
    pub task: Task,
    /// What the encoder calls itself.
    pub encoder: String,
    /// SHA-256 of its weight file, where there is one.
    pub weights_sha256: Option<String>,
    /// Type of the operands of its matrix products, as they ran; propagation is f32 with either.
    #[serde(default)]
    pub compute: ComputeDtype,
    /// Width and height of a cell of its grid, in pixels.
    pub patch_size: usize,
    /// Sequences by the height and width of the encoder's input: the protocol's, to the nearest multiples of
    /// the patch size.
    pub input_sizes: BTreeMap<String, usize>,
    /// Identifies the data: SHA-256 over names and sizes of the frames and annotations of all sequences.
    pub data_fingerprint: String,
    /// The protocol that was run.
    pub protocol: Protocol,
    /// Scores over the sequences that could be evaluated.
    pub scores: Scores,
    /// The sequences that are missing from the scores. A number is comparable only if there are none.
    pub failures: Vec<Failure>,
}

/// A sequence that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its name.
    pub sequence: String,
    /// What went wrong, on one line.
    pub message: String,
}

impl TaskReport {
    /// Writes `report.json` and the tables into the folder `out`.
    ///
    /// # Errors
    /// [`EvalError::Write`], naming the file.
    pub fn write(&self, out: &Path) -> Result<(), EvalError> {
        replace_json(&out.join("report.json"), self)?;
        self.tables().iter().try_for_each(|table| table.write(out))
    }

    /// DAVIS has davis2017-evaluation's two tables; VIP and JHMDB, whose evaluations only print, have one row
    /// a class, joint, video or clip.
    fn tables(&self) -> Vec<Table> {
        match &self.scores {
            Scores::Davis(scores) => davis(scores),
            Scores::Vip(scores) => vip(scores),
            Scores::Jhmdb(scores) => jhmdb(scores),
        }
    }
}

fn davis(scores: &DavisScores) -> Vec<Table> {
    let (columns, values): (Vec<_>, Vec<_>) = scores.columns().into_iter().unzip();
    let objects = scores.sequences.iter().flat_map(|sequence| {
        let row = |object: &DavisObject| {
            let means = vec![Some(object.j.mean), Some(object.f.mean)];
            (format!("{}_{}", sequence.name, object.id), means)
        };
        sequence.objects.iter().map(row)
    });
    vec![
        Table {
            file: "global_results-val",
            key: None,
            decimals: TOOLKIT_DECIMALS,
            columns,
            rows: vec![(String::new(), values.into_iter().map(Some).collect())],
        },
        Table {
            file: "per-sequence_results-val",
            key: Some("Sequence"),
            decimals: TOOLKIT_DECIMALS,
            columns: vec!["J-Mean".into(), "F-Mean".into()],
            rows: objects.collect(),
        },
    ]
}

fn vip(scores: &VipScores) -> Vec<Table> {
    let classes = scores.iou_per_class.iter().enumerate();
    let classes = classes.map(|(class, iou)| (class.to_string(), vec![*iou]));
    let mean = std::iter::once(("mean".to_owned(), vec![Some(scores.mean_iou)]));
    let videos = scores.videos.iter();
    let videos = videos.map(|video| (video.name.clone(), vec![Some(video.mean_iou)]));
    vec![
        Table {
            file: "per-class_iou",
            key: Some("Class"),
            decimals: TOOLKIT_DECIMALS,
            columns: vec!["IoU".into()],
            rows: classes.chain(mean).collect(),
        },
        Table {
            file: "per-video_iou",
            key: Some("Video"),
            decimals: TOOLKIT_DECIMALS,
            columns: vec!["mIoU".into()],
            rows: videos.collect(),
        },
    ]
}

fn jhmdb(scores: &JhmdbScores) -> Vec<Table> {
    let columns = || THRESHOLDS.map(|at| format!("PCK@{at}")).to_vec();
    let joints = (0..scores.items.len()).map(|joint| {
        let at = scores.thresholds.iter().map(|at| at.per_joint[joint]);
        (joint.to_string(), at.collect())
    });
    let means = scores.thresholds.iter().map(|at| Some(at.mean));
    let mean = std::iter::once(("mean".to_owned(), means.collect()));
    let clips = scores.clips.iter();
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
