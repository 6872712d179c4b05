//! Upper bounds of affinities from a few numbers a cell, so that most affinities need not be computed.
//!
//! Features of a video lie close to a space of few dimensions. With an orthonormal basis V of such a space,
//! a cell's features x are `V Vᵀ x` and a rest of length `tail`, and by Cauchy and Schwarz
//!
//! ```text
//! q · s  <=  (Vᵀ q) · (Vᵀ s) + tail(q) tail(s)
//! ```
//!
//! A pair whose bound does not beat the query's k-th best so far cannot enter it: that is exact, whatever V
//! is. V decides only how many pairs are left; on a ViT's features about one in 300.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::affinity::{PANEL, QUERIES, Tile, affinities};
use super::features::PackedFeatures;
use super::panels::Panels;

/// Blocks of basis vectors.
const BLOCKS: usize = 5;
/// Dimensions of the space.
pub(super) const DIMENSIONS: usize = BLOCKS * QUERIES;
/// With fewer channels or cells a bound costs more than it saves.
const MIN_CHANNELS: usize = 3 * DIMENSIONS;
const MIN_CELLS: usize = 256;
/// Cells of frame 0 that the basis is fitted to.
const SAMPLES: usize = 512;
/// Rounds of the fit; more change little.
const ROUNDS: usize = 2;
/// Added to the squared tails, as a share of the squared length: more than what rounding can hide in an
/// inner product of 1024 terms of either side (1024 / 2^24).
const SLACK: f32 = 1e-4;

/// An orthonormal basis of the space in which a video's features nearly lie.
#[derive(Debug)]
pub(super) struct Basis {
    /// (blocks, C, 12)
    vectors: Vec<[f32; QUERIES]>,
    channels: usize,
}

impl Basis {
    /// Fitted to a frame by a few rounds of subspace iteration; none where bounds do not pay.
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
            // The second moment of the samples, times each vector.
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

/// Gram and Schmidt, twice; a vector that depends on those before becomes zero.
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

/// A frame's coordinates in the space, and what is left.
#[derive(Debug)]
pub(super) struct Sketch {
    /// (P, 60, 32)
    pub coordinates: Panels,
    /// Length of the rest of each cell in search order, padded to whole panels.
    tails: Vec<f32>,
}

impl Sketch {
    /// The sketch of a frame.
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

    /// Tails of a panel's cells.
    pub fn tails(&self, panel: usize) -> &[f32; PANEL] {
        &self.tails.as_chunks().0[panel]
    }

    /// Tail of a cell in search order.
    pub fn tail(&self, number: usize) -> f32 {
        self.tails[number]
    }
}

/// One panel onto the basis.
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
