//! Converts joints to soft labels, which are small Gaussians on the feature grid, and soft labels to key points.
//!
//! Channel 0 is the background, which is 1 where there is no joint. Channel j + 1 is joint j.

use crate::joints::{JOINTS, Pose};
use crate::propagation::Grid;

/// The number of channels of the soft maps, which are the background and the joints.
pub const POSE_CHANNELS: usize = JOINTS + 1;

/// The standard deviation of the Gaussian of a joint, in cells.
const SIGMA: f64 = 0.5;

/// The number of cells that determine a key point.
const STRONGEST: usize = 5;

/// Returns the soft labels (h*w, 16) of joints at (x, y) on the grid. Centers of cells have integer coordinates.
pub fn joint_maps(joints: &Pose<f64>, grid: Grid) -> Vec<f32> {
    let mut labels = vec![0.0; grid.cells() * POSE_CHANNELS];
    for (joint, &at) in joints.iter().enumerate() {
        for (cell, value) in stamp(at, grid) {
            labels[cell * POSE_CHANNELS + joint + 1] = value as f32;
        }
    }
    for cell in labels.as_chunks_mut::<POSE_CHANNELS>().0 {
        if cell[1..].iter().all(|&value| value == 0.0) {
            cell[0] = 1.0;
        }
    }
    labels
}

/// Returns the cells of the Gaussian of a joint and their values.
///
/// The Gaussian is a fixed 4x4 stamp with its peak, 1, in cell (2, 2). Its corner is at `trunc(p - 3 sigma)`, so the
/// peak is the cell nearest to p (from above), not p itself.
fn stamp([x, y]: [f64; 2], grid: Grid) -> impl Iterator<Item = (usize, f64)> {
    // `as` truncates toward zero and turns NaN into 0. A joint far away stays far away.
    let span = |p: f64| {
        let start = (p - 3.0 * SIGMA) as i64;
        (start, (p + 3.0 * SIGMA + 1.0) as i64)
    };
    let ((left, right), (top, bottom)) = (span(x), span(y));
    let (width, height) = (grid.width as i64, grid.height as i64);
    let columns = left.max(0)..right.min(width);
    (top.max(0)..bottom.min(height)).flat_map(move |row| {
        columns.clone().map(move |column| {
            let (dx, dy) = ((column - left - 2) as f64, (row - top - 2) as f64);
            let value = (-(dx * dx + dy * dy) / (2.0 * SIGMA * SIGMA)).exp();
            ((row * width + column) as usize, value)
        })
    })
}

/// Returns the key points (x, y) on the grid from soft maps (h*w, 16).
///
/// A key point is the mean of the 5 strongest cells, weighted by their values. If the whole map of a joint is zero, its
/// key point is (-1, -1).
pub fn key_points(soft: &[f32], grid: Grid) -> Pose<f32> {
    let cells = soft.as_chunks::<POSE_CHANNELS>().0;
    std::array::from_fn(|joint| {
        let mut strongest = [(0.0f32, 0usize); STRONGEST];
        let mut total = 0.0;
        for (cell, values) in cells.iter().enumerate() {
            let value = values[joint + 1];
            total += value;
            let at = strongest.partition_point(|&(other, _)| other >= value);
            if at < STRONGEST {
                strongest[at..].rotate_right(1);
                strongest[at] = (value, cell);
            }
        }
        if total == 0.0 {
            return [-1.0, -1.0];
        }
        let sum: f32 = strongest.iter().map(|&(value, _)| value).sum();
        strongest.iter().fold([0.0, 0.0], |[x, y], &(value, cell)| {
            let weight = value / sum;
            [
                x + weight * (cell % grid.width) as f32,
                y + weight * (cell / grid.width) as f32,
            ]
        })
    })
}
