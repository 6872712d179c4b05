//! Label propagation: each cell of a frame takes the labels of the earlier cells most like it.
//!
//! The protocol of Jabri et al. (Space-Time Correspondence as a Contrastive Random Walk, NeurIPS 2020) in
//! the form in which CropMAE and SiamMAE use it: affinity is the inner product of unit features; sources in
//! recent frames count only within a radius on the grid, those in frame 0 always; the k strongest over all
//! sources together vote with softmax weights.
//!
//! Nothing is approximated, and the affinity matrix is never formed: tiles of 12 queries by 32 sources are
//! computed in registers, compared with each query's k-th best so far and forgotten. For features of many
//! channels the tiles hold upper bounds from a few numbers a cell, and affinities are computed only where the
//! bound beats the k-th best, which leaves the same k. Memory is the packed features and soft labels
//! of the source frames. Results do not depend on the number of threads.

mod affinity;
mod features;
mod grid;
#[cfg(test)]
pub(crate) mod inspect;
mod panels;
mod search;
mod sketch;
mod top_k;
mod video;

use cropmae_config::Protocol;
use pulp::Arch;
use rayon::prelude::*;

pub use features::PackedFeatures;
pub use grid::Grid;
pub use top_k::Neighbour;
pub use video::VideoPropagation;
#[cfg(test)]
pub(crate) use video::stretched;

use affinity::QUERIES;
use grid::Neighborhood;
use search::Search;
use sketch::Sketch;

/// Query blocks that one task searches for: they share each panel while it is in cache.
const TASK_BLOCKS: usize = 6;

/// A frame whose cells may be chosen as sources.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its features.
    pub features: &'a PackedFeatures,
    /// Its soft labels (h*w, L), row-major; empty if only neighbours are asked for.
    pub labels: &'a [f32],
    /// How often it is listed without a radius (frame 0: once).
    pub unrestricted: usize,
    /// How often it is listed within the radius: once for a recent frame; for frame 0 as often as the
    /// padding repeats it. Copies have equal affinities, so they are compared once and counted.
    pub restricted: usize,
    /// What bounds its affinities.
    sketch: Option<&'a Sketch>,
}

impl<'a> Source<'a> {
    /// A frame that is listed `unrestricted` times without a radius and `restricted` times within it.
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

/// A frame whose cells look for sources.
#[derive(Debug, Clone, Copy)]
struct Query<'a> {
    features: &'a PackedFeatures,
    sketch: Option<&'a Sketch>,
}

/// Sources of every cell of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// Per cell (row-major): its sources with their softmax weights, strongest first.
    pub cells: Vec<Vec<(Neighbour, f32)>>,
}

/// The search on one grid, with one protocol's radius, k and temperature.
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

    /// The grid this search was prepared for.
    pub fn grid(&self) -> Grid {
        self.hood.grid
    }

    /// The sources that every cell of `query` would average, with their weights.
    pub fn neighbours(&self, query: &PackedFeatures, sources: &[Source<'_>]) -> Neighbours {
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
        Neighbours { cells }
    }

    /// Soft labels (h*w, L), row-major, of `query` from those of its sources.
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

    /// Finds the sources of every cell and turns each cell's into a `T`, in parallel.
    fn search<T: Send>(
        &self,
        query: Query<'_>,
        sources: &[Source<'_>],
        finish: impl Fn(&[Neighbour], &[f32]) -> T + Sync,
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

    /// Softmax of falling `affinities` over the temperature.
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
