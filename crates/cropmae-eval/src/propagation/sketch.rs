//! Upper bounds of affinities from a few numbers per cell, so that most affinities need not be computed.
//!
//! The features of a video are close to a space of few dimensions. With an orthonormal basis V of such a space, the
//! features x of a cell are the sum of `V Vᵀ x` and a rest of length `tail`. By the Cauchy-Schwarz inequality,
//!
//! ```text
//! q · s  <=  (Vᵀ q) · (Vᵀ s) + tail(q) tail(s)
//! ```
//!
//! A pair whose bound is not above the k-th best affinity of the query cannot be among the top k. This is exact for any
//! V, which only determines how many pairs remain. On the features of a ViT it is about one in 300.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::affinity::{PANEL, QUERIES, Tile, affinities};
use super::features::PackedFeatures;
use super::panels::Panels;

/// The number of blocks of basis vectors.
const BLOCKS: usize = 5;
/// The number of dimensions of the space.
pub(super) const DIMENSIONS: usize = BLOCKS * QUERIES;
/// The minimum number of channels and of cells. With fewer, a bound costs more than it saves.
const MIN_CHANNELS: usize = 3 * DIMENSIONS;
const MIN_CELLS: usize = 256;
/// The number of cells of frame 0 that the basis is fitted to.
const SAMPLES: usize = 512;
/// The number of rounds of the fit. More rounds change little.
const ROUNDS: usize = 2;
/// The share of the squared length that is added to the squared tails.
///
/// It is larger than the possible rounding error of an inner product of 1024 terms on each side (1024 / 2^24).
const SLACK: f32 = 1e-4;

/// An orthonormal basis of a space that nearly contains the features of a video.
#[derive(Debug)]
pub(super) struct Basis {
    /// (blocks, C, 12)
    vectors: Vec<[f32; QUERIES]>,
    channels: usize,
}

impl Basis {
    /// Fits a basis to a frame by subspace iteration, or returns `None` if bounds would not save time.
    pub fn of(features: &PackedFeatures) -> Option<Self> {
        let (cells, channels) = (features.grid.cells(), features.channels());
        if cells < MIN_CELLS || channels < MIN_CHANNELS {
            return None;
        }
        let samples: Vec<&[f32]> = (0..SAMPLES.min(cells))
            .map(|i| features.row(i * cells / SAMPLES.min(cells)))
            .collect();
        let start = (0..DIMENSIONS).map(|i| samples[i * samples.len() / DIMENSIONS]);
        let mut vectors = orthonormal(start.map(to_f64).collect());
        for _ in 0..ROUNDS {
            // Multiply the second moment of the samples by each vector.
            let times = |vector: &Vec<f64>| {
                let mut product = vec![0.0; channels];
                for sample in &samples {
                    let share: f64 = dot_f64(sample, vector);
                    for (sum, &value) in product.iter_mut().zip(*sample) {
                        *sum += share * f64::from(value);
                    }
                }
                product
            };
            vectors = orthonormal(vectors.par_iter().map(times).collect());
        }
        let mut packed = vec![[0.0; QUERIES]; BLOCKS * channels];
        for (index, vector) in vectors.iter().enumerate() {
            let (block, slot) = (index / QUERIES, index % QUERIES);
            for (row, &value) in packed[block * channels..].iter_mut().zip(vector) {
                row[slot] = value as f32;
            }
        }
        Some(Self {
            vectors: packed,
            channels,
        })
    }
}

/// Applies the Gram-Schmidt process twice. A vector that depends on the previous ones becomes zero.
fn orthonormal(mut vectors: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for index in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(index);
        let vector = &mut rest[0];
        let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let start = length(vector);
        for _ in 0..2 {
            for other in &*before {
                let share: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                for (value, other) in vector.iter_mut().zip(other) {
                    *value -= share * other;
                }
            }
        }
        let left = length(vector);
        let scale = if left > 1e-9 * start {
            left.recip()
        } else {
            0.0
        };
        for value in vector {
            *value *= scale;
        }
    }
    vectors
}

fn to_f64(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&v| f64::from(v)).collect()
}

fn dot_f64(row: &[f32], vector: &[f64]) -> f64 {
    row.iter().zip(vector).map(|(&a, b)| f64::from(a) * b).sum()
}

/// The coordinates of a frame in the space, and the lengths of the rests.
#[derive(Debug)]
pub(super) struct Sketch {
    /// (P, 60, 32)
    pub coordinates: Panels,
    /// The length of the rest of each cell in search order, padded to whole panels.
    tails: Vec<f32>,
}

impl Sketch {
    /// Returns the sketch of a frame.
    pub fn of(features: &PackedFeatures, basis: &Basis) -> Self {
        let mut coordinates = Panels::zeros(features.grid, DIMENSIONS);
        let mut tails = vec![0.0; features.grid.panels() * PANEL];
        coordinates
            .values
            .par_chunks_mut(DIMENSIONS * PANEL)
            .zip(tails.par_chunks_mut(PANEL))
            .enumerate()
            .for_each(|(panel, (coordinates, tails))| {
                Arch::new().dispatch(Project {
                    basis,
                    panel: features.panels.panel(panel),
                    coordinates: coordinates.as_chunks_mut().0,
                    tails,
                });
            });
        Self { coordinates, tails }
    }

    /// Returns the tails of the cells of a panel.
    pub fn tails(&self, panel: usize) -> &[f32; PANEL] {
        &self.tails.as_chunks().0[panel]
    }

    /// Returns the tail of a cell in search order.
    pub fn tail(&self, number: usize) -> f32 {
        self.tails[number]
    }
}

/// Projects one panel onto the basis.
struct Project<'a> {
    basis: &'a Basis,
    /// (C, 32)
    panel: &'a [[f32; PANEL]],
    /// (60, 32)
    coordinates: &'a mut [[f32; PANEL]],
    tails: &'a mut [f32],
}

impl WithSimd for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut tile: Tile = [[0.0; PANEL]; QUERIES];
        let blocks = self.basis.vectors.chunks_exact(self.basis.channels);
        for (block, rows) in blocks.zip(self.coordinates.chunks_exact_mut(QUERIES)) {
            affinities(simd, block, self.panel, &mut tile);
            rows.copy_from_slice(&tile);
        }
        let squares = |rows: &[[f32; PANEL]]| {
            let mut sums = [0.0f32; PANEL];
            for row in rows {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += value * value;
                }
            }
            sums
        };
        let (whole, inside) = (squares(self.panel), squares(self.coordinates));
        for ((tail, whole), inside) in self.tails.iter_mut().zip(whole).zip(inside) {
            *tail = ((whole - inside).max(0.0) + SLACK * whole).sqrt();
        }
    }
}
