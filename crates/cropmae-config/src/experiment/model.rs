//! The table `[model]`: the shapes of the encoder and the decoder.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{positive, require},
};

/// The shapes of the encoder and the decoder, under the reference's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The width and height of the training input in pixels.
    pub image_size: usize,
    /// The width and height of a patch in pixels.
    pub patch_size: usize,
    /// The encoder width D.
    pub embed_dim: usize,
    /// The number of encoder blocks.
    pub depth: usize,
    /// The number of attention heads in an encoder block.
    pub num_heads: usize,
    /// The hidden width of an MLP divided by the width of its block.
    #[serde(default = "default_mlp_ratio")]
    pub mlp_ratio: f64,
    /// The value that the encoder's layer norms add to the variance. Imported encoders may not use 1e-6.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// The decoder width Dd.
    pub decoder_embed_dim: usize,
    /// The number of decoder layers.
    pub decoder_depth: usize,
    /// The number of attention heads in a decoder layer.
    pub decoder_num_heads: usize,
    /// The dropout probability in the cross-attention decoder. The MAE decoder has no dropout.
    #[serde(default = "default_dropout")]
    pub decoder_dropout: f64,
}

fn default_mlp_ratio() -> f64 {
    4.0
}
fn default_layer_norm_eps() -> f64 {
    1e-6
}
fn default_dropout() -> f64 {
    0.1
}

impl ModelConfig {
    /// Returns the number of patches along one side of the training input.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Returns the number of patches of a training input, N.
    pub fn num_patches(&self) -> usize {
        self.grid() * self.grid()
    }

    /// Returns the number of values of one RGB patch.
    pub fn patch_values(&self) -> usize {
        self.patch_size * self.patch_size * 3
    }

    /// Returns the hidden width of the MLP in a block of width `dim` of the encoder or the MAE decoder.
    pub fn mlp_width(&self, dim: usize) -> usize {
        (dim as f64 * self.mlp_ratio) as usize
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (field, value) in [
            ("model.patch_size", self.patch_size),
            ("model.image_size", self.image_size),
            ("model.depth", self.depth),
            ("model.decoder_depth", self.decoder_depth),
            ("model.num_heads", self.num_heads),
            ("model.decoder_num_heads", self.decoder_num_heads),
        ] {
            positive(field, value)?;
        }
        require(
            self.image_size.is_multiple_of(self.patch_size),
            "model.image_size",
            self.image_size,
            format!("a multiple of model.patch_size = {}", self.patch_size),
        )?;
        for (field, width, heads) in [
            ("model.embed_dim", self.embed_dim, self.num_heads),
            (
                "model.decoder_embed_dim",
                self.decoder_embed_dim,
                self.decoder_num_heads,
            ),
        ] {
            require(
                width > 0 && width.is_multiple_of(4) && width.is_multiple_of(heads),
                field,
                width,
                format!(
                    "a multiple of 4 (sin-cos position embedding) and of the number of heads, {heads}"
                ),
            )?;
        }
        require(
            self.mlp_ratio > 0.0 && self.mlp_ratio <= 64.0,
            "model.mlp_ratio",
            self.mlp_ratio,
            "above 0, at most 64",
        )?;
        require(
            (0.0..0.1).contains(&self.layer_norm_eps),
            "model.layer_norm_eps",
            self.layer_norm_eps,
            "at least 0, less than 0.1",
        )?;
        require(
            (0.0..1.0).contains(&self.decoder_dropout),
            "model.decoder_dropout",
            self.decoder_dropout,
            "at least 0, less than 1",
        )
    }
}
