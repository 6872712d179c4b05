//! Linear layers: products of the device with f32 sums, on operands of either precision.

use candle_core::{Result, Tensor, bail};

use super::THREADS;
use super::columns::{Partial, Sums};
use super::grad::Grad;
use super::graph::attach;
use super::queue::{Arg, Buffer, Grid, Matrix, Plus, Product, Queue};
use crate::compute::Compute;
use crate::gradients;

/// `CAST_ELEMENTS` of cast.h.
const CAST_ELEMENTS: usize = 4096;

/// An f32 tensor as operands of products.
pub(super) fn operand(queue: &Queue, x: &Tensor) -> Result<Tensor> {
    if queue.compute == Compute::F32 {
        return Ok(x.detach());
    }
    let mut y = queue.operand(x.dims())?;
    let length = x.elem_count();
    let args = [Arg::In(x), Arg::Out(&mut y), Arg::Size(length)];
    let grid = Grid::row(length.div_ceil(CAST_ELEMENTS).max(1), THREADS)?;
    queue.launch("cast", grid, args)?;
    Ok(y.into_tensor())
}

/// Operands of products in f32, to leave an op.
pub(super) fn float(queue: &Queue, x: &Tensor) -> Result<Buffer> {
    let mut y = queue.float(x.dims())?;
    let length = x.elem_count();
    let args = [Arg::In(x), Arg::Out(&mut y), Arg::Size(length)];
    let grid = Grid::row(length.div_ceil(CAST_ELEMENTS).max(1), THREADS)?;
    queue.launch("widen", grid, args)?;
    Ok(y)
}

/// Contiguous f32 tensors as operands of products, in one launch.
fn operands(queue: &Queue, tensors: &[&Tensor]) -> Result<Vec<Tensor>> {
    if queue.compute == Compute::F32 {
        return Ok(tensors.iter().map(|tensor| tensor.detach()).collect());
    }
    let (mut work, mut first) = (Vec::new(), 0);
    for (i, tensor) in tensors.iter().enumerate() {
        let length = tensor.elem_count();
        for begin in (0..length).step_by(CAST_ELEMENTS) {
            work.extend([i, begin, length.min(begin + CAST_ELEMENTS), first]);
        }
        first += length;
    }
    let mut y = queue.operand(first)?;
    let grid = Grid::row(work.len() / 4, THREADS)?;
    let work = queue.sizes(&work)?;
    let args = [Arg::InList(tensors), Arg::Out(&mut y), Arg::In(&work)];
    queue.launch("cast_all", grid, args)?;
    let y = y.into_tensor();
    let mut first = 0;
    let views = tensors.iter().map(|tensor| {
        let view = y.narrow(0, first, tensor.elem_count())?;
        first += tensor.elem_count();
        view.reshape(tensor.shape())
    });
    views.collect()
}

/// A layer's weights, with the weight as an operand of products.
pub(super) struct Layer {
    weight: Tensor,
    bias: Tensor,
    operand: Tensor,
}

impl Layer {
    /// Layers of `(weight, bias)`.
    pub(super) fn all<const N: usize>(
        queue: &Queue,
        weights: [(&Tensor, &Tensor); N],
    ) -> Result<[Self; N]> {
        match <[Self; N]>::try_from(Self::list(queue, &weights)?) {
            Ok(layers) => Ok(layers),
            Err(_) => bail!("a layer is missing"),
        }
    }

    /// Layers of `(weight, bias)`, whose weights become operands in one launch.
    pub(super) fn list(queue: &Queue, weights: &[(&Tensor, &Tensor)]) -> Result<Vec<Self>> {
        let contiguous = weights
            .iter()
            .map(|(weight, bias)| Ok((weight.contiguous()?, bias.contiguous()?)));
        let contiguous = contiguous.collect::<Result<Vec<_>>>()?;
        let tensors: Vec<&Tensor> = contiguous.iter().map(|(weight, _)| weight).collect();
        let operands = operands(queue, &tensors)?;
        let layers = contiguous.into_iter().zip(operands);
        let layers = layers.map(|((weight, bias), operand)| Self {
            weight,
            bias,
            operand,
        });
        Ok(layers.collect())
    }

    pub(super) fn tensors(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    pub(super) fn d_out(&self) -> usize {
        self.bias.elem_count()
    }

    fn w(&self) -> Result<Matrix<'_>> {
        Matrix::rows(&self.operand)
    }

    /// `x` W^T + b into `y`, of either type. In f32 `residual` is added.
    pub(super) fn forward(
        &self,
        queue: &Queue,
        x: &Tensor,
        residual: Option<&Tensor>,
        y: &mut Buffer,
    ) -> Result<()> {
        let product = Product {
            left: Matrix::rows(x)?,
            right: self.w()?.t(),
            bias: Some(&self.bias),
            plus: residual.map_or(Plus::Nothing, Plus::Tensor),
        };
        queue.product(&product, Arg::Out(y))
    }

    /// `dy` W into `dx`, of either type.
    pub(super) fn backward_input(&self, queue: &Queue, dy: &Tensor, dx: &mut Buffer) -> Result<()> {
        let product = Product {
            left: Matrix::rows(dy)?,
            right: self.w()?,
            bias: None,
            plus: Plus::Nothing,
        };
        queue.product(&product, Arg::Out(dx))
    }

    /// Adds `dy`^T `x` to the slot of the weight. Returns what candle has to pass on.
    pub(super) fn backward_weight(
        &self,
        queue: &Queue,
        op: &'static str,
        dy: &Tensor,
        x: &Tensor,
    ) -> Result<Option<Tensor>> {
        let Some(slot) = gradients::slot(op, &self.weight)? else {
            return Ok(None);
        };
        let product = Product {
            left: Matrix::rows(dy)?.t(),
            right: Matrix::rows(x)?,
            bias: None,
            plus: if slot.beta == 0.0 {
                Plus::Nothing
            } else {
                Plus::Output
            },
        };
        queue.product(&product, Arg::Update(&slot.tensor))?;
        Ok(slot.returned())
    }

    /// Adds the gradient of the bias, whose sums over blocks of rows are `partial`, to `sums`.
    pub(super) fn backward_bias(
        &self,
        op: &'static str,
        partial: &Partial,
        sums: &mut Sums,
    ) -> Result<()> {
        sums.add(op, &self.bias, partial)
    }
}

/// x W^T + b.
pub(crate) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    compute: Compute,
) -> Result<Tensor> {
    const OP: &str = "linear";
    let queue = Queue::of(x.device(), compute)?;
    let x = x.contiguous()?;
    let [layer] = Layer::all(&queue, [(weight, bias)])?;
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = layer.d_out();
    }
    let mut y = queue.float(shape)?;
    let rows = operand(&queue, &x)?;
    layer.forward(&queue, &rows, None, &mut y)?;
    let inputs = [x.clone(), layer.weight.clone(), layer.bias.clone()];
    attach(OP, y, &inputs.each_ref(), move |dy| {
        let dy = Grad::new(&queue, dy)?;
        let dx = if x.track_op() {
            let mut dx = queue.float(x.dims())?;
            layer.backward_input(&queue, &dy.operand, &mut dx)?;
            Some(dx.into_tensor())
        } else {
            None
        };
        let dweight = layer.backward_weight(&queue, OP, &dy.operand, &rows)?;
        let mut sums = Sums::default();
        layer.backward_bias(OP, &dy.sums, &mut sums)?;
        let [dbias] = sums.finish(&queue, [&layer.bias])?;
        Ok([dx, dweight, dbias])
    })
}
