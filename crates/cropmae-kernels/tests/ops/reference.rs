//! The ops written with plain candle ops, in any float type.

use candle_core::{D, Result, Tensor};

pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let var = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred
        .broadcast_div(&(var + eps)?.sqrt()?)?
        .broadcast_mul(weight)?
        .broadcast_add(bias)
}

pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (d_out, d_in) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    let rows = x.reshape(((), d_in))?;
    shape.pop();
    shape.push(d_out);
    rows.matmul(&weight.t()?)?
        .broadcast_add(bias)?
        .reshape(shape)
}

/// `mask` multiplies the activations.
pub fn mlp(
    x: &Tensor,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let pre = linear(x, fc1.0, fc1.1)?;
    // candle's `gelu_erf` has the right value but a slope with six digits.
    let mut act = (&pre * ((&pre / 2f64.sqrt())?.erf()? + 1.0)?)?.affine(0.5, 0.0)?;
    if let Some(mask) = mask {
        act = (&act * mask.reshape(act.shape())?.to_dtype(act.dtype())?)?;
    }
    linear(&act, fc2.0, fc2.1)
}

pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x
        .broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?
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

/// (B, H, N, M)
pub fn probabilities(q: &Tensor, k: &Tensor, num_heads: usize) -> Result<Tensor> {
    let scale = ((q.dim(2)? / num_heads) as f64).powf(-0.5);
    let scores = (heads(q, num_heads)?.matmul(&heads(k, num_heads)?.t()?)? * scale)?;
    softmax(&scores)
}

/// `mask` (B * H * N, M) multiplies the probabilities.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    num_heads: usize,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let mut probs = probabilities(q, k, num_heads)?;
    if let Some(mask) = mask {
        probs = (&probs * mask.reshape(probs.shape())?.to_dtype(probs.dtype())?)?;
    }
    let y = probs.matmul(&heads(v, num_heads)?)?;
    y.transpose(1, 2)?.contiguous()?.reshape(q.shape())
}

/// Rows `ids` (B, K) of `x` (B, N, D) -> (B, K, D).
pub fn gather_rows(x: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (b, k) = ids.dims2()?;
    x.gather(
        &ids.unsqueeze(2)?
            .broadcast_as((b, k, x.dim(2)?))?
            .contiguous()?,
        1,
    )
}

pub fn pixel_loss(pred: &Tensor, target: &Tensor, norm_pix: bool) -> Result<Tensor> {
    let target = if norm_pix {
        let centred = target.broadcast_sub(&target.mean_keepdim(2)?)?;
        let var = (centred.sqr()?.sum_keepdim(2)? / (target.dim(2)? as f64 - 1.0))?;
        centred.broadcast_div(&(var + 1e-6)?.sqrt()?)?
    } else {
        target.clone()
    };
    (pred - target)?.sqr()?.mean_all()
}
