//! The feed-forward part of a transformer layer. The pre-activations are kept; the activations are computed again.

use candle_core::{Result, Tensor};

use super::columns::{self, Partial, Sums};
use super::dropout::Mask;
use super::grad::Grad;
use super::graph::attach;
use super::layer_norm::matrix;
use super::linear::{Layer, operand};
use super::queue::{Arg, Buffer, Queue};
use crate::args::Dropout;
use crate::compute::Policy;
use crate::gradients::anchor;

/// The two layers, with the activation between them.
pub(super) struct Mlp {
    fc1: Layer,
    fc2: Layer,
    dropout: Option<Dropout>,
}

impl Mlp {
    pub(super) fn new([fc1, fc2]: [Layer; 2], dropout: Option<Dropout>) -> Self {
        Self { fc1, fc2, dropout }
    }

    pub(super) fn tensors(&self) -> [&Tensor; 4] {
        let ([weight1, bias1], [weight2, bias2]) = (self.fc1.tensors(), self.fc2.tensors());
        [weight1, bias1, weight2, bias2]
    }

    pub(super) fn d_out(&self) -> usize {
        self.fc2.d_out()
    }

    /// The pre-activations of `x`, operands of products.
    pub(super) fn pre(&self, queue: &Queue, x: &Tensor) -> Result<Tensor> {
        let (rows, _) = matrix(x)?;
        let mut pre = queue.operand((rows, self.fc1.d_out()))?;
        self.fc1.forward(queue, x, None, &mut pre)?;
        Ok(pre.into_tensor())
    }

    /// The activations of `pre`.
    fn act(&self, queue: &Queue, pre: &Tensor) -> Result<Tensor> {
        let (rows, cols) = matrix(pre)?;
        let mut act = queue.operand((rows, cols))?;
        let mask = Mask::of(self.dropout);
        let args = [
            Arg::In(pre),
            Arg::Out(&mut act),
            Arg::Size(rows),
            Arg::Size(cols),
            mask.key(),
            mask.threshold(),
            mask.kept(),
        ];
        queue.launch("gelu", columns::grid(rows, cols)?, args)?;
        Ok(act.into_tensor())
    }

    /// fc2 of the activations of `pre`, plus `residual`, into the f32 memory `y`.
    pub(super) fn forward(
        &self,
        queue: &Queue,
        pre: &Tensor,
        residual: Option<&Tensor>,
        y: &mut Buffer,
    ) -> Result<()> {
        self.fc2.forward(queue, &self.act(queue, pre)?, residual, y)
    }

    /// The gradient of the input `x` into `dx`, from that of the output and from what the forward pass has kept.
    /// Gradients of weights go to their slots, those of biases to `sums`.
    pub(super) fn backward(
        &self,
        queue: &Queue,
        op: &'static str,
        (x, pre): (&Tensor, &Tensor),
        dy: &Grad,
        dx: Option<&mut Buffer>,
        sums: &mut Sums,
    ) -> Result<()> {
        let (rows, cols) = matrix(pre)?;
        let mut dact = queue.operand((rows, cols))?;
        self.fc2.backward_input(queue, &dy.operand, &mut dact)?;
        let dact = dact.into_tensor();
        let (mut act, mut dpre) = (queue.operand((rows, cols))?, queue.operand((rows, cols))?);
        let mut partial = queue.float((columns::blocks(rows), cols))?;
        let mask = Mask::of(self.dropout);
        let args = [
            Arg::In(pre),
            Arg::In(&dact),
            Arg::Out(&mut act),
            Arg::Out(&mut dpre),
            Arg::Out(&mut partial),
            Arg::Size(rows),
            Arg::Size(cols),
            mask.key(),
            mask.threshold(),
            mask.kept(),
        ];
        queue.launch("gelu_backward", columns::grid(rows, cols)?, args)?;
        let (act, dpre, partial) = (act.into_tensor(), dpre.into_tensor(), partial.into_tensor());
        self.fc2.backward_weight(queue, op, &dy.operand, &act)?;
        self.fc1.backward_weight(queue, op, &dpre, x)?;
        self.fc2.backward_bias(op, &dy.sums, sums)?;
        self.fc1.backward_bias(op, &Partial::new(partial), sums)?;
        match dx {
            Some(dx) => self.fc1.backward_input(queue, &dpre, dx),
            None => Ok(()),
        }
    }
}

/// fc2(dropout(gelu(fc1(x)))).
pub(crate) fn mlp(
    x: &Tensor,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    dropout: Option<Dropout>,
    policy: Policy,
) -> Result<Tensor> {
    const OP: &str = "mlp";
    let queue = Queue::of(x.device(), policy.compute)?;
    let x = x.contiguous()?;
    let mlp = Mlp::new(Layer::all(&queue, [fc1, fc2])?, dropout);
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = mlp.d_out();
    }
    let rows = operand(&queue, &x)?;
    let pre = mlp.pre(&queue, &rows)?;
    let mut y = queue.float(shape)?;
    mlp.forward(&queue, &pre, None, &mut y)?;
    let pre = (!policy.recompute).then_some(pre);
    let anchor = anchor(&mlp.tensors()).clone();
    let (tracked, shape) = (x.track_op(), x.shape().clone());
    attach(OP, y, &[&x, &anchor], move |dy| {
        let dy = Grad::new(&queue, dy)?;
        let pre = match &pre {
            Some(pre) => pre.clone(),
            None => mlp.pre(&queue, &rows)?,
        };
        let mut dx = queue.float(shape.clone())?;
        let mut sums = Sums::default();
        let wanted = tracked.then_some(&mut dx);
        mlp.backward(&queue, OP, (&rows, &pre), &dy, wanted, &mut sums)?;
        sums.finish(&queue, [])?;
        Ok([tracked.then(|| dx.into_tensor()), None, None])
    })
}
