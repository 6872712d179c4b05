//! One frame's features, normalised and packed for the search.

use rayon::prelude::*;

use super::affinity::{PANEL, QUERIES};
use super::grid::Grid;

/// Features of one frame as panels (P, C, 32) of cells in search order, the last one padded
/// with zeros.
#[derive(Debug, Clone)]
pub struct PackedFeatures {
    pub(super) grid: Grid,
    channels: usize,
    panels: Vec<f32>,
}

impl PackedFeatures {
    /// Scales each of the `features` (h*w, C), row-major, to unit length, so that affinities are cosines,
    /// and packs them.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn normalised(features: &[f32], grid: Grid, channels: usize) -> Result<Self, String> {
        Self::new(features, grid, channels, true)
    }

    /// Packs `features` (h*w, C), row-major, each scaled to unit length if `l2_normalise`.
    ///
    /// # Errors
    /// What was found and what was expected: another number of values than `grid` and `channels` make, or
    /// a cell (row-major index) with a value that is not finite.
    pub fn new(
        features: &[f32],
        grid: Grid,
        channels: usize,
        l2_normalise: bool,
    ) -> Result<Self, String> {
        if channels == 0 || features.len() != grid.cells() * channels {
            return Err(format!(
                "{} values, expected {} x {} cells of {channels} channels",
                features.len(),
                grid.height,
                grid.width
            ));
        }
        let mut panels = vec![0.0; grid.panels() * channels * PANEL];
        panels
            .par_chunks_mut(channels * PANEL)
            .enumerate()
            .try_for_each(|(index, panel)| {
                let numbers = index * PANEL..grid.cells().min((index + 1) * PANEL);
                for (lane, number) in numbers.enumerate() {
                    let cell = grid.cell(number);
                    let row = &features[cell * channels..][..channels];
                    let norm = length(row);
                    if !norm.is_finite() {
                        return Err(format!("cell {cell} has a value that is not finite"));
                    }
                    let norm = if l2_normalise { norm.max(1e-12) } else { 1.0 };
                    for (value, packed) in row.iter().zip(panel[lane..].iter_mut().step_by(PANEL)) {
                        *packed = value / norm;
                    }
                }
                Ok(())
            })?;
        Ok(Self {
            grid,
            channels,
            panels,
        })
    }

    /// Channels C of a cell.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// (C, 32) of the panel.
    pub(super) fn panel(&self, index: usize) -> &[[f32; PANEL]] {
        let (rows, _) = self.panels[index * self.channels * PANEL..][..self.channels * PANEL]
            .as_chunks::<PANEL>();
        rows
    }

    /// Query blocks (blocks, C, 12), the last one padded with zeros.
    pub(super) fn queries(&self, blocks: std::ops::Range<usize>) -> Vec<[f32; QUERIES]> {
        let mut queries = vec![[0.0; QUERIES]; blocks.len() * self.channels];
        for (block, rows) in blocks.zip(queries.chunks_mut(self.channels)) {
            let numbers = block * QUERIES..self.grid.cells().min((block + 1) * QUERIES);
            for (slot, number) in numbers.enumerate() {
                let (panel, lane) = (self.panel(number / PANEL), number % PANEL);
                for (row, values) in rows.iter_mut().zip(panel) {
                    row[slot] = values[lane];
                }
            }
        }
        queries
    }
}

fn length(row: &[f32]) -> f32 {
    row.iter()
        .map(|&v| f64::from(v) * f64::from(v))
        .sum::<f64>()
        .sqrt() as f32
}
