//! The propagation once more, with the kernels of accelerators in the emulator.

use candle_core::{Device, Tensor};
use cropmae_config::Protocol;
use cropmae_kernels::{Backend, Emulation};
use proptest::prelude::*;

use super::fixtures::{assert_close, folders, json, tensors};
use super::propagation::{Case, protocol, run};
use super::search::{Stream, compare};
use crate::propagation::{DeviceFeatures, DevicePropagation, Grid};

/// Returns the features of frames from their rows (h*w, C).
fn features(rows: &[Vec<f32>], grid: Grid, channels: usize) -> Vec<DeviceFeatures> {
    let shape = (rows.len(), grid.cells(), channels);
    let values = Tensor::from_vec(rows.concat(), shape, &Device::Cpu).unwrap();
    let features = DeviceFeatures::batch(&values, grid, true).unwrap();
    features.into_iter().map(Result::unwrap).collect()
}

/// Returns the soft labels of every frame of a video, as [`run`] does.
fn emulate(
    rows: &[Vec<f32>],
    first: Vec<f32>,
    grid: Grid,
    channels: usize,
    protocol: &Protocol,
) -> Vec<Vec<f32>> {
    Backend::Gpu.with(|| {
        let classes = first.len() / grid.cells();
        let features = features(rows, grid, channels);
        let mut video = DevicePropagation::new(protocol, &features[0], first, classes).unwrap();
        let mut found = vec![video.first_labels().to_vec()];
        for features in &features[1..] {
            found.push(video.advance(features).unwrap().to_vec());
        }
        found
    })
}

#[test]
fn golden_propagation() {
    let mut cases = 0;
    for folder in folders("f_propagation") {
        let meta = json(&folder.join("meta.json"));
        for (name, case) in meta["cases"].as_object().unwrap() {
            let tensors = tensors(&folder.join(format!("{name}.safetensors")));
            let case = Case::new(name, case, tensors);
            case.check_padding(emulate);
            check_stretched(&case);
            cases += 1;
        }
    }
    assert!(cases > 0);
}

/// Checks the option that stretches soft labels to 0..1, if the padding is copies of frame 0.
fn check_stretched(case: &Case<'_>) {
    let (padding, real) = case.rows.split_at(case.context);
    let Some(expected) = case.t.get("pred_soft_norm_mask") else {
        return;
    };
    if !padding.iter().all(|row| *row == real[0]) {
        return;
    }
    let protocol = Protocol {
        normalize_labels: true,
        ..case.protocol.clone()
    };
    let first = case.t["labels_frame0"].f32();
    let found = emulate(real, first, case.grid, case.channels, &protocol);
    assert_close(case.name, &found.concat(), &expected.values, 1e-5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_video_equals_brute_force(
        height in 1usize..9, width in 1usize..12, frames in 1usize..6, context in 0usize..5,
        top_k in 1usize..9, radius in 0.5f64..8.0, seed in any::<u64>(),
    ) {
        let grid = Grid { height, width };
        let keys: Vec<Vec<usize>> =
            (0..frames).map(|t| std::iter::once(0).chain(t..t + context).collect()).collect();
        let protocol = protocol(top_k, radius, 0.3, context);
        prop_assume!(compare(grid, 12, &keys, &protocol, seed, emulate));
    }
}

/// Labels must be those of the CPU where affinities are equal, too: in a still video, and in one of a single color.
#[test]
fn labels_are_those_of_the_cpu() {
    let (grid, channels, classes) = (
        Grid {
            height: 11,
            width: 14,
        },
        24,
        4,
    );
    let mut stream = Stream(9);
    let moving: Vec<Vec<f32>> = (0..6)
        .map(|_| stream.draw(grid.cells() * channels))
        .collect();
    let still = vec![moving[0].clone(); 6];
    let plain = vec![vec![0.5; grid.cells() * channels]; 6];
    let first = stream.draw(grid.cells() * classes);
    for long_term_frames in [vec![], vec![0], vec![0, 1, 3]] {
        for (name, rows) in [("moving", &moving), ("still", &still), ("plain", &plain)] {
            let protocol = Protocol {
                long_term_frames: long_term_frames.clone(),
                ..protocol(7, 4.0, 0.7, 2)
            };
            let expected = run(rows, first.clone(), grid, channels, &protocol).concat();
            let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
            let found = emulate(rows, first.clone(), grid, channels, &protocol).concat();
            assert_close(name, &found, &expected, 1e-6);
        }
    }
}

#[test]
fn labels_are_the_same_in_every_order_of_the_threads() {
    let (grid, channels) = (
        Grid {
            height: 9,
            width: 17,
        },
        20,
    );
    let mut stream = Stream(4);
    let rows: Vec<Vec<f32>> = (0..4)
        .map(|_| stream.draw(grid.cells() * channels))
        .collect();
    let first = stream.draw(grid.cells() * 3);
    let [one, two] = [1, 2].map(|seed| {
        let emulation = Emulation {
            seed,
            ..Emulation::default()
        };
        emulation.with(|| {
            emulate(
                &rows,
                first.clone(),
                grid,
                channels,
                &protocol(5, 4.0, 0.7, 2),
            )
        })
    });
    assert_eq!(one, two);
}

#[test]
fn features_that_are_not_finite_are_named() {
    let grid = Grid {
        height: 2,
        width: 3,
    };
    let mut values = vec![1.0f32; 48];
    values[24 + 17] = f32::NAN;
    let values = Tensor::from_vec(values, (2, 6, 4), &Device::Cpu).unwrap();
    for l2_normalize in [false, true] {
        let features = DeviceFeatures::batch(&values, grid, l2_normalize).unwrap();
        assert!(features[0].is_ok());
        let error = features[1].as_ref().unwrap_err();
        assert_eq!(error, "cell 4 has a value that is not finite");
    }
}
