//! CropMAE (Eymaël et al., ECCV 2024, section 3) and SiamMAE (Gupta et al., NeurIPS 2023, section 3).
//!
//! One encoder encodes both views, and a decoder reconstructs the masked view from the whole one by cross-attention.
//! The two methods differ only in their views.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use cropmae_config::ModelConfig;
use cropmae_kernels::PatchPixels;

use crate::cross_decoder::CrossDecoder;
use crate::vit::Encoder;
use crate::{DropoutStream, Execution, PatchMask, Result};

/// The model of CropMAE and SiamMAE: a shared encoder and a cross-attention decoder.
#[derive(Debug, Clone)]
pub struct Siamese {
    encoder: Encoder,
    decoder: CrossDecoder,
}

impl Siamese {
    /// Reads the encoder's and the decoder's tensors under the reference's names.
    ///
    /// # Errors
    /// Returns [`crate::ModelError::Config`] if the shape is not valid, or an error if a tensor is missing or has
    /// another shape.
    pub fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(config, &vb)?,
            decoder: CrossDecoder::new(config, &vb)?,
        })
    }

    /// Returns the same model, computed as `execution` says.
    #[must_use]
    pub fn with_execution(self, execution: Execution) -> Self {
        let first_layer = self.encoder.blocks().len();
        Self {
            encoder: self.encoder.with_execution(execution),
            decoder: self.decoder.with_execution(execution, first_layer),
        }
    }

    /// Computes the hidden decoder tokens (B, 1 + N, Dd) of the masked view.
    ///
    /// `whole` and `masked` are the patches (B, N, PP3) of the two views. Of `masked`, the encoder sees only the
    /// patches that `mask` keeps.
    ///
    /// # Errors
    /// Returns an error if the shapes do not match the model or the mask.
    pub fn forward(
        &self,
        whole: impl Into<PatchPixels>,
        masked: impl Into<PatchPixels>,
        mask: &PatchMask,
        dropout: Option<DropoutStream>,
    ) -> Result<Tensor> {
        let pos = self.encoder.pos_embed();
        let (whole, visible) = self.encoder.encode_both(
            &self.encoder.embed(whole, pos, None)?,
            &self.encoder.embed(masked, pos, Some(mask))?,
        )?;
        self.decoder.forward(&whole, &visible, mask, dropout)
    }

    /// Returns the shared encoder.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Returns the decoder.
    #[must_use]
    pub fn decoder(&self) -> &CrossDecoder {
        &self.decoder
    }
}
