//! The contour accuracy F: precision and recall of boundary pixels within a tolerance (Martin et al., PAMI 2004).
//!
//! The result is that of davis2017-evaluation, but computed on bits. The boundary is not symmetric: a pixel belongs to
//! it if it differs from its right, lower or lower right neighbor. A mask that touches the border of the image has no
//! boundary there.

use super::BitMask;
use crate::size::Size;

/// The tolerance as a share of the image diagonal.
const BOUND: f64 = 0.008;

/// Returns the radius of the tolerance disk in pixels.
pub fn dilation_radius(size: Size) -> usize {
    (BOUND * (size.height as f64).hypot(size.width as f64)).ceil() as usize
}

/// Returns F = 2pr / (p + r) of the boundaries, where `void` pixels are background in both masks.
///
/// If one boundary is empty, F is 0. If both are empty, it is 1.
pub fn boundary_measure(gt: &BitMask, pred: &BitMask, void: Option<&BitMask>) -> f64 {
    if let Some(void) = void {
        return boundary_measure(&gt.without(void), &pred.without(void), None);
    }
    let (gt, pred) = (boundary(gt), boundary(pred));
    let (gt_count, pred_count) = (gt.count(), pred.count());
    if gt_count == 0 || pred_count == 0 {
        return f64::from(u8::from(gt_count == pred_count));
    }
    let radius = dilation_radius(gt.size());
    let precision = pred.count_and(&dilate(&gt, radius)) as f64 / pred_count as f64;
    let recall = gt.count_and(&dilate(&pred, radius)) as f64 / gt_count as f64;
    if precision + recall == 0.0 {
        return 0.0;
    }
    2.0 * precision * recall / (precision + recall)
}

/// Returns the boundary pixels, which differ from their right, lower or lower right neighbor.
///
/// The last row is only compared to the right, and the last column only downwards.
pub(crate) fn boundary(mask: &BitMask) -> BitMask {
    let size = mask.size();
    let mut edges = BitMask::empty(size);
    for y in 0..size.height {
        let row = mask.row(y);
        let below = mask.row((y + 1).min(size.height - 1));
        let last = (row.len() - 1, (size.width - 1) % 64);
        for (i, word) in edges.row_mut(y).iter_mut().enumerate() {
            // The last column is its own right neighbor, as the last row is its own lower one.
            let right = |row: &[u64]| {
                let next = row.get(i + 1).map_or(0, |next| next << 63);
                let edge = if i == last.0 { row[i] & 1 << last.1 } else { 0 };
                row[i] >> 1 | next | edge
            };
            let below_right = right(below);
            *word = (row[i] ^ right(row)) | (row[i] ^ below[i]) | (row[i] ^ below_right);
        }
    }
    edges
}

/// Returns the pixels within `radius` of a set pixel, at (dx, dy) with dx² + dy² <= radius².
pub(crate) fn dilate(mask: &BitMask, radius: usize) -> BitMask {
    let size = mask.size();
    let mut wide = BitMask::empty(size);
    let half_widths: Vec<usize> = (0..=radius)
        .map(|dy| (radius * radius - dy * dy).isqrt())
        .collect();
    let mut stretched = vec![0; mask.row(0).len()];
    for y in 0..size.height {
        if mask.row(y).iter().all(|&word| word == 0) {
            continue;
        }
        // Go from the narrowest row of the disk to the widest, so that each stretch continues the previous one.
        stretched.copy_from_slice(mask.row(y));
        let mut reach = 0;
        for dy in (0..=radius).rev() {
            while reach < half_widths[dy] {
                stretch(&mut stretched);
                reach += 1;
            }
            let rows = [y.checked_sub(dy), Some(y + dy).filter(|&y| y < size.height)];
            for row in rows.into_iter().flatten() {
                for (word, &bits) in wide.row_mut(row).iter_mut().zip(&stretched) {
                    *word |= bits;
                }
            }
        }
    }
    wide.trim();
    wide
}

/// Sets the left and right neighbors of every set bit of a row.
fn stretch(row: &mut [u64]) {
    let mut before = 0;
    for i in 0..row.len() {
        let word = row[i];
        let after = row.get(i + 1).map_or(0, |next| next << 63);
        row[i] = word | word << 1 | before >> 63 | word >> 1 | after;
        before = word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masks() -> impl Strategy<Value = (Size, Vec<u8>)> {
        (1usize..14, 1usize..140).prop_flat_map(|(height, width)| {
            let ids = proptest::collection::vec(0u8..2, height * width);
            (Just(Size { height, width }), ids)
        })
    }

    proptest! {
        #[test]
        fn bits_agree_with_pixels((size, ids) in masks(), radius in 0usize..12) {
            let Size { height, width } = size;
            let mask = BitMask::of_id(&ids, size, 1);
            let at = |y: usize, x: usize| ids[y.min(height - 1) * width + x.min(width - 1)];
            let edges = boundary(&mask);
            let expected: Vec<u8> = (0..height * width)
                .map(|i| {
                    let (y, x) = (i / width, i % width);
                    let me = at(y, x);
                    u8::from(me != at(y, x + 1) || me != at(y + 1, x) || me != at(y + 1, x + 1))
                })
                .collect();
            prop_assert_eq!(&edges, &BitMask::of_id(&expected, size, 1));

            let near = |y: usize, x: usize| {
                (0..height * width).any(|i| {
                    let (dy, dx) = ((i / width).abs_diff(y), (i % width).abs_diff(x));
                    ids[i] == 1 && dy * dy + dx * dx <= radius * radius
                })
            };
            let expected: Vec<u8> =
                (0..height * width).map(|i| u8::from(near(i / width, i % width))).collect();
            prop_assert_eq!(dilate(&mask, radius), BitMask::of_id(&expected, size, 1));
        }

        #[test]
        fn measures_are_symmetric_and_within_bounds((size, ids) in masks(), shift in 0usize..9) {
            let mut other = ids.clone();
            other.rotate_left(shift.min(ids.len()));
            let (a, b) = (BitMask::of_id(&ids, size, 1), BitMask::of_id(&other, size, 1));
            for measure in [boundary_measure, super::super::jaccard] {
                let value = measure(&a, &b, None);
                prop_assert!((0.0..=1.0).contains(&value));
                prop_assert_eq!(value, measure(&b, &a, None));
                prop_assert_eq!(measure(&a, &a, None), 1.0);
            }
        }
    }
}
