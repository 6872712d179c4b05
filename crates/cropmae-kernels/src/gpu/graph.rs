//! Results of kernels as nodes of candle's graph.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use super::queue::Buffer;

/// The gradients of up to three inputs.
pub(super) type Grads = [Option<Tensor>; 3];

/// `y` as the result of the op `name` on `inputs`, of which there are one to three. `backward` gets the gradient
/// of `y`, contiguous, and returns those of the inputs; weights that it writes to their slots are not among them.
///
/// Without a tracked input the result has no history, and what `backward` holds is freed.
pub(super) fn attach(
    name: &'static str,
    y: Buffer,
    inputs: &[&Tensor],
    backward: impl Fn(&Tensor) -> Result<Grads> + Send + Sync + 'static,
) -> Result<Tensor> {
    let [first, others @ ..] = inputs else {
        bail!("{name}: an op needs an input");
    };
    if !inputs.iter().any(|input| input.track_op()) {
        return Ok(y.into_tensor());
    }
    let second = others.first().unwrap_or(first);
    let third = others.get(1).unwrap_or(first);
    let node = Node {
        name,
        y: Mutex::new(Some(y)),
        backward: Box::new(backward),
    };
    first.apply_op3(second, third, node)
}

type Backward = dyn Fn(&Tensor) -> Result<Grads> + Send + Sync;

struct Node {
    name: &'static str,
    /// The result, which is there before the node.
    y: Mutex<Option<Buffer>>,
    backward: Box<Backward>,
}

impl Node {
    fn take(&self) -> Result<(Storage, Shape)> {
        let mut y = self.y.lock().unwrap_or_else(PoisonError::into_inner);
        match y.take() {
            Some(y) => Ok(y.into_parts()),
            None => bail!("{}: the result was taken before", self.name),
        }
    }
}

impl CustomOp3 for Node {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        match self.take()? {
            (Storage::Cpu(storage), shape) => Ok((storage, shape)),
            _ => bail!("{}: the result is on another device", self.name),
        }
    }

    fn cuda_fwd(
        &self,
        _: &candle_core::CudaStorage,
        _: &Layout,
        _: &candle_core::CudaStorage,
        _: &Layout,
        _: &candle_core::CudaStorage,
        _: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        match self.take()? {
            (Storage::Cuda(storage), shape) => Ok((storage, shape)),
            _ => bail!("{}: the result is on another device", self.name),
        }
    }

    fn metal_fwd(
        &self,
        _: &candle_core::MetalStorage,
        _: &Layout,
        _: &candle_core::MetalStorage,
        _: &Layout,
        _: &candle_core::MetalStorage,
        _: &Layout,
    ) -> Result<(candle_core::MetalStorage, Shape)> {
        match self.take()? {
            (Storage::Metal(storage), shape) => Ok((storage, shape)),
            _ => bail!("{}: the result is on another device", self.name),
        }
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [first, second, third] = (self.backward)(&dy.contiguous()?)?;
        Ok((first, second, third))
    }
}
