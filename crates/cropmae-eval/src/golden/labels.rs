//! Group H: label sets, soft labels, the conversion back to annotation ids, and Gaussian joint maps.

use super::fixtures::{assert_close, count, folders, json, number, tensors};
use crate::benchmarks::jhmdb::to_grid;
use crate::joints::{self, JOINTS};
use crate::labels::{LabelMap, LabelSet, Mask};
use crate::palette::Palette;
use crate::pose::joint_maps;
use crate::propagation::Grid;
use crate::size::Size;

#[test]
fn golden_label_sets_and_soft_labels() {
    for folder in folders("h_labels") {
        let meta = json(&folder.join("meta.json"));
        let t = tensors(&folder.join("palette_labels.safetensors"));
        for (name, case) in meta.as_object().unwrap() {
            let Some(file) = case.get("png_files") else {
                continue;
            };
            let mask = Mask::read(&folder.join(file[0].as_str().unwrap())).unwrap();
            assert_eq!(mask.map.size.height, count(&case["input_h"]));
            let size = Size {
                height: count(&case["new_h"]),
                width: count(&case["new_w"]),
            };
            let grid = Grid {
                height: count(&case["grid"][0]),
                width: count(&case["grid"][1]),
            };
            let (set, pixels) = LabelSet::of(&mask.map.resize_opencv(size), &mask.palette);

            let columns = count(&case["label_set_columns"]);
            let colors: Vec<u8> = set
                .ids
                .iter()
                .flat_map(|&id| {
                    let [r, g, b] = mask.palette.0[usize::from(id)];
                    [b, g, r][..columns].to_vec()
                })
                .collect();
            assert_eq!(colors, t[&format!("{name}/label_set")].u8(), "{name}");
            if let Some(ids) = case.get("palette_index_of_each_class") {
                let ids: Vec<usize> = ids.as_array().unwrap().iter().map(count).collect();
                assert_eq!(
                    set.ids
                        .iter()
                        .map(|&id| usize::from(id))
                        .collect::<Vec<_>>(),
                    ids
                );
            }
            check_class_map(name, &pixels, size, case);
            if let Some(map) = t.get(&format!("{name}/class_map_after_nearest_resize_frame0")) {
                assert_eq!(pixels, map.u8(), "{name}");
            }
            let labels = set.soft_labels(&pixels, size, grid);
            let expected = &t[&format!("{name}/resized_labels_frame0")].values;
            assert_close(name, &labels, expected, 1e-6);
        }
    }
}

fn check_class_map(name: &str, pixels: &[u8], size: Size, case: &serde_json::Value) {
    let mut histogram = vec![0; count(&case["classes"])];
    let mut sums = [0; 2];
    for (i, &class) in pixels.iter().enumerate() {
        histogram[usize::from(class)] += 1;
        sums[0] += usize::from(class) * (i % size.width + 1);
        sums[1] += usize::from(class) * (i / size.width + 1);
    }
    assert_eq!(
        serde_json::json!(histogram),
        case["class_map_histogram"],
        "{name}"
    );
    let key = "class_map_sum_of_class_times_col_plus_1_and_times_row_plus_1";
    assert_eq!(serde_json::json!(sums), case[key], "{name}");
}

#[test]
fn golden_conversion_to_annotation_ids() {
    for folder in folders("h_labels") {
        let meta = json(&folder.join("meta.json"));
        let palette = Palette::davis();
        assert_eq!(serde_json::json!(&palette.0[..]), meta["palette_rgb_256"]);
        assert_eq!(palette.id([128, 128, 128]), Some(7));
        for case in meta["davis_conversion"].as_array().unwrap() {
            let path = |key: &str| folder.join(case[key].as_str().unwrap());
            let output = Mask::read(&path("output")).unwrap();
            // The reference writes its colors as (b, g, r) and swaps them in the conversion.
            let input = image::open(path("input")).unwrap().into_rgb8();
            let ids = input
                .pixels()
                .map(|p| palette.id([p.0[2], p.0[1], p.0[0]]).unwrap());
            let input = LabelMap {
                size: Size {
                    height: input.height() as usize,
                    width: input.width() as usize,
                },
                ids: ids.collect(),
            };
            let found = input.resize_opencv(output.map.size);
            assert!(found == output.map, "{}", case["input"]);
            // A file that this crate writes must have the same content as the file of the reference.
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("mask.png");
            found.write_palette(&path, &palette).unwrap();
            let back = Mask::read(&path).unwrap();
            assert!(back.map == output.map && back.palette == palette);
        }
    }
}

#[test]
fn golden_joint_maps() {
    for folder in folders("h_labels") {
        let meta = &json(&folder.join("meta.json"))["jhmdb"];
        let t = tensors(&folder.join("jhmdb.safetensors"));
        for point in meta["draw_points"].as_array().unwrap() {
            let expected = &t[&format!("draw/{:02}", count(&point["index"]))];
            let grid = Grid {
                height: expected.shape[0],
                width: expected.shape[1],
            };
            let mut joints = [[-100.0; 2]; JOINTS];
            joints[4] = [number(&point["x"]), number(&point["y"])];
            let maps = joint_maps(&joints, grid);
            let map: Vec<f32> = maps.iter().skip(5).step_by(JOINTS + 1).copied().collect();
            assert_close(&format!("draw {point}"), &map, &expected.values, 1e-7);
        }

        let joints = joints::read(&folder.join("joint_positions.mat")).unwrap();
        let stored = &t["dataset/pos_img_as_stored"];
        for (frame, joints) in joints.iter().enumerate() {
            for (joint, &[x, y]) in joints.iter().enumerate() {
                let at = |axis: usize| (axis * JOINTS + joint) * stored.shape[2] + frame;
                assert_eq!(
                    [x + 1.0, y + 1.0],
                    [stored.values[at(0)], stored.values[at(1)]]
                );
            }
        }
        let expected = &t["dataset/labels"];
        let dataset = &meta["dataset"];
        let size = |height: &serde_json::Value, width: &serde_json::Value| Size {
            height: count(height),
            width: count(width),
        };
        let original = size(&dataset["image_h"], &dataset["image_w"]);
        let input = size(&dataset["img_size"][0], &dataset["img_size"][1]);
        let grid = Grid {
            height: expected.shape[1],
            width: expected.shape[2],
        };
        let patch_size = input.height / grid.height;
        for (entry, expected) in expected
            .values
            .chunks(grid.cells() * (JOINTS + 1))
            .enumerate()
        {
            let frame = entry.saturating_sub(count(&dataset["padding"]));
            let labels = joint_maps(&to_grid(&joints[frame], original, input, patch_size), grid);
            assert_close("dataset", &labels, expected, 1e-7);
        }
    }
}
