//! The ops composed of candle's own, for devices that have no fused kernels yet.
//!
//! Slower and larger than the fused ops, but differentiable and on any device of candle's; the tests hold
//! the fused ops against the same formulas. Callers have checked the shapes.

use candle_core::{D, Result, Tensor};

use crate::{AdamWUpdate, Block, Dropout, Norm};

/// Whether `x` lies where only candle's own ops run.
pub(crate) fn needed(x: &Tensor) -> bool {
    !x.device().is_cpu()
}

/// LN over the last dimension.
pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let var = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred
        .broadcast_div(&(var + eps)?.sqrt()?)?
        .broadcast_mul(weight)?
        .broadcast_add(bias)
}

/// LN(residual + dropout(x)).
pub(crate) fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    eps: f64,
    dropped: Option<Dropout>,
) -> Result<Tensor> {
    layer_norm(&(residual + maybe_dropout(x, dropped)?)?, weight, bias, eps)
}

/// x W^T + b.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (d_out, d_in) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(d_out);
    let rows = x.contiguous()?.reshape(((), d_in))?;
    rows.matmul(&weight.t()?)?
        .broadcast_add(bias)?
        .reshape(shape)
}

/// fc2(dropout(gelu(fc1(x)))).
pub(crate) fn mlp(
    x: &Tensor,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    dropped: Option<Dropout>,
) -> Result<Tensor> {
    let pre = linear(x, fc1.0, fc1.1)?;
    // candle's `gelu_erf` has the right value but a slope with six digits.
    let act = (&pre * ((&pre / 2f64.sqrt())?.erf()? + 1.0)?)?.affine(0.5, 0.0)?;
    linear(&maybe_dropout(&act, dropped)?, fc2.0, fc2.1)
}

/// x + fc2(gelu(fc1(LN(x)))).
pub(crate) fn mlp_block(
    x: &Tensor,
    norm: Norm,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
) -> Result<Tensor> {
    x + mlp(
        &layer_norm(x, norm.weight, norm.bias, norm.eps)?,
        fc1,
        fc2,
        None,
    )?
}

/// x + proj(self_attention(qkv(LN(x)))).
pub(crate) fn attention_block(
    x: &Tensor,
    norm: Norm,
    qkv: (&Tensor, &Tensor),
    proj: (&Tensor, &Tensor),
    num_heads: usize,
) -> Result<Tensor> {
    let h = layer_norm(x, norm.weight, norm.bias, norm.eps)?;
    let y = self_attention(&linear(&h, qkv.0, qkv.1)?, num_heads, None)?;
    x + linear(&y, proj.0, proj.1)?
}

/// Pre-norm blocks on segments of sequences.
pub(crate) fn transformer(
    x: &Tensor,
    segments: &[(usize, usize)],
    blocks: &[Block],
) -> Result<Tensor> {
    let d = x.dim(1)?;
    let mut first = 0;
    let mut done = Vec::with_capacity(segments.len());
    for &(b, n) in segments {
        let mut x = x.narrow(0, first, b * n)?.reshape((b, n, d))?;
        first += b * n;
        for block in blocks {
            x = attention_block(&x, block.norm1, block.qkv, block.proj, block.num_heads)?;
            x = mlp_block(&x, block.norm2, block.fc1, block.fc2)?;
        }
        done.push(x.reshape((b * n, d))?);
    }
    Tensor::cat(&done, 0)
}

/// Attention on packed rows q, k, v.
pub(crate) fn self_attention(
    qkv: &Tensor,
    num_heads: usize,
    dropped: Option<Dropout>,
) -> Result<Tensor> {
    let d = qkv.dim(2)? / 3;
    cross_attention(
        &qkv.narrow(2, 0, d)?,
        &qkv.narrow(2, d, 2 * d)?,
        num_heads,
        dropped,
    )
}

/// Attention of q on packed rows k, v.
pub(crate) fn cross_attention(
    q: &Tensor,
    kv: &Tensor,
    num_heads: usize,
    dropped: Option<Dropout>,
) -> Result<Tensor> {
    let d = q.dim(2)?;
    let probs = attention_map(q, &kv.narrow(2, 0, d)?, num_heads)?;
    let probs = match dropped {
        // The fused ops number the elements of (B H N, M), so that is the shape to draw the mask for.
        Some(_) => {
            let shape = probs.dims().to_vec();
            let rows = probs.reshape(((), shape[3]))?;
            maybe_dropout(&rows, dropped)?.reshape(shape)?
        }
        None => probs,
    };
    let y = probs.matmul(&heads(&kv.narrow(2, d, d)?, num_heads)?)?; // (B, H, N, Dh)
    y.transpose(1, 2)?.contiguous()?.reshape(q.shape())
}

