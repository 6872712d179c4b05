//! `[model]`: shapes of encoder and decoder.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{positive, require},
};

/// Encoder and decoder shapes, in the reference's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Width and height of the training input, in pixels.
    pub image_size: usize,
    /// Width and height of a patch, in pixels.
    pub patch_size: usize,
    /// Encoder width D.
    pub embed_dim: usize,
    /// Encoder blocks.
    pub depth: usize,
    /// Encoder attention heads.
    pub num_heads: usize,
    /// MLP width over encoder width.
    #[serde(default = "default_mlp_ratio")]
    pub mlp_ratio: f64,
    /// Added to the variance by the encoder's layer norms; foreign encoders may have another than the
    /// family's 1e-6.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Decoder width Dd.
    pub decoder_embed_dim: usize,
    /// Decoder layers.
    pub decoder_depth: usize,
    /// Decoder attention heads.
    pub decoder_num_heads: usize,
    /// Dropout inside the cross-attention decoder; MAE has none.
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
    /// Patches along one side of the training input.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of a training input, N.
    pub fn num_patches(&self) -> usize {
        self.grid() * self.grid()
    }

    /// Values of one RGB patch.
    pub fn patch_values(&self) -> usize {
        self.patch_size * self.patch_size * 3
    }

    /// Hidden width of the MLP in a block of width `dim`, of the encoder or of MAE's decoder.
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
                format!("a multiple of 4 (sin-cos position embedding) and of its {heads} heads"),
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
            "0 up to below 0.1",
        )?;
        require(
            (0.0..1.0).contains(&self.decoder_dropout),
            "model.decoder_dropout",
            self.decoder_dropout,
            "0 up to below 1",
        )
    }
}
