//! Elastic deformation (Simard et al., ICDAR 2003).
//!
//! Every pixel is taken from a nearby position, and neighboring pixels from neighboring positions.

use super::filter::blur;

/// Computes smooth displacements in pixels from uniform `noise` `(H, W)` in `[0, 1)`.
///
/// `alpha` is in units of half a pixel, because torchvision's coordinates run from -1 to 1.
pub(super) fn displacements(noise: &[f32], width: usize, alpha: f32, sigma: f32) -> Vec<f32> {
    let centered: Vec<f32> = noise.iter().map(|value| value * 2.0 - 1.0).collect();
    let taps = (8.0 * sigma + 1.0) as usize | 1;
    let mut shifts = blur::<1>(&centered, width, taps, sigma);
    shifts.iter_mut().for_each(|shift| *shift *= alpha / 2.0);
    shifts
}

/// Moves the pixels of an `(H, W, 3)` image.
///
/// Pixel (x, y) of the result is taken from (x + across, y + down) with bilinear interpolation. Pixels from outside the
/// image are black.
pub(super) fn warp(
    pixels: &[f32],
    (width, height): (usize, usize),
    across: &[f32],
    down: &[f32],
) -> Vec<f32> {
    let mut out = vec![0.0; pixels.len()];
    let shifts = across.iter().zip(down);
    for (index, (target, (across, down))) in out
        .as_chunks_mut::<3>()
        .0
        .iter_mut()
        .zip(shifts)
        .enumerate()
    {
        let (x, y) = (
            (index % width) as f32 + across,
            (index / width) as f32 + down,
        );
        let (left, top) = (x.floor(), y.floor());
        let (right_share, bottom_share) = (x - left, y - top);
        // The weight of those of the four neighbors that lie inside.
        let mut inside = 0.0;
        for (row, vertical) in [(top, 1.0 - bottom_share), (top + 1.0, bottom_share)] {
            for (column, horizontal) in [(left, 1.0 - right_share), (left + 1.0, right_share)] {
                let within = |place: f32, side: usize| (0.0..side as f32).contains(&place);
                if !within(row, height) || !within(column, width) {
                    continue;
                }
                let weight = vertical * horizontal;
                inside += weight;
                let start = (row as usize * width + column as usize) * 3;
                for (value, source) in target.iter_mut().zip(&pixels[start..start + 3]) {
                    *value += source * weight;
                }
            }
        }
        // torchvision blends the sampled value, which includes zeros from outside, with its fill color a second time.
        target.iter_mut().for_each(|value| *value *= inside);
    }
    out
}
