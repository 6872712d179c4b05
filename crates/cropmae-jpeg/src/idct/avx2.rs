//! The inverse DCT in registers of 256 bits, each with a row or a column of the block.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use super::{AFTER_COLUMNS, AFTER_ROWS, Lanes, transform};
use crate::block::Coefficients;

/// Eight 32-bit lanes, with a proof that this processor has AVX2.
#[derive(Clone, Copy)]
struct Register(V3, __m256i);

impl Lanes for Register {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self(self.0, self.0.avx2._mm256_add_epi32(self.1, other.1))
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Self(self.0, self.0.avx2._mm256_sub_epi32(self.1, other.1))
    }

    #[inline(always)]
    fn times(self, factor: i32) -> Self {
        let factor = self.0.avx._mm256_set1_epi32(factor);
        Self(self.0, self.0.avx2._mm256_mullo_epi32(self.1, factor))
    }

    #[inline(always)]
    fn scale<const BITS: i32>(self) -> Self {
        Self(self.0, self.0.avx2._mm256_slli_epi32::<BITS>(self.1))
    }

    #[inline(always)]
    fn descale<const BITS: i32>(self) -> Self {
        let half = Self(self.0, self.0.avx._mm256_set1_epi32(1 << (BITS - 1)));
        Self(
            self.0,
            self.0.avx2._mm256_srai_epi32::<BITS>(self.plus(half).1),
        )
    }
}

/// Returns the pixels of a block whose coefficients are zero except in the first `KEPT` rows and columns.
#[inline(always)]
pub(super) fn pixels<const KEPT: usize>(
    simd: V3,
    block: &Coefficients,
    quantizers: &[i32; 64],
) -> [[u8; 8]; 8] {
    let mut rows = [simd.avx._mm256_setzero_si256(); 8];
    let quantized = block.as_chunks::<8>().0.iter();
    let quantized = quantized.zip(quantizers.as_chunks::<8>().0);
    for (row, (&quantized, &steps)) in rows.iter_mut().zip(quantized).take(KEPT) {
        let wide = simd.avx2._mm256_cvtepi16_epi32(cast(quantized));
        *row = simd.avx2._mm256_mullo_epi32(wide, cast(steps));
    }
    let columns = transform_all::<AFTER_COLUMNS>(simd, rows);
    let mut columns = transpose(simd, columns);
    for zeros in &mut columns[KEPT..] {
        *zeros = simd.avx._mm256_setzero_si256();
    }
    to_pixels(simd, transform_all::<AFTER_ROWS>(simd, columns))
}

#[inline(always)]
fn transform_all<const BITS: i32>(simd: V3, x: [__m256i; 8]) -> [__m256i; 8] {
    let mut lanes = [Register(simd, x[0]); 8];
    for (lanes, x) in lanes.iter_mut().zip(x) {
        lanes.1 = x;
    }
    let lanes = transform::<_, BITS>(lanes);
    let mut result = x;
    for (result, lanes) in result.iter_mut().zip(lanes) {
        *result = lanes.1;
    }
    result
}

/// Transposes 8 x 8 lanes by exchanging pairs of lanes, then pairs of pairs, then halves.
#[inline(always)]
fn transpose(simd: V3, x: [__m256i; 8]) -> [__m256i; 8] {
    let V3 { avx2, .. } = simd;
    let mut turned = x;
    for half in 0..2 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| x[half * 4 + row]);
        let (ab, cd) = (
            avx2._mm256_unpacklo_epi32(a, b),
            avx2._mm256_unpacklo_epi32(c, d),
        );
        let (ab_high, cd_high) = (
            avx2._mm256_unpackhi_epi32(a, b),
            avx2._mm256_unpackhi_epi32(c, d),
        );
        turned[half * 4] = avx2._mm256_unpacklo_epi64(ab, cd);
        turned[half * 4 + 1] = avx2._mm256_unpackhi_epi64(ab, cd);
        turned[half * 4 + 2] = avx2._mm256_unpacklo_epi64(ab_high, cd_high);
        turned[half * 4 + 3] = avx2._mm256_unpackhi_epi64(ab_high, cd_high);
    }
    let mut result = x;
    for column in 0..4 {
        let (upper, lower) = (turned[column], turned[4 + column]);
        result[column] = avx2._mm256_permute2x128_si256::<0x20>(upper, lower);
        result[4 + column] = avx2._mm256_permute2x128_si256::<0x31>(upper, lower);
    }
    result
}

/// Converts columns of values around zero to rows of pixels.
#[inline(always)]
fn to_pixels(simd: V3, columns: [__m256i; 8]) -> [[u8; 8]; 8] {
    /// The order that transposes the 4 x 4 pixels in each half of a register.
    const TURN: [u8; 32] = {
        let mut places = [0; 32];
        let mut place = 0;
        while place < 32 {
            places[place] = (place % 4 * 4 + place % 16 / 4) as u8;
            place += 1;
        }
        places
    };
    let V3 { avx, avx2, .. } = simd;
    let middle = avx._mm256_set1_epi16(128);
    // The transform has dropped 18 bits, so no value reaches 16 bits. The conversion to bytes saturates.
    let words = |a, b| avx2._mm256_add_epi16(avx2._mm256_packs_epi32(a, b), middle);
    let bytes = |a, b, c, d| {
        let columns = avx2._mm256_packus_epi16(words(a, b), words(c, d));
        avx2._mm256_shuffle_epi8(columns, cast(TURN))
    };
    let [a, b, c, d, e, f, g, h] = columns;
    let (left, right) = (bytes(a, b, c, d), bytes(e, f, g, h));
    // Rows 0 and 1 are before 4 and 5, and rows 2 and 3 before 6 and 7.
    let even = avx2._mm256_unpacklo_epi32(left, right);
    let odd = avx2._mm256_unpackhi_epi32(left, right);
    let upper = avx2._mm256_permute2x128_si256::<0x20>(even, odd);
    let lower = avx2._mm256_permute2x128_si256::<0x31>(even, odd);
    cast([upper, lower])
}
