//! Tests decoding complete files of every kind, and broken ones.

use super::*;
use crate::fixtures::{Golden, areas, photos, shared};
use std::io::Cursor;

use cropmae_config::{Seed, Stream};

use image::{ExtendedColorType, ImageEncoder, ImageFormat};

/// The options of the reference.
const PLAIN: Options = Options {
    max_megapixels: 200,
    exif_orientation: false,
};

fn whole(bytes: &[u8]) -> Result<RgbImage, String> {
    decode(bytes, PLAIN)
}

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
    whole(bytes).unwrap_err()
}

#[test]
fn golden_jpegs() {
    for golden in Golden::all() {
        for case in golden.rows("resize.json", "jpeg_decode") {
            let path = golden.path(&case["jpeg"]);
            let ours = read(&path, 200).unwrap();
            let expected = golden.png(&case["decoded"]);
            assert_eq!(ours.dimensions(), expected.dimensions(), "{case}");
            let differences = ours.iter().zip(expected.iter());
            let most = differences.map(|(a, b)| a.abs_diff(*b)).max();
            // Baseline files have exactly libjpeg's pixels. Others, which zune-jpeg decodes, may differ by the bound of
            // the golden files.
            let bytes = std::fs::read(&path).unwrap();
            let bound = match Jpeg::parse(&bytes) {
                Ok(_) => 0,
                Err(_) => 2,
            };
            assert!(most <= Some(bound), "{case}: {most:?}");
        }
    }
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
        whole(&encoded(ImageFormat::Jpeg)).unwrap().dimensions(),
        (97, 61)
    );
}

#[test]
fn jpegs_cut_anywhere_are_refused() {
    let Some(photo) = photo() else { return };
    assert!(whole(&photo).is_ok());
    for kept in (0..photo.len())
        .step_by(photo.len() / 60)
        .chain(photo.len() - 3..photo.len())
    {
        assert!(
            whole(&photo[..kept]).is_err(),
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
    let expected = whole(&jpeg).unwrap();
    let trailing = [jpeg.as_slice(), b"\0\0trailing bytes"].concat();
    assert!(whole(&trailing).unwrap() == expected);
    let fill_bytes = [&jpeg[..2], &[0xff, 0xff], &jpeg[2..]].concat();
    assert!(whole(&fill_bytes).unwrap() == expected);
    // A comment whose text looks like an end marker.
    let comment = [0xff, 0xfe, 0, 6, 0xff, 0xd9, 0xff, 0xd9];
    let commented = [&jpeg[..2], &comment, &jpeg[2..]].concat();
    assert!(whole(&commented).unwrap() == expected);
    assert!(
        whole(&commented[..commented.len() - 2]).is_err(),
        "now it is cut"
    );
}

#[test]
fn other_formats_cut_short_are_refused() {
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let bytes = encoded(format);
        for kept in [bytes.len() / 3, bytes.len() * 2 / 3, bytes.len() - 30] {
            assert!(whole(&bytes[..kept]).is_err(), "{format:?}, {kept} bytes");
        }
    }
    assert_eq!(reason(b""), "empty file");
    assert!(reason(b"hello, I am text").contains("not a JPEG, PNG, WebP or GIF"));
}

#[test]
fn sizes_are_checked_before_pixels_are_decoded() {
    // The header claims 60000 x 60000 pixels, but there is no data.
    let mut png = encoded(ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    assert!(!reason(&png).is_empty());
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        let mut bytes = Cursor::new(Vec::new());
        picture(1300, 1000).write_to(&mut bytes, format).unwrap();
        let limited = |max_megapixels| {
            let options = Options {
                max_megapixels,
                ..PLAIN
            };
            decode(bytes.get_ref(), options)
        };
        let error = limited(1).unwrap_err();
        assert!(
            error.contains("1300 x 1000") && error.contains("max_megapixels"),
            "{error}"
        );
        assert!(limited(2).is_ok());
    }
}

#[test]
fn wide_and_transparent_pngs_become_rgb() {
    let encode = |data: &[u8], color| {
        let mut bytes = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder.write_image(data, 1, 1, color).unwrap();
        whole(&bytes).unwrap().into_raw()
    };
    // The encoder takes values in native byte order.
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

/// Decodes regions of `bytes` and compares them with the whole image.
fn regions_equal_the_whole(name: &str, bytes: &[u8], options: Options, seed: u64) {
    let all = decode(bytes, options).unwrap();
    let encoded = Encoded::open(bytes, options).unwrap();
    assert_eq!(encoded.dimensions(), all.dimensions(), "{name}");
    let mut rng = Seed(seed).rng(Stream::Views, 0, 0);
    for area in areas(all.dimensions(), 8, &mut rng) {
        let expected = crop_imm(&all, area.left, area.top, area.width, area.height).to_image();
        assert!(
            encoded.region(area).unwrap() == expected,
            "{name}: {area:?}"
        );
    }
}

#[test]
fn regions_of_photos_equal_the_whole() {
    for (seed, (name, bytes)) in (0..).zip(photos()) {
        regions_equal_the_whole(&name, &bytes, PLAIN, seed);
    }
}

#[test]
fn regions_of_other_formats_equal_the_whole() {
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Jpeg] {
        regions_equal_the_whole(&format!("{format:?}"), &encoded(format), PLAIN, 1);
    }
}

#[test]
fn golden_exif_orientations_turn_pictures_when_asked() {
    let folder = cropmae_fixtures::committed("data/jpeg");
    let turned = Options {
        exif_orientation: true,
        ..PLAIN
    };
    let open = |name: String| std::fs::read(folder.join(name)).unwrap();
    let stored = whole(&open("exif_1.jpg".to_owned())).unwrap();
    for orientation in 1..=8 {
        let bytes = open(format!("exif_{orientation}.jpg"));
        let expected = image::load_from_memory(&open(format!("exif_{orientation}.png")));
        assert!(decode(&bytes, turned).unwrap() == expected.unwrap().into_rgb8());
        assert_eq!(whole(&bytes).unwrap().dimensions(), stored.dimensions());
        regions_equal_the_whole(&format!("exif {orientation}"), &bytes, turned, orientation);
    }
}

#[test]
fn exif_orientation_of_other_formats_is_honored() {
    // A little-endian TIFF with one entry: orientation 6.
    let exif = [
        &b"II*\0\x08\0\0\0\x01\0"[..],
        &[0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0],
        &[0; 4],
    ]
    .concat();
    let mut png = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.set_exif_metadata(exif).unwrap();
    let stored = picture(12, 7);
    encoder
        .write_image(&stored, 12, 7, ExtendedColorType::Rgb8)
        .unwrap();
    let turned = Options {
        exif_orientation: true,
        ..PLAIN
    };
    assert!(whole(&png).unwrap() == stored);
    assert!(decode(&png, turned).unwrap() == image::imageops::rotate90(&stored));
    regions_equal_the_whole("png", &png, turned, 3);
}
