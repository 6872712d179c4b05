//! Group F: search, averaging, upsampling, key points; and a brute-force reference on random features.

use std::collections::BTreeMap;

use cropmae_config::{FrameSize, Protocol};
use proptest::prelude::*;

use super::fixtures::{Tensor, assert_close, count, folders, json, number, numbers, tensors};
use crate::error::Size;
use crate::labels::{LabelSet, WideLabels};
use crate::pose::key_points;
use crate::propagation::inspect::{affinity_matrix, within_radius};
use crate::propagation::{
    Grid, Neighbour, PackedFeatures, Propagator, Source, VideoPropagation, stretched,
};

fn protocol(top_k: usize, radius: f64, temperature: f64, context_frames: usize) -> Protocol {
    Protocol {
        frame_size: FrameSize::LongerSide(0),
        top_k,
        radius,
        temperature,
        context_frames,
        ..Protocol::davis()
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
            let case = Case::new(
                name,
                case,
                tensors(&folder.join(format!("{name}.safetensors"))),
            );
            let predictions = case.check_search();
            assert_close(
                name,
                &predictions.concat(),
                &case.t["pred_soft"].values,
                1e-5,
            );
            case.check_padding();
            case.check_stretched();
            case.check_affinities();
            check_upsampling(
                &case,
                &predictions,
                &meta["label_map_colours_in_class_order"],
            );
            cases += 1;
        }
    }
    assert!(cases > 0);
}

/// One case of the group.
struct Case<'a> {
    name: &'a str,
    t: BTreeMap<String, Tensor>,
    grid: Grid,
    channels: usize,
    classes: usize,
    context: usize,
    /// Leading keys of every frame that are not restricted.
    long_term: Vec<usize>,
    protocol: Protocol,
    /// Frames whose affinities have no ties.
    comparable: Vec<usize>,
    /// Per frame, the padding's included: (h*w, C).
    rows: Vec<Vec<f32>>,
    feats: Vec<PackedFeatures>,
}

impl<'a> Case<'a> {
    fn new(name: &'a str, case: &serde_json::Value, t: BTreeMap<String, Tensor>) -> Self {
        let [channels, total, height, width] = t["feats"].shape[..] else {
            panic!("{name}: feats {:?}", t["feats"].shape)
        };
        let grid = Grid { height, width };
        let list =
            |key: &str| -> Vec<usize> { case[key].as_array().unwrap().iter().map(count).collect() };
        let context = count(&case["n_context"]);
        let rows = per_frame(&t["feats"].f32(), channels, total, grid.cells());
        Self {
            name,
            grid,
            channels,
            classes: t["labels_frame0"].shape[2],
            context,
            long_term: list("long_mem"),
            protocol: Protocol {
                long_term_frames: list("long_mem"),
                ..protocol(
                    count(&case["topk"]),
                    number(&case["radius"]),
                    number(&case["temp"]),
                    context,
                )
            },
            comparable: list("frames_where_ids_are_comparable"),
            feats: rows
                .iter()
                .map(|f| PackedFeatures::normalised(f, grid, channels).unwrap())
                .collect(),
            rows,
            t,
        }
    }

    /// Frames without the padding.
    fn frames(&self) -> usize {
        self.feats.len() - self.context
    }

    /// Key frames of a frame, as indices that count the padding.
    fn keys(&self, frame: usize) -> Vec<usize> {
        let per_frame = self.t["key_indices"].shape[1];
        self.t["key_indices"].values[frame * per_frame..][..per_frame]
            .iter()
            .map(|&index| index as usize)
            .collect()
    }

    fn sources<'s>(&'s self, frame: usize, labels: &'s [Vec<f32>]) -> Vec<Source<'s>> {
        let keys = self.keys(frame).into_iter().enumerate();
        keys.map(|(key, index)| {
            let long = key < self.long_term.len();
            let counts = (usize::from(long), usize::from(!long));
            Source::new(&self.feats[index], &labels[index], counts.0, counts.1)
        })
        .collect()
    }

    /// Ids and weights of every frame, and its prediction.
    fn check_search(&self) -> Vec<Vec<f32>> {
        let propagator = Propagator::new(self.grid, &self.protocol);
        let first = self.t["labels_frame0"].f32();
        let mut labels = vec![first.clone(); self.context + 1];
        let mut predictions = vec![first];
        for frame in 0..self.frames() {
            let sources = self.sources(frame, &labels);
            let query = &self.feats[frame + self.context];
            let found = propagator.neighbours(query, &sources);
            for (cell, neighbours) in found.cells.iter().enumerate() {
                self.check_cell(frame, cell, neighbours);
            }
            if frame > 0 {
                let prediction = propagator.propagate(query, &sources, self.classes);
                labels.push(prediction.clone());
                predictions.push(prediction);
            }
        }
        predictions
    }

