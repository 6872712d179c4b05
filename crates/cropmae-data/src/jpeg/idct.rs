//! The inverse DCT, in the integer arithmetic of libjpeg's accurate method, bit for bit.
//!
//! Loeffler, Ligtenberg and Moschytz (ICASSP 1989): 13-bit constants, columns first, whose results keep
//! two fractional bits, then rows. Within a direction nothing is rounded before the end, so the order of
//! the sums is free. Eight columns (then eight rows) go side by side, in a form that the compiler
//! vectorises.

use super::block::Coefficients;

/// Fractional bits of the constants.
const CONST_BITS: u32 = 13;
/// Fractional bits that the columns' results keep.
const PASS_BITS: u32 = 2;

/// One value of each of eight transforms side by side.
type Lanes = [i32; 8];

/// A constant with `CONST_BITS` fractional bits.
const fn fixed(value: f64) -> i32 {
    (value * (1 << CONST_BITS) as f64 + 0.5) as i32
}

// Plain loops, here and below: the closures of `array::from_fn` and `array::map` stay calls, outside of the
// instruction set that was chosen at run time.

#[inline(always)]
fn zip(a: Lanes, b: Lanes, f: impl Fn(i32, i32) -> i32) -> Lanes {
    let mut result = a;
    for (value, other) in result.iter_mut().zip(b) {
        *value = f(*value, other);
    }
    result
}

#[inline(always)]
fn map(a: Lanes, f: impl Fn(i32) -> i32) -> Lanes {
    let mut result = a;
    for value in &mut result {
        *value = f(*value);
    }
    result
}

#[inline(always)]
fn add(a: Lanes, b: Lanes) -> Lanes {
    zip(a, b, i32::wrapping_add)
}

#[inline(always)]
fn sub(a: Lanes, b: Lanes) -> Lanes {
    zip(a, b, i32::wrapping_sub)
}

#[inline(always)]
fn times(a: Lanes, factor: i32) -> Lanes {
    map(a, |value| value.wrapping_mul(factor))
}

/// `SHIFT` fractional bits less, rounded half up.
#[inline(always)]
fn descale<const SHIFT: u32>(a: Lanes) -> Lanes {
    map(a, |value| value.wrapping_add(1 << (SHIFT - 1)) >> SHIFT)
}

/// Eight one-dimensional transforms: `x[k]` holds their k-th coefficients.
#[inline(always)]
fn transform<const SHIFT: u32>(x: [Lanes; 8]) -> [Lanes; 8] {
    // Even part: a rotation of coefficients 2 and 6, sum and difference of 0 and 4.
    let turned = times(add(x[2], x[6]), fixed(0.541_196_100));
    let low = add(turned, times(x[2], fixed(0.765_366_865)));
    let high = sub(turned, times(x[6], fixed(1.847_759_065)));
    let sum = map(add(x[0], x[4]), |value| value << CONST_BITS);
    let difference = map(sub(x[0], x[4]), |value| value << CONST_BITS);
    let even = [
        add(sum, low),
        add(difference, high),
        sub(difference, high),
        sub(sum, low),
    ];

    // Odd part: coefficients 1, 3, 5 and 7.
    let (a, b) = (add(x[7], x[3]), add(x[5], x[1]));
    let common = times(add(a, b), fixed(1.175_875_602));
    let a = sub(common, times(a, fixed(1.961_570_560)));
    let b = sub(common, times(b, fixed(0.390_180_644)));
    let c = times(add(x[7], x[1]), fixed(0.899_976_223));
    let d = times(add(x[5], x[3]), fixed(2.562_915_447));
    let odd = [
        add(sub(times(x[1], fixed(1.501_321_110)), c), b),
        add(sub(times(x[3], fixed(3.072_711_026)), d), a),
        add(sub(times(x[5], fixed(2.053_119_869)), d), b),
        add(sub(times(x[7], fixed(0.298_631_336)), c), a),
    ];

    let mut result = x;
    for k in 0..4 {
        result[k] = descale::<SHIFT>(add(even[k], odd[k]));
        result[7 - k] = descale::<SHIFT>(sub(even[k], odd[k]));
    }
    result
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

/// Last place of the zigzag scan up to which coefficients lie in the first four rows and columns.
const QUARTER: usize = 9;

/// The pixels of a block, row by row, of which coefficients behind `last` of the zigzag scan are zero.
#[inline(always)]
pub(super) fn pixels(block: &Coefficients, quantizers: &[i32; 64], last: usize) -> [[u8; 8]; 8] {
    match last {
        ..=QUARTER => pixels_of::<4>(block, quantizers),
        _ => pixels_of::<8>(block, quantizers),
    }
}

/// The same for coefficients that are zero but in the first `KEPT` rows and columns: transforms of zeros fall
/// away when this is compiled.
#[inline(always)]
fn pixels_of<const KEPT: usize>(block: &Coefficients, quantizers: &[i32; 64]) -> [[u8; 8]; 8] {
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
    let columns = transform::<{ CONST_BITS - PASS_BITS }>(coefficients);
    let mut columns = transpose(columns);
    for zeros in &mut columns[KEPT..] {
        *zeros = [0; 8];
    }
    let rows = transform::<{ CONST_BITS + PASS_BITS + 3 }>(columns);
    // Bytes are turned, not sums: a quarter of the data to shuffle.
    let mut pixels = [[0; 8]; 8];
    for (column, values) in pixels.iter_mut().zip(rows) {
        for (pixel, value) in column.iter_mut().zip(values) {
            *pixel = to_pixel(value);
        }
    }
    transpose(pixels)
}

/// The value of all pixels of a block of which only the DC coefficient is not zero.
#[inline(always)]
pub(super) fn flat(dc: i16, quantizers: &[i32; 64]) -> u8 {
    let dc = i32::from(dc).wrapping_mul(quantizers[0]);
    to_pixel(dc.wrapping_add(4) >> 3)
}

/// Coefficients describe pixels around zero.
#[inline(always)]
fn to_pixel(value: i32) -> u8 {
    value.wrapping_add(128).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jpeg::block::ZIGZAG;
    use proptest::prelude::*;

    proptest! {
        // Within what 32 bits hold; pictures of 8 bits stay far below.
        #[test]
        fn short_cuts_change_nothing(
            values in prop::collection::vec(-256_i16..256, QUARTER + 1), step in 1_i32..=8,
        ) {
            let mut block = [0; 64];
            for (place, value) in ZIGZAG.iter().zip(values) {
                block[usize::from(*place)] = value;
            }
            let quantizers = [step; 64];
            prop_assert_eq!(
                pixels_of::<4>(&block, &quantizers),
                pixels_of::<8>(&block, &quantizers)
            );
            block[1..].fill(0);
            let flat = [[flat(block[0], &quantizers); 8]; 8];
            prop_assert_eq!(flat, pixels_of::<8>(&block, &quantizers));
        }
    }
}
