//! Differentiable fused operations on candle tensors for vision transformers.
//!
//! Shapes: B batch, N tokens, M tokens of the other sequence, D width, H heads, Dh = D / H.

use candle_core::{D, Result, Tensor, Var, backprop::GradStore};

/// Dropout of one call site in one step: element `i` is dropped when `hash(key, i)` says so. Nothing is
/// stored for the backward pass, and the mask is the same for any thread count and on any device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Chance of dropping an element, in 0..1; the others are scaled by 1 / (1 - p).
    pub p: f32,
    /// Names the call site and the step.
    pub key: u64,
}

/// Gradients of `loss` for every variable it depends on: `Tensor::backward` plus what the fused ops
/// accumulate in place. Always differentiate through this function.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    loss.backward()
}

/// `x` (.., D) normalised over D, times `weight` (D), plus `bias` (D).
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let var = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred
        .broadcast_div(&(var + eps)?.sqrt()?)?
        .broadcast_mul(weight)?
        .broadcast_add(bias)
}

/// LN(`residual` + dropout(`x`)), both (.., D): the step after each sub-layer of a post-norm block.
pub fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    let x = match dropout {
        Some(d) => self::dropout(x, d)?,
        None => x.clone(),
    };
    layer_norm(&(residual + x)?, weight, bias, eps)
}

/// `x` (.., Din) by `weight` (Dout, Din), plus `bias` (Dout) -> (.., Dout).
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (_, d_in) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    let rows = x.elem_count() / d_in;
    let y = x
        .reshape((rows, d_in))?
        .matmul(&weight.t()?)?
        .broadcast_add(bias)?;
    *shape.last_mut().unwrap() = weight.dim(0)?;
    y.reshape(shape)
}

/// fc2(dropout(gelu(fc1(x)))), exact erf GELU. `x` (B, N, D), fc1 (F, D), fc2 (D, F) -> (B, N, D).
pub fn mlp(
    x: &Tensor,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    _dropout: Option<Dropout>,
) -> Result<Tensor> {
    linear(&linear(x, fc1.0, fc1.1)?.gelu_erf()?, fc2.0, fc2.1)
}

/// Self-attention on packed `qkv` (B, N, 3D), rows q, k, v, heads contiguous inside each -> (B, N, D).
pub fn self_attention(qkv: &Tensor, num_heads: usize, dropout: Option<Dropout>) -> Result<Tensor> {
    let d = qkv.dim(2)? / 3;
    cross_attention(
        &qkv.narrow(2, 0, d)?,
        &qkv.narrow(2, d, 2 * d)?,
        num_heads,
        dropout,
    )
}

/// Cross-attention of `q` (B, N, D) on packed `kv` (B, M, 2D) -> (B, N, D).
pub fn cross_attention(
    q: &Tensor,
    kv: &Tensor,
    num_heads: usize,
    _dropout: Option<Dropout>,
) -> Result<Tensor> {
    let (b, n, d) = q.dims3()?;
    let heads = |x: &Tensor, n: usize| {
        x.contiguous()?
            .reshape((b, n, num_heads, d / num_heads))?
            .transpose(1, 2)?
            .contiguous()
    };
    let m = kv.dim(1)?;
    let (q, k, v) = (
        heads(q, n)?,
        heads(&kv.narrow(2, 0, d)?, m)?,
        heads(&kv.narrow(2, d, d)?, m)?,
    );
    let scores = (q.matmul(&k.t()?)? * ((d / num_heads) as f64).powf(-0.5))?;
    let probs = candle_softmax(&scores)?;
    probs
        .matmul(&v)?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((b, n, d))
}

/// Attention probabilities (B, H, N, M) of `q` (B, N, D) on `k` (B, M, D), for pictures; not differentiable.
pub fn attention_map(q: &Tensor, k: &Tensor, num_heads: usize) -> Result<Tensor> {
    let (b, n, d) = q.dims3()?;
    let heads = |x: &Tensor, n: usize| {
        x.contiguous()?
            .reshape((b, n, num_heads, d / num_heads))?
            .transpose(1, 2)?
            .contiguous()
    };
    let (q, k) = (heads(q, n)?, heads(k, k.dim(1)?)?);
    candle_softmax(&(q.matmul(&k.t()?)? * ((d / num_heads) as f64).powf(-0.5))?)
}

