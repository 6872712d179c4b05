//! What the CPU forms of the ops share: opening tensors as slices, output buffers, row blocks.

pub(crate) mod gemm;
pub(crate) mod product;
pub(crate) mod scratch;
pub(crate) mod shared;
pub(crate) mod simd;

use std::cell::Cell;
use std::ops::{Deref, Range};

use candle_core::{
    CpuStorage, InplaceOp1, Layout, Result, Storage, StorageRef, Tensor, WithDType, bail,
};
use rayon::prelude::*;

/// Rows of one rayon task in row-wise passes. Partial sums are formed per block and added in order,
/// so that results do not depend on the number of threads.
pub(crate) const ROWS_PER_TASK: usize = 32;

/// The elements of a contiguous CPU storage.
pub(crate) fn slice<'a, T: WithDType>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [T]> {
    let range = contiguous(op, layout)?;
    Ok(&storage.as_slice::<T>()?[range])
}

/// The elements of a contiguous CPU storage, for writing.
fn slice_mut<'a>(
    op: &'static str,
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> Result<&'a mut [f32]> {
    let range = contiguous(op, layout)?;
    match storage {
        CpuStorage::F32(data) => Ok(&mut data[range]),
        _ => bail!("{op}: expected f32 storage"),
    }
}

fn contiguous(op: &'static str, layout: &Layout) -> Result<Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => bail!(
            "{op}: expected a contiguous tensor, found strides {:?}",
            layout.stride()
        ),
    }
}

/// A tensor opened for reading; dereferences to its elements.
pub(crate) struct Read<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl Deref for Read<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => &data[self.range.clone()],
            // `read` is the only constructor and refuses every other storage.
            _ => &[],
        }
    }
}

/// Opens a contiguous f32 tensor in CPU memory, outside of an op's forward pass.
pub(crate) fn read<'a>(op: &'static str, tensor: &'a Tensor) -> Result<Read<'a>> {
    let (storage, layout) = tensor.storage_and_layout();
    let range = contiguous(op, layout)?;
    match &*storage {
        Storage::Cpu(CpuStorage::F32(_)) => Ok(Read { storage, range }),
        _ => bail!(
            "{op}: expected an f32 tensor on the CPU, found {:?} on {:?}",
            tensor.dtype(),
            tensor.device().location()
        ),
    }
}

/// Gives `f` the elements of a contiguous f32 tensor to write in place.
pub(crate) fn write<R>(
    op: &'static str,
    tensor: &Tensor,
    f: impl FnOnce(&mut [f32]) -> R,
) -> Result<R> {
    let result = Cell::new(None);
    let write = Cell::new(Some(|data: &mut [f32]| result.set(Some(f(data)))));
    tensor.inplace_op1(&Write { op, write })?;
    match result.into_inner() {
        Some(result) => Ok(result),
        None => bail!("{op}: the tensor was not opened for writing"),
    }
}

/// The in-place op behind `write`: candle hands out mutable storage in no other way.
struct Write<F> {
    op: &'static str,
    write: Cell<Option<F>>,
}

impl<F: FnOnce(&mut [f32])> InplaceOp1 for Write<F> {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let data = slice_mut(self.op, storage, layout)?;
        if let Some(write) = self.write.take() {
            write(data);
        }
        Ok(())
    }
}

/// A vector of `len` elements for an op to write; its contents are unspecified until then.
///
/// Clearing fresh pages was 40 % of a training step in plain candle, so release builds do not. Debug
/// builds fill with NaN, so that an op that leaves an element unwritten fails its tests.
pub(crate) fn output(len: usize) -> Vec<f32> {
    if cfg!(debug_assertions) {
        return vec![f32::NAN; len];
    }
    let mut data = Vec::with_capacity(len);
    // SAFETY: the capacity is `len`. Every op writes each element of its output before it or anybody
    // else reads one (gemm does not read its destination when beta is 0); the debug build's NaN
    // filling checks that. f32 has no invalid bit patterns and nothing to drop.
    #[allow(clippy::uninit_vec)]
    unsafe {
        data.set_len(len)
    };
    data
}

/// `sums` (D) = `beta` * `sums` + the sum over the rows of `x` (rows, D).
pub(crate) fn column_sums(x: &[f32], sums: &mut [f32], beta: f32) {
    // A stripe of columns per task: each column is summed by one task in row order.
    const STRIPE: usize = 64;
    let cols = sums.len();
    sums.par_chunks_mut(STRIPE)
        .enumerate()
        .for_each(|(i, sums)| {
            let mut total = [0.0f64; STRIPE];
            let total = &mut total[..sums.len()];
            simd::vectorised!({
                // Sums of sums, the outer ones in f64: the rounding error of a long chain grows with its
                // length, and gradients of biases may all but cancel.
                for rows in x.chunks(ROWS_PER_TASK * cols) {
                    let mut part = [0.0f32; STRIPE];
                    for row in rows.chunks_exact(cols) {
                        let row = &row[i * STRIPE..][..total.len()];
                        for (part, &v) in part.iter_mut().zip(row) {
                            *part += v;
                        }
                    }
                    for (total, part) in total.iter_mut().zip(part) {
                        *total += f64::from(part);
                    }
                }
            });
            for (sum, &total) in sums.iter_mut().zip(&*total) {
                *sum = match beta {
                    0.0 => total as f32, // the old value may be unset
                    _ => (f64::from(beta * *sum) + total) as f32,
                };
            }
        });
}

/// `sums` = `beta` * `sums` + `x`; with `beta` 0 the old values, which may be unset, are not read.
pub(crate) fn add_scaled(sums: &mut [f32], beta: f32, x: &[f32]) {
    if beta == 0.0 {
        sums.copy_from_slice(x);
    } else {
        for (sum, &x) in sums.iter_mut().zip(x) {
            *sum = beta * *sum + x;
        }
    }
}
