//! JHMDB, propagation of 15 joints (Jhuang et al., ICCV 2013).
//!
//! Layout of the official downloads: `Rename_Images/<action>/<clip>/00001.png`,
//! `joint_positions/<action>/<clip>/joint_positions.mat`, and `splits/<action>_test_split1.txt` with lines
//! `<clip>.avi 2` for test clips. Without a `splits` folder every clip with joint positions is evaluated.

use std::path::{Path, PathBuf};

use crate::catalogue::SequenceFiles;
use crate::error::EvalError;
use crate::files::{self, list_files, list_folders, read_list, stem};
use crate::joints::{self, Pose};
use crate::metrics::Pck;
use crate::observer::{FrameDone, Observer, Prediction};
use crate::pose::{POSE_CHANNELS, joint_maps, key_points};
use crate::propagation::Grid;
use crate::protocol::{Run, require_frames};
use crate::scores::JhmdbClip;
use crate::size::Size;

/// Folders that hold the frames: the renamed ones, and those that people extract from the videos.
const FRAME_FOLDERS: [&str; 2] = ["Rename_Images", "Frames"];

/// The folder that holds the frames of a clip `<action>/<clip>`.
pub fn frames_of(root: &Path, clip: &str) -> PathBuf {
    root.join(FRAME_FOLDERS[0]).join(clip)
}

/// The file of a clip's frame; `index` counts from 0.
pub fn frame(root: &Path, clip: &str, index: usize) -> PathBuf {
    frames_of(root, clip).join(format!("{:05}.png", index + 1))
}

/// The folder of joint positions, which also lists the clips where there are no splits.
fn positions(root: &Path) -> PathBuf {
    root.join("joint_positions")
}

/// The file of a clip's joints, as [`joints::read`] reads and [`joints::write`] writes it.
pub fn joint_positions(root: &Path, clip: &str) -> PathBuf {
    positions(root).join(clip).join("joint_positions.mat")
}

/// Clips `<action>/<clip>` to evaluate in name order, and where they were listed.
pub(crate) fn list(root: &Path) -> Result<(PathBuf, Vec<String>), EvalError> {
    let positions = positions(root);
    let splits = root.join("splits");
    let expected = "JHMDB's joint positions, joint_positions/<action>/<clip>/joint_positions.mat";
    let actions = list_folders(&positions, expected)?;
    let mut clips = Vec::new();
    if !splits.is_dir() {
        for action in actions {
            for clip in list_folders(&positions.join(&action), expected)? {
                clips.push(format!("{action}/{clip}"));
            }
        }
        return Ok((positions, clips));
    }
    // The lists decide, not the folders: a clip that was not downloaded must show up as missing.
    let expected =
        "JHMDB's split 1, <action>_test_split1.txt with a line `<clip>.avi 1` or `2` a clip";
    for list in list_files(&splits, &["txt"], expected)? {
        if let Some(action) = stem(&list).strip_suffix("_test_split1") {
            let lines = read_list(&list, expected)?;
            let tested = lines.iter().filter_map(|line| line.strip_suffix(" 2"));
            clips.extend(tested.map(|clip| format!("{action}/{}", clip.trim_end_matches(".avi"))));
        }
    }
    if clips.is_empty() {
        return Err(EvalError::Layout {
            path: splits,
            expected: expected.into(),
        });
    }
    Ok((splits, clips))
}

/// Files of a clip.
pub(crate) fn files(root: &Path, name: &str) -> Result<SequenceFiles, EvalError> {
    let candidates = FRAME_FOLDERS.map(|folder| root.join(folder).join(name));
    let folder = candidates.iter().find(|folder| folder.is_dir());
    let folder = folder.unwrap_or(&candidates[0]).clone();
    let annotation = joint_positions(root, name);
    if !annotation.is_file() {
        return Err(EvalError::Layout {
            path: annotation,
            expected: "the joints of the clip".into(),
        });
    }
    Ok(SequenceFiles {
        frames: list_files(&folder, &["png", "jpg", "jpeg"], "the frames of the clip")?,
        annotations: vec![annotation],
        folder,
    })
}

