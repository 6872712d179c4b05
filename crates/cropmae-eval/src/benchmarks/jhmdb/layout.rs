//! Where JHMDB keeps its files.

use std::path::{Path, PathBuf};

use crate::benchmark::SequenceList;
use crate::error::EvalError;
use crate::files::{list_files, list_folders, read_list, stem};
use crate::sequence::SequenceFiles;

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

/// The file of a clip's joints, as [`joints::read`](crate::joints::read) reads and [`joints::write`](crate::joints::write) writes it.
pub fn joint_positions(root: &Path, clip: &str) -> PathBuf {
    positions(root).join(clip).join("joint_positions.mat")
}

/// The clips `<action>/<clip>` to evaluate, in name order.
pub(super) fn list_clips(root: &Path) -> Result<SequenceList, EvalError> {
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
        return Ok(SequenceList {
            source: positions,
            names: clips,
        });
    }
    // The lists decide, not the folders: a clip that was not downloaded must show up as missing.
    let expected =
        "JHMDB's split 1, <action>_test_split1.txt with a line `<clip>.avi 1` or `2` for each clip";
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
    Ok(SequenceList {
        source: splits,
        names: clips,
    })
}

/// The files of a clip.
pub(super) fn files_of(root: &Path, name: &str) -> Result<SequenceFiles, EvalError> {
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
