//! Random masking by shuffled patch indices (MAE, section 3 "Masking" and "Simple implementation").
//!
//! The data loader draws the noise and sorts it on the CPU. This module converts the order to the indices that the
//! model gathers by. Tokens are gathered as rows of a flattened tensor, by one `index_select` whose backward pass is
//! one `index_add`.
//!
//! Symbols: B batch, N patches, K visible patches, R = N - K removed patches, C any width.

use candle_core::{Device, Shape, Tensor};

use crate::{ModelError, Result};

/// The visible and removed patches of a batch. Each sample keeps the same number of patches.
#[derive(Debug, Clone)]
pub struct PatchMask {
    batch: usize,
    num_patches: usize,
    len_keep: usize,
    ids_keep: Option<Tensor>,
    ids_removed: Tensor,
    /// The rows of (B·(1 + N), C) that hold removed patches. The first row of each sample is its class token.
    removed_rows: Tensor,
    /// The rows of [(B·(1 + K), C); mask token] that form (B·(1 + N), C).
    restore_rows: Tensor,
}

impl PatchMask {
    /// Creates the mask of `ids_shuffle` (B, N), row-major. Each row is the argsort of a sample's noise. Its first
    /// `len_keep` patches stay visible.
    ///
    /// # Errors
    /// Returns [`ModelError::Mask`] if the number of indices is wrong, a row is not a permutation of 0..N, or no patch
    /// is removed.
    pub fn new(
        ids_shuffle: &[u32],
        batch: usize,
        num_patches: usize,
        len_keep: usize,
        device: &Device,
    ) -> Result<Self> {
        let shape = (batch, num_patches);
        Self::moved(ids_shuffle, shape, len_keep, |ids, shape| {
            Tensor::from_slice(ids, shape, device)
        })
    }

    /// Creates the mask with tensors that `to_device` makes of ids and their shape. See also [`Self::new`].
    ///
    /// # Errors
    /// Returns the errors of [`Self::new`] and of `to_device`.
    pub fn moved(
        ids_shuffle: &[u32],
        (batch, num_patches): (usize, usize),
        len_keep: usize,
        mut to_device: impl FnMut(&[u32], Shape) -> candle_core::Result<Tensor>,
    ) -> Result<Self> {
        if len_keep >= num_patches {
            return Err(ModelError::Mask {
                found: format!("{len_keep} visible of {num_patches} patches"),
                expected: "at least one patch to reconstruct".to_owned(),
            });
        }
        let (b, n, k) = (batch, num_patches, len_keep);
        if ids_shuffle.len() != b * n {
            return Err(ModelError::Mask {
                found: format!("{} indices", ids_shuffle.len()),
                expected: format!("{b} samples of {n}"),
            });
        }
        let mask_token_row = (b * (1 + k)) as u32;
        let mut ids_keep = Vec::with_capacity(b * k);
        let mut ids_removed = Vec::with_capacity(b * (n - k));
        let mut removed_rows = Vec::with_capacity(b * (n - k));
        let mut restore_rows = Vec::with_capacity(b * (1 + n));
        for (sample, order) in ids_shuffle.chunks_exact(n).enumerate() {
            let rank = ranks(order, sample)?;
            ids_keep.extend_from_slice(&order[..k]);
            let cls_row = (sample * (1 + k)) as u32;
            let first_row = (sample * (1 + n) + 1) as u32;
            restore_rows.push(cls_row);
            for (id, rank) in (0..n as u32).zip(rank) {
                if rank < k as u32 {
                    restore_rows.push(cls_row + 1 + rank);
                } else {
                    restore_rows.push(mask_token_row);
                    ids_removed.push(id);
                    removed_rows.push(first_row + id);
                }
            }
        }
        Ok(Self {
            batch,
            num_patches,
            len_keep,
            ids_keep: match k {
                0 => None,
                _ => Some(to_device(&ids_keep, (b, k).into())?),
            },
            ids_removed: to_device(&ids_removed, (b, n - k).into())?,
            removed_rows: to_device(&removed_rows, (b * (n - k)).into())?,
            restore_rows: to_device(&restore_rows, (b * (1 + n)).into())?,
        })
    }

    /// Gathers the tokens of removed patches in the order of [`Self::ids_removed`]: (B, 1 + N, C) -> (B, R, C). The
    /// first token of each sample is the class token.
    ///
    /// # Errors
    /// Returns [`ModelError::Input`] if `x` has another batch size or length.
    pub fn removed_tokens(&self, x: &Tensor) -> Result<Tensor> {
        let tokens = 1 + self.num_patches;
        let (batch, _, width) = self.check(x, tokens)?;
        Ok(x.reshape((batch * tokens, width))?
            .index_select(&self.removed_rows, 0)?
            .reshape((batch, self.len_removed(), width))?)
    }

    /// Puts the visible tokens `x` in their places and `mask_token` (1, 1, C) in all others:
    /// (B, 1 + K, C) -> (B, 1 + N, C).
    ///
    /// # Errors
    /// Returns [`ModelError::Input`] if `x` has another batch size or length.
    pub fn restore(&self, x: &Tensor, mask_token: &Tensor) -> Result<Tensor> {
        let (_, _, width) = self.check(x, 1 + self.len_keep)?;
        let rows = x.reshape((self.batch * (1 + self.len_keep), width))?;
        let table = Tensor::cat(&[&rows, &mask_token.reshape((1, width))?], 0)?;
        Ok(table.index_select(&self.restore_rows, 0)?.reshape((
            self.batch,
            1 + self.num_patches,
            width,
        ))?)
    }

    fn check(&self, x: &Tensor, len: usize) -> Result<(usize, usize, usize)> {
        match *x.dims() {
            [batch, n, width] if batch == self.batch && n == len => Ok((batch, n, width)),
            _ => Err(ModelError::Input {
                what: "masked tensor",
                found: x.dims().to_vec(),
                expected: format!("({}, {len}, width) for this mask", self.batch),
            }),
        }
    }

    /// Returns the indices of the visible patches in order of increasing noise, (B, K) u32, or `None` if K = 0.
    #[must_use]
    pub fn ids_keep(&self) -> Option<&Tensor> {
        self.ids_keep.as_ref()
    }

    /// Returns the indices of the removed patches, increasing in each sample, (B, R) u32.
    #[must_use]
    pub fn ids_removed(&self) -> &Tensor {
        &self.ids_removed
    }

    /// Returns the number of samples B.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Returns the number of patches of a sample, N.
    #[must_use]
    pub fn num_patches(&self) -> usize {
        self.num_patches
    }

    /// Returns the number of visible patches of a sample, K.
    #[must_use]
    pub fn len_keep(&self) -> usize {
        self.len_keep
    }

    /// Returns the number of removed patches of a sample, R.
    #[must_use]
    pub fn len_removed(&self) -> usize {
        self.num_patches - self.len_keep
    }
}

/// Returns the inverse of the permutation `order`.
fn ranks(order: &[u32], sample: usize) -> Result<Vec<u32>> {
    let n = order.len();
    let mut rank = vec![u32::MAX; n];
    for (position, &id) in order.iter().enumerate() {
        match rank.get_mut(id as usize) {
            Some(slot) if *slot == u32::MAX => *slot = position as u32,
            _ => {
                return Err(ModelError::Mask {
                    found: format!("sample {sample} has patch {id} at {position}"),
                    expected: format!("each of 0..{n} once"),
                });
            }
        }
    }
    Ok(rank)
}
