//! Patch features as colors: their first three principal components are shown as red, green and blue.
//!
//! Regions that the encoder distinguishes get different colors, as in the figures of DINO.

use image::{Rgb, RgbImage, imageops};
use nalgebra::{DMatrix, DMatrixView};

use crate::error::{ReportError, all_at_least};

/// Returns one picture for each frame, which shows the first three principal components of the features as colors.
///
/// `features` has the shape `(frames, rows, columns, dim)`, in row-major order, with `grid = (rows, columns)` in
/// cells. A picture has the size of its frame, in pixels; the content of the frame is not used. The components are
/// those of all frames together, so a color has the same meaning in every frame.
///
/// The range from the 1st to the 99th percentile of a component becomes the range of its color channel. The sign of
/// a component is arbitrary; it is chosen such that the largest loading in absolute value is positive.
///
/// # Errors
///
/// Returns an error if `features` is empty or does not have the shape given above, or if a feature is infinite or not
/// a number.
pub fn pca_pictures(
    features: &[f32],
    dim: usize,
    grid: (usize, usize),
    frames: &[&RgbImage],
) -> Result<Vec<RgbImage>, ReportError> {
    let (rows, columns) = grid;
    let cells = rows * columns;
    if features.len() != frames.len() * cells * dim {
        return Err(ReportError::Count {
            what: "feature values",
            found: features.len(),
            expected: frames.len() * cells * dim,
            because: format!(
                "{} frames of {rows} x {columns} cells x {dim}",
                frames.len()
            ),
        });
    }
    let mut colors = principal_components(features, dim)?;
    for component in 0..3 {
        let mut sorted: Vec<f32> = colors.iter().map(|c| c[component]).collect();
        sorted.sort_by(f32::total_cmp);
        let at = |share: f32| sorted[((sorted.len() - 1) as f32 * share).round() as usize];
        let (low, high) = (at(0.01), at(0.99));
        for color in &mut colors {
            let spread = (color[component] - low) / (high - low);
            color[component] = if spread.is_finite() {
                spread.clamp(0.0, 1.0)
            } else {
                0.5
            };
        }
    }
    let pictures = frames
        .iter()
        .zip(colors.chunks(cells))
        .map(|(frame, colors)| {
            let small = RgbImage::from_fn(columns as u32, rows as u32, |x, y| {
                Rgb(colors[y as usize * columns + x as usize].map(|v| (v * 255.0).round() as u8))
            });
            // Smoothing would hide the differences between neighboring cells, which the picture is meant to show.
            let (width, height) = frame.dimensions();
            imageops::resize(&small, width, height, imageops::FilterType::Nearest)
        });
    Ok(pictures.collect())
}

