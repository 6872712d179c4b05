//! Group F: search, averaging, upsampling, key points; and a brute-force reference on random features.

use cropmae_config::{FrameSize, Protocol};
use proptest::prelude::*;

use super::fixtures::{assert_close, count, folders, json, number, tensors};
use crate::error::Size;
use crate::labels::{LabelSet, WideLabels};
use crate::pose::key_points;
use crate::propagation::{Grid, PackedFeatures, Propagator, Source, VideoPropagation};

fn protocol(top_k: usize, radius: f64, temperature: f64, context_frames: usize) -> Protocol {
    Protocol {
        frame_size: FrameSize::LongerSide(0),
        top_k,
        radius,
        temperature,
        context_frames,
    }
}

/// (C, frames, h*w) -> per frame (h*w, C).
fn per_frame(values: &[f32], channels: usize, frames: usize, cells: usize) -> Vec<Vec<f32>> {
    (0..frames)
        .map(|t| {
            (0..cells * channels)
                .map(|i| values[(i % channels * frames + t) * cells + i / channels])
                .collect()
        })
        .collect()
}

#[test]
fn golden_propagation() {
    let mut cases = 0;
    for folder in folders("f_propagation") {
        let meta = json(&folder.join("meta.json"));
        for (name, case) in meta["cases"].as_object().unwrap() {
            check_case(
                name,
                case,
                &tensors(&folder.join(format!("{name}.safetensors"))),
            );
            cases += 1;
        }
    }
    assert!(cases > 0);
}

fn check_case(
    name: &str,
    case: &serde_json::Value,
    t: &std::collections::BTreeMap<String, super::fixtures::Tensor>,
) {
    let [channels, total, height, width] = t["feats"].shape[..] else {
        panic!("{name}: feats {:?}", t["feats"].shape)
    };
    let grid = Grid { height, width };
    let cells = grid.cells();
    let classes = t["labels_frame0"].shape[2];
    let context = count(&case["n_context"]);
    let (top_k, temperature) = (count(&case["topk"]), number(&case["temp"]));
    let protocol = protocol(top_k, number(&case["radius"]), temperature, context);
    let rows = per_frame(&t["feats"].f32(), channels, total, cells);
    let feats: Vec<PackedFeatures> = rows
        .iter()
        .map(|f| PackedFeatures::normalised(f, grid, channels).unwrap())
        .collect();
    let long = case["long_mem"].as_array().unwrap().len();
    let keys = t["key_indices"].shape[1];
    let comparable: Vec<usize> = case["frames_where_ids_are_comparable"]
        .as_array()
        .unwrap()
        .iter()
        .map(count)
        .collect();

    let propagator = Propagator::new(grid, &protocol);
    let first = t["labels_frame0"].f32();
    let mut labels = vec![first.clone(); context + 1];
    let mut predictions = vec![first.clone()];
    let weights_atol = if temperature < 0.1 { 5e-6 } else { 2e-6 };
    for frame in 0..total - context {
        let sources: Vec<Source<'_>> = (0..keys)
            .map(|key| {
                let index = t["key_indices"].values[frame * keys + key] as usize;
                Source {
                    features: &feats[index],
                    labels: &labels[index],
                    unrestricted: usize::from(key < long),
                    restricted: usize::from(key >= long),
                }
            })
            .collect();
        let query = &feats[frame + context];
        let found = propagator.neighbours(query, &sources);
        for (cell, neighbours) in found.cells.iter().enumerate() {
            assert_eq!(neighbours.len(), top_k);
            for (rank, (neighbour, weight)) in neighbours.iter().enumerate() {
                let at = (frame * top_k + rank) * cells + cell;
                let expected = t["weights"].values[at];
                assert!(
                    (f64::from(*weight) - expected).abs() <= weights_atol,
                    "{name} frame {frame} cell {cell} rank {rank}: {weight}, expected {expected}"
                );
                if comparable.contains(&frame) {
                    let id = neighbour.source as usize * cells + neighbour.cell as usize;
                    assert_eq!(
                        id, t["ids"].values[at] as usize,
                        "{name} {frame} {cell} {rank}"
                    );
                }
            }
        }
        let prediction = propagator.propagate(query, &sources, classes);
        if frame > 0 {
            labels.push(prediction.clone());
            predictions.push(prediction);
        }
    }
    assert_close(name, &predictions.concat(), &t["pred_soft"].values, 1e-5);

    // Where the padding is real, frame 0's copies must be the same as counting it.
    if rows[..=context].iter().all(|row| *row == rows[0]) && long == 1 {
        let mut real = feats[context..].iter().cloned();
        let start = real.next().unwrap();
        let mut video = VideoPropagation::new(&protocol, start, first, classes);
        let mut counted = vec![video.first_labels().to_vec()];
        counted.extend(real.map(|features| video.advance(features).to_vec()));
        assert_close(name, &counted.concat(), &t["pred_soft"].values, 1e-5);
    }
    check_upsampling(name, grid, &predictions, t);
}

