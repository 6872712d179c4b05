//! MAE (He et al., CVPR 2022, section 3): an encoder that sees the visible patches of one view, and a
//! self-attention decoder that reconstructs the others.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use cropmae_config::ModelConfig;

use crate::mae_decoder::MaeDecoder;
use crate::vit::Encoder;
use crate::{Execution, PatchMask, Result};

/// Encoder and self-attention decoder.
#[derive(Debug, Clone)]
pub struct Mae {
    encoder: Encoder,
    decoder: MaeDecoder,
}

impl Mae {
    /// Reads the encoder's and the decoder's tensors under the reference's names.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] for an impossible shape; a tensor is missing or has another shape.
    pub fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(config, &vb)?,
            decoder: MaeDecoder::new(config, &vb)?,
        })
    }

    /// The same model, run as `execution` says.
    #[must_use]
    pub fn with_execution(self, execution: Execution) -> Self {
        let first_block = self.encoder.blocks().len();
        Self {
            encoder: self.encoder.with_execution(execution),
            decoder: self.decoder.with_execution(execution, first_block),
        }
    }

    /// Hidden decoder tokens (B, 1 + N, Dd) of `view` (B, N, PP3), of which only what `mask` keeps is
    /// seen.
    ///
    /// # Errors
    /// Shapes do not match the model or the mask.
    pub fn forward(&self, view: &Tensor, mask: &PatchMask) -> Result<Tensor> {
        let visible = self.encoder.forward(view, Some(mask))?;
        self.decoder.forward(&visible, mask)
    }

    /// The encoder.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The decoder.
    #[must_use]
    pub fn decoder(&self) -> &MaeDecoder {
        &self.decoder
    }
}