/// Returns the coordinates of every cell on the first three principal axes, in order of decreasing variance.
///
/// `features` has the shape `(cells, dim)`, in row-major order. If `dim` is less than 3, the missing coordinates
/// are 0. The axes are the eigenvectors of the covariance of the channels, computed in f64.
///
/// # Errors
///
/// Returns an error if `features` is empty, if its length is not a multiple of `dim`, or if a feature is infinite or
/// not a number.
pub fn principal_components(features: &[f32], dim: usize) -> Result<Vec<[f32; 3]>, ReportError> {
    if features.is_empty() {
        return Err(ReportError::Empty {
            what: "principal components".into(),
            item: "feature",
        });
    }
    if features.len().checked_rem(dim) != Some(0) {
        return Err(ReportError::Count {
            what: "feature values",
            found: features.len(),
            expected: features.len().next_multiple_of(dim.max(1)),
            because: format!("a multiple of dim {dim}"),
        });
    }
    all_at_least(f32::MIN, "features", features)?;
    let cells = features.len() / dim;
    // nalgebra stores columns, so a row-major (cells, dim) buffer is a (dim, cells) matrix there.
    let mut centered: DMatrix<f64> = DMatrixView::from_slice(features, dim, cells).map(f64::from);
    let mean = centered.column_mean();
    for mut cell in centered.column_iter_mut() {
        cell -= &mean;
    }
    let eigen = (&centered * centered.transpose()).symmetric_eigen();
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));

    let mut coordinates = vec![[0.0; 3]; cells];
    for (component, &index) in order.iter().take(3).enumerate() {
        let axis = eigen.eigenvectors.column(index);
        let sign = axis[axis.iamax()].signum();
        for (out, cell) in coordinates.iter_mut().zip(centered.column_iter()) {
            out[component] = (sign * axis.dot(&cell)) as f32;
        }
    }
    Ok(coordinates)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns deterministic values in -1..1 that look like independent noise.
    fn noise(i: usize) -> f32 {
        let hash = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32
            / (1u64 << 23) as f32
            - 1.0
    }

    /// Returns the correlation of two sequences.
    fn correlation(a: &[f32], b: &[f32]) -> f32 {
        let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
        let (ma, mb) = (mean(a), mean(b));
        let dot: f32 = a.iter().zip(b).map(|(x, y)| (x - ma) * (y - mb)).sum();
        let norm = |v: &[f32], m: f32| v.iter().map(|x| (x - m).powi(2)).sum::<f32>().sqrt();
        dot / (norm(a, ma) * norm(b, mb))
    }

    #[test]
    fn planted_directions_are_recovered_in_order_of_strength() -> Result<(), ReportError> {
        let (cells, dim) = (500, 24);
        let hidden: Vec<Vec<f32>> = (0..3)
            .map(|k| (0..cells).map(|i| noise(k * cells + i)).collect())
            .collect();
        // Channels 8k..8k+8 hold factor k. The factors' strengths are 5, 3 and 1.5, above a large constant offset.
        let features: Vec<f32> = (0..cells * dim)
            .map(|i| {
                let (cell, channel) = (i / dim, i % dim);
                let factor = channel / 8;
                40.0 + [5.0, 3.0, 1.5][factor] * hidden[factor][cell] + 0.05 * noise(10_000 + i)
            })
            .collect();
        let found = principal_components(&features, dim)?;
        for (k, hidden) in hidden.iter().enumerate() {
            let component: Vec<f32> = found.iter().map(|c| c[k]).collect();
            let r = correlation(&component, hidden);
            assert!(r > 0.98, "component {k}: correlation {r}");
        }
        Ok(())
    }

    #[test]
    fn pictures_show_regions_in_the_same_colors_across_frames() -> Result<(), ReportError> {
        // In two frames of 2 x 4 cells, region A is left of region B in the first and right of it in the second.
        let (a, b) = ([1.0, 0.0, 2.0, 0.0], [0.0, 3.0, 0.0, 1.0]);
        let cell = |frame: usize, i: usize| if (i % 4 < 2) == (frame == 0) { a } else { b };
        let features: Vec<f32> = (0..16).flat_map(|i| cell(i / 8, i)).collect();
        let frame = RgbImage::new(40, 20);
        let out = pca_pictures(&features, 4, (2, 4), &[&frame, &frame])?;
        assert_eq!((out.len(), out[0].dimensions()), (2, (40, 20)));
        assert_eq!(out[0].get_pixel(3, 3), out[1].get_pixel(36, 3));
        assert_eq!(out[0].get_pixel(36, 3), out[1].get_pixel(3, 3));
        let red = |x| out[0].get_pixel(x, 3).0[0];
        assert_eq!(
            red(3).abs_diff(red(36)),
            255,
            "the first component spans the whole range"
        );
        Ok(())
    }

    #[test]
    fn constant_features_and_few_channels_still_give_a_picture() -> Result<(), ReportError> {
        assert_eq!(principal_components(&[2.0; 12], 4)?, vec![[0.0; 3]; 3]);
        let line = principal_components(&[-1.0, 0.0, 1.0], 1)?;
        assert_eq!(line, vec![[-1.0, 0.0, 0.0], [0.0; 3], [1.0, 0.0, 0.0]]);
        let frame = RgbImage::new(2, 2);
        let flat = pca_pictures(&[2.0; 16], 4, (2, 2), &[&frame])?;
        assert!(flat[0].pixels().all(|p| p.0 == [128; 3]));
        Ok(())
    }

    #[test]
    fn buffers_that_do_not_fit_are_named() {
        let frame = RgbImage::new(4, 4);
        let found = pca_pictures(&[0.0; 30], 4, (2, 4), &[&frame])
            .err()
            .map(|e| e.to_string());
        let message = "feature values: found 30, expected 32 (1 frames of 2 x 4 cells x 4)";
        assert_eq!(found.as_deref(), Some(message));
        assert!(principal_components(&[0.0, f32::INFINITY], 2).is_err());
        assert!(principal_components(&[0.0; 5], 2).is_err());
        assert!(principal_components(&[0.0; 5], 0).is_err());
        assert!(principal_components(&[], 2).is_err());
        assert!(pca_pictures(&[], 4, (2, 2), &[]).is_err());
    }
}
