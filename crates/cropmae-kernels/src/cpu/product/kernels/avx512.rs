//! The loops for AVX-512.
//!
//! Of the 32 registers, 24 contain sums and 4 the right operand. Each unit of the left operand is broadcast as it is
//! read. Two cores of a Zen 5 reach 480 GFLOP/s in f32 and 850 with bf16 operands on the products of a ViT-S/16 step
//! (docs/src/benchmarks.md).

use std::arch::x86_64::{
    __m512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_shuffle_f32x4, _mm512_unpackhi_pd,
    _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

/// Returns the mask of the first `count` lanes. For 16 and more, it contains all lanes.
fn first_lanes(count: usize) -> u16 {
    if count >= 16 {
        u16::MAX
    } else {
        (1 << count) - 1
    }
}

/// Transposes 16 rows of 16 units.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: &mut [__m512; 16]) {
    let mut pairs = *rows;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    // Afterwards, lane l of `quads[4 i + j]` is column 4 l + j of rows 4 i to 4 i + 3.
    let mut quads = pairs;
    for i in 0..4 {
        for j in 0..2 {
            let (a, b) = (
                _mm512_castps_pd(pairs[4 * i + j]),
                _mm512_castps_pd(pairs[4 * i + j + 2]),
            );
            quads[4 * i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            quads[4 * i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    for j in 0..4 {
        let even = _mm512_shuffle_f32x4::<0x88>(quads[j], quads[4 + j]);
        let odd = _mm512_shuffle_f32x4::<0xdd>(quads[j], quads[4 + j]);
        let even_below = _mm512_shuffle_f32x4::<0x88>(quads[8 + j], quads[12 + j]);
        let odd_below = _mm512_shuffle_f32x4::<0xdd>(quads[8 + j], quads[12 + j]);
        rows[j] = _mm512_shuffle_f32x4::<0x88>(even, even_below);
        rows[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd, odd_below);
        rows[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even, even_below);
        rows[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_below);
    }
}

/// Defines the loops for one number type.
///
/// `$along` makes 16 units from `count` contiguous values, `$across` makes them from two rows, and `$multiply_add` is
/// the arithmetic.
macro_rules! kernels {
    ($features:literal, $per_unit:literal, $along:expr, $across:expr, $multiply_add:expr) => {
        pub(in super::super) const KERNELS: Kernels = Kernels {
            per_unit: $per_unit,
            step,
            panel_of_rows,
            panel_of_columns,
            strips,
            row,
        };

        /// # Safety
        /// The requirements are those of `Kernels::step`, on a machine with the features.
        unsafe fn step(step: &Step) {
            #[target_feature(enable = $features)]
            unsafe fn tile<const ROWS: usize, const VECTORS: usize>(step: &Step) {
                let Step {
                    mut a,
                    mut b,
                    c,
                    a_row,
                    ..
                } = *step;
                let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
                // SAFETY: the caller's pointers are valid for the step's sizes and strides.
                unsafe {
                    for _ in 0..step.units {
                        let mut right = [_mm512_setzero_ps(); VECTORS];
                        for (j, right) in right.iter_mut().enumerate() {
                            *right = _mm512_loadu_ps(b.add(LANES * j));
                        }
                        for (i, sums) in sums.iter_mut().enumerate() {
                            let left = _mm512_set1_ps(*a.add(i * a_row));
                            for (sum, &right) in sums.iter_mut().zip(&right) {
                                *sum = $multiply_add(*sum, left, right);
                            }
                        }
                        a = a.add(step.a_unit);
                        b = b.add(LANES * VECTORS);
                    }
                    for (i, sums) in sums.iter().enumerate() {
                        for (j, &sum) in sums.iter().enumerate() {
                            let c = c.add(i * step.c_row + LANES * j);
                            let sum = if step.add {
                                _mm512_add_ps(_mm512_loadu_ps(c), sum)
                            } else {
                                sum
                            };
                            _mm512_storeu_ps(c, sum);
                        }
                    }
                }
            }
            macro_rules! choose {
                ($vectors:literal) => {
                    match step.rows {
                        6 => tile::<6, $vectors>(step),
                        5 => tile::<5, $vectors>(step),
                        4 => tile::<4, $vectors>(step),
                        3 => tile::<3, $vectors>(step),
                        2 => tile::<2, $vectors>(step),
                        _ => tile::<1, $vectors>(step),
                    }
                };
            }
            // SAFETY: the caller ensures this, and the instance has the size of the step.
            unsafe {
                match step.vectors {
                    4 => choose!(4),
                    3 => choose!(3),
                    2 => choose!(2),
                    _ => choose!(1),
                }
            }
        }

        /// # Safety
        /// The requirements are those of `Kernels::panel`, on a machine with the features.
        #[target_feature(enable = $features)]
        unsafe fn panel_of_rows(from: Source, width: usize, panel: &mut [f32]) {
            for (unit, out) in panel.chunks_exact_mut(width).enumerate() {
                let row = unit * $per_unit;
                let pair = row + $per_unit - 1 < from.across;
                for (i, out) in out.chunks_exact_mut(LANES).enumerate() {
                    let mask = first_lanes(from.along.saturating_sub(i * LANES));
                    // SAFETY: masked to the values of the row. The second row is read only if it exists.
                    unsafe {
                        let first = from.first.add(row * from.stride + i * LANES);
                        let a = _mm512_maskz_loadu_ps(mask, first);
                        let b = if pair {
                            _mm512_maskz_loadu_ps(mask, first.add(($per_unit - 1) * from.stride))
                        } else {
                            _mm512_setzero_ps()
                        };
                        _mm512_storeu_ps(out.as_mut_ptr(), $across(a, b));
                    }
                }
            }
        }

        /// # Safety
        /// The requirements are those of `Kernels::panel`, on a machine with the features.
        #[target_feature(enable = $features)]
        unsafe fn panel_of_columns(from: Source, width: usize, panel: &mut [f32]) {
            let units = panel.len() / width;
            for unit in (0..units).step_by(LANES) {
                let values = from.along - unit * $per_unit;
                for first in (0..width).step_by(LANES) {
                    let mut block = [_mm512_setzero_ps(); LANES];
                    for (i, block) in block
                        .iter_mut()
                        .enumerate()
                        .take(from.across.saturating_sub(first))
                    {
                        // SAFETY: there are `values` values left in the column.
                        unsafe {
                            let column = from.first.add((first + i) * from.stride);
                            *block = $along(column.add(unit * $per_unit), values);
                        }
                    }
                    transpose(&mut block);
                    let out = panel[unit * width..].chunks_exact_mut(width);
                    for (out, block) in out.zip(block) {
                        // SAFETY: the slice has 16 elements.
                        unsafe { _mm512_storeu_ps(out[first..][..LANES].as_mut_ptr(), block) };
                    }
                }
            }
        }

        /// # Safety
        /// The requirements are those of `Kernels::strips`, on a machine with the features.
        #[target_feature(enable = $features)]
        unsafe fn strips(from: Source, strips: &mut [f32]) {
            // Rows of the source are read once for each strip, in small groups, so that they stay in the cache.
            const UNITS: usize = 64;
            let units = from.across.div_ceil($per_unit);
            let full = first_lanes(ROWS);
            for begin in (0..units).step_by(UNITS) {
                for (i, strip) in strips.chunks_exact_mut(units * ROWS).enumerate() {
                    let Some(cols) = from.along.checked_sub(i * ROWS).filter(|&cols| cols > 0)
                    else {
                        break;
                    };
                    let mask = first_lanes(cols.min(ROWS));
                    let strip = &mut strip[begin * ROWS..];
                    for (unit, out) in strip.chunks_exact_mut(ROWS).take(UNITS).enumerate() {
                        let row = (begin + unit) * $per_unit;
                        // SAFETY: masked to the values of the row and to the 6 of the strip. The second row is
                        // read only if it exists.
                        unsafe {
                            let first = from.first.add(row * from.stride + i * ROWS);
                            let a = _mm512_maskz_loadu_ps(mask, first);
                            let b = if row + $per_unit - 1 < from.across {
                                _mm512_maskz_loadu_ps(
                                    mask,
                                    first.add(($per_unit - 1) * from.stride),
                                )
                            } else {
                                _mm512_setzero_ps()
                            };
                            _mm512_mask_storeu_ps(out.as_mut_ptr(), full, $across(a, b));
                        }
                    }
                }
            }
        }

        /// # Safety
        /// The requirements are those of `Kernels::row`, on a machine with the features.
        #[target_feature(enable = $features)]
        unsafe fn row(source: &[f32], units: &mut [f32]) {
            let count = source.len().div_ceil($per_unit);
            for unit in (0..count).step_by(LANES) {
                let values = &source[unit * $per_unit..];
                // SAFETY: both are masked to the existing values.
                unsafe {
                    let packed = $along(values.as_ptr(), values.len());
                    let out = units[unit..].as_mut_ptr();
                    _mm512_mask_storeu_ps(out, first_lanes(count - unit), packed);
                }
            }
        }
    };
}

/// The loops for single precision, in which a unit is one value.
pub(super) mod f32 {
    use std::arch::x86_64::{
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
        _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::super::{Kernels, LANES, ROWS, Source, Step};
    use super::{first_lanes, transpose};

    kernels!(
        "avx512f",
        1,
        |from, count| _mm512_maskz_loadu_ps(first_lanes(count), from),
        |a, _| a,
        |sum, left, right| _mm512_fmadd_ps(left, right, sum)
    );
}

/// The loops for operands in bfloat16 and sums in f32, in which a unit is a pair of neighbors.
pub(super) mod bf16 {
    use std::arch::x86_64::{
        __m256bh, __m256i, __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_castsi512_ps,
        _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_dpbf16_ps,
        _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_or_si512,
        _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_storeu_ps,
    };
    use std::mem::transmute;

    use super::super::{Kernels, LANES, ROWS, Source, Step};
    use super::{first_lanes, transpose};

    kernels!(
        "avx512f,avx512bf16",
        2,
        |from: *const f32, count: usize| {
            let low = _mm512_maskz_loadu_ps(first_lanes(count), from);
            let rest = first_lanes(count.saturating_sub(LANES));
            let high = _mm512_maskz_loadu_ps(rest, from.wrapping_add(LANES));
            transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low))
        },
        |a, b| {
            let widen =
                |x| _mm512_cvtepu16_epi32(transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)));
            let (low, high): (__m512i, __m512i) = (widen(a), widen(b));
            _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32::<16>(high)))
        },
        |sum, left, right| _mm512_dpbf16_ps(
            sum,
            transmute::<__m512, __m512bh>(left),
            transmute::<__m512, __m512bh>(right)
        )
    );
}
