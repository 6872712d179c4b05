//! Checks the inputs of ops.
//!
//! All checks run before an op is dispatched, so that all backends reject the same calls with the same messages, which
//! contain the names of the op and the tensor.

use candle_core::{D, DType, Device, Result, Tensor, bail};

use crate::args::{Dropout, Norm, PatchPixels};
use crate::backend::Backend;
use crate::compute::Policy;

/// The checks of one call of an op. Its first tensor determines the backend, the device and the number type.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    op: &'static str,
    device: &'a Device,
    dtype: DType,
    /// The backend that the call is dispatched to.
    pub(crate) backend: Backend,
}

impl<'a> Inputs<'a> {
    /// Starts with the tensor `first`, which must be f32. The reference also accepts f64 for tests.
    pub(crate) fn new(op: &'static str, name: &str, first: &'a Tensor) -> Result<Self> {
        let (device, backend) = (first.device(), Backend::of(first.device()));
        let dtype = match (backend, first.dtype()) {
            (_, DType::F32) => DType::F32,
            (Backend::Reference, DType::F64) => DType::F64,
            (_, other) => bail!("{op}: {name} is {other:?}, expected f32"),
        };
        Ok(Self {
            op,
            device,
            dtype,
            backend,
        })
    }

    /// Checks that a tensor has the type and the device of the first one.
    pub(crate) fn float(&self, name: &str, x: &Tensor) -> Result<()> {
        let op = self.op;
        if x.dtype() != self.dtype {
            let expected = self.dtype.as_str();
            bail!("{op}: {name} is {:?}, expected {expected}", x.dtype());
        }
        self.device(name, x)
    }

    fn device(&self, name: &str, x: &Tensor) -> Result<()> {
        if !x.device().same_device(self.device) {
            bail!(
                "{}: {name} is on {:?}, expected {:?} like the first tensor",
                self.op,
                x.device().location(),
                self.device.location()
            );
        }
        Ok(())
    }

    /// Checks that a tensor is a float tensor with exactly this shape.
    pub(crate) fn shape(&self, name: &str, x: &Tensor, expected: &[usize]) -> Result<()> {
        self.float(name, x)?;
        if x.dims() != expected {
            bail!(
                "{}: {name} has shape {:?}, expected {expected:?}",
                self.op,
                x.dims()
            );
        }
        Ok(())
    }

    /// Checks that a tensor is a float tensor with three dimensions, and returns the dimensions.
    pub(crate) fn dims3(&self, name: &str, x: &Tensor) -> Result<(usize, usize, usize)> {
        self.float(name, x)?;
        match *x.dims() {
            [a, b, c] => Ok((a, b, c)),
            _ => bail!(
                "{}: {name} has shape {:?}, expected three dimensions",
                self.op,
                x.dims()
            ),
        }
    }

    /// Checks patches, which have no gradient, and returns their dimensions (B, N, V).
    pub(crate) fn pixels(&self, name: &str, pixels: &PatchPixels) -> Result<(usize, usize, usize)> {
        let op = self.op;
        match pixels {
            PatchPixels::Values(values) => {
                self.untracked(name, values)?;
                self.dims3(name, values)
            }
            PatchPixels::Bytes { bytes, table } => {
                self.device(name, bytes)?;
                self.shape("the table of bytes", table, &[3, 256])?;
                match *bytes.dims() {
                    [b, n, values] if bytes.dtype() == DType::U8 && values % 3 == 0 => {
                        Ok((b, n, values))
                    }
                    _ => bail!(
                        "{op}: {name} is {:?} of shape {:?}, expected u8 of (B, N, P*P*3)",
                        bytes.dtype(),
                        bytes.dims()
                    ),
                }
            }
        }
    }

    /// Returns the size of the last dimension, which must not be 0.
    pub(crate) fn last_dim(&self, name: &str, x: &Tensor) -> Result<usize> {
        self.float(name, x)?;
        match x.dim(D::Minus1) {
            Ok(d) if d > 0 => Ok(d),
            _ => bail!(
                "{}: {name} has shape {:?}, expected a last dimension of 1 or more",
                self.op,
                x.dims()
            ),
        }
    }

