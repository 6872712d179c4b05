//! JHMDB, propagation of 15 joints (Jhuang et al., ICCV 2013).
//!
//! Layout of the official downloads: `Rename_Images/<action>/<clip>/00001.png`,
//! `joint_positions/<action>/<clip>/joint_positions.mat`, and `splits/<action>_test_split1.txt` with lines
//! `<clip>.avi 2` for test clips. Without a `splits` folder every clip with joint positions is evaluated.

use std::path::{Path, PathBuf};

use crate::catalogue::{SequenceFiles, read_list};
use crate::error::{EvalError, Size};
use crate::frames::{list_files, list_folders, stem};
use crate::mat5;
use crate::metrics::Pck;
use crate::observer::{FrameDone, Observer, Prediction};
use crate::output;
use crate::pose::{JOINTS, POSE_CHANNELS, joint_maps, key_points};
use crate::propagation::Grid;
use crate::protocol::{Run, require_frames};
use crate::scores::JhmdbClip;

/// Annotated joints of a clip: per frame (x, y) in pixels, from 0.
type Joints = Vec<[[f64; 2]; JOINTS]>;

/// Folders that hold the frames: the renamed ones, and those that people extract from the videos.
const FRAME_FOLDERS: [&str; 2] = ["Rename_Images", "Frames"];

/// Clips `<action>/<clip>` to evaluate in name order, and where they were listed.
pub(crate) fn list(root: &Path) -> Result<(PathBuf, Vec<String>), EvalError> {
    let positions = root.join("joint_positions");
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
    let annotation = root
        .join("joint_positions")
        .join(name)
        .join("joint_positions.mat");
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
        output::write_joints(&out.join("joints"), name, &video.frames, &predicted[0])?;
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
pub(crate) fn clip_joints(files: &SequenceFiles) -> Result<Joints, EvalError> {
    let annotation = &files.annotations[0];
    let joints = read_joints(annotation)?;
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

/// `pos_img` (2, 15, T) of a clip, made to count from 0.
pub(crate) fn read_joints(path: &Path) -> Result<Joints, EvalError> {
    let array = mat5::read_array(path, "pos_img")?;
    let frames = match array.dims[..] {
        [2, JOINTS, frames] => frames,
        [2, JOINTS] => 1, // MATLAB drops a last dimension of 1
        _ => {
            return Err(EvalError::Mat {
                path: path.into(),
                message: format!(
                    "pos_img is {:?}, expected [2, {JOINTS}, frames]",
                    array.dims
                ),
            });
        }
    };
    let at = |frame: usize, joint: usize, axis: usize| {
        array.values[(frame * JOINTS + joint) * 2 + axis] - 1.0
    };
    let joints: Joints = (0..frames)
        .map(|t| std::array::from_fn(|joint| [at(t, joint, 0), at(t, joint, 1)]))
        .collect();
    if joints
        .as_flattened()
        .as_flattened()
        .iter()
        .all(|v| v.is_finite())
    {
        return Ok(joints);
    }
    Err(EvalError::Mat {
        path: path.into(),
        message: "pos_img has a value that is not finite".into(),
    })
}

/// Pixels of the frame -> cells of the grid, in the reference's order of operations.
pub(crate) fn to_grid(
    joints: &[[f64; 2]; JOINTS],
    original: Size,
    input: Size,
    patch_size: usize,
) -> [[f64; 2]; JOINTS] {
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
pub(crate) fn to_pixels(
    points: &[[f32; 2]; JOINTS],
    grid: Grid,
    original: Size,
) -> [[f32; 2]; JOINTS] {
    points.map(|[x, y]| {
        [
            x / grid.width as f32 * original.width as f32,
            y / grid.height as f32 * original.height as f32,
        ]
    })
}
