//! Accesses tensors as slices: to read them, to write them in place, and to write gradients to their slots.

use std::cell::Cell;
use std::ops::{Deref, Range};

use candle_core::{
    CpuStorage, InplaceOp1, Layout, Result, Storage, StorageRef, Tensor, WithDType, bail,
};

use crate::gradients;

/// Returns the elements of a contiguous CPU storage.
pub(crate) fn slice<'a, T: WithDType>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [T]> {
    let range = contiguous(op, layout)?;
    Ok(&storage.as_slice::<T>()?[range])
}

/// Returns the elements of a contiguous CPU storage, for writing.
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

/// A tensor opened for reading, which dereferences to its elements.
pub(crate) struct Read<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl Deref for Read<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => &data[self.range.clone()],
            // `read` is the only constructor and rejects every other storage.
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

/// Calls `f` with the elements of a contiguous f32 tensor, to write them in place.
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

/// The in-place op of `write`. There is no other way to get mutable storage from candle.
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

/// Adds the gradient of `weight` to its slot.
///
/// `write(sums, beta)` must set `sums` to `beta` * `sums` + gradient, and must not read `sums` if `beta` is 0. It is not
/// called for a constant. Returns the gradient if candle has to propagate it.
pub(super) fn write_gradient(
    op: &'static str,
    weight: &Tensor,
    write: impl FnOnce(&mut [f32], f32),
) -> Result<Option<Tensor>> {
    let Some(slot) = gradients::slot(op, weight)? else {
        return Ok(None);
    };
    self::write(op, &slot.tensor, |data| write(data, slot.beta))?;
    Ok(slot.returned())
}
