//! Compares the search with a simple implementation that sorts all affinities.
//!
//! The cases are random features, features for which bounds save time, and the key frames of group F.

use cropmae_config::Protocol;
use proptest::prelude::*;

use super::fixtures::{assert_close, count, folders, json};
use super::propagation::{Run, protocol, run};
use crate::propagation::{Grid, PackedFeatures, VideoPropagation};

/// Propagates labels in the simplest way, with all affinities sorted.
///
/// Returns `None` if the affinities of the last source in the top k and of the next one are equal within f32 for any
/// cell, so that either source is right.
fn brute_force(
    rows: &[Vec<f32>],
    first: &[f32],
    key_indices: &[Vec<usize>],
    grid: Grid,
    channels: usize,
    protocol: &Protocol,
) -> Option<Vec<Vec<f32>>> {
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
            if let Some(&[(last, key, cell), (next, other_key, other_cell)]) =
                ranked.get(protocol.top_k - 1..=protocol.top_k)
            {
                // A frame can be a source twice, and the padding repeats the first frame with its labels.
                let same_frame = key == other_key || key.max(other_key) <= protocol.context_frames;
                let same = cell == other_cell && same_frame;
                if last - next < 1e-6 && !same {
                    return None;
                }
            }
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
    Some(labels.split_off(protocol.context_frames))
}

pub(super) fn unit_rows(values: &[f32], channels: usize) -> Vec<f32> {
    values
        .chunks(channels)
        .flat_map(|row| {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter().map(move |v| v / norm).collect::<Vec<_>>()
        })
        .collect()
}

/// Propagates labels through a video of random frames with `run` and with [`brute_force`].
///
/// `keys` are the key frames of each frame, as indices that include the padding. Returns `false` if the result is
/// undetermined because of a tie.
pub(super) fn compare(
    grid: Grid,
    channels: usize,
    keys: &[Vec<usize>],
    protocol: &Protocol,
    seed: u64,
    run: Run,
) -> bool {
    let mut stream = Stream(seed);
    let classes = 3;
    let real: Vec<Vec<f32>> = keys
        .iter()
        .map(|_| unit_rows(&stream.draw(grid.cells() * channels), channels))
        .collect();
    let first: Vec<f32> = stream.draw(grid.cells() * classes);
    let padding = std::iter::repeat_n(real[0].clone(), protocol.context_frames);
    let padded: Vec<Vec<f32>> = padding.chain(real.iter().cloned()).collect();
    let Some(expected) = brute_force(&padded, &first, keys, grid, channels, protocol) else {
        return false;
    };
    for (found, expected) in run(&real, first, grid, channels, protocol)
        .iter()
        .zip(expected)
    {
        let expected: Vec<f64> = expected.iter().map(|&v| f64::from(v)).collect();
        assert_close("video", found, &expected, 1e-5);
    }
    true
}

/// A generator of pseudorandom numbers in -1..1.
pub(super) struct Stream(pub u64);

impl Stream {
    pub(super) fn draw(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| {
                // This is SplitMix64.
                self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = self.0;
                z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((z ^ z >> 31) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
            })
            .collect()
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
        prop_assume!(compare(grid, 12, &keys, &protocol(top_k, radius, 0.3, context), seed, run));
    }
}

/// Tests features near a space of few dimensions, like those of a network.
///
/// Bounds skip most pairs, and the result must be the one without bounds. The last frames are outside of that space, so
/// that bounds fail.
#[test]
fn bounded_search_equals_brute_force() {
    let mut stream = Stream(5);
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
    let packed = PackedFeatures::normalized(&rows[0], grid, channels).unwrap();
    let labels = vec![0.0; grid.cells()];
    let video = VideoPropagation::new(&protocol(1, 1.0, 1.0, 1), packed, labels, 1);
    assert!(video.is_bounded());
    let first = stream.draw(grid.cells() * 2);
    for (top_k, radius, context) in [(7, 5.0, 3), (1, 30.0, 2), (20, 2.0, 4)] {
        let protocol = protocol(top_k, radius, 0.05, context);
        let padding = std::iter::repeat_n(rows[0].clone(), context);
        let padded: Vec<Vec<f32>> = padding.chain(rows.iter().cloned()).collect();
        let keys: Vec<Vec<usize>> = (0..frames)
            .map(|t| std::iter::once(0).chain(t..t + context).collect())
            .collect();
        let expected = brute_force(&padded, &first, &keys, grid, channels, &protocol)
            .expect("these features have no ties");
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
            assert!(compare(grid, 8, &keys, &protocol, 7, run));
            cases += 1;
        }
    }
    assert!(cases > 0);
}

#[test]
fn results_do_not_depend_on_threads() {
    // With few channels, every affinity is computed. With many, only those with sufficiently high bounds are computed.
    for (channels, bounded) in [(20, false), (200, true)] {
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
                let mut stream = Stream(3);
                let mut frame = || {
                    let features = stream.draw(grid.cells() * channels);
                    PackedFeatures::normalized(&features, grid, channels).unwrap()
                };
                let labels: Vec<f32> = (0..grid.cells() * 2).map(|i| (i % 7) as f32).collect();
                let protocol = protocol(7, 6.0, 0.7, 3);
                let mut video = VideoPropagation::new(&protocol, frame(), labels, 2);
                assert_eq!(video.is_bounded(), bounded);
                (0..4)
                    .map(|_| video.advance(frame()).to_vec())
                    .collect::<Vec<_>>()
            })
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(7));
    }
}

#[test]
fn features_that_are_not_finite_are_named() {
    let grid = Grid {
        height: 2,
        width: 3,
    };
    let mut features = vec![1.0; 24];
    features[17] = f32::NAN;
    let error = PackedFeatures::normalized(&features, grid, 4).unwrap_err();
    assert_eq!(error, "cell 4 has a value that is not finite");
    assert!(PackedFeatures::normalized(&features, grid, 5).is_err());
    assert!(PackedFeatures::normalized(&[0.0; 24], grid, 4).is_ok());
}
