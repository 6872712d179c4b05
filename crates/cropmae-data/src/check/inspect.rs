//! Finds properties of an image that its headers show and its pixels do not.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{ExtendedColorType, ImageDecoder, ImageFormat, ImageReader};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;

/// Returns in words what is unusual about the image `name`, or an empty list.
pub(super) fn oddities(name: &Path, bytes: &[u8]) -> Vec<String> {
    let Ok(format) = image::guess_format(bytes) else {
        return Vec::new();
    };
    let mut odd = Vec::new();
    let ending = name
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    if !ending.is_empty() && !format.extensions_str().contains(&ending.as_str()) {
        odd.push(format!("called .{ending} but {format:?}"));
    }
    odd.extend(color(format, bytes).map(str::to_owned));
    if rotated(format, bytes) {
        odd.push("rotated by EXIF".to_owned());
    }
    odd
}

fn color(format: ImageFormat, bytes: &[u8]) -> Option<&'static str> {
    if format == ImageFormat::Jpeg {
        let mut decoder = JpegDecoder::new(ZCursor::new(bytes));
        decoder.decode_headers().ok()?;
        return match decoder.input_colorspace()? {
            ColorSpace::Luma => Some("grayscale"),
            ColorSpace::CMYK | ColorSpace::YCCK => Some("CMYK"),
            _ => None,
        };
    }
    use ExtendedColorType::{L1, L2, L4, L8, L16, La8, La16, Rgb16, Rgba8, Rgba16};
    let reader = ImageReader::with_format(Cursor::new(bytes), format);
    match reader.into_decoder().ok()?.original_color_type() {
        L1 | L2 | L4 | L8 => Some("grayscale"),
        La8 | Rgba8 => Some("with transparency"),
        L16 | La16 | Rgb16 | Rgba16 => Some("16-bit"),
        _ => None,
    }
}

fn rotated(format: ImageFormat, bytes: &[u8]) -> bool {
    let reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader
        .into_decoder()
        .and_then(|mut decoder| decoder.orientation())
        .is_ok_and(|orientation| orientation != Orientation::NoTransforms)
}
