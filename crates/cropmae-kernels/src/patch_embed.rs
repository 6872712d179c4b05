//! Patch embedding of vision transformers (Dosovitskiy et al., arXiv 2010.11929, section 3.1).
//!
//! The convolution with stride P is a matrix product on patches. Only visible patches are embedded, and
//! the row of the position table is added at once. The weight stays in the convolution's layout
//! (D, 3, P, P); its columns are brought to the patches' (row, column, channel) order once per call.

use std::borrow::Cow;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::backward::{anchor, check_leaf, weight_gradient};
use crate::check;
use crate::compute::Compute;
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::vectorised;
use crate::cpu::{self, ROWS_PER_TASK};
use crate::linear;
use crate::portable;

/// Embeds `patches` (B, N, P*P*3), values in (row, column, channel) order, by the convolution `weight`
/// (D, 3, P, P), plus `bias` (D), plus each patch's row of the position table `pos` (N, D).
///
/// With `ids_keep` (B, K) u32 only those patches are embedded, in that order: -> (B, K, D), otherwise
/// (B, N, D). The position table is a constant: no gradient flows to it.
///
/// # Errors
/// If a shape or type does not fit, an id is not below N, `patches` is tracked (there is no gradient for
/// pixels), or a weight is the result of an op.
pub fn patch_embed(
    patches: &Tensor,
    ids_keep: Option<&Tensor>,
    weight: &Tensor,
    bias: &Tensor,
    pos: &Tensor,
    compute: Compute,
) -> Result<Tensor> {
    const OP: &str = "patch_embed";
    let (b, n, values) = check::dims3(OP, "patches", patches)?;
    check::float(OP, "weight", weight)?;
    let patch = match *weight.dims() {
        [d, 3, p, q] if d > 0 && p > 0 && p == q && 3 * p * p == values => p,
        _ => bail!(
            "{OP}: weight has shape {:?}, expected (D, 3, P, P) with 3 P P = {values}",
            weight.dims()
        ),
    };
    let d = weight.dim(0)?;
    check::shape(OP, "bias", bias, &[d])?;
    check::shape(OP, "pos", pos, &[n, d])?;
    check_leaf(OP, "weight", weight)?;
    check_leaf(OP, "bias", bias)?;
    if patches.track_op() {
        bail!("{OP}: patches are tracked, but there is no gradient for pixels: detach them");
    }
    if portable::needed(patches) {
        return portable::patch_embed(patches, ids_keep, weight, bias, pos);
    }
    let ids = match ids_keep {
        Some(ids) => {
            check::ids(OP, "ids_keep", ids, b)?;
            let ids = ids.flatten_all()?.to_vec1::<u32>()?;
            check::ids_below(OP, "ids_keep", &ids, n)?;
            Some(ids)
        }
        None => None,
    };
    let op = PatchEmbed {
        weight: weight.contiguous()?,
        bias: bias.contiguous()?,
        pos: pos.detach().contiguous()?,
        patch,
        ids,
        compute,
    };
    let anchor = anchor(&[&op.weight, &op.bias]).clone();
    patches.contiguous()?.apply_op2(&anchor, op)
}

struct PatchEmbed {
    weight: Tensor,
    bias: Tensor,
    pos: Tensor,
    patch: usize,
    /// (B, K) patches to embed; all of them if `None`.
    ids: Option<Vec<u32>>,
    compute: Compute,
}

impl CustomOp2 for PatchEmbed {
    fn name(&self) -> &'static str {
        "patch_embed"
    }

    fn cpu_fwd(
        &self,
        patches: &CpuStorage,
        layout: &Layout,
        _anchor: &CpuStorage,
        _anchor_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, n, values) = layout.shape().dims3()?;
        let patches = cpu::slice(self.name(), patches, layout)?;
        let visible = self.visible(patches, n, values);
        let weight = cpu::read(self.name(), &self.weight)?;
        let mut permuted = Scratch::new(weight.len());
        self.permute(|channels_last, channels_first| {
            permuted[channels_last] = weight[channels_first];
        });
        let bias = cpu::read(self.name(), &self.bias)?;
        let pos = cpu::read(self.name(), &self.pos)?;
        let d = bias.len();
        let mut y = cpu::output(visible.len() / values * d);
        let w_t = linear::w_t(&permuted, (d, values), self.compute);
        linear::multiply(&visible, &w_t, &mut y, 0.0);
        y.par_chunks_mut(ROWS_PER_TASK * d)
            .enumerate()
            .for_each(|(block, y)| {
                vectorised!({
                    for (i, y) in y.chunks_exact_mut(d).enumerate() {
                        let pos = &pos[self.position(block * ROWS_PER_TASK + i, n) * d..][..d];
                        for (y, (&b, &p)) in y.iter_mut().zip(bias.iter().zip(pos)) {
                            *y += b + p;
                        }
                    }
                });
            });
        let tokens = self.ids.as_ref().map_or(n, |ids| ids.len() / b.max(1));
        Ok((CpuStorage::F32(y), (b, tokens, d).into()))
    }

    fn bwd(
        &self,
        patches: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, n, values) = patches.dims3()?;
        let d = self.bias.elem_count();
        let dy = dy.contiguous()?;
        let dy = cpu::read(self.name(), &dy)?;
        let patches = cpu::read(self.name(), patches)?;
        weight_gradient(self.name(), &self.weight, |sums, beta| {
            let visible = self.visible(&patches, n, values);
            let mut permuted = Scratch::new(sums.len());
            let dims = (d, values);
            linear::backward_weight(&dy, &visible, &mut permuted, 0.0, dims, self.compute);
            self.permute(|channels_last, channels_first| {
                let sum = &mut sums[channels_first];
                let old = if beta == 0.0 { 0.0 } else { beta * *sum };
                *sum = old + permuted[channels_last];
            });
        })?;
        weight_gradient(self.name(), &self.bias, |sums, beta| {
            cpu::column_sums(&dy, sums, beta)
        })?;
        Ok((None, None))
    }
}

impl PatchEmbed {
    /// Position of the embedding's row `i`, which counts over samples.
    fn position(&self, i: usize, n: usize) -> usize {
        match &self.ids {
            Some(ids) => ids[i] as usize,
            None => i % n,
        }
    }

    /// The patches to embed, one row each.
    fn visible<'a>(&self, patches: &'a [f32], n: usize, values: usize) -> Cow<'a, [f32]> {
        let Some(ids) = &self.ids else {
            return Cow::Borrowed(patches);
        };
        let samples = patches.chunks_exact(n * values);
        let keep = ids.len() / samples.len().max(1);
        let mut rows = Vec::with_capacity(ids.len() * values);
        for (sample, ids) in samples.zip(ids.chunks_exact(keep.max(1))) {
            for &id in ids {
                rows.extend_from_slice(&sample[id as usize * values..][..values]);
            }
        }
        Cow::Owned(rows)
    }

    /// Calls `f` with the place of each weight in (D, P, P, 3) and in (D, 3, P, P).
    fn permute(&self, mut f: impl FnMut(usize, usize)) {
        let area = self.patch * self.patch;
        for d in 0..self.bias.elem_count() {
            let filter = d * 3 * area;
            for pixel in 0..area {
                for channel in 0..3 {
                    f(
                        filter + pixel * 3 + channel,
                        filter + channel * area + pixel,
                    );
                }
            }
        }
    }
}
