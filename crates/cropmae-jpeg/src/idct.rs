//! The inverse DCT in the integer arithmetic of libjpeg's accurate method, bit for bit.
//!
//! The algorithm is that of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) with 13-bit constants. Columns are
//! transformed first and keep two fractional bits, and then rows. Within a direction, values are only rounded at the
//! end, so the order of the sums is free. Eight columns, and then eight rows, are computed side by side, in registers of
//! 256 bits if available.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

use crate::block::Coefficients;

/// The number of fractional bits of the constants.
const CONST_BITS: i32 = 13;
/// The number of fractional bits that remain after the columns.
const PASS_BITS: i32 = 2;
/// The number of fractional bits to drop after the columns.
const AFTER_COLUMNS: i32 = CONST_BITS - PASS_BITS;
/// The number of fractional bits to drop after the rows. Three of them are the scale of the transform.
const AFTER_ROWS: i32 = CONST_BITS + PASS_BITS + 3;

/// One value of each of eight transforms side by side. Sums and products wrap around.
trait Lanes: Copy {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, factor: i32) -> Self;
    /// Adds `BITS` fractional bits.
    fn scale<const BITS: i32>(self) -> Self;
    /// Removes `BITS` fractional bits and rounds half up.
    fn descale<const BITS: i32>(self) -> Self;
}

/// Returns a constant with `CONST_BITS` fractional bits.
const fn fixed(value: f64) -> i32 {
    (value * (1 << CONST_BITS) as f64 + 0.5) as i32
}

/// Computes eight one-dimensional transforms, where `x[k]` contains their k-th coefficients.
///
/// The results have `BITS` fractional bits less.
#[inline(always)]
fn transform<L: Lanes, const BITS: i32>(x: [L; 8]) -> [L; 8] {
    // The even part is a rotation of coefficients 2 and 6, and the sum and the difference of 0 and 4.
    let turned = x[2].plus(x[6]).times(fixed(0.541_196_100));
    let low = turned.plus(x[2].times(fixed(0.765_366_865)));
    let high = turned.minus(x[6].times(fixed(1.847_759_065)));
    let sum = x[0].plus(x[4]).scale::<CONST_BITS>();
    let difference = x[0].minus(x[4]).scale::<CONST_BITS>();
    let even = [
        sum.plus(low),
        difference.plus(high),
        difference.minus(high),
        sum.minus(low),
    ];

    // The odd part has the coefficients 1, 3, 5 and 7.
    let (a, b) = (x[7].plus(x[3]), x[5].plus(x[1]));
    let common = a.plus(b).times(fixed(1.175_875_602));
    let a = common.minus(a.times(fixed(1.961_570_560)));
    let b = common.minus(b.times(fixed(0.390_180_644)));
    let c = x[7].plus(x[1]).times(fixed(0.899_976_223));
    let d = x[5].plus(x[3]).times(fixed(2.562_915_447));
    let odd = [
        x[1].times(fixed(1.501_321_110)).minus(c).plus(b),
        x[3].times(fixed(3.072_711_026)).minus(d).plus(a),
        x[5].times(fixed(2.053_119_869)).minus(d).plus(b),
        x[7].times(fixed(0.298_631_336)).minus(c).plus(a),
    ];

    let mut result = x;
    for k in 0..4 {
        result[k] = even[k].plus(odd[k]).descale::<BITS>();
        result[7 - k] = even[k].minus(odd[k]).descale::<BITS>();
    }
    result
}

/// The last position of the zigzag scan up to which coefficients are in the first four rows and columns.
const QUARTER: usize = 9;

/// Transforms blocks with the instructions of this processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Idct {
    #[cfg(target_arch = "x86_64")]
    avx2: Option<pulp::x86::V3>,
}

impl Idct {
    pub(super) fn new() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            avx2: pulp::x86::V3::try_new(),
        }
    }

    /// Returns the pixels of a block, row by row. Coefficients after `last` in the zigzag scan must be zero.
    #[inline(always)]
    pub(super) fn pixels(
        self,
        block: &Coefficients,
        quantizers: &[i32; 64],
        last: usize,
    ) -> [[u8; 8]; 8] {
        match last {
            0 => [[flat(block[0], quantizers); 8]; 8],
            1..=QUARTER => self.pixels_of::<4>(block, quantizers),
            _ => self.pixels_of::<8>(block, quantizers),
        }
    }

    /// Returns the pixels of a block whose coefficients are zero except in the first `KEPT` rows and columns.
    ///
    /// The compiler removes the transforms of zeros.
    #[inline(always)]
    fn pixels_of<const KEPT: usize>(
        self,
        block: &Coefficients,
        quantizers: &[i32; 64],
    ) -> [[u8; 8]; 8] {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = self.avx2 {
            return avx2::pixels::<KEPT>(simd, block, quantizers);
        }
        portable::pixels::<KEPT>(block, quantizers)
    }
}

/// Returns the value of all pixels of a block in which only the DC coefficient is not zero.
#[inline(always)]
fn flat(dc: i16, quantizers: &[i32; 64]) -> u8 {
    let dc = i32::from(dc).wrapping_mul(quantizers[0]);
    to_pixel(dc.wrapping_add(4) >> 3)
}

/// Returns the pixel of a value, which is centered at zero.
#[inline(always)]
fn to_pixel(value: i32) -> u8 {
    value.wrapping_add(128).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::ZIGZAG;
    use proptest::prelude::*;

    proptest! {
        // The values fit into 32 bits. Pictures with 8 bits are far below.
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
                portable::pixels::<4>(&block, &quantizers),
                portable::pixels::<8>(&block, &quantizers)
            );
            block[1..].fill(0);
            let flat = [[flat(block[0], &quantizers); 8]; 8];
            prop_assert_eq!(flat, portable::pixels::<8>(&block, &quantizers));
        }

        // The results are also equal if sums wrap around, which only happens in damaged files.
        #[test]
        fn all_processors_agree(
            values in prop::collection::vec(any::<i16>(), 64), steps in prop::collection::vec(1_i32..=65535, 64),
            bits in 0_u32..16,
        ) {
            let mut block: Coefficients = values.try_into().unwrap();
            let quantizers: [i32; 64] = steps.try_into().unwrap();
            for value in &mut block {
                *value >>= bits;
            }
            let quantizers = quantizers.map(|step: i32| (step >> bits).max(1));
            let idct = Idct::new();
            prop_assert_eq!(
                idct.pixels_of::<8>(&block, &quantizers),
                portable::pixels::<8>(&block, &quantizers)
            );
            prop_assert_eq!(
                idct.pixels_of::<4>(&block, &quantizers),
                portable::pixels::<4>(&block, &quantizers)
            );
        }
    }
}
