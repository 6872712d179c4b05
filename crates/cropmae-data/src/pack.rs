//! Packs any source of images into tar shards that follow the naming of WebDataset.
//!
//! Images are written in the order of their source and under the same names. Shards that keep the original bytes
//! therefore have the same fingerprint as their source and give the same batches. The folder of shards appears only
//! after its last byte is written.

mod writer;

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cropmae_config::Interpolation;
use cropmae_files::NewFolder;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use rayon::prelude::*;

use self::writer::{Entry, ShardWriter};
use crate::boxes::CropBox;
use crate::resize::resize_crop;
use crate::sources::Content;
use crate::tolerance::{Known, Tolerance};
use crate::{BadFile, DataError, Dataset};

/// The number of images that are prepared in parallel before they are written in order.
const CHUNK: usize = 128;

/// The options of [`pack`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackOptions {
    /// The size in bytes at which a shard is closed.
    pub shard_bytes: u64,
    /// The length in pixels to which longer shorter sides are resized, with antialiasing. Resized images are stored as
    /// JPEG. If it is `None`, all bytes are kept as they are.
    pub shorter_side: Option<u32>,
    /// The quality of the JPEGs of resized images, from 1 to 100.
    pub quality: u8,
}

/// A summary of the shards that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The number of images.
    pub images: usize,
    /// The number of resized images.
    pub resized: usize,
    /// The number of shards.
    pub shards: usize,
    /// The total size of all shards in bytes.
    pub bytes: u64,
    /// The images that were left out because they are unusable.
    pub bad_files: Vec<BadFile>,
}

/// Writes the images of `dataset` as shards into the new folder `out`.
///
/// `progress` is called with the number of images done so far. If `stop` is set, the function returns `None` and leaves
/// no files behind.
///
/// # Errors
/// Returns [`DataError::OutExists`] if `out` exists and is not an empty folder, [`DataError::Write`] if it cannot be
/// written, or [`DataError::TooManyBadFiles`] if more images are unusable than `data.max_bad_fraction` allows.
pub fn pack(
    dataset: &Dataset,
    out: &Path,
    options: &PackOptions,
    progress: &dyn Fn(usize),
    stop: &AtomicBool,
) -> Result<Option<Packed>, DataError> {
    let failed = |source| DataError::Write {
        path: out.to_owned(),
        source,
    };
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) || out.is_file() {
        return Err(DataError::OutExists {
            path: out.to_owned(),
        });
    }
    let folder = NewFolder::create(out).map_err(failed)?;
    let tolerance = Tolerance::new(dataset.recipe().max_bad_fraction, dataset.file_count());
    let mut known = Known::new();
    tolerance.tolerate(&mut known, dataset.bad_files().iter().cloned())?;
    let mut shards = ShardWriter::new(folder.path(), options.shard_bytes);
    let (mut images, mut resized) = (0, 0);
    for start in (0..dataset.len()).step_by(CHUNK) {
        let chunk = start..(start + CHUNK).min(dataset.len());
        let prepared: Vec<Result<Entry, BadFile>> = chunk
            .into_par_iter()
            .map(|index| prepare(dataset, index, options))
            .collect();
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        for entry in prepared {
            match entry {
                Ok(entry) => {
                    shards.write(&entry).map_err(failed)?;
                    images += 1;
                    resized += usize::from(entry.resized);
                }
                Err(bad) => tolerance.tolerate(&mut known, [bad])?,
            }
        }
        progress((start + CHUNK).min(dataset.len()));
    }
    let (shards, bytes) = shards.finish().map_err(failed)?;
    folder.commit().map_err(failed)?;
    let bad = |(path, reason)| BadFile { path, reason };
    Ok(Some(Packed {
        images,
        resized,
        shards,
        bytes,
        bad_files: known.into_iter().map(bad).collect(),
    }))
}

fn prepare(dataset: &Dataset, index: usize, options: &PackOptions) -> Result<Entry, BadFile> {
    let picture = dataset.source().read(index)?;
    let name = dataset.name(index);
    let bad = |reason: &str| BadFile {
        path: picture.path.clone(),
        reason: reason.to_owned(),
    };
    let Content::Encoded(bytes) = &picture.content else {
        return Err(bad("a video; only images can be packed"));
    };
    let kept = || Entry {
        name: entry_name(&name, extension(bytes)),
        bytes: bytes.to_vec(),
        resized: false,
    };
    let Some(side) = options.shorter_side else {
        return Ok(kept());
    };
    let pixels = dataset.decode(&picture)?;
    let (width, height) = pixels.dimensions();
    if width.min(height) <= side {
        return Ok(kept());
    }
    let resized = resize(&pixels, side);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, options.quality)
        .write_image(
            &resized,
            resized.width(),
            resized.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|error| bad(&format!("cannot encode as JPEG: {error}")))?;
    Ok(Entry {
        name: entry_name(&name, Some("jpg")).with_extension("jpg"),
        bytes,
        resized: true,
    })
}

/// Resizes the whole image so that its shorter side is `side` pixels long.
fn resize(pixels: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = pixels.dimensions();
    let scaled = |length: u32| {
        let shorter = f64::from(width.min(height));
        (f64::from(length) * f64::from(side) / shorter).round() as u32
    };
    resize_crop(
        pixels,
        CropBox::full(width, height),
        scaled(width),
        scaled(height),
        Interpolation::Bicubic,
    )
}

/// Returns the name of an image inside a shard.
///
/// WebDataset takes everything after the first dot of a file name as its kind, so earlier dots are replaced by
/// underscores. Components that lead out of the folder are dropped. A name without an ending gets `ending`.
fn entry_name(name: &Path, ending: Option<&str>) -> PathBuf {
    let normal = |part| match part {
        Component::Normal(part) => Some(part),
        _ => None,
    };
    let mut clean: PathBuf = name.components().filter_map(normal).collect();
    let stem = name.file_stem().unwrap_or(OsStr::new("image"));
    let stem = stem.to_string_lossy().replace('.', "_");
    let given = name
        .extension()
        .map(|found| found.to_string_lossy().into_owned());
    if let Some(ending) = given.or_else(|| ending.map(str::to_owned)) {
        clean.set_file_name(format!("{stem}.{ending}"));
    }
    clean
}

/// Returns the usual ending for the format of an image, which its first bytes show.
fn extension(bytes: &[u8]) -> Option<&'static str> {
    image::guess_format(bytes)
        .ok()
        .and_then(|format| format.extensions_str().first().copied())
}

#[cfg(test)]
mod tests;
