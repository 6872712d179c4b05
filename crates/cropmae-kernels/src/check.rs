//! What the ops ask of their inputs, with messages that name the op and the tensor.

use candle_core::{D, DType, Result, Tensor, bail};

/// The tensor must hold f32.
pub(crate) fn float(op: &'static str, name: &str, x: &Tensor) -> Result<()> {
    if x.dtype() != DType::F32 {
        bail!("{op}: {name} is {:?}, expected f32", x.dtype());
    }
    Ok(())
}

/// The tensor must be f32 of just this shape.
pub(crate) fn shape(op: &'static str, name: &str, x: &Tensor, expected: &[usize]) -> Result<()> {
    float(op, name, x)?;
    if x.dims() != expected {
        bail!(
            "{op}: {name} has shape {:?}, expected {expected:?}",
            x.dims()
        );
    }
    Ok(())
}

/// The tensor must be f32 with three dimensions, which are returned.
pub(crate) fn dims3(op: &'static str, name: &str, x: &Tensor) -> Result<(usize, usize, usize)> {
    float(op, name, x)?;
    match *x.dims() {
        [a, b, c] => Ok((a, b, c)),
        _ => bail!(
            "{op}: {name} has shape {:?}, expected three dimensions",
            x.dims()
        ),
    }
}

/// Indices (B, K) u32, each below `limit`; K is returned.
pub(crate) fn ids(op: &'static str, name: &str, ids: &Tensor, batch: usize) -> Result<usize> {
    match *ids.dims() {
        [b, k] if b == batch && ids.dtype() == DType::U32 => Ok(k),
        _ => bail!(
            "{op}: {name} is {:?} of shape {:?}, expected u32 of ({batch}, K)",
            ids.dtype(),
            ids.dims()
        ),
    }
}

/// Every index must be below `limit`.
pub(crate) fn ids_below(op: &'static str, name: &str, ids: &[u32], limit: usize) -> Result<()> {
    match ids.iter().find(|&&id| id as usize >= limit) {
        Some(id) => bail!("{op}: {name} holds {id}, expected indices below {limit}"),
        None => Ok(()),
    }
}

/// The size of the last dimension, not 0.
pub(crate) fn last_dim(op: &'static str, name: &str, x: &Tensor) -> Result<usize> {
    match x.dim(D::Minus1) {
        Ok(d) if d > 0 => Ok(d),
        _ => bail!(
            "{op}: {name} has shape {:?}, expected a last dimension of 1 or more",
            x.dims()
        ),
    }
}
