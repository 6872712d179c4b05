//! Files to RGB pixels, as the reference's loader sees them.
//!
//! The format is taken from a file's first bytes, never from its name. JPEG goes through `zune-jpeg`,
//! which interpolates subsampled chroma with the triangle filter as libjpeg does; PNG, WebP and GIF go
//! through `image`. Grey is replicated, CMYK is converted (stored inverted, as photo editors do), alpha
//! is dropped without blending, 16-bit values keep their high byte, EXIF orientation is ignored.
//!
//! Deviation: `zune-jpeg` rounds after each direction of the triangle filter, libjpeg once at the end. On
//! 4:2:0 photos one value in five differs from Pillow's, by 0.3 levels on average; one in 600 differs by
//! 3 or 4 levels, the rest by at most 2.
//!
//! Incomplete files are errors, not pictures with a grey rest: a JPEG must have its end-of-image marker
//! and its entropy-coded data must decode strictly; odd bytes between its headers are accepted.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::BadFile;

/// Reads and decodes the file at `path`; pictures of more than `max_megapixels` are refused before any
/// pixel is decoded.
///
/// # Errors
/// [`BadFile`] with the reason: unreadable, empty, truncated, too large, or not a picture.
pub fn read(path: &Path, max_megapixels: u32) -> Result<RgbImage, BadFile> {
    let bad = |reason| BadFile {
        path: path.to_owned(),
        reason,
    };
    let bytes = std::fs::read(path).map_err(|error| bad(format!("cannot read: {error}")))?;
    decode(&bytes, max_megapixels).map_err(bad)
}

/// Decodes the bytes of a picture; the error is the reason in words.
pub(crate) fn decode(bytes: &[u8], max_megapixels: u32) -> Result<RgbImage, String> {
    if bytes.is_empty() {
        return Err("empty file".to_owned());
    }
    // Decoders are other people's code working on strangers' bytes: a panic costs a picture, not a run.
    catch_unwind(AssertUnwindSafe(|| {
        if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            decode_jpeg(bytes, max_megapixels)
        } else {
            decode_other(bytes, max_megapixels)
        }
    }))
    .unwrap_or_else(|_| Err("the decoder panicked".to_owned()))
}

fn check_size(width: u32, height: u32, max_megapixels: u32) -> Result<(), String> {
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

fn decode_jpeg(bytes: &[u8], max_megapixels: u32) -> Result<RgbImage, String> {
    let invalid = |error| format!("invalid JPEG: {error}");
    if !has_end_marker(bytes) {
        return Err("truncated JPEG: no end-of-image marker".to_owned());
    }
    let side = usize::from(u16::MAX);
    let options = DecoderOptions::default()
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(invalid)?;
    let Some((width, height)) = decoder.dimensions() else {
        return Err("invalid JPEG: no dimensions".to_owned());
    };
    let (width, height) = (width as u32, height as u32);
    check_size(width, height, max_megapixels)?;
    // From here on strictly: by default, data that ends early becomes grey without a word.
    decoder.set_options(options.set_strict_mode(true));
    let mut image = RgbImage::new(width, height);
    decoder.decode_into(&mut image).map_err(invalid)?;
    Ok(image)
}

/// Whether a JPEG reaches its end-of-image marker; thumbnails inside segments do not count.
fn has_end_marker(bytes: &[u8]) -> bool {
    const EOI: u8 = 0xd9;
    if bytes.ends_with(&[0xff, EOI]) {
        return true;
    }
    let mut rest = bytes;
    loop {
        let Some(start) = rest.iter().position(|&byte| byte == 0xff) else {
            return false;
        };
        let (Some(&marker), tail) = (rest.get(start + 1), rest.get(start + 2..).unwrap_or(&[]))
        else {
            return false;
        };
        rest = match marker {
            EOI => return true,
            0xff => &rest[start + 1..],
            // Stuffed bytes, restarts, start of image and TEM stand alone.
            0x00 | 0x01 | 0xd0..=0xd8 => tail,
            _ => {
                let &[high, low, ..] = tail else { return false };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(after) = tail.get(length..) else {
                    return false;
                };
                after
            }
        };
    }
}

fn decode_other(bytes: &[u8], max_megapixels: u32) -> Result<RgbImage, String> {
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| format!("cannot read: {error}"))?;
    let Some(format) = reader.format() else {
        let start = &bytes[..bytes.len().min(4)];
        return Err(format!(
            "not a JPEG, PNG, WebP or GIF (starts with {start:02x?})"
        ));
    };
    let invalid = |error| format!("invalid {format:?}: {error}");
    let decoder = reader.into_decoder().map_err(invalid)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, max_megapixels)?;
    let image = DynamicImage::from_decoder(decoder).map_err(invalid)?;
    Ok(match image {
        DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => high_bytes(&image),
        narrow => narrow.into_rgb8(),
    })
}

