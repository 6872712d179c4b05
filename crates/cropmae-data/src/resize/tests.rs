//! Compares resizing with golden cases of Pillow (`resize.json`) and with a simple version.

use super::*;
use crate::fixtures::{Golden, int};
use proptest::prelude::*;

#[test]
fn golden_resizes_are_bit_exact() {
    for golden in Golden::all() {
        for case in golden.rows("resize.json", "resize_cases") {
            let filter = match case["interpolation"].as_str().unwrap() {
                "bilinear" => Interpolation::Bilinear,
                _ => Interpolation::Bicubic,
            };
            let crop = CropBox {
                top: int(&case["top"]),
                left: int(&case["left"]),
                height: int(&case["height"]),
                width: int(&case["width"]),
            };
            let expected = golden.png(&case["output"]);
            let (width, height) = expected.dimensions();
            let input = golden.png(&case["input"]);
            let ours = resize_crop(&input, crop, width, height, filter);
            let sum: u64 = ours.iter().map(|&byte| u64::from(byte)).sum();
            assert_eq!(sum, case["sum"].as_u64().unwrap(), "{case}");
            assert!(ours == expected, "{case}");
        }
    }
}

fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
    let mut state = seed | 1;
    RgbImage::from_fn(width, height, |_, _| {
        image::Rgb(std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }))
    })
}

/// Resizes along one axis in the simplest way: one pixel at a time, without lanes.
fn plain(image: &RgbImage, out: u32, filter: Interpolation, horizontally: bool) -> RgbImage {
    let (width, height) = image.dimensions();
    let input = if horizontally { width } else { height };
    let kernel = Kernel::new(input, out, filter);
    let size = if horizontally {
        (out, height)
    } else {
        (width, out)
    };
    RgbImage::from_fn(size.0, size.1, |x, y| {
        let (position, line) = if horizontally { (x, y) } else { (y, x) };
        let (first, weights) = kernel.outputs().nth(position as usize).unwrap();
        image::Rgb(std::array::from_fn(|channel| {
            let sum: i64 = (first as u32..)
                .zip(weights)
                .map(|(i, &weight)| {
                    let (x, y) = if horizontally { (i, line) } else { (line, i) };
                    i64::from(weight) * i64::from(image.get_pixel(x, y).0[channel])
                })
                .sum();
            ((sum + i64::from(HALF)) >> PRECISION_BITS).clamp(0, 255) as u8
        }))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lanes_agree_with_the_plain_recipe(
        width in 1u32..90, height in 1u32..90, out_width in 1u32..90, out_height in 1u32..90,
        seed: u32, cubic: bool, inset in 0u32..8,
    ) {
        let filter = if cubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
        let image = noise(width + inset, height + inset, seed);
        let crop = CropBox { top: inset / 2, left: inset / 3, height, width };
        let cut =
            image::imageops::crop_imm(&image, crop.left, crop.top, width, height).to_image();
        let mut expected = cut;
        if out_width != width {
            expected = plain(&expected, out_width, filter, true);
        }
        if out_height != height {
            expected = plain(&expected, out_height, filter, false);
        }
        prop_assert!(resize_crop(&image, crop, out_width, out_height, filter) == expected);
    }

    #[test]
    fn a_flat_image_stays_flat(
        width in 1u32..300, height in 1u32..300, value: u8, cubic: bool,
    ) {
        let filter = if cubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
        let image = RgbImage::from_pixel(width, height, image::Rgb([value, 255, 0]));
        let out = resize_crop(&image, CropBox::full(width, height), 64, 48, filter);
        prop_assert!(out.pixels().all(|pixel| pixel.0 == [value, 255, 0]));
    }
}
