//! The classes of a video, their soft labels on the feature grid, and the conversion back to ids.

use rayon::prelude::*;

use super::LabelMap;
use crate::palette::Palette;
use crate::propagation::Grid;
use crate::resize::{Tap, bilinear, widen};
use crate::size::Size;

/// The classes that are propagated, which are the distinct colors of frame 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSet {
    /// The annotation id of each class. Classes are sorted by their colors (blue, green, red).
    pub ids: Vec<u8>,
}

impl LabelSet {
    /// Returns the classes of frame 0's mask at the size of the encoder's input, and the class of each pixel (H, W).
    ///
    /// Ids with the same color are one class, which gets the lowest of these ids.
    pub fn of(map: &LabelMap, palette: &Palette) -> (Self, Vec<u8>) {
        let mut present = [false; 256];
        for &id in &map.ids {
            present[usize::from(id)] = true;
        }
        let bgr = |id: u8| {
            let [r, g, b] = palette.0[usize::from(id)];
            [b, g, r]
        };
        let mut ids: Vec<u8> = (0..=255).filter(|&id| present[usize::from(id)]).collect();
        ids.sort_by_key(|&id| (bgr(id), id));
        let mut class_of = [0; 256];
        let mut classes: Vec<u8> = Vec::new();
        for id in ids {
            if classes.last().is_none_or(|&last| bgr(last) != bgr(id)) {
                classes.push(id);
            }
            class_of[usize::from(id)] = (classes.len() - 1) as u8;
        }
        let pixels = map
            .ids
            .iter()
            .map(|&id| class_of[usize::from(id)])
            .collect();
        (Self { ids: classes }, pixels)
    }

    /// Returns the one-hot maps of `pixels` (H, W), resized bilinearly to the grid: (h*w, L).
    pub fn soft_labels(&self, pixels: &[u8], size: Size, grid: Grid) -> Vec<f32> {
        let classes = self.ids.len();
        let (rows, columns) = (
            bilinear(size.height, grid.height),
            bilinear(size.width, grid.width),
        );
        let mut labels = vec![0.0; grid.cells() * classes];
        let taps = rows
            .iter()
            .flat_map(|row| columns.iter().map(move |column| (row, column)));
        for (cell, (row, column)) in labels.chunks_exact_mut(classes).zip(taps) {
            for (y, wy) in [(row.low, 1.0 - row.weight), (row.high, row.weight)] {
                for (x, wx) in [
                    (column.low, 1.0 - column.weight),
                    (column.high, column.weight),
                ] {
                    cell[usize::from(pixels[y * size.width + x])] += wy * wx;
                }
            }
        }
        labels
    }

    /// Returns the id of the strongest class of each pixel, from `soft` (h*w, L) resized bilinearly to `size`.
    pub fn hard_labels(&self, soft: &[f32], grid: Grid, size: Size) -> LabelMap {
        let wide = WideLabels::new(soft, self.ids.len(), grid, size);
        let mut ids = vec![0; size.area()];
        ids.par_chunks_mut(size.width).enumerate().for_each_init(
            || (vec![0.0; size.width], vec![0.0; size.width]),
            |(best, other), (y, line)| {
                wide.row(y, 0, best);
                line.fill(self.ids[0]);
                for (class, &id) in self.ids.iter().enumerate().skip(1) {
                    wide.row(y, class, other);
                    for ((winner, best), &value) in line.iter_mut().zip(&mut *best).zip(&*other) {
                        if value > *best {
                            (*best, *winner) = (value, id);
                        }
                    }
                }
            },
        );
        LabelMap { size, ids }
    }
}

/// Soft labels after the horizontal part of their resize to pixels.
pub(crate) struct WideLabels {
    /// (h, L, W)
    planes: Vec<f32>,
    classes: usize,
    rows: Vec<Tap>,
    width: usize,
}

impl WideLabels {
    pub fn new(soft: &[f32], classes: usize, grid: Grid, size: Size) -> Self {
        let columns = bilinear(grid.width, size.width);
        let mut planes = vec![0.0; grid.height * classes * size.width];
        for (row, plane) in soft
            .chunks_exact(grid.width * classes)
            .zip(planes.chunks_exact_mut(classes * size.width))
        {
            widen(row, classes, &columns, plane);
        }
        Self {
            planes,
            classes,
            rows: bilinear(grid.height, size.height),
            width: size.width,
        }
    }

    /// Returns the values of one class on one row of pixels.
    pub fn row(&self, y: usize, class: usize, values: &mut [f32]) {
        let tap = self.rows[y];
        let plane =
            |row: usize| &self.planes[(row * self.classes + class) * self.width..][..self.width];
        for ((value, &low), &high) in values.iter_mut().zip(plane(tap.low)).zip(plane(tap.high)) {
            *value = tap.blend(low, high);
        }
    }
}
