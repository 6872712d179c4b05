//! The layers that both decoders share: at the input, the change of width, mask tokens and positions, and at the
//! output, the projection to pixels (MAE, section 3 "MAE decoder" and "Reconstruction target").
//!
//! Symbols: B batch, N patches, K visible patches, n tokens, D encoder width, Dd decoder width, P patch size,
//! PP3 = 3·P².

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
    /// Returns an error if the width of the decoder does not fit its heads, or if a tensor is missing or has another
    /// shape.
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

    /// Maps encoder latents to the decoder width: (B, n, D) -> (B, n, Dd).
    ///
    /// # Errors
    /// Returns an error if `latent` has another width.
    pub fn embed(&self, latent: &Tensor) -> Result<Tensor> {
        self.embed.forward(latent)
    }

    /// Builds the full sequence of the masked view: (B, 1 + K, Dd) -> (B, 1 + N, Dd).
    ///
    /// The embedded tokens go to their places and mask tokens to all others, and positions are added.
    ///
    /// # Errors
    /// Returns an error if the shape of `embedded` does not match `mask`.
    pub fn queries(&self, embedded: &Tensor, mask: &PatchMask) -> Result<Tensor> {
        Ok(mask
            .restore(embedded, &self.mask_token)?
            .broadcast_add(&self.pos_embed)?)
    }

    /// Normalizes the decoder output: (B, n, Dd) -> (B, n, Dd).
    ///
    /// # Errors
    /// Returns an error if `hidden` has another width.
    pub fn norm(&self, hidden: &Tensor) -> Result<Tensor> {
        self.norm.forward(hidden)
    }

    /// Predicts the pixels of each token's patch: (B, n, Dd) -> (B, n, PP3).
    ///
    /// # Errors
    /// Returns an error if `hidden` has another width.
    pub fn pixels(&self, hidden: &Tensor) -> Result<Tensor> {
        self.pred.forward(&self.norm(hidden)?)
    }
}
