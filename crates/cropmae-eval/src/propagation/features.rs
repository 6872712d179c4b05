//! Normalizes and packs the features of one frame for the search.

use rayon::prelude::*;

use super::affinity::PANEL;
use super::grid::Grid;
use super::panels::Panels;

/// The features of one frame, packed for the search.
#[derive(Debug, Clone)]
pub struct PackedFeatures {
    pub(super) grid: Grid,
    /// The features for products of many cells with many cells.
    pub(super) panels: Panels,
    /// The features (h*w, C) in search order, for products of single cells.
    rows: Vec<f32>,
}

impl PackedFeatures {
    /// Packs `features` (h*w, C), row-major, each scaled to unit length, so that affinities are cosines.
    ///
    /// # Errors
    /// Returns the errors of [`Self::new`].
    pub fn normalized(features: &[f32], grid: Grid, channels: usize) -> Result<Self, String> {
        Self::new(features, grid, channels, true)
    }

    /// Packs `features` (h*w, C), row-major, each scaled to unit length if `l2_normalize` is true.
    ///
    /// # Errors
    /// Returns a message if the number of values does not match `grid` and `channels`, or if a cell (row-major index)
    /// has a value that is not finite.
    pub fn new(
        features: &[f32],
        grid: Grid,
        channels: usize,
        l2_normalize: bool,
    ) -> Result<Self, String> {
        if channels == 0 || features.len() != grid.cells() * channels {
            return Err(format!(
                "{} values, expected {} x {} cells of {channels} channels",
                features.len(),
                grid.height,
                grid.width
            ));
        }
        let mut rows = vec![0.0; features.len()];
        rows.par_chunks_mut(channels)
            .enumerate()
            .try_for_each(|(number, row)| {
                let cell = grid.cell(number);
                let values = &features[cell * channels..][..channels];
                let norm = length(values);
                if !norm.is_finite() {
                    return Err(format!("cell {cell} has a value that is not finite"));
                }
                let norm = if l2_normalize { norm.max(1e-12) } else { 1.0 };
                for (value, feature) in row.iter_mut().zip(values) {
                    *value = feature / norm;
                }
                Ok(())
            })?;
        let mut panels = Panels::zeros(grid, channels);
        panels
            .values
            .par_chunks_mut(channels * PANEL)
            .zip(rows.par_chunks(channels * PANEL))
            .for_each(|(panel, rows)| {
                for (channel, values) in panel.chunks_exact_mut(PANEL).enumerate() {
                    for (value, row) in values.iter_mut().zip(rows.chunks_exact(channels)) {
                        *value = row[channel];
                    }
                }
            });
        Ok(Self { grid, panels, rows })
    }

    /// Returns the number of channels C.
    pub fn channels(&self) -> usize {
        self.panels.channels()
    }

    /// Returns the features (C) of a cell, whose number is in search order.
    pub(super) fn row(&self, number: usize) -> &[f32] {
        &self.rows[number * self.channels()..][..self.channels()]
    }
}

fn length(row: &[f32]) -> f32 {
    row.iter()
        .map(|&v| f64::from(v) * f64::from(v))
        .sum::<f64>()
        .sqrt() as f32
}
