//! Dropout (Srivastava et al., JMLR 2014) whose mask is a function of a key and a position.
//!
//! Nothing is stored for the backward pass, and the mask is the same for any number of threads and on
//! any device: element (row, column) is dropped when a hash of (key, row, column) falls below p. The
//! row's share of the hash is SplitMix64 (Steele et al., OOPSLA 2014), the column's is the 32-bit mixer
//! "lowbias32" (Wellons, 2018) with the row's two words mixed in, cheap enough to vectorise.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::check;
use crate::cpu::simd::vectorised;
use crate::cpu::{self, ROWS_PER_TASK};
use crate::portable;

/// Dropout of one call site in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Chance of dropping an element, in 0..1; the others are scaled by 1 / (1 - p).
    pub p: f32,
    /// Names the call site and the step.
    pub key: u64,
}

impl Dropout {
    /// Refuses a chance out of range.
    pub(crate) fn check(self, op: &'static str) -> Result<()> {
        if !(0.0..1.0).contains(&self.p) {
            bail!("{op}: dropout p is {}, expected 0 <= p < 1", self.p);
        }
        Ok(())
    }

    /// The mask of one row.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> RowMask {
        let words = splitmix64(self.key ^ splitmix64(row as u64));
        RowMask {
            words: [words as u32, (words >> 32) as u32],
            // Exact in f64: p * 2^32 rounds to the nearest of 2^32 chances.
            threshold: (f64::from(self.p) * 4_294_967_296.0) as u32,
            scale: 1.0 / (1.0 - self.p),
        }
    }
}

/// Which elements of a row are dropped.
#[derive(Clone, Copy)]
pub(crate) struct RowMask {
    words: [u32; 2],
    threshold: u32,
    scale: f32,
}

impl RowMask {
    /// What the element in `col` is multiplied by: 0 or 1 / (1 - p).
    #[inline(always)]
    pub(crate) fn factor(self, col: usize) -> f32 {
        let mut h = (col as u32) ^ self.words[0];
        h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
        h = (h ^ (h >> 15))
            .wrapping_add(self.words[1])
            .wrapping_mul(0x846c_a68b);
        h ^= h >> 16;
        if h < self.threshold { 0.0 } else { self.scale }
    }

    /// Multiplies a row by its mask.
    #[inline(always)]
    pub(crate) fn apply(self, row: &mut [f32]) {
        for (col, x) in row.iter_mut().enumerate() {
            *x *= self.factor(col);
        }
    }
}

fn splitmix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// `x` (.., D) with elements dropped by `dropout`.
///
/// # Errors
/// If `x` is not f32 or has no dimension, or p is not in 0..1.
pub fn dropout(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    check::float("dropout", "x", x)?;
    check::last_dim("dropout", "x", x)?;
    dropout.check("dropout")?;
    if portable::needed(x) {
        return portable::dropout(x, dropout);
    }
    x.contiguous()?.apply_op1(DropoutOp(dropout))
}

struct DropoutOp(Dropout);

impl CustomOp1 for DropoutOp {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let cols = layout.dims().last().copied().unwrap_or(1);
        let y = masked(cpu::slice(self.name(), x, layout)?, cols, self.0);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let dx = masked(
            &cpu::read(self.name(), &dy)?,
            x.dim(candle_core::D::Minus1)?,
            self.0,
        );
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

/// `x` (rows, cols) times its mask.
pub(crate) fn masked(x: &[f32], cols: usize, dropout: Dropout) -> Vec<f32> {
    let mut y = cpu::output(x.len());
    let block = ROWS_PER_TASK * cols.max(1);
    y.par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .enumerate()
        .for_each(|(i, (y, x))| {
            vectorised!({
                let rows = y.chunks_exact_mut(cols).zip(x.chunks_exact(cols));
                for (row, (y, x)) in rows.enumerate() {
                    let mask = dropout.row(i * ROWS_PER_TASK + row);
                    for (col, (y, &x)) in y.iter_mut().zip(x).enumerate() {
                        *y = x * mask.factor(col);
                    }
                }
            });
        });
    y
}
