//! Files and folders of the four sets, in the layouts of the official downloads.
//!
//! | set | frames | labels | list |
//! |---|---|---|---|
//! | train | `train/00000.jpg` | | |
//! | DAVIS-2017 | `JPEGImages/480p/<sequence>/00000.jpg` | `Annotations/480p/<sequence>/00000.png`, palette | `ImageSets/2017/val.txt` |
//! | VIP | `Images/<video>/000000000001.jpg` | `Annotations/Category_ids/<video>/000000000001.png`, gray | `lists/val_videos.txt` |
//! | JHMDB | `Rename_Images/<class>/<clip>/00001.png` | `joint_positions/<class>/<clip>/joint_positions.mat` | the folders |

use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use glam::Vec2;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::action::Action;
use crate::error::ScenesError;
use crate::mat5;
use crate::pose::JOINTS;

/// Quality of the JPEGs: fine texture survives, files stay small.
const JPEG_QUALITY: u8 = 92;

/// Name of a DAVIS sequence.
pub(crate) fn sequence(video: usize) -> String {
    format!("scene-{video:02}")
}

/// Name of a VIP video.
pub(crate) fn vip_video(video: usize) -> String {
    format!("videos{}", video + 1)
}

/// Class and clip of a JHMDB video.
pub(crate) fn clip(action: Action, video: usize) -> PathBuf {
    Path::new(action.class()).join(format!("scene_{video:02}"))
}

/// Writes one training image below `train/`.
pub(crate) fn train_image(train: &Path, index: usize, rgb: &RgbImage) -> Result<(), ScenesError> {
    jpeg(&train.join(format!("{index:05}.jpg")), rgb)
}

/// Writes one frame and its palette annotation below `DAVIS/`.
pub(crate) fn davis_frame(
    root: &Path,
    video: usize,
    frame: usize,
    rgb: &RgbImage,
    ids: &[u8],
) -> Result<(), ScenesError> {
    let below = |kind: &str| root.join(kind).join("480p").join(sequence(video));
    jpeg(&below("JPEGImages").join(format!("{frame:05}.jpg")), rgb)?;
    let palette = davis_palette();
    let path = below("Annotations").join(format!("{frame:05}.png"));
    png(
        &path,
        rgb.dimensions(),
        png::ColorType::Indexed,
        Some(&palette),
        ids,
    )
}

/// Writes one frame and its gray part ids below `VIP/`.
pub(crate) fn vip_frame(
    root: &Path,
    video: usize,
    frame: usize,
    rgb: &RgbImage,
    ids: &[u8],
) -> Result<(), ScenesError> {
    let (name, number) = (vip_video(video), frame + 1);
    jpeg(
        &root
            .join("Images")
            .join(&name)
            .join(format!("{number:012}.jpg")),
        rgb,
    )?;
    let path = root
        .join("Annotations/Category_ids")
        .join(&name)
        .join(format!("{number:012}.png"));
    png(
        &path,
        rgb.dimensions(),
        png::ColorType::Grayscale,
        None,
        ids,
    )
}

/// Writes one frame below `JHMDB/`.
pub(crate) fn jhmdb_frame(
    root: &Path,
    clip: &Path,
    frame: usize,
    rgb: &RgbImage,
) -> Result<(), ScenesError> {
    let path = root
        .join("Rename_Images")
        .join(clip)
        .join(format!("{:05}.png", frame + 1));
    png(
        &path,
        rgb.dimensions(),
        png::ColorType::Rgb,
        None,
        rgb.as_raw(),
    )
}

/// Writes the joints of a clip, one array of pixel coordinates (origin at the picture's corner) per frame.
pub(crate) fn jhmdb_joints(
    root: &Path,
    clip: &Path,
    frames: &[[Vec2; JOINTS]],
) -> Result<(), ScenesError> {
    // MATLAB's pixel (1, 1) is the center of the first one, half a pixel from the corner.
    let values: Vec<f64> = frames
        .iter()
        .flatten()
        .flat_map(|joint| [f64::from(joint.x) + 0.5, f64::from(joint.y) + 0.5])
        .collect();
    let shape = [2, JOINTS as i32, frames.len() as i32]; // (2, 15, T)
    let path = root
        .join("joint_positions")
        .join(clip)
        .join("joint_positions.mat");
    write(&path, &mat5::file("pos_img", &shape, &values))
}

/// Writes a list of names, one a line.
pub(crate) fn list(path: &Path, names: impl Iterator<Item = String>) -> Result<(), ScenesError> {
    let text: String = names.map(|name| name + "\n").collect();
    write(path, text.as_bytes())
}

/// The palette of DAVIS, which is PASCAL VOC's: the bits of an index dealt out to red, green and blue,
/// highest first. `(256 x 3)` bytes.
fn davis_palette() -> Vec<u8> {
    let channel = |index: usize, first: usize| {
        (0..3).fold(0u8, |value, k| {
            value | (((index >> (3 * k + first)) & 1) as u8) << (7 - k)
        })
    };
    (0..256)
        .flat_map(|index| [0, 1, 2].map(|first| channel(index, first)))
        .collect()
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

/// Writes a file, making the folders it lies in.
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
    fn palette_starts_like_the_data_set() {
        let palette = davis_palette();
        assert_eq!(palette.len(), 768);
        let color = |i: usize| &palette[3 * i..3 * i + 3];
        assert_eq!(color(0), [0, 0, 0]);
        assert_eq!(color(1), [128, 0, 0]);
        assert_eq!(color(2), [0, 128, 0]);
        assert_eq!(color(7), [128, 128, 128]);
        assert_eq!(color(8), [64, 0, 0]);
        assert_eq!(color(255), [224, 224, 192]);
    }

    #[test]
    fn the_first_pixel_is_one_one_to_matlab() {
        let dir = tempfile::tempdir().unwrap();
        let mut joints = [Vec2::ZERO; JOINTS];
        joints[0] = Vec2::splat(0.5); // the center of the first pixel
        joints[1] = Vec2::new(20.0, 7.5);
        jhmdb_joints(dir.path(), &clip(Action::Walk, 3), &[joints]).unwrap();
        let path = dir
            .path()
            .join("joint_positions/walk/scene_03/joint_positions.mat");
        let bytes = fs::read(path).unwrap();
        let values: Vec<f64> = bytes[bytes.len() - 2 * JOINTS * 8..]
            .chunks_exact(8)
            .map(|word| f64::from_le_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(values[..4], [1.0, 1.0, 20.5, 8.0]);
    }
}
