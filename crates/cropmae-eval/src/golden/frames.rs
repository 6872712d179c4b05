//! Group I: decoding, resizing and normalizing frames.

use cropmae_config::FrameSize;

use super::fixtures::{assert_close, count, folders, json, number, tensors};
use crate::frames::{normalize, read_frame, resize_frame};
use crate::size::Size;

#[test]
fn golden_resized_frames() {
    for folder in folders("i_resize") {
        let meta = json(&folder.join("meta.json"));
        let frame = read_frame(&folder.join(meta["input"].as_str().unwrap())).unwrap();
        let t = tensors(&folder.join("resize.safetensors"));
        let (height, width) = (frame.height() as usize, frame.width() as usize);
        let same = resize_frame(&frame, Size { height, width });
        for (name, expected) in &t {
            let Some(row) = name.strip_prefix("load_image/row_") else {
                continue;
            };
            let row: usize = row.parse().unwrap();
            let found: Vec<f32> = (0..3)
                .flat_map(|c| same[(c * height + row) * width..][..width].to_vec())
                .collect();
            assert_close(name, &found, &expected.values, 0.0);
        }
        for (name, case) in meta["cases"].as_object().unwrap() {
            let size = Size {
                height: count(&case["new_h"]),
                width: count(&case["new_w"]),
            };
            let mut pixels = resize_frame(&frame, size);
            let crop = |pixels: &[f32]| -> Vec<f32> {
                let (top, left) = (count(&case["crop_top"]), count(&case["crop_left"]));
                let (rows, columns) = (count(&case["crop_h"]), count(&case["crop_w"]));
                (0..3 * rows)
                    .flat_map(|i| {
                        let line = i / rows * size.height + top + i % rows;
                        pixels[line * size.width + left..][..columns].to_vec()
                    })
                    .collect()
            };
            let expected = &t[&format!("{name}/crop_resized")].values;
            assert_close(name, &crop(&pixels), expected, 2e-6);
            check_sums(name, &pixels, size, &case["stats"]["resized"], 2e-6);
            normalize(&mut pixels);
            let expected = &t[&format!("{name}/crop_normalised")].values;
            assert_close(name, &crop(&pixels), expected, 1e-5);
            check_sums(name, &pixels, size, &case["stats"]["normalised"], 1e-5);
        }
    }
}

#[test]
fn golden_size_rule() {
    for folder in folders("i_resize") {
        let meta = json(&folder.join("meta.json"));
        for row in meta["single_number_size_rule"].as_array().unwrap() {
            let (height, width) = (count(&row["ori_h"]), count(&row["ori_w"]));
            let found = FrameSize::LongerSide(count(&row["img_size"])).resolve(height, width);
            assert_eq!(
                found,
                (count(&row["new_h"]), count(&row["new_w"])),
                "{height}x{width}"
            );
        }
    }
}

fn check_sums(name: &str, pixels: &[f32], size: Size, stats: &serde_json::Value, atol: f64) {
    for (channel, plane) in pixels.chunks(size.area()).enumerate() {
        let values = || plane.iter().map(|&v| f64::from(v));
        let weighted = values().enumerate().map(|(i, v)| {
            let (row, column) = (i / size.width + 1, i % size.width + 1);
            v * (row * column) as f64
        });
        for (key, found) in [
            ("sum", values().sum::<f64>()),
            ("sum_of_squares", values().map(|v| v * v).sum()),
            ("weighted_sum", weighted.sum::<f64>() / size.area() as f64),
        ] {
            let expected = number(&stats[key][channel]);
            let error = (found - expected).abs() / expected.abs();
            assert!(
                error <= 1e-6,
                "{name} {key}[{channel}]: {found}, expected {expected}"
            );
        }
        for (key, found) in [
            ("min", values().fold(f64::INFINITY, f64::min)),
            ("max", values().fold(f64::NEG_INFINITY, f64::max)),
        ] {
            assert_close(name, &[found], &[number(&stats[key][channel])], atol);
        }
    }
}
