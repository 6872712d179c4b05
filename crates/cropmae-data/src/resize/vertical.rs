//! Filters down columns, many of them side by side.

use pulp::{Simd, WithSimd};

use super::kernel::Kernel;
use super::{HALF, Rows, to_byte};

/// The number of bytes of a row that are summed in registers at a time.
const LANES: usize = 32;

/// Filters down each column: `(H, row)` to `(outputs, row)`.
pub(super) fn filter_columns(source: Rows, kernel: &Kernel, out: &mut [u8]) {
    pulp::Arch::new().dispatch(FilterColumns {
        source,
        kernel,
        out,
    });
}

struct FilterColumns<'a> {
    source: Rows<'a>,
    kernel: &'a Kernel,
    out: &'a mut [u8],
}

impl WithSimd for FilterColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            source,
            kernel,
            out,
        } = self;
        for (out, (first, weights)) in out.chunks_exact_mut(source.row_bytes).zip(kernel.outputs())
        {
            let (blocks, rest) = out.as_chunks_mut::<LANES>();
            let rest_start = blocks.len() * LANES;
            for (block, out) in blocks.iter_mut().enumerate() {
                let mut sums = [HALF; LANES];
                for (y, weight) in (first..).zip(weights) {
                    let row = &source.row(y)[block * LANES..][..LANES];
                    for (sum, &value) in sums.iter_mut().zip(row) {
                        *sum += weight * i32::from(value);
                    }
                }
                for (byte, &sum) in out.iter_mut().zip(&sums) {
                    *byte = to_byte(sum);
                }
            }
            for (column, byte) in (rest_start..).zip(rest) {
                let rows = (first..).zip(weights);
                let sum: i32 = rows
                    .map(|(y, w)| w * i32::from(source.row(y)[column]))
                    .sum();
                *byte = to_byte(HALF + sum);
            }
        }
    }
}
