//! Patch embedding as one matrix product on the visible patches.

use std::borrow::Cow;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::ROWS_PER_TASK;
use super::linear;
use super::output::output;
use super::scratch::Scratch;
use super::simd::vectorized;
use super::sums::column_sums;
use super::tensor::{read, slice, write_gradient};
use crate::compute::Compute;
use crate::gradients::anchor;

/// Multiplies patches by the weight and adds bias and positions. With `ids` (B, K), only these patches are embedded.
pub(crate) fn patch_embed(
    patches: &Tensor,
    ids: Option<Vec<u32>>,
    (weight, bias): (&Tensor, &Tensor),
    pos: &Tensor,
    compute: Compute,
) -> Result<Tensor> {
    let op = PatchEmbed {
        weight: weight.contiguous()?,
        bias: bias.contiguous()?,
        pos: pos.contiguous()?,
        patch: weight.dim(2)?,
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
    /// The patches to embed (B, K), or `None` for all patches.
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
        let patches = slice(self.name(), patches, layout)?;
        let visible = self.visible(patches, n, values);
        let weight = read(self.name(), &self.weight)?;
        let mut permuted = Scratch::new(weight.len());
        self.permute(|channels_last, channels_first| {
            permuted[channels_last] = weight[channels_first];
        });
        let bias = read(self.name(), &self.bias)?;
        let pos_table = read(self.name(), &self.pos)?;
        let d = bias.len();
        let w_t = linear::w_t(&permuted, (d, values), self.compute);
        let y = output(visible.len() / values * d, |y| {
            let y = linear::multiply(&visible, &w_t, y);
            y.par_chunks_mut(ROWS_PER_TASK * d)
                .enumerate()
                .for_each(|(block, y)| {
                    vectorized!({
                        for (i, y) in y.chunks_exact_mut(d).enumerate() {
                            let pos = self.position(block * ROWS_PER_TASK + i, n);
                            let pos = &pos_table[pos * d..][..d];
                            for (y, (&b, &p)) in y.iter_mut().zip(bias.iter().zip(pos)) {
                                *y += b + p;
                            }
                        }
                    });
                });
            Ok(y)
        })?;
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
        let dy = read(self.name(), &dy)?;
        let patches = read(self.name(), patches)?;
        write_gradient(self.name(), &self.weight, |sums, beta| {
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
        write_gradient(self.name(), &self.bias, |sums, beta| {
            column_sums(&dy, sums, beta)
        })?;
        Ok((None, None))
    }
}

impl PatchEmbed {
    /// Returns the position of row `i` of the embedding, which is counted over all samples.
    fn position(&self, i: usize, n: usize) -> usize {
        match &self.ids {
            Some(ids) => ids[i] as usize,
            None => i % n,
        }
    }

    /// Returns the patches to embed, one per row.
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

    /// Calls `f` with the index of each weight in (D, P, P, 3) and in (D, 3, P, P).
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
