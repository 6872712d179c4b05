//! Decodes image files to RGB pixels, as the loader of the reference does.
//!
//! The format is recognized by the first bytes of a file, never by its name. Baseline JPEGs, the format of most photos,
//! are decoded by [`cropmae_jpeg`], which decodes only the requested region and gives exactly Pillow's pixels. Other
//! JPEGs are decoded by `zune-jpeg`, whose pixels can differ from Pillow's, and PNG, WebP and GIF by `image`. Gray is
//! copied to all three channels, CMYK is converted (it is stored inverted, as photo editors do), alpha is dropped
//! without blending, and 16-bit values keep their high byte. The EXIF orientation is ignored unless the options enable
//! it.
//!
//! Incomplete files are errors and do not become images with a gray remainder. A JPEG must have its end-of-image
//! marker, and its entropy-coded data must be valid as far down as it is needed. Extra bytes between its headers are
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

/// The options of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// The limit in megapixels. Larger images are refused before any pixel is decoded.
    pub(crate) max_megapixels: u32,
    /// Whether images are turned according to their EXIF data. The reference does not do this.
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

/// Reads and decodes the image file at `path`, without applying its EXIF orientation.
///
/// # Errors
/// Returns [`BadFile`] with the reason if the file is unreadable, empty, truncated or not an image, or if it has more
/// than `max_megapixels`. The size is checked before any pixel is decoded.
pub fn read(path: &Path, max_megapixels: u32) -> Result<RgbImage, BadFile> {
    let bad = |reason| BadFile::new(path, reason);
    let options = Options {
        max_megapixels,
        exif_orientation: false,
    };
    let bytes = std::fs::read(path).map_err(|error| bad(format!("cannot read: {error}")))?;
    decode(&bytes, options).map_err(bad)
}

/// Decodes a whole image. The error is the reason in words.
pub(crate) fn decode(bytes: &[u8], options: Options) -> Result<RgbImage, String> {
    let encoded = Encoded::open(bytes, options)?;
    let (width, height) = encoded.dimensions();
    encoded.region(CropBox::full(width, height))
}

/// An image whose headers are read and whose pixels are not.
pub(crate) struct Encoded<'a> {
    bytes: &'a [u8],
    format: Format<'a>,
    /// The width and height as stored, before the image is turned.
    size: (u32, u32),
    orientation: Orientation,
}

/// The format of a file, which decides how it is decoded.
enum Format<'a> {
    BaselineJpeg(Box<Jpeg<'a>>),
    OtherJpeg,
    Other,
}

impl<'a> Encoded<'a> {
    /// Reads the headers of an image. The error is the reason in words.
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

    /// Returns the width and height in pixels, as shown.
    pub(crate) fn dimensions(&self) -> (u32, u32) {
        orientation::shown_size(self.orientation, self.size)
    }

    /// Decodes the pixels inside `area`, which must lie inside the image as shown.
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
    /// Recognizes the format of an image and returns it with the width and the height.
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

/// Turns a panic into an error.
///
/// Decoders work on untrusted bytes, so a panic costs one image and not the run.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("the decoder panicked".to_owned()))
}

fn check_size((width, height): (u32, u32), max_megapixels: u32) -> Result<(), String> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > u64::from(max_megapixels) * 1_000_000 {
        return Err(format!(
            "{width} x {height} pixels are more than data.max_megapixels = {max_megapixels}"
        ));
    }
    if pixels == 0 {
        return Err(format!("an image of {width} x {height} has no pixels"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
