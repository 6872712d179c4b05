//! Reads files to RGB pixels, as the reference's loader sees them.
//!
//! The format is recognized by a file's first bytes, never by its name. Baseline JPEGs, which photos are, are decoded
//! by [`cropmae_jpeg`]: only the region that is asked for, with Pillow's exact pixels. JPEGs of other kinds are
//! decoded by `zune-jpeg`, whose pixels can differ from Pillow's; PNG, WebP and GIF by `image`. Gray is
//! replicated, CMYK is converted (it is stored inverted, as photo editors do), alpha is dropped without blending,
//! and 16-bit values keep their high byte. The EXIF orientation is ignored unless the options ask for it.
//!
//! Incomplete files are errors, not pictures with a gray rest: a JPEG must have its end-of-image marker, and its
//! entropy-coded data must decode strictly, as far down as it is needed; other bytes between its headers are
//! accepted.

mod end_marker;
mod orientation;
mod other;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use cropmae_config::DataConfig;
use cropmae_jpeg::{Jpeg, JpegError, Region};
use image::RgbImage;
use image::imageops::crop_imm;
use image::metadata::Orientation;

use crate::BadFile;
use crate::boxes::CropBox;

/// What is accepted, and how it is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// Pictures of more megapixels are refused before any pixel is decoded.
    pub(crate) max_megapixels: u32,
    /// Whether pictures are turned as their EXIF data says; the reference does not.
    pub(crate) exif_orientation: bool,
}

impl From<&DataConfig> for Options {
    fn from(config: &DataConfig) -> Self {
        Self {
            max_megapixels: config.max_megapixels,
            exif_orientation: config.exif_orientation,
        }
    }
}

/// Reads and decodes the file at `path`, as stored; pictures of more than `max_megapixels` are refused
/// before any pixel is decoded.
///
/// # Errors
/// [`BadFile`] with the reason: unreadable, empty, truncated, too large, or not a picture.
pub fn read(path: &Path, max_megapixels: u32) -> Result<RgbImage, BadFile> {
    let bad = |reason| BadFile::new(path, reason);
    let options = Options {
        max_megapixels,
        exif_orientation: false,
    };
    let bytes = std::fs::read(path).map_err(|error| bad(format!("cannot read: {error}")))?;
    decode(&bytes, options).map_err(bad)
}

/// Decodes the whole of a picture's bytes; the error is the reason in words.
pub(crate) fn decode(bytes: &[u8], options: Options) -> Result<RgbImage, String> {
    let encoded = Encoded::open(bytes, options)?;
    let (width, height) = encoded.dimensions();
    encoded.region(CropBox::full(width, height))
}

/// A picture whose headers are read and whose pixels are not.
pub(crate) struct Encoded<'a> {
    bytes: &'a [u8],
    format: Format<'a>,
    /// Width and height as stored, before it is turned.
    size: (u32, u32),
    orientation: Orientation,
}

/// What a file is, which decides who decodes it.
enum Format<'a> {
    BaselineJpeg(Box<Jpeg<'a>>),
    OtherJpeg,
    Other,
}

impl<'a> Encoded<'a> {
    /// Reads the headers of a picture's bytes; the error is the reason in words.
    pub(crate) fn open(bytes: &'a [u8], options: Options) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("empty file".to_owned());
        }
        guarded(|| {
            let (format, size) = Format::of(bytes)?;
            check_size(size, options.max_megapixels)?;
            let orientation = match (&format, options.exif_orientation) {
                (_, false) => Orientation::NoTransforms,
                (Format::BaselineJpeg(jpeg), true) => orientation::of_exif(jpeg.exif()),
                (_, true) => other::orientation(bytes)?,
            };
            Ok(Self {
                bytes,
                format,
                size,
                orientation,
            })
        })
    }

    /// Width and height in pixels, as shown.
    pub(crate) fn dimensions(&self) -> (u32, u32) {
        orientation::shown_size(self.orientation, self.size)
    }

    /// Decodes the pixels inside `area`, which must lie inside the picture as shown.
    pub(crate) fn region(&self, area: CropBox) -> Result<RgbImage, String> {
        let stored = orientation::stored_area(self.orientation, self.size, area);
        let pixels = guarded(|| self.stored_region(stored))?;
        Ok(orientation::turned(self.orientation, pixels))
    }

    fn stored_region(&self, area: CropBox) -> Result<RgbImage, String> {
        let whole = match &self.format {
            Format::BaselineJpeg(jpeg) => return baseline_region(jpeg, area),
            Format::OtherJpeg => other::decode_jpeg(self.bytes)?,
            Format::Other => other::decode(self.bytes)?,
        };
        if area == CropBox::full(whole.width(), whole.height()) {
            return Ok(whole);
        }
        Ok(crop_imm(&whole, area.left, area.top, area.width, area.height).to_image())
    }
}

impl<'a> Format<'a> {
    /// Recognizes a picture's format, and returns it with the width and the height.
    fn of(bytes: &'a [u8]) -> Result<(Self, (u32, u32)), String> {
        if !bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            return Ok((Self::Other, other::dimensions(bytes)?));
        }
        if !end_marker::is_in(bytes) {
            return Err("truncated JPEG: no end-of-image marker".to_owned());
        }
        match Jpeg::parse(bytes) {
            Ok(jpeg) => {
                let size = (jpeg.width(), jpeg.height());
                Ok((Self::BaselineJpeg(Box::new(jpeg)), size))
            }
            Err(JpegError::Unsupported { .. }) => {
                Ok((Self::OtherJpeg, other::jpeg_dimensions(bytes)?))
            }
            Err(error) => Err(broken_jpeg(error)),
        }
    }
}

/// Decodes the pixels inside `area` of a baseline JPEG.
fn baseline_region(jpeg: &Jpeg, area: CropBox) -> Result<RgbImage, String> {
    let region = Region {
        left: area.left,
        top: area.top,
        width: area.width,
        height: area.height,
    };
    let mut pixels = RgbImage::new(area.width, area.height);
    jpeg.decode_region_into(region, &mut pixels)
        .map_err(broken_jpeg)?;
    Ok(pixels)
}

fn broken_jpeg(fault: impl std::fmt::Display) -> String {
    format!("invalid JPEG: {fault}")
}

/// Decoders work on strangers' bytes: a panic costs a picture, not a run.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("the decoder panicked".to_owned()))
}

fn check_size((width, height): (u32, u32), max_megapixels: u32) -> Result<(), String> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > u64::from(max_megapixels) * 1_000_000 {
        return Err(format!(
            "{width} x {height} pixels, more than data.max_megapixels = {max_megapixels}"
        ));
    }
    if pixels == 0 {
        return Err(format!("no pixels: {width} x {height}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
