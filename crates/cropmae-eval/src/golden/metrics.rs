//! Group G: region, boundary, statistics, confusion and key points.

use std::path::{Path, PathBuf};

use super::fixtures::{assert_close, count, folders, json, number, numbers, tensors};
use crate::benchmarks::davis::{DavisScores, SequenceScore};
use crate::benchmarks::jhmdb::to_pixels;
use crate::files::list_files;
use crate::joints;
use crate::joints::JOINTS;
use crate::labels::Mask;
use crate::metrics::boundary::{boundary, dilate};
use crate::metrics::pck::normalizer;
use crate::metrics::{
    BitMask, Confusion, Pck, Statistics, THRESHOLDS, boundary_measure, dilation_radius, jaccard,
};
use crate::propagation::Grid;
use crate::report::{Measure, Scores};
use crate::size::Size;

/// Returns the entry whose key starts with `prefix`. The rest of the key is the number of frames.
fn keyed<'a>(object: &'a serde_json::Value, prefix: &str) -> &'a serde_json::Value {
    let mut entries = object.as_object().unwrap().iter();
    entries.find(|(key, _)| key.starts_with(prefix)).unwrap().1
}

/// Returns the folders of the group that contain `file`.
fn holding(file: &str) -> Vec<PathBuf> {
    let mut found = folders("g_metrics");
    found.retain(|folder| folder.join(file).exists());
    found
}

#[test]
fn golden_region_and_boundary() {
    for folder in folders("g_metrics") {
        let t = tensors(&folder.join("synthetic_masks.safetensors"));
        let cases = json(&folder.join("synthetic_expected.json"));
        for (name, disk) in t.iter().filter(|(name, _)| name.starts_with("disk/")) {
            let radius: usize = name["disk/".len()..].parse().unwrap();
            let size = Size {
                height: disk.shape[0],
                width: disk.shape[1],
            };
            let mut center = vec![0; size.area()];
            center[size.area() / 2] = 1;
            let found = dilate(&BitMask::of_id(&center, size, 1), radius);
            assert_eq!(found, BitMask::of_id(&disk.u8(), size, 1), "{name}");
        }
        for case in cases.as_array().unwrap() {
            let name = format!("{:02}", count(&case["index"]));
            let size = Size {
                height: count(&case["shape"][0]),
                width: count(&case["shape"][1]),
            };
            let read = |part: &str| {
                let pixels = t.get(&format!("{name}/{part}"))?.u8();
                Some(BitMask::of_id(&pixels, size, 1))
            };
            let (gt, pred, void) = (read("gt").unwrap(), read("pred").unwrap(), read("void"));
            assert_eq!(void.is_some(), case["has_void"].as_bool().unwrap());
            let void = void.as_ref();
            assert_eq!(dilation_radius(size), count(&case["dilation_radius"]));
            let j = jaccard(&gt, &pred, void);
            assert_close(&name, &[j], &[number(&case["J"])], 1e-12);
            let f = boundary_measure(&gt, &pred, void);
            assert_close(&name, &[f], &[number(&case["F"])], 1e-12);
            let edges = |mask: &BitMask| boundary(&void.map_or(mask.clone(), |v| mask.without(v)));
            for (mask, part, number) in [
                (&gt, "gt", "n_gt_boundary"),
                (&pred, "pred", "n_pred_boundary"),
            ] {
                assert_eq!(
                    edges(mask).count() as usize,
                    count(&case[number]),
                    "{name} {part}"
                );
                if let Some(expected) = read(&format!("{part}_boundary")) {
                    assert_eq!(edges(mask), expected, "{name} {part}");
                }
            }
        }
    }
}

#[test]
fn golden_statistics() {
    let mut cases = 0;
    for folder in holding("statistics_expected.json") {
        let t = tensors(&folder.join("statistics_values.safetensors"));
        for case in json(&folder.join("statistics_expected.json"))
            .as_array()
            .unwrap()
        {
            let name = case["name"].as_str().unwrap();
            let found = Statistics::of(&t[name].values);
            let expected = [&case["mean"], &case["recall"], &case["decay"]].map(number);
            for (found, expected) in [found.mean, found.recall, found.decay].iter().zip(expected) {
                assert_eq!(found.is_nan(), expected.is_nan(), "{name}");
                assert_close(name, &[*found], &[expected], 1e-9);
            }
            cases += 1;
        }
    }
    assert!(cases > 0);
}

