//! Dropout in one pass.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};

use super::ROWS_PER_TASK;
use super::output::{Unset, output};
use super::simd::vectorized;
use super::tensor::{read, slice};
use crate::args::Dropout;

/// Drops elements of `x`.
pub(crate) fn dropout(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    x.contiguous()?.apply_op1(DropoutOp(dropout))
}

struct DropoutOp(Dropout);

impl CustomOp1 for DropoutOp {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let cols = layout.dims().last().copied().unwrap_or(1);
        let x = slice(self.name(), x, layout)?;
        let y = output(x.len(), |y| Ok(masked(x, cols, self.0, y)))?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let dy = read(self.name(), &dy)?;
        let cols = x.dim(D::Minus1)?;
        let dx = output(dy.len(), |dx| Ok(masked(&dy, cols, self.0, dx)))?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

/// Computes `y` = `x` (rows, cols) times its mask.
pub(super) fn masked<'y>(x: &[f32], cols: usize, dropout: Dropout, y: Unset<'y>) -> &'y mut [f32] {
    y.par_blocks(ROWS_PER_TASK * cols, |block, y| {
        let y = vectorized!(y.blocks(
            cols,
            #[inline(always)]
            |row, y| {
                let row = block * ROWS_PER_TASK + row;
                let (x, mask) = (&x[row * cols..][..cols], dropout.row(row));
                y.fill(x.iter().enumerate().map(
                    #[inline(always)]
                    |(col, &x)| x * mask.factor(col),
                ))
            }
        ));
        (y, ())
    })
    .0
}
