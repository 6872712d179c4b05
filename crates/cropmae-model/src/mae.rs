//! MAE (He et al., CVPR 2022, section 3): an encoder that sees the visible patches of one view, and a self-attention
//! decoder that reconstructs the removed ones.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use cropmae_config::ModelConfig;
use cropmae_kernels::PatchPixels;

use crate::mae_decoder::MaeDecoder;
use crate::vit::Encoder;
use crate::{Execution, PatchMask, Result};

/// The model of MAE: an encoder and a self-attention decoder.
#[derive(Debug, Clone)]
pub struct Mae {
    encoder: Encoder,
    decoder: MaeDecoder,
}

impl Mae {
    /// Reads the encoder's and the decoder's tensors under the reference's names.
    ///
    /// # Errors
    /// Returns [`crate::ModelError::Config`] if the shape is not valid, or an error if a tensor is missing or has
    /// another shape.
    pub fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(config, &vb)?,
            decoder: MaeDecoder::new(config, &vb)?,
        })
    }

    /// Returns the same model, computed as `execution` says.
    #[must_use]
    pub fn with_execution(self, execution: Execution) -> Self {
        let first_block = self.encoder.blocks().len();
        Self {
            encoder: self.encoder.with_execution(execution),
            decoder: self.decoder.with_execution(execution, first_block),
        }
    }

    /// Computes the hidden decoder tokens (B, 1 + N, Dd) of `view` (B, N, PP3). The encoder sees only the patches that
    /// `mask` keeps.
    ///
    /// # Errors
    /// Returns an error if the shapes do not match the model or the mask.
    pub fn forward(&self, view: impl Into<PatchPixels>, mask: &PatchMask) -> Result<Tensor> {
        let visible = self.encoder.forward(view, Some(mask))?;
        self.decoder.forward(&visible, mask)
    }

    /// Returns the encoder.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Returns the decoder.
    #[must_use]
    pub fn decoder(&self) -> &MaeDecoder {
        &self.decoder
    }
}