#[test]
fn golden_davis_sequences() {
    for folder in holding("real_expected.json") {
        let expected = json(&folder.join("real_expected.json"));
        let mut sequences = Vec::new();
        for name in expected["sequences_in_order"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            let case = &expected["per_sequence"][name];
            let masks = list_files(&folder.join("masks").join(name), &["png"], "masks").unwrap();
            let masks: Vec<_> = masks
                .iter()
                .map(|path| Mask::read(path).unwrap().map)
                .collect();
            let objects = case["per_object"].as_array().unwrap();
            let frames = keyed(&objects[0], "J_per_frame").as_array().unwrap().len();
            // The prediction of frame t is a later mask.
            let shift = masks.len() - frames;
            let score = |range: std::ops::Range<usize>| {
                let mut score = SequenceScore::new(name, frames, &masks[0]);
                for t in range {
                    score.add(&masks[t], &masks[t + shift]);
                }
                score.finish()
            };
            let (all, scored) = (score(0..frames), score(1..frames - 1));
            assert_eq!(all.objects.len(), objects.len(), "{name}");
            for ((all, scored), expected) in all.objects.iter().zip(&scored.objects).zip(objects) {
                assert_eq!(all.id as usize, count(&expected["object"]));
                for (measure, per_frame, statistics) in [
                    ("J", &all.j_per_frame, scored.j),
                    ("F", &all.f_per_frame, scored.f),
                ] {
                    let values = numbers(keyed(expected, &format!("{measure}_per_frame")));
                    assert_close(name, per_frame, &values, 1e-9);
                    let expected = keyed(expected, &format!("{measure}_mean_recall_decay"));
                    let found = [statistics.mean, statistics.recall, statistics.decay];
                    assert_close(name, &found, &numbers(expected), 1e-9);
                }
            }
            sequences.push(scored);
        }
        for measure in DavisScores::of(sequences).headline() {
            let Measure {
                name: column,
                value: found,
                ..
            } = measure;
            let global = number(&expected["global_over_objects"][&column]);
            assert_close(&column, &[found], &[global], 1e-9);
            let printed = &expected["global_as_printed_3_decimals"][&column];
            assert_eq!(format!("{found:.3}"), printed.as_str().unwrap());
        }
    }
}

/// Returns the files of a folder whose names do not contain `blend`, as in the evaluation of the reference.
fn predictions(folder: &Path) -> Vec<PathBuf> {
    let files = list_files(folder, &["png", "jpg"], "predictions").unwrap();
    let counted = |path: &PathBuf| !path.to_string_lossy().contains("blend");
    files.into_iter().filter(counted).collect()
}

#[test]
fn golden_part_segmentation() {
    let mut cases = 0;
    for folder in holding("vip") {
        for case in std::fs::read_dir(folder.join("vip")).unwrap() {
            let case = case.unwrap().path();
            let mut confusion = Confusion::default();
            for video in std::fs::read_dir(case.join("pred")).unwrap() {
                let video = video.unwrap();
                for path in predictions(&video.path()) {
                    let name = path.file_stem().unwrap().to_str().unwrap();
                    let name = name.split('_').next().unwrap();
                    let gt = case
                        .join("gt")
                        .join(video.file_name())
                        .join(format!("{name}.png"));
                    let gt = Mask::read(&gt).unwrap().map;
                    let pred = last_channel(&path).resize_pillow(gt.size);
                    confusion.add(&gt.ids, &pred.ids).unwrap();
                }
            }
            let expected = json(&case.join("expected.json"));
            let rows = expected["confusion_rows_gt_cols_pred"].as_array().unwrap();
            for (found, expected) in confusion.rows().zip(rows) {
                assert_eq!(serde_json::json!(found), *expected, "{}", case.display());
            }
            let iou = confusion.iou().map(|iou| iou.unwrap_or(f64::NAN));
            assert_close("iou", &iou, &numbers(&expected["iou_per_class"]), 1e-12);
            let classes = count(&expected["classes_that_enter_the_mean"]);
            assert_eq!(iou.iter().filter(|iou| !iou.is_nan()).count(), classes);
            assert_close(
                "mIoU",
                &[confusion.mean_iou()],
                &[number(&expected["mIoU"])],
                1e-12,
            );
            cases += 1;
        }
    }
    assert!(cases > 0);
}