    fn check_cell(&self, frame: usize, cell: usize, neighbours: &[(Neighbour, f32)]) {
        let (top_k, cells) = (self.protocol.top_k, self.grid.cells());
        let atol = if self.protocol.temperature < 0.1 {
            5e-6
        } else {
            2e-6
        };
        assert_eq!(neighbours.len(), top_k);
        for (rank, (neighbour, weight)) in neighbours.iter().enumerate() {
            let at = (frame * top_k + rank) * cells + cell;
            let what = format!("{} frame {frame} cell {cell} rank {rank}", self.name);
            assert_close(&what, &[*weight], &self.t["weights"].values[at..=at], atol);
            if self.comparable.contains(&frame) {
                let id = neighbour.source as usize * cells + neighbour.cell as usize;
                assert_eq!(id, self.t["ids"].values[at] as usize, "{what}");
            }
        }
    }

    /// Where the padding is real, frame 0's copies must be the same as counting it.
    fn check_padding(&self) {
        let (padding, real) = self.rows.split_at(self.context);
        if !padding.iter().all(|row| *row == real[0]) {
            return;
        }
        let found = run(
            real,
            self.t["labels_frame0"].f32(),
            self.grid,
            self.channels,
            &self.protocol,
        );
        assert_close(
            self.name,
            &found.concat(),
            &self.t["pred_soft"].values,
            1e-5,
        );
    }

    /// The option that stretches soft labels to 0..1.
    fn check_stretched(&self) {
        let Some(expected) = self.t.get("pred_soft_norm_mask") else {
            return;
        };
        let propagator = Propagator::new(self.grid, &self.protocol);
        let first = self.t["labels_frame0"].f32();
        let mut labels = vec![first.clone(); self.context + 1];
        labels[0] = stretched(&first, self.classes);
        let mut found = labels[0].clone();
        for frame in 1..self.frames() {
            let query = &self.feats[frame + self.context];
            let prediction =
                propagator.propagate(query, &self.sources(frame, &labels), self.classes);
            found.extend(stretched(&prediction, self.classes));
            labels.push(prediction);
        }
        assert_close(self.name, &found, &expected.values, 1e-5);
    }

    /// Affinities before the radius and the temperature, and the radius.
    fn check_affinities(&self) {
        let found: Vec<f64> = within_radius(self.grid, self.protocol.radius)
            .into_iter()
            .map(|within| f64::from(u8::from(within)))
            .collect();
        assert!(found == self.t["radius_mask"].values, "{}", self.name);
        for (name, expected) in &self.t {
            let Some(frame) = name.strip_prefix("affinity_t") else {
                continue;
            };
            let (frame, _) = frame.split_once('_').unwrap();
            let frame: usize = frame.parse().unwrap();
            let query = &self.feats[frame + self.context];
            let keys = self.keys(frame).into_iter();
            let found: Vec<f32> = keys
                .flat_map(|key| affinity_matrix(query, &self.feats[key]))
                .collect();
            assert_close(name, &found, &expected.values, 2e-6);
        }
    }
}

/// Soft labels of every frame of a video.
fn run(
    rows: &[Vec<f32>],
    first: Vec<f32>,
    grid: Grid,
    channels: usize,
    protocol: &Protocol,
) -> Vec<Vec<f32>> {
    let classes = first.len() / grid.cells();
    let mut packed = rows
        .iter()
        .map(|rows| PackedFeatures::normalised(rows, grid, channels).unwrap());
    let start = packed.next().unwrap();
    let mut video = VideoPropagation::new(protocol, start, first, classes);
    let mut found = vec![video.first_labels().to_vec()];
    found.extend(packed.map(|features| video.advance(features).to_vec()));
    found
}

fn check_upsampling(case: &Case<'_>, predictions: &[Vec<f32>], colours: &serde_json::Value) {
    let Case {
        name,
        grid,
        classes,
        t,
        ..
    } = case;
    let (grid, classes) = (*grid, *classes);
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
        if let Some(expected) = t.get(&format!("mask_image_frame{frame}_rgb_as_written")) {
            let image = expected
                .values
                .chunks(3)
                .zip(&hard.ids)
                .zip(values.chunks(classes));
            for ((expected, &id), scores) in image {
                let mut sorted = scores.to_vec();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let colour = numbers(&colours[usize::from(id)]);
                assert!(colour == expected || sorted[0] - sorted[1] < 1e-5, "{name}");
            }
        }
    }
}

