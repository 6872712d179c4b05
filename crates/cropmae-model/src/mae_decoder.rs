//! The decoder of MAE: pre-norm self-attention blocks over the tokens of the masked view (He et al., CVPR 2022,
//! section 3 "MAE decoder"). It has no dropout.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use cropmae_config::ModelConfig;

use crate::decoder::DecoderEnds;
use crate::vit::{self, Block};
use crate::{Execution, PatchMask, Result};

/// The decoder of MAE up to its last hidden tokens.
#[derive(Debug, Clone)]
pub struct MaeDecoder {
    ends: DecoderEnds,
    blocks: Vec<Block>,
}

impl MaeDecoder {
    /// Reads `decoder_blocks.N` and the tensors of [`DecoderEnds`].
    ///
    /// # Errors
    /// Returns an error if a tensor is missing or has another shape.
    pub fn new(config: &ModelConfig, vb: &VarBuilder) -> Result<Self> {
        Ok(Self {
            ends: DecoderEnds::new(config, vb)?,
            blocks: (0..config.decoder_depth)
                .map(|i| {
                    Block::new(
                        config.decoder_embed_dim,
                        config.decoder_num_heads,
                        config.mlp_width(config.decoder_embed_dim),
                        &vb.pp(format!("decoder_blocks.{i}")),
                    )
                })
                .collect::<Result<_>>()?,
        })
    }

    /// Returns the same decoder, computed as `execution` says. Its first block is block number `first_block` of the
    /// model.
    #[must_use]
    pub fn with_execution(mut self, execution: Execution, first_block: usize) -> Self {
        self.ends.set_compute(execution.compute);
        for (i, block) in self.blocks.iter_mut().enumerate() {
            block.set_policy(execution.block(first_block + i));
        }
        self
    }

    /// Computes hidden tokens from the latents of the visible patches: (B, 1 + K, D) -> (B, 1 + N, Dd).
    ///
    /// # Errors
    /// Returns an error if the shapes do not match the model or the mask.
    pub fn forward(&self, visible: &Tensor, mask: &PatchMask) -> Result<Tensor> {
        let x = self.ends.queries(&self.ends.embed(visible)?, mask)?;
        vit::run_blocks(&self.blocks, &x)
    }

    /// Returns the first and last layers.
    #[must_use]
    pub fn ends(&self) -> &DecoderEnds {
        &self.ends
    }
}
