//! Files of the four sets, in the layouts of the official downloads.
//!
//! The training images are `train/00000.jpg`. The names of all other files, the palette of masks and the files of
//! joints are those that the evaluators read: [`cropmae_eval::benchmarks`], [`cropmae_eval::Palette`] and
//! [`cropmae_eval::joints`].

use std::fs;
use std::io::BufWriter;
use std::path::Path;

use cropmae_eval::Palette;
use cropmae_eval::benchmarks::{MaskLayout, davis, jhmdb, vip};
use cropmae_eval::joints::{self, JOINTS};
use glam::Vec2;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::action::Action;
use crate::error::ScenesError;

/// Quality of the JPEGs: fine texture survives, files stay small.
const JPEG_QUALITY: u8 = 92;

/// Name of a DAVIS sequence.
pub(crate) fn davis_name(video: usize) -> String {
    format!("scene-{video:02}")
}

/// Name of a VIP video.
pub(crate) fn vip_name(video: usize) -> String {
    format!("videos{}", video + 1)
}

/// Class and clip of a JHMDB video.
pub(crate) fn jhmdb_name(action: Action, video: usize) -> String {
    format!("{}/scene_{video:02}", action.class())
}

/// Writes one training image into the folder `train`.
pub(crate) fn train_image(train: &Path, index: usize, rgb: &RgbImage) -> Result<(), ScenesError> {
    jpeg(&train.join(format!("{index:05}.jpg")), rgb)
}

/// Writes one frame of DAVIS and its mask, whose colors are those of the official palette.
pub(crate) fn davis_frame(
    root: &Path,
    video: usize,
    frame: usize,
    rgb: &RgbImage,
    ids: &[u8],
) -> Result<(), ScenesError> {
    let name = davis_name(video);
    jpeg(&davis::LAYOUT.frame(root, &name, frame), rgb)?;
    let path = davis::LAYOUT.mask(root, &name, frame);
    let palette = Palette::davis().bytes();
    let color = png::ColorType::Indexed;
    png(&path, rgb.dimensions(), color, Some(&palette), ids)
}

/// Writes one frame of VIP and its part ids as gray levels.
pub(crate) fn vip_frame(
    root: &Path,
    video: usize,
    frame: usize,
    rgb: &RgbImage,
    ids: &[u8],
) -> Result<(), ScenesError> {
    let name = vip_name(video);
    jpeg(&vip::LAYOUT.frame(root, &name, frame), rgb)?;
    let path = vip::LAYOUT.mask(root, &name, frame);
    let color = png::ColorType::Grayscale;
    png(&path, rgb.dimensions(), color, None, ids)
}

/// Writes one frame of a JHMDB clip.
pub(crate) fn jhmdb_frame(
    root: &Path,
    clip: &str,
    frame: usize,
    rgb: &RgbImage,
) -> Result<(), ScenesError> {
    let path = jhmdb::frame(root, clip, frame);
    let color = png::ColorType::Rgb;
    png(&path, rgb.dimensions(), color, None, rgb.as_raw())
}

/// Writes the joints of a JHMDB clip: for each frame the positions in pixels, counted from the picture's corner.
pub(crate) fn jhmdb_joints(
    root: &Path,
    clip: &str,
    frames: &[[Vec2; JOINTS]],
) -> Result<(), ScenesError> {
    // To the evaluators the origin is the center of the first pixel.
    let centered = |joint: Vec2| [f64::from(joint.x) - 0.5, f64::from(joint.y) - 0.5];
    let poses: Vec<_> = frames.iter().map(|pose| pose.map(centered)).collect();
    Ok(joints::write(&jhmdb::joint_positions(root, clip), &poses)?)
}

/// Writes a benchmark's list of videos.
pub(crate) fn list(
    layout: MaskLayout,
    root: &Path,
    names: impl Iterator<Item = String>,
) -> Result<(), ScenesError> {
    let text: String = names.map(|name| name + "\n").collect();
    write(&layout.list_file(root), text.as_bytes())
}

fn jpeg(path: &Path, rgb: &RgbImage) -> Result<(), ScenesError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .write_image(
            rgb.as_raw(),
            rgb.width(),
            rgb.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|error| ScenesError::write(path, std::io::Error::other(error)))?;
    write(path, &bytes)
}

fn png(
    path: &Path,
    (width, height): (u32, u32),
    color: png::ColorType,
    palette: Option<&[u8]>,
    data: &[u8],
) -> Result<(), ScenesError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(BufWriter::new(&mut bytes), width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    encoder
        .write_header()
        .and_then(|mut writer| {
            writer.write_image_data(data)?;
            writer.finish()
        })
        .map_err(|error| ScenesError::write(path, error.into()))?;
    write(path, &bytes)
}

/// Writes a file and makes the folders above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ScenesError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| ScenesError::write(folder, source))?;
    }
    fs::write(path, bytes).map_err(|source| ScenesError::write(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joints_are_counted_from_the_corner_of_the_picture() {
        let dir = tempfile::tempdir().unwrap();
        let mut pose = [Vec2::ZERO; JOINTS];
        pose[0] = Vec2::splat(0.5); // the center of the first pixel
        pose[1] = Vec2::new(20.0, 7.5);
        let clip = jhmdb_name(Action::Walk, 3);
        jhmdb_joints(dir.path(), &clip, &[pose]).unwrap();
        let path = dir
            .path()
            .join("joint_positions/walk/scene_03/joint_positions.mat");
        let read = joints::read(&path).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0][..2], [[0.0, 0.0], [19.5, 7.0]]);
        let bytes = fs::read(path).unwrap();
        let values = &bytes[bytes.len() - 2 * JOINTS * 8..];
        assert_eq!(values[..8], 1_f64.to_le_bytes(), "MATLAB counts from 1");
    }
}
