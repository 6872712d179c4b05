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
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::{AdamWStep, Compute, Policy, backward};

    const DROPOUT: Option<Dropout> = Some(Dropout { p: 0.25, key: 7 });

    fn var(shape: &[usize], seed: usize) -> Var {
        let len: usize = shape.iter().product();
        let value = |i| ((i * 37 + seed * 11) % 101) as f32 / 50.5 - 1.0;
        let data: Vec<f32> = (0..len).map(value).collect();
        Var::from_vec(data, shape, &Device::Cpu).unwrap()
    }

    fn assert_close(found: &Tensor, expected: &Tensor, what: &str) {
        let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (found, expected) = (flat(found), flat(expected));
        assert_eq!(found.len(), expected.len(), "{what}");
        let scale = expected.iter().fold(1e-2f32, |max, v| max.max(v.abs()));
        for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
            assert!(
                (f - e).abs() <= 2e-5 * scale,
                "{what}[{i}]: {f}, expected {e}"
            );
        }
    }

    /// Same values and same gradients of all `vars`.
    fn same(
        what: &str,
        vars: &[&Var],
        fused: impl Fn() -> Result<Tensor>,
        composed: impl Fn() -> Result<Tensor>,
    ) {
        let (fused, composed) = (fused().unwrap(), composed().unwrap());
        assert_close(&composed, &fused, what);
        let weights = var(fused.dims(), 5);
        let grads = |y: &Tensor| {
            backward(
                &(y * weights.as_detached_tensor())
                    .unwrap()
                    .sum_all()
                    .unwrap(),
            )
        };
        let (fused, composed) = (grads(&fused).unwrap(), grads(&composed).unwrap());
        for (i, var) in vars.iter().enumerate() {
            let (f, c) = (fused.get(var).unwrap(), composed.get(var).unwrap());
            assert_close(c, f, &format!("{what}: gradient {i}"));
        }
    }

    #[test]
    fn layers_agree_with_the_fused_ops() {
        let (x, r) = (var(&[2, 5, 12], 1), var(&[2, 5, 12], 2));
        let (g, b) = (var(&[12], 3), var(&[12], 4));
        let (w1, b1, w2, b2) = (
            var(&[24, 12], 6),
            var(&[24], 7),
            var(&[12, 24], 8),
            var(&[12], 9),
        );
        let norm = Norm {
            weight: &g,
            bias: &b,
            eps: 1e-6,
        };
        same(
            "layer_norm",
            &[&x, &g, &b],
            || crate::layer_norm(&x, &g, &b, 1e-6),
            || layer_norm(&x, &g, &b, 1e-6),
        );
        same(
            "residual_layer_norm",
            &[&x, &r, &g, &b],
            || crate::residual_layer_norm(&x, &r, &g, &b, 1e-6, DROPOUT),
            || residual_layer_norm(&x, &r, (&g, &b), 1e-6, DROPOUT),
        );
        same(
            "mlp",
            &[&x, &w1, &b1, &w2, &b2],
            || crate::mlp(&x, (&w1, &b1), (&w2, &b2), DROPOUT, Policy::default()),
            || mlp(&x, (&w1, &b1), (&w2, &b2), DROPOUT),
        );
        same(
            "mlp_block",
            &[&x, &g, &b, &w1, &b1, &w2, &b2],
            || crate::mlp_block(&x, norm, (&w1, &b1), (&w2, &b2), Policy::default()),
            || mlp_block(&x, norm, (&w1, &b1), (&w2, &b2)),
        );
    }

    #[test]
    fn attention_agrees_with_the_fused_ops() {
        let (q, kv, x) = (
            var(&[2, 3, 12], 1),
            var(&[2, 5, 24], 2),
            var(&[2, 5, 12], 3),
        );
        let (g, b) = (var(&[12], 3), var(&[12], 4));
        let (wq, bq, wp, bp) = (
            var(&[36, 12], 5),
            var(&[36], 6),
            var(&[12, 12], 7),
            var(&[12], 8),
        );
        let norm = Norm {
            weight: &g,
            bias: &b,
            eps: 1e-6,
        };
        same(
            "cross_attention",
            &[&q, &kv],
            || crate::cross_attention(&q, &kv, 3, DROPOUT, Compute::F32),
            || cross_attention(&q, &kv, 3, DROPOUT),
        );
        same(
            "attention_block",
            &[&x, &g, &b, &wq, &wp, &bp],
            || crate::attention_block(&x, norm, (&wq, &bq), (&wp, &bp), 3, Policy::default()),
            || attention_block(&x, norm, (&wq, &bq), (&wp, &bp), 3),
        );
    }

    #[test]
    fn both_ends_of_the_model_agree_with_the_fused_ops() {
        let patches = var(&[2, 4, 12], 1).as_detached_tensor();
        let ids = Tensor::new(&[[2u32, 0], [1, 3]], &Device::Cpu).unwrap();
        let (w, b) = (var(&[8, 3, 2, 2], 2), var(&[8], 3));
        let pos = var(&[4, 8], 4).as_detached_tensor();
        for ids in [None, Some(&ids)] {
            same(
                "patch_embed",
                &[&w, &b],
                || crate::patch_embed(&patches, ids, &w, &b, &pos, Compute::F32),
                || patch_embed(&patches, ids, &w, &b, &pos),
            );
        }
        let pred = var(&[2, 2, 12], 5);
        for norm_pix in [false, true] {
            same(
                "pixel_loss",
                &[&pred],
                || crate::masked_pixel_loss(&pred, &patches, &ids, norm_pix),
                || pixel_loss(&pred, &patches, Some(&ids), norm_pix),
            );
        }
    }

    #[test]
    fn updates_agree_with_the_fused_ops() {
        let grad = var(&[3, 4], 1).as_detached_tensor();
        let step = AdamWStep {
            lr: 1e-2,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.05,
            step: 3,
            grad_scale: 0.5,
        };
        let state = || {
            [
                var(&[3, 4], 2),
                var(&[3, 4], 3),
                var(&[3, 4], 4)
                    .sqr()
                    .map(|v| Var::from_tensor(&v))
                    .unwrap()
                    .unwrap(),
            ]
        };
        let ([p, m, v], [q, n, w]) = (state(), state());
        crate::adamw(&p, &grad, &m, &v, &step).unwrap();
        adamw(&AdamWUpdate {
            param: &q,
            grad: &grad,
            exp_avg: &n,
            exp_avg_sq: &w,
            step,
        })
        .unwrap();
        for (what, found, expected) in [
            ("param", &q, &p),
            ("exp_avg", &n, &m),
            ("exp_avg_sq", &w, &v),
        ] {
            assert_close(found, expected, what);
        }
        let norm = crate::grad_norm(&[&grad]).unwrap();
        assert!((square_sum(&grad).unwrap().sqrt() / norm - 1.0).abs() < 1e-6);
    }
}