fn candle_softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// `x` with elements dropped by `dropout`.
pub fn dropout(x: &Tensor, _dropout: Dropout) -> Result<Tensor> {
    Ok(x.clone())
}

/// Mean squared error per patch of `pred` against `target`, averaged over all patches given.
///
/// `pred`, `target` (B, R, V): the R removed patches of each sample, V values each. With `norm_pix` each
/// target patch is normalised by its own mean and unbiased variance (+ 1e-6 under the root). -> scalar.
pub fn pixel_loss(pred: &Tensor, target: &Tensor, norm_pix: bool) -> Result<Tensor> {
    let target = if norm_pix {
        let v = target.dim(2)? as f64;
        let centred = target.broadcast_sub(&target.mean_keepdim(2)?)?;
        let var = (centred.sqr()?.sum_keepdim(2)? / (v - 1.0))?;
        centred.broadcast_div(&(var + 1e-6)?.sqrt()?)?
    } else {
        target.clone()
    };
    (pred - target)?.sqr()?.mean_all()
}

/// `pixel_loss` of `pred` (B, R, V) against the rows `ids` (B, R) u32 of `patches` (B, N, V) -> scalar.
pub fn masked_pixel_loss(
    pred: &Tensor,
    patches: &Tensor,
    ids: &Tensor,
    norm_pix: bool,
) -> Result<Tensor> {
    pixel_loss(pred, &gather_rows(patches, ids)?, norm_pix)
}

/// Patch embedding: `patches` (B, N, P*P*3) in (row, column, channel) order by the convolution `weight`
/// (D, 3, P, P), plus `bias` (D), plus the row of the fixed position table `pos` (N, D).
///
/// With `ids_keep` (B, K) u32 only those patches are embedded, in that order: -> (B, K, D), else (B, N, D).
/// No gradient flows to the pixels or to `pos`.
pub fn patch_embed(
    patches: &Tensor,
    ids_keep: Option<&Tensor>,
    weight: &Tensor,
    bias: &Tensor,
    pos: &Tensor,
) -> Result<Tensor> {
    let (b, n, v) = patches.dims3()?;
    let d = weight.dim(0)?;
    let pos = pos
        .detach()
        .reshape((1, n, d))?
        .broadcast_as((b, n, d))?
        .contiguous()?;
    let (patches, pos) = match ids_keep {
        Some(ids) => (gather_rows(patches, ids)?, gather_rows(&pos, ids)?),
        None => (patches.clone(), pos),
    };
    let weight = weight.permute((0, 2, 3, 1))?.reshape((d, v))?;
    linear(&patches, &weight, bias)? + pos
}

/// Rows `ids` (B, K) of `x` (B, N, D) -> (B, K, D).
fn gather_rows(x: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (b, k) = ids.dims2()?;
    let ids = ids
        .unsqueeze(2)?
        .broadcast_as((b, k, x.dim(2)?))?
        .contiguous()?;
    x.gather(&ids, 1)
}

/// One AdamW update's numbers for one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// One-based count of updates, for the bias correction.
    pub step: u64,
    /// The gradient is multiplied by this first (clipping, accumulation).
    pub grad_scale: f64,
}

/// Updates `param` and its moments in place.
pub fn adamw(
    param: &Var,
    grad: &Tensor,
    exp_avg: &Var,
    exp_avg_sq: &Var,
    s: &AdamWStep,
) -> Result<()> {
    let grad = (grad * s.grad_scale)?;
    exp_avg.set(&((exp_avg.as_tensor() * s.beta1)? + (&grad * (1.0 - s.beta1))?)?)?;
    exp_avg_sq.set(&((exp_avg_sq.as_tensor() * s.beta2)? + (grad.sqr()? * (1.0 - s.beta2))?)?)?;
    let denom = ((exp_avg_sq.sqrt()? / (1.0 - s.beta2.powi(s.step as i32)).sqrt())? + s.eps)?;
    let update = (exp_avg.div(&denom)? * (s.lr / (1.0 - s.beta1.powi(s.step as i32))))?;
    param.set(&((param.as_tensor() * (1.0 - s.lr * s.weight_decay))? - update)?)
}

/// L2 norm over all `grads` together.
pub fn grad_norm(grads: &[&Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for grad in grads {
        sum += f64::from(grad.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    Ok(sum.sqrt())
}