    /// Checks that indices are u32 of shape (`batch`, K) and below `limit`, and returns their values, row after row.
    ///
    /// Accelerators with kernels are not waited for: no values are returned, and a kernel that finds an index out of range
    /// writes NaN.
    pub(crate) fn ids(
        &self,
        name: &str,
        ids: &Tensor,
        (batch, limit): (usize, usize),
    ) -> Result<Vec<u32>> {
        let op = self.op;
        match *ids.dims() {
            [b, _] if b == batch && ids.dtype() == DType::U32 => {}
            _ => bail!(
                "{op}: {name} is {:?} of shape {:?}, expected u32 of ({batch}, K)",
                ids.dtype(),
                ids.dims()
            ),
        }
        self.device(name, ids)?;
        if self.backend == Backend::Gpu && !ids.device().is_cpu() {
            return Ok(Vec::new());
        }
        let ids = ids.flatten_all()?.to_vec1::<u32>()?;
        match ids.iter().find(|&&id| id as usize >= limit) {
            Some(id) => bail!("{op}: {name} holds {id}, expected indices below {limit}"),
            None => Ok(ids),
        }
    }

    /// Checks that a weight is a variable or a constant.
    ///
    /// The gradient of the result of another op would be lost, because candle passes gradients to at most three inputs
    /// of an op.
    pub(crate) fn leaf(&self, name: &str, weight: &Tensor) -> Result<()> {
        if weight.track_op() && !weight.is_variable() {
            bail!(
                "{}: {name} is the result of another op, its gradient would be lost: \
                 pass the variable itself, or detach it",
                self.op
            );
        }
        Ok(())
    }

    /// Checks that a tensor is not tracked, because the op computes no gradient for it.
    pub(crate) fn untracked(&self, name: &str, x: &Tensor) -> Result<()> {
        if x.track_op() {
            bail!(
                "{}: {name} is tracked, but it gets no gradient: detach it",
                self.op
            );
        }
        Ok(())
    }

    /// Checks a linear layer on rows of `d_in` elements: weight (Dout, Din) and bias (Dout), both leaves. Returns Dout.
    pub(crate) fn layer(
        &self,
        name: &str,
        (weight, bias): (&Tensor, &Tensor),
        d_in: usize,
    ) -> Result<usize> {
        let (weight_name, bias_name) = (format!("{name}.weight"), format!("{name}.bias"));
        let d_out = self.last_dim(&bias_name, bias)?;
        self.shape(&bias_name, bias, &[d_out])?;
        self.shape(&weight_name, weight, &[d_out, d_in])?;
        self.leaf(&weight_name, weight)?;
        self.leaf(&bias_name, bias)?;
        Ok(d_out)
    }

    /// Checks a layer norm over `d` elements inside of a block: weight (D) and bias (D), both leaves.
    pub(crate) fn norm(&self, norm: Norm, d: usize) -> Result<()> {
        for (name, weight) in [("norm.weight", norm.weight), ("norm.bias", norm.bias)] {
            self.shape(name, weight, &[d])?;
            self.leaf(name, weight)?;
        }
        Ok(())
    }

    /// Checks attention from `queries` tokens to `keys` tokens in each of `batch` samples.
    pub(crate) fn heads(
        &self,
        (batch, queries, keys): (usize, usize, usize),
        width: usize,
        num_heads: usize,
    ) -> Result<()> {
        let op = self.op;
        if num_heads == 0 || width == 0 || !width.is_multiple_of(num_heads) {
            bail!("{op}: width {width} does not divide into {num_heads} heads");
        }
        if batch == 0 || queries == 0 || keys == 0 {
            bail!(
                "{op}: batch {batch}, {queries} queries, {keys} keys: expected at least one of each"
            );
        }
        Ok(())
    }

    /// Checks that the probability of dropping an element is in 0..1.
    pub(crate) fn dropout(&self, dropout: Option<Dropout>) -> Result<()> {
        match dropout {
            Some(Dropout { p, .. }) if !(0.0..1.0).contains(&p) => {
                bail!("{}: dropout p is {p}, expected 0 <= p < 1", self.op)
            }
            _ => Ok(()),
        }
    }

    /// Checks that the backend can recompute blocks if it is requested.
    pub(crate) fn policy(&self, policy: Policy) -> Result<()> {
        if policy.recompute && !self.backend.recomputes() {
            bail!(
                "{}: blocks cannot be computed again in the backward pass on {:?}, where all activations \
                 are kept: run without recomputation",
                self.op,
                self.device.location()
            );
        }
        Ok(())
    }
}
