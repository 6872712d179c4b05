//! Against the pixels that Pillow gives (`fixtures/data/jpeg`, one file of each kind), and on damage.

use std::path::PathBuf;

use cropmae_config::{Seed, Stream};

use super::*;
use crate::fixtures::areas;
use crate::random::below;

/// The JPEGs whose names start with `prefix`, with their names.
fn files(prefix: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/data/jpeg");
    let paths = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().unwrap() == "jpg")
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(prefix)
        })
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn golden_regions_equal_pillow() {
    let mut rng = Seed(0).rng(Stream::Views, 0, 0);
    let mut covered = 0;
    for (path, bytes) in files("") {
        let expected = image::open(path.with_extension("png")).unwrap().into_rgb8();
        let jpeg = match Jpeg::open(&bytes) {
            // The expectation is turned.
            _ if path.to_str().unwrap().contains("exif") => continue,
            Ok(jpeg) => jpeg,
            Err(fault) => {
                assert_eq!(fault, Fault::Unsupported, "{path:?}");
                continue;
            }
        };
        covered += 1;
        assert_eq!(jpeg.dimensions(), expected.dimensions(), "{path:?}");
        for area in areas(expected.dimensions(), 40, &mut rng) {
            let CropBox { top, left, .. } = area;
            let part = image::imageops::crop_imm(&expected, left, top, area.width, area.height);
            assert!(
                jpeg.region(area).unwrap() == part.to_image(),
                "{path:?}, {area:?}"
            );
        }
    }
    assert_eq!(covered, 12, "kinds of files");
}

#[test]
fn damage_never_panics() {
    let mut rng = Seed(1).rng(Stream::Views, 0, 0);
    let (mut opened, mut decoded, mut refused) = (0, 0, 0);
    for (_, bytes) in files("4")
        .into_iter()
        .chain(files("grey"))
        .chain(files("rgb"))
    {
        for turn in 0..800 {
            let mut damaged = bytes.clone();
            if turn % 4 == 0 {
                damaged.truncate(below(&mut rng, bytes.len() as u32) as usize);
            }
            for _ in 0..below(&mut rng, 4) {
                let bit = below(&mut rng, damaged.len().max(1) as u32 * 8) as usize;
                if let Some(byte) = damaged.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            let Ok(jpeg) = Jpeg::open(&damaged) else {
                continue;
            };
            opened += 1;
            let (width, height) = jpeg.dimensions();
            // As the pixel limit would.
            if width * height > 1_000_000 {
                continue;
            }
            for area in areas((width, height), 2, &mut rng) {
                match jpeg.region(area) {
                    Ok(pixels) => {
                        assert_eq!(pixels.dimensions(), (area.width, area.height));
                        decoded += 1;
                    }
                    Err(fault) => {
                        assert!(!fault.to_string().is_empty());
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
    let jpeg = Jpeg::open(&cut).unwrap();
    let (width, height) = jpeg.dimensions();
    let fault = jpeg.region(CropBox::full(width, height)).unwrap_err();
    assert!(fault.to_string().contains("row 1"), "{fault}");
    let top = CropBox::full(width, 8);
    let whole = Jpeg::open(&bytes).unwrap().region(top).unwrap();
    assert!(jpeg.region(top).unwrap() == whole, "above the damage");
}

#[test]
fn codes_of_values_that_no_picture_of_8_bits_has_are_left_to_others() {
    let (_, bytes) = files("444_noise").remove(0);
    for (class, last, fault) in [
        (0x00, 11, None),
        (0x00, 12, Some(Fault::Unsupported)),
        (0x10, 0xfa, None),
        (0x10, 0xfb, Some(Fault::Unsupported)),
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
        assert_eq!(Jpeg::open(&changed).err(), fault, "{class:#x} {last:#x}");
    }
}
