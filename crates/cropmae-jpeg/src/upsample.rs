//! Interpolates subsampled components to one value per pixel, as in libjpeg.
//!
//! Each output is 3/4 of the nearest value and 1/4 of the next one in each direction, rounded once, alternately up and
//! down. At the edges of the picture, the next value is the nearest one.

use std::ops::Range;

use crate::planes::Plane;

/// Narrower components are not interpolated horizontally.
const LEAST_WIDTH: usize = 3;

/// A buffer for a row of interpolated values.
#[derive(Debug, Default)]
pub(crate) struct Room {
    sums: Vec<u16>,
    values: Vec<u8>,
}

/// Returns the values of the pixels in `columns` of row `y` of the picture.
#[inline(always)]
pub(crate) fn row<'a>(
    plane: &'a Plane,
    y: usize,
    columns: Range<usize>,
    room: &'a mut Room,
) -> &'a [u8] {
    let [across, down] = plane.pixels;
    if across == 1 && down == 1 {
        return plane.row(y, columns);
    }
    let Room { sums, values } = room;
    values.clear();
    if across == 1 {
        let (near, next, bias) = vertical_pair(plane, y, columns);
        let pairs = near.iter().zip(next);
        let value = |(&near, &next)| ((u16::from(near) * 3 + u16::from(next) + bias) >> 2) as u8;
        values.extend(pairs.map(value));
        return values;
    }
    let coarse = columns.start / 2..columns.end.div_ceil(2);
    values.resize(coarse.len() * 2, 0);
    if plane.width() < LEAST_WIDTH {
        for (pair, &value) in values.chunks_exact_mut(2).zip(plane.row(y / down, coarse)) {
            pair.fill(value);
        }
    } else {
        let first = coarse.start.saturating_sub(1);
        let last = coarse.end.min(plane.width() - 1);
        sums.clear();
        if down == 1 {
            let row = plane.row(y, first..last + 1);
            sums.extend(row.iter().map(|&value| u16::from(value)));
        } else {
            let (near, next, _) = vertical_pair(plane, y, first..last + 1);
            let pairs = near.iter().zip(next);
            sums.extend(pairs.map(|(&near, &next)| u16::from(near) * 3 + u16::from(next)));
        }
        if first == coarse.start {
            sums.insert(0, sums[0]);
        }
        if last < coarse.end {
            sums.push(sums[sums.len() - 1]);
        }
        match down {
            1 => interpolate::<1, 2, 2>(sums, values),
            _ => interpolate::<8, 7, 4>(sums, values),
        }
    }
    &values[columns.start % 2..][..columns.len()]
}

/// Returns the nearest and the next row of pixel row `y`, and the value to add before the division by 4.
#[inline(always)]
fn vertical_pair(plane: &Plane, y: usize, columns: Range<usize>) -> (&[u8], &[u8], u16) {
    let near = y / 2;
    let (next, bias) = match y % 2 {
        0 => (near.saturating_sub(1), 1),
        _ => (near + 1, 2),
    };
    (
        plane.row(near, columns.clone()),
        plane.row(next, columns),
        bias,
    )
}

/// Computes two pixels for each of `sums` except the first and the last, which are only neighbors.
#[inline(always)]
fn interpolate<const LEFT: u16, const RIGHT: u16, const SHIFT: u16>(
    sums: &[u16],
    pixels: &mut [u8],
) {
    let neighbors = sums.iter().zip(&sums[1..]).zip(&sums[2..]);
    for (pair, ((&before, &at), &behind)) in pixels.as_chunks_mut::<2>().0.iter_mut().zip(neighbors)
    {
        *pair = [
            ((at * 3 + before + LEFT) >> SHIFT) as u8,
            ((at * 3 + behind + RIGHT) >> SHIFT) as u8,
        ];
    }
}