/// 16-bit to 8-bit by the high byte, as Pillow does; `image` itself would round.
fn high_bytes(image: &DynamicImage) -> RgbImage {
    let wide = image.to_rgb16();
    let mut narrow = RgbImage::new(wide.width(), wide.height());
    for (byte, value) in narrow.iter_mut().zip(wide.iter()) {
        *byte = (value >> 8) as u8;
    }
    narrow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{golden_json, golden_png, shared};
    use image::{ExtendedColorType, ImageEncoder, ImageFormat};

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x * 5) as u8, (y * 3) as u8, (x * y / 7) as u8])
        })
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture(97, 61).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn photo() -> Option<Vec<u8>> {
        let path = shared("data/imagenet_photos/n03777568/n03777568_Model_T.JPEG")?;
        Some(std::fs::read(path).unwrap())
    }

    fn reason(bytes: &[u8]) -> String {
        decode(bytes, 200).unwrap_err()
    }

    #[test]
    fn golden_jpegs() {
        let Some(golden) = golden_json("resize.json") else {
            return;
        };
        let cases = golden["jpeg_decode"].as_array().unwrap();
        for case in cases {
            let path = shared("fixtures/e_crops")
                .unwrap()
                .join(case["jpeg"].as_str().unwrap());
            let ours = read(&path, 200).unwrap();
            let expected = golden_png(&case["decoded"]);
            assert_eq!(ours.dimensions(), expected.dimensions(), "{case}");
            let differences = ours
                .iter()
                .zip(expected.iter())
                .map(|(a, b)| a.abs_diff(*b));
            let beyond = differences.clone().filter(|&levels| levels > 2).count();
            // Subsampled chroma is interpolated in two roundings instead of one: see the header.
            let subsampled = ["jpeg_rgb420.jpg", "jpeg_exif_orientation6.jpg"]
                .contains(&case["jpeg"].as_str().unwrap());
            let (allowed, limit) = if subsampled {
                (ours.len() / 500, 4)
            } else {
                (0, 2)
            };
            assert!(
                beyond <= allowed,
                "{case}: {beyond} values differ by more than 2 levels"
            );
            assert!(differences.max() <= Some(limit), "{case}");
        }
        assert_eq!(cases.len(), 5);
    }

    #[test]
    fn the_content_decides_not_the_name() {
        let dir = tempfile::tempdir().unwrap();
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let path = dir.path().join("photo.jpg");
            std::fs::write(&path, encoded(format)).unwrap();
            assert!(read(&path, 200).unwrap() == picture(97, 61), "{format:?}");
        }
        assert_eq!(
            decode(&encoded(ImageFormat::Jpeg), 200)
                .unwrap()
                .dimensions(),
            (97, 61)
        );
    }

    #[test]
    fn jpegs_cut_anywhere_are_refused() {
        let Some(photo) = photo() else { return };
        assert!(decode(&photo, 200).is_ok());
        for kept in (0..photo.len())
            .step_by(photo.len() / 60)
            .chain(photo.len() - 3..photo.len())
        {
            assert!(
                decode(&photo[..kept], 200).is_err(),
                "{kept} of {} bytes",
                photo.len()
            );
        }
        assert!(
            reason(&photo[..photo.len() / 2]).contains("truncated"),
            "names the cause"
        );
    }

    #[test]
    fn odd_but_complete_jpegs_are_accepted() {
        let jpeg = encoded(ImageFormat::Jpeg);
        let expected = decode(&jpeg, 200).unwrap();
        let trailing = [jpeg.as_slice(), b"\0\0trailing bytes"].concat();
        assert!(decode(&trailing, 200).unwrap() == expected);
        let fill_bytes = [&jpeg[..2], &[0xff, 0xff], &jpeg[2..]].concat();
        assert!(decode(&fill_bytes, 200).unwrap() == expected);
        // A comment whose text looks like an end marker.
        let comment = [0xff, 0xfe, 0, 6, 0xff, 0xd9, 0xff, 0xd9];
        let commented = [&jpeg[..2], &comment, &jpeg[2..]].concat();
        assert!(decode(&commented, 200).unwrap() == expected);
        assert!(
            decode(&commented[..commented.len() - 2], 200).is_err(),
            "now it is cut"
        );
    }

    #[test]
    fn other_formats_cut_short_are_refused() {
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let bytes = encoded(format);
            for kept in [bytes.len() / 3, bytes.len() * 2 / 3, bytes.len() - 30] {
                assert!(
                    decode(&bytes[..kept], 200).is_err(),
                    "{format:?}, {kept} bytes"
                );
            }
        }
        assert_eq!(reason(b""), "empty file");
        assert!(reason(b"hello, I am text").contains("not a JPEG, PNG, WebP or GIF"));
    }

    #[test]
    fn sizes_are_checked_before_pixels_are_decoded() {
        // A header that claims 60000 x 60000 pixels and no data at all.
        let mut png = encoded(ImageFormat::Png);
        png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        assert!(!reason(&png).is_empty());
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let mut bytes = Cursor::new(Vec::new());
            picture(1300, 1000).write_to(&mut bytes, format).unwrap();
            let error = decode(bytes.get_ref(), 1).unwrap_err();
            assert!(
                error.contains("1300 x 1000") && error.contains("max_megapixels"),
                "{error}"
            );
            assert!(decode(bytes.get_ref(), 2).is_ok());
        }
    }

    #[test]
    fn wide_and_transparent_pngs_become_rgb() {
        let encode = |data: &[u8], color| {
            let mut bytes = Vec::new();
            let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
            encoder.write_image(data, 1, 1, color).unwrap();
            decode(&bytes, 200).unwrap().into_raw()
        };
        // The encoder takes native-endian samples.
        let wide = [0x12ff_u16, 0x3480, 0x5600, 0x0000]
            .map(u16::to_ne_bytes)
            .concat();
        assert_eq!(
            encode(&wide[..6], ExtendedColorType::Rgb16),
            [0x12, 0x34, 0x56]
        );
        assert_eq!(encode(&wide, ExtendedColorType::Rgba16), [0x12, 0x34, 0x56]);
        assert_eq!(
            encode(&wide[..2], ExtendedColorType::L16),
            [0x12, 0x12, 0x12]
        );
        assert_eq!(encode(&[1, 2, 3, 0], ExtendedColorType::Rgba8), [1, 2, 3]);
        assert_eq!(encode(&[9, 128], ExtendedColorType::La8), [9, 9, 9]);
        assert_eq!(encode(&[7], ExtendedColorType::L8), [7, 7, 7]);
    }
}