/// Reads the last channel of a prediction as ids, as in the evaluation of the reference.
fn last_channel(path: &Path) -> crate::labels::LabelMap {
    let image = image::open(path).unwrap();
    let size = Size {
        height: image.height() as usize,
        width: image.width() as usize,
    };
    let channels = usize::from(image.color().channel_count());
    let bytes = image.as_bytes();
    crate::labels::LabelMap {
        size,
        ids: bytes
            .iter()
            .skip(channels - 1)
            .step_by(channels)
            .copied()
            .collect(),
    }
}

#[test]
fn predictions_outside_the_classes_are_refused() {
    let mut confusion = Confusion::default();
    assert_eq!(confusion.add(&[0, 3], &[1, 21]), Err(21));
    assert_eq!(confusion.add(&[19, 3], &[20, 1]), Err(20));
    assert_eq!(confusion, Confusion::default());
    assert_eq!(confusion.add(&[18, 255], &[20, 5]), Ok(()));
    assert!(confusion.mean_iou() == 0.0);
}

#[test]
fn golden_key_point_accuracy() {
    let mut cases = 0;
    for folder in holding("pck") {
        let folder = folder.join("pck");
        let expected = json(&folder.join("expected.json"));
        let t = tensors(&folder.join("inputs.safetensors"));
        let mut pck = Pck::default();
        for (index, clip) in expected["clips"].as_array().unwrap().iter().enumerate() {
            let gt = joints::read(&folder.join(clip["mat"].as_str().unwrap())).unwrap();
            let frames = count(&clip["frames"]);
            assert_eq!(gt.len(), frames);
            let stored = &t[&format!("clip{index}/pos_img_as_stored")];
            let at =
                |axis: usize, joint: usize, frame: usize| (axis * JOINTS + joint) * frames + frame;
            for (frame, joints) in gt.iter().enumerate() {
                for (joint, point) in joints.iter().enumerate() {
                    for (axis, found) in point.iter().enumerate() {
                        assert_eq!(*found, stored.values[at(axis, joint, frame)] - 1.0);
                    }
                }
            }
            let grid = Grid {
                height: count(&clip["feat_res"][0]),
                width: count(&clip["feat_res"][1]),
            };
            let original = Size {
                height: count(&clip["image_height"]),
                width: count(&clip["image_width"]),
            };
            let points = t[&format!("clip{index}/pred_grid_xy")].f32();
            let pred: Vec<_> = (0..frames)
                .map(|frame| {
                    let points = std::array::from_fn(|joint| {
                        [points[at(0, joint, frame)], points[at(1, joint, frame)]]
                    });
                    to_pixels(&points, grid, original)
                })
                .collect();
            let expected = numbers(&expected["normaliser_per_clip_per_frame"][index]);
            for ((gt, pred), expected) in gt.iter().zip(&pred).zip(expected) {
                // If no joint is scored, the normalizer is the initial value of the box and is not used.
                if pred.iter().any(|point| point[0] >= 0.0) {
                    assert_close("normalizer", &[normalizer(gt, pred)], &[expected], 1e-9);
                }
            }
            let mut one = Pck::default();
            one.add_clip(&gt, &pred);
            pck.merge(&one);
        }
        assert_eq!(serde_json::json!(pck.items()), expected["items_per_joint"]);
        for (index, threshold) in THRESHOLDS.iter().enumerate() {
            let expected = &expected["pck"][threshold.to_string()];
            let joints = pck.per_joint(index).map(|joint| joint.unwrap_or(f64::NAN));
            assert_close("joints", &joints, &numbers(&expected["per_joint"]), 1e-9);
            assert_close("PCK", &[pck.mean(index)], &[number(&expected["PCK"])], 1e-9);
        }
        cases += 1;
    }
    assert!(cases > 0);
}
