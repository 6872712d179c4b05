//! CropMAE (Eymaël et al., ECCV 2024, section 3) and SiamMAE (Gupta et al., NeurIPS 2023, section 3): one
//! encoder for both views, a decoder that reconstructs the masked view by looking at the whole one. The
//! two differ only in where their views come from.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use cropmae_config::ModelConfig;

use crate::cross_decoder::CrossDecoder;
use crate::vit::Encoder;
use crate::{DropoutStream, Execution, PatchMask, Result};

/// Shared encoder and cross-attention decoder.
#[derive(Debug, Clone)]
pub struct Siamese {
    encoder: Encoder,
    decoder: CrossDecoder,
}

impl Siamese {
    /// Reads the encoder's and the decoder's tensors under the reference's names.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] for an impossible shape; a tensor is missing or has another shape.
    pub fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(config, &vb)?,
            decoder: CrossDecoder::new(config, &vb)?,
        })
    }

    /// The same model, run as `execution` says.
    #[must_use]
    pub fn with_execution(self, execution: Execution) -> Self {
        let first_layer = self.encoder.blocks().len();
        Self {
            encoder: self.encoder.with_execution(execution),
            decoder: self.decoder.with_execution(execution, first_layer),
        }
    }

    /// Hidden decoder tokens (B, 1 + N, Dd) of the second view. `whole` and `masked` (B, N, PP3) are the
    /// views' patches; of the second one only what `mask` keeps is seen.
    ///
    /// # Errors
    /// Shapes do not match the model or the mask.
    pub fn forward(
        &self,
        whole: &Tensor,
        masked: &Tensor,
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

    /// The shared encoder.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The decoder.
    #[must_use]
    pub fn decoder(&self) -> &CrossDecoder {
        &self.decoder
    }
}