#[test]
fn golden_pose_key_points() {
    let mut cases = 0;
    for folder in folders("f_propagation") {
        let t = tensors(&folder.join("pose.safetensors"));
        let colours = &json(&folder.join("meta.json"))["pose_colours_rgb"];
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
            // The reference's picture: each joint's colour at its truncated coordinates.
            if let Some(expected) = t.get(&name.replace("/pred", "/sharp_rgb")) {
                let mut picture = vec![0.0; grid.cells() * 3];
                for (joint, point) in points.iter().enumerate() {
                    if point[0] >= 0.0 {
                        let [x, y] = point.map(|v| (v + 1e-4) as usize);
                        let pixel = &mut picture[(y * grid.width + x) * 3..][..3];
                        pixel.copy_from_slice(&numbers(&colours[joint + 1]));
                    }
                }
                assert_eq!(picture, expected.values, "{name}");
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
    let long_term = protocol.long_term_frames.len();
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
                    if position < long_term || dy.hypot(dx) < protocol.radius {
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

/// Runs a video of random frames through both; `keys` are the key frames of each frame as indices that
/// count the padding.
fn compare(grid: Grid, channels: usize, keys: &[Vec<usize>], protocol: &Protocol, seed: u64) {
    use rand_stream::Stream;
    let mut stream = Stream(seed);
    let classes = 3;
    let real: Vec<Vec<f32>> = keys
        .iter()
        .map(|_| unit_rows(&stream.draw(grid.cells() * channels), channels))
        .collect();
    let first: Vec<f32> = stream.draw(grid.cells() * classes);
    let padding = std::iter::repeat_n(real[0].clone(), protocol.context_frames);
    let padded: Vec<Vec<f32>> = padding.chain(real.iter().cloned()).collect();
    let expected = brute_force(&padded, &first, keys, grid, channels, protocol);
    for (found, expected) in run(&real, first, grid, channels, protocol)
        .iter()
        .zip(expected)
    {
        let expected: Vec<f64> = expected.iter().map(|&v| f64::from(v)).collect();
        assert_close("video", found, &expected, 1e-5);
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
        let keys: Vec<Vec<usize>> =
            (0..frames).map(|t| std::iter::once(0).chain(t..t + context).collect()).collect();
        compare(grid, 12, &keys, &protocol(top_k, radius, 0.3, context), seed);
    }
}

/// Features near a space of few dimensions, as a network's are: bounds skip most pairs, and the result must
/// be the one without them. The last frames leave that space, so that bounds fail.
#[test]
fn bounded_search_equals_brute_force() {
    let mut stream = rand_stream::Stream(5);
    let (grid, channels, frames) = (
        Grid {
            height: 14,
            width: 21,
        },
        200,
        6,
    );
    let basis = stream.draw(8 * channels);
    let rows: Vec<Vec<f32>> = (0..frames)
        .map(|t| {
            let noise = if t < 4 { 0.05 } else { 2.0 };
            let values = (0..grid.cells()).flat_map(|_| {
                let shares = stream.draw(8);
                let mut cell: Vec<f32> = stream.draw(channels).iter().map(|v| v * noise).collect();
                for (share, vector) in shares.iter().zip(basis.chunks(channels)) {
                    cell.iter_mut()
                        .zip(vector)
                        .for_each(|(sum, v)| *sum += share * v);
                }
                cell
            });
            unit_rows(&values.collect::<Vec<_>>(), channels)
        })
        .collect();
    let first = stream.draw(grid.cells() * 2);
    for (top_k, radius, context) in [(7, 5.0, 3), (1, 30.0, 2), (20, 2.0, 4)] {
        let protocol = protocol(top_k, radius, 0.05, context);
        let padding = std::iter::repeat_n(rows[0].clone(), context);
        let padded: Vec<Vec<f32>> = padding.chain(rows.iter().cloned()).collect();
        let keys: Vec<Vec<usize>> = (0..frames)
            .map(|t| std::iter::once(0).chain(t..t + context).collect())
            .collect();
        let expected = brute_force(&padded, &first, &keys, grid, channels, &protocol);
        let found = run(&rows, first.clone(), grid, channels, &protocol);
        for (found, expected) in found.iter().zip(expected) {
            let expected: Vec<f64> = expected.iter().map(|&v| f64::from(v)).collect();
            assert_close("bounded", found, &expected, 1e-4);
        }
    }
}

#[test]
fn golden_key_frames() {
    let mut cases = 0;
    for folder in folders("f_propagation") {
        let bank = json(&folder.join("context_index_bank.json"));
        for case in bank["cases"].as_array().unwrap() {
            let list = |value: &serde_json::Value| -> Vec<usize> {
                value.as_array().unwrap().iter().map(count).collect()
            };
            let rows = case["key_indices"].as_array().unwrap();
            let keys: Vec<Vec<usize>> = rows.iter().map(list).collect();
            assert_eq!(keys.len(), count(&case["frames"]));
            let grid = Grid {
                height: 4,
                width: 6,
            };
            let protocol = Protocol {
                long_term_frames: list(&case["long_mem"]),
                ..protocol(5, 2.5, 0.7, count(&case["n_context"]))
            };
            compare(grid, 8, &keys, &protocol, 7);
            cases += 1;
        }
    }
    assert!(cases > 0);
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