/// softmax(q k^T / sqrt(Dh)), (B, H, N, M).
pub(crate) fn attention_map(q: &Tensor, k: &Tensor, num_heads: usize) -> Result<Tensor> {
    let scale = ((q.dim(2)? / num_heads) as f64).powf(-0.5);
    let scores = (heads(q, num_heads)?.matmul(&heads(k, num_heads)?.t()?)? * scale)?;
    let e = scores
        .broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?
        .exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// (B, N, D) -> (B, H, N, Dh)
fn heads(x: &Tensor, num_heads: usize) -> Result<Tensor> {
    let (b, n, d) = x.dims3()?;
    x.contiguous()?
        .reshape((b, n, num_heads, d / num_heads))?
        .transpose(1, 2)?
        .contiguous()
}

/// The mask of the fused ops, drawn on the CPU, times `x`.
pub(crate) fn dropout(x: &Tensor, dropped: Dropout) -> Result<Tensor> {
    let ones = Tensor::ones(x.shape(), x.dtype(), &candle_core::Device::Cpu)?;
    x * crate::dropout(&ones, dropped)?.to_device(x.device())?
}

fn maybe_dropout(x: &Tensor, dropped: Option<Dropout>) -> Result<Tensor> {
    match dropped {
        Some(dropped) => dropout(x, dropped),
        None => Ok(x.clone()),
    }
}

/// Patches times the convolution's weight, plus bias and position; only rows `ids_keep`, if given.
pub(crate) fn patch_embed(
    patches: &Tensor,
    ids_keep: Option<&Tensor>,
    weight: &Tensor,
    bias: &Tensor,
    pos: &Tensor,
) -> Result<Tensor> {
    let (b, _, values) = patches.dims3()?;
    // (D, 3, P, P) -> (D, P P 3), the order of the pixels in a patch
    let weight = weight
        .permute((0, 2, 3, 1))?
        .contiguous()?
        .reshape(((), values))?;
    let (patches, pos) = match ids_keep {
        Some(ids) => {
            let k = ids.dim(1)?;
            let pos = pos
                .index_select(&ids.flatten_all()?, 0)?
                .reshape((b, k, ()))?;
            (gather_rows(patches, ids)?, pos)
        }
        None => (patches.clone(), pos.unsqueeze(0)?),
    };
    linear(&patches, &weight, bias)?.broadcast_add(&pos)
}

/// Mean squared error against the rows `ids` of `patches`, or all of them.
pub(crate) fn pixel_loss(
    pred: &Tensor,
    patches: &Tensor,
    ids: Option<&Tensor>,
    norm_pix: bool,
) -> Result<Tensor> {
    let mut target = match ids {
        Some(ids) => gather_rows(patches, ids)?,
        None => patches.clone(),
    };
    if norm_pix {
        let centred = target.broadcast_sub(&target.mean_keepdim(2)?)?;
        let var = (centred.sqr()?.sum_keepdim(2)? / (target.dim(2)? as f64 - 1.0))?;
        target = centred.broadcast_div(&(var + 1e-6)?.sqrt()?)?;
    }
    (pred - target)?.sqr()?.mean_all()
}

/// Rows `ids` (B, K) of `x` (B, N, D) -> (B, K, D).
fn gather_rows(x: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (b, k) = ids.dims2()?;
    let index = ids
        .unsqueeze(2)?
        .broadcast_as((b, k, x.dim(2)?))?
        .contiguous()?;
    x.contiguous()?.gather(&index, 1)
}

/// One AdamW update.
pub(crate) fn adamw(update: &AdamWUpdate) -> Result<()> {
    let AdamWUpdate {
        param,
        exp_avg,
        exp_avg_sq,
        step: s,
        ..
    } = *update;
    let grad = (update.grad * s.grad_scale)?;
    let power = |beta: f64| 1.0 - beta.powf(s.step as f64);
    exp_avg.set(&((exp_avg.as_tensor() * s.beta1)? + (&grad * (1.0 - s.beta1))?)?)?;
    exp_avg_sq.set(&((exp_avg_sq.as_tensor() * s.beta2)? + (grad.sqr()? * (1.0 - s.beta2))?)?)?;
    let denom = ((exp_avg_sq.sqrt()? / power(s.beta2).sqrt())? + s.eps)?;
    let change = (exp_avg.div(&denom)? * (s.lr / power(s.beta1)))?;
    param.set(&((param.as_tensor() * (1.0 - s.lr * s.weight_decay))? - change)?)
}

/// Sum of the squares of `grad`.
pub(crate) fn square_sum(grad: &Tensor) -> Result<f64> {
    grad.sqr()?.sum_all()?.to_scalar::<f32>().map(f64::from)
}

#[cfg(test)]
mod tests;
