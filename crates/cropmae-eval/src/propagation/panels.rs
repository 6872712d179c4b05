//! Stores the values of a frame's cells in the order in which the search reads them.

use super::affinity::{PANEL, QUERIES};
use super::grid::Grid;

/// Panels (P, C, 32) of cells in search order, the last one padded with zeros.
#[derive(Debug, Clone)]
pub(super) struct Panels {
    grid: Grid,
    channels: usize,
    pub values: Vec<f32>,
}

impl Panels {
    /// Creates panels of zeros.
    pub fn zeros(grid: Grid, channels: usize) -> Self {
        Self {
            grid,
            channels,
            values: vec![0.0; grid.panels() * channels * PANEL],
        }
    }

    /// Returns the number of channels C.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Returns the values (C, 32) of a panel.
    pub fn panel(&self, index: usize) -> &[[f32; PANEL]] {
        let length = self.channels * PANEL;
        self.values[index * length..][..length].as_chunks().0
    }

    /// Returns the query blocks (blocks, C, 12), the last one padded with zeros.
    pub fn queries(&self, blocks: std::ops::Range<usize>) -> Vec<[f32; QUERIES]> {
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
