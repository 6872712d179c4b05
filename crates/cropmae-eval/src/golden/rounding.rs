//! Compares labels of real frames with f64. They agree wherever the rounding of affinities to f32 does not determine
//! the top k.

use std::path::Path;

use candle_core::{Device, Tensor};
use cropmae_model::{FeatureExtractor, RawPixels};

use super::fixtures::shared;
use super::propagation::protocol;
use super::search::unit_rows;
use crate::files::list_files;
use crate::frames::{normalize, read_frame, resize_frame};
use crate::propagation::{Grid, PackedFeatures, VideoPropagation};
use crate::size::Size;

const SIZE: Size = Size {
    height: 480,
    width: 880,
};
const GRID: Grid = Grid {
    height: 30,
    width: 55,
};
/// The features are 8 x 8 mean colors per cell, which are enough channels for bounds.
const POOL: usize = 8;
const CHANNELS: usize = 3 * POOL * POOL;
const FRAMES: usize = 5;
/// The distance between compared cells, because f64 is slow.
const STRIDE: usize = 7;
/// Affinities with a smaller difference may change places by rounding, with 192 terms of unit vectors in f32.
const TIE: f64 = 192.0 / (1u64 << 24) as f64;

/// Returns the unit features (h*w, C) of a frame, which are its pixels.
fn features(path: &Path) -> Vec<f32> {
    let mut pixels = resize_frame(&read_frame(path).unwrap(), SIZE);
    normalize(&mut pixels);
    let shape = (1, 3, SIZE.height, SIZE.width);
    let images = Tensor::from_vec(pixels, shape, &Device::Cpu).unwrap();
    let encoder = RawPixels::new(16, POOL).unwrap();
    let values = encoder.features(&images).unwrap().values;
    let values: Vec<f32> = values.flatten_all().unwrap().to_vec1().unwrap();
    unit_rows(&values, CHANNELS)
}

/// The affinity of a source in f64, its frame and its cell.
type Ranked = (f64, usize, usize);

#[test]
fn golden_real_frames_differ_from_f64_by_ties_alone() {
    let Some(folder) = shared("data/DAVIS/JPEGImages/480p/blackswan") else {
        return;
    };
    let rows: Vec<Vec<f32>> = list_files(&folder, &["jpg"], "frames").unwrap()[..FRAMES]
        .iter()
        .map(|path| features(path))
        .collect();
    let protocol = protocol(7, 20.0, 0.7, 3);
    // There are two classes in stripes of one cell, so that a different source changes the label.
    let first: Vec<f32> = (0..GRID.cells())
        .flat_map(|cell| {
            if cell % 2 == 0 {
                [1.0, 0.0]
            } else {
                [0.0, 1.0]
            }
        })
        .collect();
    let pack = |rows: &Vec<f32>| PackedFeatures::new(rows, GRID, CHANNELS, false).unwrap();
    let mut video = VideoPropagation::new(&protocol, pack(&rows[0]), first.clone(), 2);
    assert!(video.is_bounded());
    let mut labels = vec![first];
    let (mut compared, mut ties) = (0, 0);
    for t in 1..FRAMES {
        let found = video.advance(pack(&rows[t])).to_vec();
        for query in (t..GRID.cells()).step_by(STRIDE) {
            let ranked = ranked(&rows, t, query, protocol.context_frames, protocol.radius);
            let (expected, gap) = average(&ranked, &labels, protocol.top_k, protocol.temperature);
            compared += 1;
            if gap < TIE {
                ties += 1;
                continue;
            }
            for class in 0..2 {
                let found = f64::from(found[query * 2 + class]);
                assert!(
                    (found - expected[class]).abs() < 1e-5,
                    "frame {t} cell {query}: {found}, expected {}, gap {gap:e}",
                    expected[class]
                );
            }
        }
        labels.push(found);
    }
    assert!(
        compared > 900 && ties * 20 < compared,
        "{ties} ties in {compared}: too many to have compared anything"
    );
}

/// Returns all sources of a cell, strongest first. Frame 0 fills up the context before the video.
fn ranked(rows: &[Vec<f32>], t: usize, query: usize, context: usize, radius: f64) -> Vec<Ranked> {
    let cell = |frame: usize, cell: usize| &rows[frame][cell * CHANNELS..][..CHANNELS];
    let mut ranked = Vec::new();
    let recent = (1..=context).map(|back| (t.saturating_sub(back), false));
    for (frame, everywhere) in std::iter::once((0, true)).chain(recent) {
        for source in 0..GRID.cells() {
            let dy = (query / GRID.width).abs_diff(source / GRID.width) as f64;
            let dx = (query % GRID.width).abs_diff(source % GRID.width) as f64;
            if everywhere || dy.hypot(dx) < radius {
                let pairs = cell(t, query).iter().zip(cell(frame, source));
                let affinity = pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                ranked.push((affinity, frame, source));
            }
        }
    }
    ranked.sort_by(|a: &Ranked, b| b.0.total_cmp(&a.0));
    ranked
}

/// Returns the mean label of the k strongest sources and the smallest difference to the affinity of any other cell.
fn average(
    ranked: &[Ranked],
    labels: &[Vec<f32>],
    top_k: usize,
    temperature: f64,
) -> ([f64; 2], f64) {
    let chosen = &ranked[..top_k];
    let weights = chosen
        .iter()
        .map(|(affinity, ..)| ((affinity - chosen[0].0) / temperature).exp());
    let weights: Vec<f64> = weights.collect();
    let total: f64 = weights.iter().sum();
    let mut mean = [0.0; 2];
    for (&(_, frame, cell), weight) in chosen.iter().zip(weights) {
        for (class, sum) in mean.iter_mut().enumerate() {
            *sum += weight / total * f64::from(labels[frame][cell * 2 + class]);
        }
    }
    // Two copies of one cell may change places without an effect.
    let (last, next) = ranked.split_at(top_k);
    let gaps = last.iter().filter_map(|inside| {
        let other = |outside: &&Ranked| (outside.1, outside.2) != (inside.1, inside.2);
        Some(inside.0 - next.iter().find(other)?.0)
    });
    (mean, gaps.fold(f64::INFINITY, f64::min))
}
