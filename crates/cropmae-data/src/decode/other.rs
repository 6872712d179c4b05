//! Images that other crates decode, always as a whole.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

type Zune<'a> = JpegDecoder<ZCursor<&'a [u8]>>;

fn jpeg_options() -> DecoderOptions {
    let side = usize::from(u16::MAX);
    DecoderOptions::default()
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_out_colorspace(ColorSpace::RGB)
}

fn open_jpeg(bytes: &[u8]) -> Result<(Zune<'_>, (u32, u32)), String> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), jpeg_options());
    decoder
        .decode_headers()
        .map_err(|error| format!("invalid JPEG: {error}"))?;
    let (width, height) = decoder.dimensions().ok_or("invalid JPEG: no dimensions")?;
    Ok((decoder, (width as u32, height as u32)))
}

/// Returns the width and height of a JPEG of any kind.
pub(super) fn jpeg_dimensions(bytes: &[u8]) -> Result<(u32, u32), String> {
    Ok(open_jpeg(bytes)?.1)
}

/// Decodes a JPEG of any kind.
///
/// The pixels of files with subsampled chroma can differ from Pillow's. `zune-jpeg` rounds after each direction of the
/// triangle filter, where libjpeg rounds once. Differences of up to 12 levels were measured.
pub(super) fn decode_jpeg(bytes: &[u8]) -> Result<RgbImage, String> {
    let (mut decoder, (width, height)) = open_jpeg(bytes)?;
    // Decode strictly: by default, missing data becomes gray without an error.
    decoder.set_options(jpeg_options().set_strict_mode(true));
    let mut image = RgbImage::new(width, height);
    decoder
        .decode_into(&mut image)
        .map_err(|error| format!("invalid JPEG: {error}"))?;
    Ok(image)
}

/// Returns a decoder for the format that the first bytes show, and a function that formats its errors.
fn open(
    bytes: &[u8],
) -> Result<(impl ImageDecoder + '_, impl Fn(image::ImageError) -> String), String> {
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| format!("cannot read: {error}"))?;
    let Some(format) = reader.format() else {
        let start = &bytes[..bytes.len().min(4)];
        return Err(format!(
            "not a JPEG, PNG, WebP or GIF (starts with {start:02x?})"
        ));
    };
    let invalid = move |error| format!("invalid {format:?}: {error}");
    Ok((reader.into_decoder().map_err(invalid)?, invalid))
}

/// Returns the width and height.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(u32, u32), String> {
    Ok(open(bytes)?.0.dimensions())
}

/// Returns how the image is turned, or no change if its EXIF data cannot be read.
pub(super) fn orientation(bytes: &[u8]) -> Result<Orientation, String> {
    let (mut decoder, _) = open(bytes)?;
    Ok(decoder.orientation().unwrap_or(Orientation::NoTransforms))
}

/// Decodes a PNG, WebP or GIF.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, String> {
    let (decoder, invalid) = open(bytes)?;
    let image = DynamicImage::from_decoder(decoder).map_err(invalid)?;
    Ok(match image {
        DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => high_bytes(&image),
        narrow => narrow.into_rgb8(),
    })
}

/// Converts 16 bits to 8 by taking the high byte, as Pillow does. `image` would round.
fn high_bytes(image: &DynamicImage) -> RgbImage {
    let wide = image.to_rgb16();
    let mut narrow = RgbImage::new(wide.width(), wide.height());
    for (byte, value) in narrow.iter_mut().zip(wide.iter()) {
        *byte = (value >> 8) as u8;
    }
    narrow
}