/// The clip's scores under each setting.
pub(crate) fn evaluate(
    run: &Run<'_>,
    files: SequenceFiles,
    name: &str,
    observer: &mut dyn Observer,
) -> Result<Vec<(JhmdbClip, Pck)>, EvalError> {
    require_frames(&files.folder, &files.frames, 2, "frame 0 is not scored")?;
    let joints = clip_joints(&files)?;
    let video = run.video(files.frames)?;
    let patch_size = run.encoder.patch_size();
    let start = to_grid(&joints[0], video.original, video.input, patch_size);
    let labels = joint_maps(&start, video.grid);
    let frames = video.frames.len();
    let mut predicted = vec![Vec::with_capacity(frames); run.settings.len()];
    run.propagate(&video, &labels, POSE_CHANNELS, |index, setting, soft| {
        let points = to_pixels(&key_points(soft, video.grid), video.grid, video.original);
        if setting == 0 {
            observer.frame_done(&FrameDone {
                sequence: name,
                index,
                frames,
                path: &video.frames[index],
                prediction: Prediction::Joints {
                    predicted: &points,
                    annotated: &joints[index],
                },
            });
        }
        predicted[setting].push(points);
        Ok(())
    })?;
    if let Some(out) = run.predictions() {
        write_joints(&out.join("joints"), name, &video.frames, &predicted[0])?;
    }
    let score = |predicted: Vec<_>| {
        let mut pck = Pck::default();
        pck.add_clip(&joints, &predicted);
        let clip = JhmdbClip {
            name: name.into(),
            frames,
            pck: std::array::from_fn(|threshold| pck.mean(threshold)),
        };
        (clip, pck)
    };
    Ok(predicted.into_iter().map(score).collect())
}

/// The joints of a clip, as many as it has frames.
pub(crate) fn clip_joints(files: &SequenceFiles) -> Result<Vec<Pose<f64>>, EvalError> {
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

/// Pixels of the frame -> cells of the grid, in the reference's order of operations.
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

/// Cells of the grid -> pixels of the frame, without a half-pixel shift; lost joints stay negative.
pub(crate) fn to_pixels(points: &Pose<f32>, grid: Grid, original: Size) -> Pose<f32> {
    points.map(|[x, y]| {
        [
            x / grid.width as f32 * original.width as f32,
            y / grid.height as f32 * original.height as f32,
        ]
    })
}

/// Predicted joints of a clip.
#[derive(serde::Serialize)]
struct ClipJoints<'a> {
    clip: &'a str,
    /// What the numbers are.
    unit: &'static str,
    frames: Vec<FrameJoints<'a>>,
}

#[derive(serde::Serialize)]
struct FrameJoints<'a> {
    file: std::borrow::Cow<'a, str>,
    joints: &'a Pose<f32>,
}

/// Writes `<folder>/<action>/<clip>.json`.
fn write_joints(
    folder: &Path,
    clip: &str,
    files: &[PathBuf],
    joints: &[Pose<f32>],
) -> Result<(), EvalError> {
    // Not `with_extension`: clip names may hold dots.
    let path = folder.join(format!("{clip}.json"));
    let frames = files.iter().zip(joints).map(|(file, joints)| FrameJoints {
        file: file.file_name().unwrap_or_default().to_string_lossy(),
        joints,
    });
    let clip = ClipJoints {
        clip,
        unit: "(x, y) in pixels of the frame, from 0; negative for a lost joint",
        frames: frames.collect(),
    };
    let json = serde_json::to_vec(&clip).map_err(|error| EvalError::Write {
        path: path.clone(),
        source: error.into(),
    })?;
    files::write(&path, &json)
}
