//! The layout of JHMDB.

use std::path::{Path, PathBuf};

use crate::benchmark::SequenceList;
use crate::error::EvalError;
use crate::files::{list_files, list_folders, read_list, stem};
use crate::sequence::SequenceFiles;

/// The folders of frames: the official renamed frames, or frames that users extract from the videos.
const FRAME_FOLDERS: [&str; 2] = ["Rename_Images", "Frames"];

/// Returns the folder that contains the frames of a clip `<action>/<clip>`.
pub fn frames_of(root: &Path, clip: &str) -> PathBuf {
    root.join(FRAME_FOLDERS[0]).join(clip)
}

/// Returns the path of frame `index` (from 0) of a clip.
pub fn frame(root: &Path, clip: &str, index: usize) -> PathBuf {
    frames_of(root, clip).join(format!("{:05}.png", index + 1))
}

/// Returns the folder of joint positions. Without splits, its contents are the list of clips.
fn positions(root: &Path) -> PathBuf {
    root.join("joint_positions")
}

/// Returns the path of the joints of a clip, for [`joints::read`](crate::joints::read) and
/// [`joints::write`](crate::joints::write).
pub fn joint_positions(root: &Path, clip: &str) -> PathBuf {
    positions(root).join(clip).join("joint_positions.mat")
}

/// Returns the clips `<action>/<clip>` to evaluate, sorted by name.
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
    // Use the lists and not the folders, so that a clip that was not downloaded is reported as missing.
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

/// Returns the files of a clip.
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
