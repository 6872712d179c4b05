//! Predictions on disk, in the layouts that the data sets' own tools read.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::EvalError;
use crate::labels::LabelMap;
use crate::palette::Palette;
use crate::pose::JOINTS;

/// Writes a file, making its folder.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), EvalError> {
    let failed = |source| EvalError::Write {
        path: path.into(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, bytes).map_err(failed)
}

/// Writes `value` as indented JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), EvalError> {
    let json = serde_json::to_vec_pretty(value).map_err(|error| EvalError::Write {
        path: path.into(),
        source: error.into(),
    })?;
    write_file(path, &json)
}

/// Writes ids as a palette PNG, DAVIS's format for submissions.
pub(crate) fn write_palette_png(
    path: &Path,
    map: &LabelMap,
    palette: &Palette,
) -> Result<(), EvalError> {
    write_png(path, map, Some(palette))
}

/// Writes ids as a grey PNG, the format of VIP's annotations.
pub(crate) fn write_grey_png(path: &Path, map: &LabelMap) -> Result<(), EvalError> {
    write_png(path, map, None)
}

fn write_png(path: &Path, map: &LabelMap, palette: Option<&Palette>) -> Result<(), EvalError> {
    let encode = || -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let (width, height) = (map.size.width as u32, map.size.height as u32);
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_depth(png::BitDepth::Eight);
        match palette {
            Some(palette) => {
                encoder.set_color(png::ColorType::Indexed);
                encoder.set_palette(palette.bytes());
            }
            None => encoder.set_color(png::ColorType::Grayscale),
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&map.ids)?;
        writer.finish()?;
        Ok(bytes)
    };
    let bytes = encode().map_err(|error| EvalError::Write {
        path: path.into(),
        source: error.into(),
    })?;
    write_file(path, &bytes)
}

/// Predicted joints of a clip.
#[derive(Serialize)]
struct ClipJoints<'a> {
    clip: &'a str,
    /// What the numbers are.
    unit: &'static str,
    frames: Vec<FrameJoints<'a>>,
}

#[derive(Serialize)]
struct FrameJoints<'a> {
    file: std::borrow::Cow<'a, str>,
    joints: &'a [[f32; 2]; JOINTS],
}

/// Writes `<folder>/<action>/<clip>.json`.
pub(crate) fn write_joints(
    folder: &Path,
    clip: &str,
    files: &[PathBuf],
    joints: &[[[f32; 2]; JOINTS]],
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
    write_file(&path, &json)
}
