//! Writes the file of the predicted joints of a clip.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::EvalError;
use crate::files;
use crate::joints::Pose;

/// The predicted joints of a clip.
#[derive(Serialize)]
struct ClipJoints<'a> {
    clip: &'a str,
    /// A description of the numbers.
    unit: &'static str,
    frames: Vec<FrameJoints<'a>>,
}

#[derive(Serialize)]
struct FrameJoints<'a> {
    file: std::borrow::Cow<'a, str>,
    joints: &'a Pose<f32>,
}

/// Writes `<folder>/<action>/<clip>.json`.
pub(super) fn write_joints(
    folder: &Path,
    clip: &str,
    files: &[PathBuf],
    joints: &[Pose<f32>],
) -> Result<(), EvalError> {
    // `with_extension` would not work, because clip names may contain dots.
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
