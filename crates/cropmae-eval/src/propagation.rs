//! Label propagation: each cell of a frame takes the labels of the most similar cells of earlier frames.
//!
//! This is the protocol of Jabri et al. (Space-Time Correspondence as a Contrastive Random Walk, NeurIPS 2020) in the
//! form of CropMAE and SiamMAE. The affinity of two cells is the inner product of their unit features. Sources in recent
//! frames count only within a radius on the grid, and sources in frame 0 always count. The k strongest of all sources
//! vote with softmax weights.
//!
//! The result is exact, but the affinity matrix is never stored. Tiles of 12 queries by 32 sources are computed in
//! registers, compared with the k-th best affinity of each query so far, and discarded. For features with many channels,
//! the tiles contain upper bounds from a few numbers per cell. Affinities are then computed only if the bound is above
//! the k-th best, which finds the same k sources. The memory consists of the packed features and the soft labels of the
//! source frames. Results do not depend on the number of threads.
//!
//! This is the search on the CPU. On accelerators, the operation [`cropmae_kernels::propagate`] takes its place, and
//! features and labels stay in the memory of the device ([`DevicePropagation`]).

mod affinity;
mod device;
mod features;
mod grid;
#[cfg(test)]
pub(crate) mod inspect;
mod memory;
mod panels;
mod search;
mod sketch;
mod top_k;
mod video;

use std::sync::Arc;

use cropmae_config::Protocol;
use pulp::Arch;
use rayon::prelude::*;

pub use device::{DeviceFeatures, DevicePropagation};
pub use features::PackedFeatures;
pub use grid::Grid;
pub use top_k::Neighbor;
pub use video::VideoPropagation;
#[cfg(test)]
pub(crate) use video::stretched;

use affinity::QUERIES;
use grid::Neighborhood;
use search::Search;
use sketch::Sketch;

/// The number of query blocks per task. They share each panel while it is in cache.
const TASK_BLOCKS: usize = 6;

/// The features of one frame, where the search for their sources runs.
#[derive(Debug, Clone)]
pub enum FrameFeatures {
    /// In the memory of the CPU.
    Packed(Arc<PackedFeatures>),
    /// In the memory of an accelerator.
    Device(DeviceFeatures),
}

/// A frame whose cells can become sources.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The features of the frame.
    pub features: &'a PackedFeatures,
    /// The soft labels (h*w, L), row-major, or an empty slice if only neighbors are requested.
    pub labels: &'a [f32],
    /// The number of times that the frame is listed without a radius (once for frame 0).
    pub unrestricted: usize,
    /// The number of times that the frame is listed within the radius: once for a recent frame, and for frame 0 as
    /// often as the padding repeats it. Copies have equal affinities, so they are compared once and counted.
    pub restricted: usize,
    /// The data for upper bounds of its affinities.
    sketch: Option<&'a Sketch>,
}

impl<'a> Source<'a> {
    /// Creates a frame that is listed `unrestricted` times without a radius and `restricted` times within it.
    pub fn new(
        features: &'a PackedFeatures,
        labels: &'a [f32],
        unrestricted: usize,
        restricted: usize,
    ) -> Self {
        Self {
            features,
            labels,
            unrestricted,
            restricted,
            sketch: None,
        }
    }
}

/// A frame whose cells search for sources.
#[derive(Debug, Clone, Copy)]
struct Query<'a> {
    features: &'a PackedFeatures,
    sketch: Option<&'a Sketch>,
}

/// The sources of every cell of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// The sources of each cell (row-major) with their softmax weights, strongest first.
    pub cells: Vec<Vec<(Neighbor, f32)>>,
}

/// The search for sources on one grid, with the radius, k and temperature of one protocol.
#[derive(Debug)]
pub struct Propagator {
    hood: Neighborhood,
    top_k: usize,
    temperature: f32,
}

impl Propagator {
    /// Prepares the search for feature maps of `grid`.
    pub fn new(grid: Grid, protocol: &Protocol) -> Self {
        Self {
            hood: Neighborhood::new(grid, protocol.radius),
            top_k: protocol.top_k,
            temperature: protocol.temperature as f32,
        }
    }

    /// Returns the grid of this search.
    pub fn grid(&self) -> Grid {
        self.hood.grid
    }

    /// Returns the sources that every cell of `query` would average, with their weights.
    pub fn neighbors(&self, query: &PackedFeatures, sources: &[Source<'_>]) -> Neighbors {
        let mut cells = vec![Vec::new(); self.grid().cells()];
        let query = Query {
            features: query,
            sketch: None,
        };
        for (cell, found) in self.search(query, sources, |ranked, weights| {
            ranked
                .iter()
                .copied()
                .zip(weights.iter().copied())
                .collect()
        }) {
            cells[cell] = found;
        }
        Neighbors { cells }
    }

    /// Returns the soft labels (h*w, L), row-major, of `query` from the labels of its sources.
    pub fn propagate(
        &self,
        query: &PackedFeatures,
        sources: &[Source<'_>],
        classes: usize,
    ) -> Vec<f32> {
        let query = Query {
            features: query,
            sketch: None,
        };
        self.average(query, sources, classes)
    }

    fn average(&self, query: Query<'_>, sources: &[Source<'_>], classes: usize) -> Vec<f32> {
        let mut labels = vec![0.0; self.grid().cells() * classes];
        for (cell, mean) in self.search(query, sources, |ranked, weights| {
            let mut mean = vec![0.0; classes];
            for (neighbor, weight) in ranked.iter().zip(weights) {
                let source = sources[neighbor.source as usize].labels;
                let source = &source[neighbor.cell as usize * classes..][..classes];
                for (sum, label) in mean.iter_mut().zip(source) {
                    *sum += weight * label;
                }
            }
            mean
        }) {
            labels[cell * classes..][..classes].copy_from_slice(&mean);
        }
        labels
    }

    /// Finds the sources of every cell and converts them to a `T` per cell, in parallel.
    fn search<T: Send>(
        &self,
        query: Query<'_>,
        sources: &[Source<'_>],
        finish: impl Fn(&[Neighbor], &[f32]) -> T + Sync,
    ) -> Vec<(usize, T)> {
        let grid = self.grid();
        (0..grid.blocks().div_ceil(TASK_BLOCKS))
            .into_par_iter()
            .flat_map_iter(|task| {
                let blocks = task * TASK_BLOCKS..grid.blocks().min((task + 1) * TASK_BLOCKS);
                let first = blocks.start * QUERIES;
                let last = grid.cells().min(blocks.end * QUERIES);
                let search = Search::new(&self.hood, self.top_k, query, sources, blocks);
                let top = Arch::new().dispatch(search);
                let cells: Vec<_> = (first..last)
                    .map(|number| {
                        let (affinities, ranked) = top.ranked(number - first);
                        let weights = self.softmax(affinities);
                        (grid.cell(number), finish(ranked, &weights))
                    })
                    .collect();
                cells
            })
            .collect()
    }

    /// Returns the softmax of `affinities`, in descending order, divided by the temperature.
    fn softmax(&self, affinities: &[f32]) -> Vec<f32> {
        let strongest = affinities.first().map_or(0.0, |a| a / self.temperature);
        let mut weights: Vec<f32> = affinities
            .iter()
            .map(|a| (a / self.temperature - strongest).exp())
            .collect();
        let sum: f32 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        weights
    }
}