fn check_upsampling(
    name: &str,
    grid: Grid,
    predictions: &[Vec<f32>],
    t: &std::collections::BTreeMap<String, super::fixtures::Tensor>,
) {
    let classes = t["labels_frame0"].shape[2];
    let shape = &t["upsampled_8x_argmax"].shape;
    let size = Size {
        height: shape[1],
        width: shape[2],
    };
    let set = LabelSet {
        ids: (0..classes as u8).collect(),
    };
    let mut row = vec![0.0; size.width];
    for (frame, soft) in predictions.iter().enumerate() {
        let wide = WideLabels::new(soft, classes, grid, size);
        // (H, W, L)
        let mut values = vec![0.0; size.area() * classes];
        for y in 0..size.height {
            for class in 0..classes {
                wide.row(y, class, &mut row);
                for (x, value) in row.iter().enumerate() {
                    values[(y * size.width + x) * classes + class] = *value;
                }
            }
        }
        if let Some(expected) = t.get(&format!("upsampled_8x_frame{frame}")) {
            assert_close(name, &values, &expected.values, 1e-5);
        }
        let hard = set.hard_labels(soft, grid, size);
        let expected = &t["upsampled_8x_argmax"].u8()[frame * size.area()..][..size.area()];
        for ((found, expected), scores) in hard.ids.iter().zip(expected).zip(values.chunks(classes))
        {
            let mut sorted = scores.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            assert!(
                found == expected || sorted[0] - sorted[1] < 1e-5,
                "{name} frame {frame}"
            );
        }
    }
}

#[test]
fn golden_pose_key_points() {
    let mut cases = 0;
    for folder in folders("f_propagation") {
        let t = tensors(&folder.join("pose.safetensors"));
        for (name, pred) in t.iter().filter(|(name, _)| name.ends_with("/pred")) {
            let grid = Grid {
                height: pred.shape[0],
                width: pred.shape[1],
            };
            let points = key_points(&pred.f32(), grid);
            let expected = &t[&name.replace("/pred", "/coords")].values;
            for axis in 0..2 {
                let found: Vec<f32> = points.iter().map(|point| point[axis]).collect();
                let expected = &expected[axis * found.len()..][..found.len()];
                assert_close(name, &found, expected, 1e-4);
            }
            cases += 1;
        }
    }
    assert!(cases > 0);
}

/// Label propagation as one would write it down: all affinities, sorted.
fn brute_force(
    rows: &[Vec<f32>],
    first: &[f32],
    key_indices: &[Vec<usize>],
    grid: Grid,
    channels: usize,
    protocol: &Protocol,
) -> Vec<Vec<f32>> {
    let classes = first.len() / grid.cells();
    let mut labels = vec![first.to_vec(); protocol.context_frames + 1];
    for (t, keys) in key_indices.iter().enumerate().skip(1) {
        let mut prediction = vec![0.0f32; first.len()];
        for query in 0..grid.cells() {
            let q = &rows[t + protocol.context_frames][query * channels..][..channels];
            let mut ranked: Vec<(f32, usize, usize)> = Vec::new();
            for (position, &key) in keys.iter().enumerate() {
                for cell in 0..grid.cells() {
                    let dy = (query / grid.width).abs_diff(cell / grid.width) as f64;
                    let dx = (query % grid.width).abs_diff(cell % grid.width) as f64;
                    if position == 0 || dy.hypot(dx) < protocol.radius {
                        let source = &rows[key][cell * channels..][..channels];
                        let affinity = q.iter().zip(source).map(|(a, b)| a * b).sum();
                        ranked.push((affinity, key, cell));
                    }
                }
            }
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
            ranked.truncate(protocol.top_k);
            let weights: Vec<f32> = ranked
                .iter()
                .map(|(a, ..)| ((a - ranked[0].0) / protocol.temperature as f32).exp())
                .collect();
            let sum: f32 = weights.iter().sum();
            for ((_, key, cell), weight) in ranked.iter().zip(weights) {
                for class in 0..classes {
                    prediction[query * classes + class] +=
                        weight / sum * labels[*key][cell * classes + class];
                }
            }
        }
        labels.push(prediction);
    }
    labels.split_off(protocol.context_frames)
}

