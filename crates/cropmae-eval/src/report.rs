//! The report of one task: `report.json`, and tables with the official toolkits' column names.

use std::fmt::Write;
use std::path::Path;

use cropmae_config::Protocol;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::evaluate::Task;
use crate::metrics::THRESHOLDS;
use crate::output::write_file;
use crate::scores::Scores;

/// Everything an evaluation found, and what decided it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task.
    pub task: Task,
    /// What the encoder calls itself.
    pub encoder: String,
    /// SHA-256 of its weight file, where there is one.
    pub weights_sha256: Option<String>,
    /// Width and height of a cell of its grid, in pixels.
    pub patch_size: usize,
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
        let path = out.join("report.json");
        let json = serde_json::to_vec_pretty(self).map_err(|error| EvalError::Write {
            path: path.clone(),
            source: error.into(),
        })?;
        write_file(&path, &json)?;
        for (name, table) in self.tables() {
            write_file(&out.join(name), table.as_bytes())?;
        }
        Ok(())
    }

    /// File names and contents of the tables, comma separated.
    ///
    /// DAVIS has davis2017-evaluation's two, with its three decimals; VIP and JHMDB, whose evaluations only
    /// print, have one row a class, joint, video or clip.
    pub fn tables(&self) -> Vec<(&'static str, String)> {
        match &self.scores {
            Scores::Davis(scores) => {
                let (names, values): (Vec<_>, Vec<_>) = scores.columns().into_iter().unzip();
                let values: Vec<String> = values.iter().map(|v| format!("{v:.3}")).collect();
                let global = format!("{}\n{}\n", names.join(","), values.join(","));
                let mut objects = String::from("Sequence,J-Mean,F-Mean\n");
                for sequence in &scores.sequences {
                    for object in &sequence.objects {
                        row(
                            &mut objects,
                            &format!("{}_{}", sequence.name, object.id),
                            &[Some(object.j.mean), Some(object.f.mean)],
                        );
                    }
                }
                vec![
                    ("global_results-val.csv", global),
                    ("per-sequence_results-val.csv", objects),
                ]
            }
            Scores::Vip(scores) => {
                let mut classes = String::from("Class,IoU\n");
                for (class, iou) in scores.iou_per_class.iter().enumerate() {
                    row(&mut classes, &class.to_string(), &[*iou]);
                }
                row(&mut classes, "mean", &[Some(scores.mean_iou)]);
                let mut videos = String::from("Video,mIoU\n");
                for video in &scores.videos {
                    row(&mut videos, &video.name, &[Some(video.mean_iou)]);
                }
                vec![
                    ("per-class_iou.csv", classes),
                    ("per-video_iou.csv", videos),
                ]
            }
            Scores::Jhmdb(scores) => {
                let columns = THRESHOLDS
                    .map(|threshold| format!("PCK@{threshold}"))
                    .join(",");
                let mut joints = format!("Joint,{columns}\n");
                for joint in 0..scores.items.len() {
                    let values = scores.thresholds.iter().map(|at| at.per_joint[joint]);
                    row(&mut joints, &joint.to_string(), &values.collect::<Vec<_>>());
                }
                let means: Vec<_> = scores.thresholds.iter().map(|at| Some(at.mean)).collect();
                row(&mut joints, "mean", &means);
                let mut clips = format!("Clip,{columns}\n");
                for clip in &scores.clips {
                    row(&mut clips, &clip.name, &clip.pck.map(Some));
                }
                vec![("per-joint_pck.csv", joints), ("per-clip_pck.csv", clips)]
            }
        }
    }
}

/// Appends a row; a missing value is an empty field.
fn row(table: &mut String, name: &str, values: &[Option<f64>]) {
    table.push_str(name);
    for value in values {
        table.push(',');
        if let Some(value) = value {
            // Writing into a String cannot fail.
            let _ = write!(table, "{value:.3}");
        }
    }
    table.push('\n');
}
