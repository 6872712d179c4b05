//! Compares with the pixels of Pillow (`fixtures/data/jpeg`), and decodes damaged files.

use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Jpeg, JpegError, Region};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Returns the JPEGs in the folder whose names start with `prefix`, with their paths.
fn files(prefix: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = cropmae_fixtures::committed("data/jpeg");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().unwrap() == "jpg" && name(path).starts_with(prefix))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no JPEG's name starts with {prefix:?}");
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Returns regions of a picture: the whole picture, its four corners, and `more` with any position and shape.
fn regions((width, height): (u32, u32), more: usize, rng: &mut ChaCha8Rng) -> Vec<Region> {
    let corners = [
        (0, 0),
        (width - 1, 0),
        (0, height - 1),
        (width - 1, height - 1),
    ];
    let mut regions = vec![Region {
        left: 0,
        top: 0,
        width,
        height,
    }];
    regions.extend(corners.map(|(left, top)| Region {
        left,
        top,
        width: 1,
        height: 1,
    }));
    for _ in 0..more {
        let (left, top) = (rng.random_range(0..width), rng.random_range(0..height));
        regions.push(Region {
            left,
            top,
            width: rng.random_range(1..=width - left),
            height: rng.random_range(1..=height - top),
        });
    }
    regions
}

/// Returns the pixels of `region` from a whole picture.
fn cut(whole: &RgbImage, region: Region) -> Vec<u8> {
    let Region {
        left,
        top,
        width,
        height,
    } = region;
    let part = image::imageops::crop_imm(whole, left, top, width, height);
    part.to_image().into_raw()
}

#[test]
fn golden_regions_equal_pillow() {
    let mut rng = rng(0);
    let files = files("");
    assert!(!files.is_empty());
    for (path, bytes) in files {
        let expected = image::open(path.with_extension("png")).unwrap().into_rgb8();
        let jpeg = Jpeg::parse(&bytes);
        if ["progressive", "cmyk"]
            .iter()
            .any(|kind| name(&path).contains(kind))
        {
            let unsupported = matches!(jpeg, Err(JpegError::Unsupported { .. }));
            assert!(unsupported, "{path:?}: {jpeg:?}");
            continue;
        }
        let jpeg = jpeg.unwrap();
        let size = (jpeg.width(), jpeg.height());
        let whole = RgbImage::from_raw(size.0, size.1, jpeg.decode().unwrap()).unwrap();
        // Only the expected pictures of the files with Exif data are rotated.
        let orientation = jpeg.exif().and_then(Orientation::from_exif_chunk);
        let mut shown = DynamicImage::ImageRgb8(whole.clone());
        shown.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
        assert!(shown.into_rgb8() == expected, "{path:?}");
        for region in regions(size, 40, &mut rng) {
            let part = jpeg.decode_region(region).unwrap();
            assert!(part == cut(&whole, region), "{path:?}, {region:?}");
        }
    }
}

#[test]
fn damage_never_panics() {
    let mut rng = rng(1);
    let (mut opened, mut decoded, mut refused) = (0, 0, 0);
    for (_, bytes) in ["4", "gr", "rgb"].into_iter().flat_map(files) {
        for turn in 0..800 {
            let mut damaged = bytes.clone();
            if turn % 4 == 0 {
                damaged.truncate(rng.random_range(0..bytes.len()));
            }
            for _ in 0..rng.random_range(0..4) {
                let bit = rng.random_range(0..damaged.len().max(1) * 8);
                if let Some(byte) = damaged.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            let Ok(jpeg) = Jpeg::parse(&damaged) else {
                continue;
            };
            opened += 1;
            let (width, height) = (jpeg.width(), jpeg.height());
            // A program would reject such a picture, too.
            if width * height > 1_000_000 {
                continue;
            }
            for region in regions((width, height), 2, &mut rng) {
                match jpeg.decode_region(region) {
                    Ok(pixels) => {
                        assert_eq!(pixels.len(), region.rgb_len());
                        decoded += 1;
                    }
                    Err(error) => {
                        assert!(matches!(error, JpegError::BrokenData { .. }), "{error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(
        opened > 3000 && decoded > 10_000 && refused > 1000,
        "{opened} {decoded} {refused}"
    );
}

#[test]
fn data_that_ends_early_is_refused_where_it_is_needed() {
    let (_, bytes) = files("444_noise").remove(0);
    let cut = [&bytes[..bytes.len() * 3 / 4], &[0xff, 0xd9]].concat();
    let jpeg = Jpeg::parse(&cut).unwrap();
    let error = jpeg.decode().unwrap_err();
    assert_eq!(error, JpegError::BrokenData { row: 1 });
    let top = Region {
        height: 8,
        ..jpeg.bounds()
    };
    let whole = Jpeg::parse(&bytes).unwrap().decode_region(top).unwrap();
    assert!(
        jpeg.decode_region(top).unwrap() == whole,
        "above the damage"
    );
}

#[test]
fn regions_and_buffers_that_do_not_fit_are_refused() {
    let (_, bytes) = files("444").remove(0);
    let jpeg = Jpeg::parse(&bytes).unwrap();
    let bounds = jpeg.bounds();
    for region in [
        Region { width: 0, ..bounds },
        Region {
            height: 0,
            ..bounds
        },
        Region { left: 1, ..bounds },
        Region {
            top: u32::MAX,
            ..bounds
        },
    ] {
        let error = jpeg.decode_region(region).unwrap_err();
        assert!(
            matches!(error, JpegError::OutsidePicture { .. }),
            "{region:?}: {error}"
        );
    }
    let mut short = vec![0; bounds.rgb_len() - 1];
    let error = jpeg.decode_region_into(bounds, &mut short).unwrap_err();
    assert!(matches!(error, JpegError::BufferLength { .. }), "{error}");
    assert_eq!(Jpeg::parse(b"GIF89a").unwrap_err(), JpegError::NotJpeg);
    assert_eq!(Jpeg::parse(b"").unwrap_err(), JpegError::NotJpeg);
}

#[test]
fn codes_of_values_that_no_picture_of_8_bits_has_are_left_to_others() {
    let (_, bytes) = files("444_noise").remove(0);
    for (class, last, supported) in [
        (0x00, 11, true),
        (0x00, 12, false),
        (0x10, 0xfa, true),
        (0x10, 0xfb, false),
    ] {
        let mut changed = bytes.clone();
        let marker = [0xff, 0xc4];
        let start = (0..bytes.len() - 5)
            .find(|&at| bytes[at..at + 2] == marker && bytes[at + 4] & 0xf0 == class)
            .unwrap();
        let symbols: usize = bytes[start + 5..start + 21]
            .iter()
            .map(|&count| usize::from(count))
            .sum();
        changed[start + 20 + symbols] = last;
        let found = Jpeg::parse(&changed);
        match supported {
            true => assert!(found.is_ok(), "{class:#x} {last:#x}"),
            false => assert!(
                matches!(found, Err(JpegError::Unsupported { .. })),
                "{class:#x} {last:#x}"
            ),
        }
    }
}