fn unit_rows(values: &[f32], channels: usize) -> Vec<f32> {
    values
        .chunks(channels)
        .flat_map(|row| {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter().map(move |v| v / norm).collect::<Vec<_>>()
        })
        .collect()
}

/// Runs a video of `frames` random frames through both.
fn compare(grid: Grid, channels: usize, frames: usize, protocol: &Protocol, seed: u64) {
    use rand_stream::Stream;
    let mut stream = Stream(seed);
    let classes = 3;
    let real: Vec<Vec<f32>> = (0..frames)
        .map(|_| unit_rows(&stream.draw(grid.cells() * channels), channels))
        .collect();
    let first: Vec<f32> = stream.draw(grid.cells() * classes);
    let padding = std::iter::repeat_n(real[0].clone(), protocol.context_frames);
    let padded: Vec<Vec<f32>> = padding.chain(real.iter().cloned()).collect();
    let keys: Vec<Vec<usize>> = (0..frames)
        .map(|t| {
            std::iter::once(0)
                .chain(t..t + protocol.context_frames)
                .collect()
        })
        .collect();
    let expected = brute_force(&padded, &first, &keys, grid, channels, protocol);

    let mut packed = real
        .iter()
        .map(|rows| PackedFeatures::normalised(rows, grid, channels).unwrap());
    let start = packed.next().unwrap();
    let mut video = VideoPropagation::new(protocol, start, first, classes);
    for (features, expected) in packed.zip(&expected[1..]) {
        let expected: Vec<f64> = expected.iter().map(|&v| f64::from(v)).collect();
        assert_close("video", video.advance(features), &expected, 1e-5);
    }
}

/// A stream of numbers in -1..1 without a dependency on the order of drawing elsewhere.
mod rand_stream {
    pub struct Stream(pub u64);

    impl Stream {
        pub fn draw(&mut self, count: usize) -> Vec<f32> {
            (0..count)
                .map(|_| {
                    // SplitMix64
                    self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mut z = self.0;
                    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                    ((z ^ z >> 31) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
                })
                .collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_video_equals_brute_force(
        height in 1usize..9, width in 1usize..12, frames in 1usize..7, context in 0usize..5,
        top_k in 1usize..9, radius in 0.5f64..8.0, seed in any::<u64>(),
    ) {
        let grid = Grid { height, width };
        compare(grid, 12, frames, &protocol(top_k, radius, 0.3, context), seed);
    }
}

#[test]
fn sources_are_those_of_the_reference() {
    for folder in folders("f_propagation") {
        let bank = json(&folder.join("context_index_bank.json"));
        for case in bank["cases"].as_array().unwrap() {
            if case["long_mem"] != serde_json::json!([0]) {
                continue; // no published protocol keeps another frame for good
            }
            let (context, frames) = (count(&case["n_context"]), count(&case["frames"]));
            for t in 0..frames {
                let listed: Vec<usize> = case["key_indices"][t]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(count)
                    .collect();
                let expected: Vec<usize> = std::iter::once(0).chain(t..t + context).collect();
                assert_eq!(listed, expected, "`compare` assumes these");
            }
            let grid = Grid {
                height: 4,
                width: 6,
            };
            compare(grid, 8, frames, &protocol(5, 2.5, 0.7, context), 7);
        }
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let grid = Grid {
                height: 17,
                width: 23,
            };
            let mut stream = rand_stream::Stream(3);
            let mut frame =
                || PackedFeatures::normalised(&stream.draw(grid.cells() * 20), grid, 20).unwrap();
            let labels: Vec<f32> = (0..grid.cells() * 2).map(|i| (i % 7) as f32).collect();
            let mut video = VideoPropagation::new(&protocol(7, 6.0, 0.7, 3), frame(), labels, 2);
            (0..4)
                .map(|_| video.advance(frame()).to_vec())
                .collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(7));
}

#[test]
fn features_that_are_not_finite_are_named() {
    let grid = Grid {
        height: 2,
        width: 3,
    };
    let mut features = vec![1.0; 24];
    features[17] = f32::NAN;
    let error = PackedFeatures::normalised(&features, grid, 4).unwrap_err();
    assert_eq!(error, "cell 4 has a value that is not finite");
    assert!(PackedFeatures::normalised(&features, grid, 5).is_err());
    assert!(PackedFeatures::normalised(&[0.0; 24], grid, 4).is_ok());
}
