//! What both decoders share: the way in (narrower width, mask tokens, positions) and the way out to
//! pixels (MAE, section 3 "MAE decoder" and "Reconstruction target").
//!
//! Symbols: B batch, N patches, K visible ones, n tokens, D encoder width, Dd decoder width.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use cropmae_config::ModelConfig;
use cropmae_kernels::Compute;

use crate::layers::{LayerNorm, Linear, check_width};
use crate::vit::{TOKEN_INIT, fixed_pos_embed};
use crate::{PatchMask, Result};

/// The first and last layers of a decoder.
#[derive(Debug, Clone)]
pub struct DecoderEnds {
    embed: Linear,
    mask_token: Tensor,
    pos_embed: Tensor,
    norm: LayerNorm,
    pred: Linear,
}

impl DecoderEnds {
    /// Reads `decoder_embed`, `mask_token`, `decoder_pos_embed`, `decoder_norm` and `decoder_pred`.
    ///
    /// # Errors
    /// The decoder's width does not suit its heads; a tensor is missing or has another shape.
    pub fn new(config: &ModelConfig, vb: &VarBuilder) -> Result<Self> {
        let dim = config.decoder_embed_dim;
        check_width("decoder_embed_dim", dim, config.decoder_num_heads)?;
        Ok(Self {
            embed: Linear::new(config.embed_dim, dim, &vb.pp("decoder_embed"))?,
            mask_token: vb.get_with_hints((1, 1, dim), "mask_token", TOKEN_INIT)?,
            pos_embed: fixed_pos_embed(config.num_patches(), dim, vb, "decoder_pos_embed")?,
            norm: LayerNorm::new(dim, &vb.pp("decoder_norm"))?,
            pred: Linear::new(dim, config.patch_values(), &vb.pp("decoder_pred"))?,
        })
    }

    pub(crate) fn set_compute(&mut self, compute: Compute) {
        self.embed.set_compute(compute);
        self.pred.set_compute(compute);
    }

    /// Encoder latents to decoder width: (B, n, D) -> (B, n, Dd).
    ///
    /// # Errors
    /// `latent` has another width.
    pub fn embed(&self, latent: &Tensor) -> Result<Tensor> {
        self.embed.forward(latent)
    }

    /// The masked view's full sequence: embedded tokens (B, 1 + K, Dd) in their places, mask tokens in
    /// all others, positions added -> (B, 1 + N, Dd).
    ///
    /// # Errors
    /// `embedded` does not suit `mask`.
    pub fn queries(&self, embedded: &Tensor, mask: &PatchMask) -> Result<Tensor> {
        Ok(mask
            .restore(embedded, &self.mask_token)?
            .broadcast_add(&self.pos_embed)?)
    }

    /// The normalised decoder output: (B, n, Dd) -> (B, n, Dd).
    ///
    /// # Errors
    /// `hidden` has another width.
    pub fn norm(&self, hidden: &Tensor) -> Result<Tensor> {
        self.norm.forward(hidden)
    }

    /// Pixels of each token's patch: (B, n, Dd) -> (B, n, PP3).
    ///
    /// # Errors
    /// `hidden` has another width.
    pub fn pixels(&self, hidden: &Tensor) -> Result<Tensor> {
        self.pred.forward(&self.norm(hidden)?)
    }
}
