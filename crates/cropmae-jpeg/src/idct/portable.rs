//! The inverse DCT on plain arrays, which the compiler vectorizes as well as it can.

use super::{AFTER_COLUMNS, AFTER_ROWS, Lanes, to_pixel, transform};
use crate::block::Coefficients;

// This file uses plain loops, because the closures of `array::from_fn` and `array::map` are not inlined and so do not
// use the instruction set that was chosen at run time.

#[inline(always)]
fn zip(a: [i32; 8], b: [i32; 8], f: impl Fn(i32, i32) -> i32) -> [i32; 8] {
    let mut result = a;
    for (value, other) in result.iter_mut().zip(b) {
        *value = f(*value, other);
    }
    result
}

#[inline(always)]
fn map(a: [i32; 8], f: impl Fn(i32) -> i32) -> [i32; 8] {
    let mut result = a;
    for value in &mut result {
        *value = f(*value);
    }
    result
}

impl Lanes for [i32; 8] {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        zip(self, other, i32::wrapping_add)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        zip(self, other, i32::wrapping_sub)
    }

    #[inline(always)]
    fn times(self, factor: i32) -> Self {
        map(self, |value| value.wrapping_mul(factor))
    }

    #[inline(always)]
    fn scale<const BITS: i32>(self) -> Self {
        map(self, |value| value << BITS)
    }

    #[inline(always)]
    fn descale<const BITS: i32>(self) -> Self {
        map(self, |value| value.wrapping_add(1 << (BITS - 1)) >> BITS)
    }
}

#[inline(always)]
fn transpose<T: Copy>(x: [[T; 8]; 8]) -> [[T; 8]; 8] {
    let mut result = x;
    for (i, row) in result.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value = x[j][i];
        }
    }
    result
}

/// Returns the pixels of a block whose coefficients are zero except in the first `KEPT` rows and columns.
#[inline(always)]
pub(super) fn pixels<const KEPT: usize>(
    block: &Coefficients,
    quantizers: &[i32; 64],
) -> [[u8; 8]; 8] {
    let mut coefficients = [[0; 8]; 8];
    let quantized = block
        .as_chunks::<8>()
        .0
        .iter()
        .zip(quantizers.as_chunks::<8>().0);
    for (row, (quantized, steps)) in coefficients.iter_mut().zip(quantized).take(KEPT) {
        for (value, (&quantized, &step)) in row.iter_mut().zip(quantized.iter().zip(steps)) {
            *value = i32::from(quantized).wrapping_mul(step);
        }
    }
    let columns = transform::<_, AFTER_COLUMNS>(coefficients);
    let mut columns = transpose(columns);
    for zeros in &mut columns[KEPT..] {
        *zeros = [0; 8];
    }
    let rows = transform::<_, AFTER_ROWS>(columns);
    // Transposing bytes instead of sums shuffles only a quarter of the data.
    let mut pixels = [[0; 8]; 8];
    for (column, values) in pixels.iter_mut().zip(rows) {
        for (pixel, value) in column.iter_mut().zip(values) {
            *pixel = to_pixel(value);
        }
    }
    transpose(pixels)
}
