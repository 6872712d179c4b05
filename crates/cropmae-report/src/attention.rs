//! Attention weights as heat maps: which patches of view 1 a patch of view 2 attends to.

use image::{ImageBuffer, Luma, Rgb, RgbImage, imageops};

use crate::draw::blend;
use crate::error::{ReportError, all_at_least};

const MARK: Rgb<u8> = Rgb([0xff, 0x2d, 0x95]);

/// Returns the view in gray under a heat map of attention weights.
///
/// `weights` has the shape `(rows, columns)`, in row-major order, with `grid = (rows, columns)` in patches.
/// The weights are divided by the largest of them and interpolated bilinearly between the centers of the
/// patches. The colors are those of the inferno map, in which the largest weight is the brightest. The result has
/// the size of `view`, in pixels.
///
/// # Errors
///
/// Returns an error if `weights` does not have `rows * columns` values, if the grid is empty, or if a weight is
/// negative, infinite or not a number.
pub fn attention_map(
    view: &RgbImage,
    weights: &[f32],
    grid: (usize, usize),
) -> Result<RgbImage, ReportError> {
    let (rows, columns) = grid;
    if weights.len() != rows * columns || weights.is_empty() {
        return Err(ReportError::Count {
            what: "attention weights",
            found: weights.len(),
            expected: rows * columns,
            because: format!("grid of {rows} x {columns} patches"),
        });
    }
    all_at_least(0.0, "attention weights", weights)?;
    let largest = weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let cells = ImageBuffer::from_fn(columns as u32, rows as u32, |x, y| {
        Luma([weights[y as usize * columns + x as usize] / largest])
    });
    let (width, height) = view.dimensions();
    let heat = imageops::resize(&cells, width, height, imageops::FilterType::Triangle);
    let mut out = view.clone();
    for (pixel, heat) in out.pixels_mut().zip(heat.pixels()) {
        let [r, g, b] = pixel.0.map(f32::from);
        *pixel = Rgb([(0.299 * r + 0.587 * g + 0.114 * b).round() as u8; 3]);
        let color = colorous::INFERNO.eval_continuous(f64::from(heat.0[0].clamp(0.0, 1.0)));
        blend(pixel, Rgb([color.r, color.g, color.b]), 0.6);
    }
    Ok(out)
}

/// Returns the view with a frame around one patch.
///
/// `grid` is `(rows, columns)` in patches, and `cell` is the index of the patch in row-major order. The result has
/// the size of `view`, in pixels.
///
/// # Errors
///
/// Returns an error if `cell` is not less than `rows * columns`.
pub fn mark_cell(
    view: &RgbImage,
    cell: usize,
    grid: (usize, usize),
) -> Result<RgbImage, ReportError> {
    let (rows, columns) = grid;
    if cell >= rows * columns {
        return Err(ReportError::Value {
            what: "query patch".into(),
            found: cell as f64,
            expected: format!(
                "less than {}, the grid of {rows} x {columns}",
                rows * columns
            ),
        });
    }
    let (width, height) = view.dimensions();
    let edge = |side: u32, count: usize, i: usize| (side as usize * i / count) as u32;
    let (row, column) = (cell / columns, cell % columns);
    let (left, right) = (
        edge(width, columns, column),
        edge(width, columns, column + 1),
    );
    let (top, bottom) = (edge(height, rows, row), edge(height, rows, row + 1));
    let thickness = ((right - left) / 8).max(1);
    let mut out = view.clone();
    for y in top..bottom {
        for x in left..right {
            let inside = (x - left)
                .min(right - 1 - x)
                .min(y - top)
                .min(bottom - 1 - y);
            if inside < thickness {
                out.put_pixel(x, y, MARK);
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_is_brightest_where_the_weight_is() -> Result<(), ReportError> {
        let view = RgbImage::from_pixel(48, 32, Rgb([120; 3]));
        let mut weights = [0.01; 6];
        weights[2] = 0.3; // the end of the first of 2 rows of 3 patches
        let out = attention_map(&view, &weights, (2, 3))?;
        let light = |x, y| out.get_pixel(x, y).0.map(u32::from).iter().sum::<u32>();
        let brightest = out.enumerate_pixels().max_by_key(|&(x, y, _)| light(x, y));
        assert!(brightest.is_some_and(|(x, y, _)| x >= 40 && y < 8));
        assert!(light(44, 4) > light(36, 12) && light(36, 12) > light(4, 28));
        Ok(())
    }

    #[test]
    fn the_mark_frames_one_patch() -> Result<(), ReportError> {
        let out = mark_cell(&RgbImage::new(48, 32), 4, (2, 3))?;
        for (x, y, &pixel) in out.enumerate_pixels() {
            let within = (16..32).contains(&x) && (16..32).contains(&y);
            let core = (18..30).contains(&x) && (18..30).contains(&y);
            assert_eq!(pixel == MARK, within && !core, "({x}, {y})");
        }
        assert!(mark_cell(&RgbImage::new(48, 32), 6, (2, 3)).is_err());
        Ok(())
    }

    #[test]
    fn weights_that_do_not_fit_are_named() {
        let view = RgbImage::new(8, 8);
        let error = |w: &[f32], grid| attention_map(&view, w, grid).err().map(|e| e.to_string());
        let message = "attention weights: found 3, expected 4 (grid of 2 x 2 patches)";
        assert_eq!(error(&[0.0; 3], (2, 2)).as_deref(), Some(message));
        let message = "attention weights[1] = NaN: expected a finite number, at least 0";
        assert_eq!(error(&[0.0, f32::NAN], (1, 2)).as_deref(), Some(message));
        assert!(error(&[-1.0], (1, 1)).is_some() && error(&[], (0, 0)).is_some());
    }
}
