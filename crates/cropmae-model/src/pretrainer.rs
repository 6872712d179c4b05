//! One face for the family: views and a mask in, loss and predictions out.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use cropmae_config::{Method, ModelConfig};
use cropmae_kernels as kernels;

use crate::decoder::DecoderEnds;
use crate::vit::Encoder;
use crate::{DropoutStream, Execution, Mae, ModelError, PatchMask, Result, Siamese};

/// A model in training.
#[derive(Debug, Clone)]
pub enum Pretrainer {
    /// CropMAE and SiamMAE: two views.
    Siamese(Siamese),
    /// MAE: one view.
    Mae(Mae),
}

/// What a training step computes.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Mean squared error over the removed patches, scalar.
    pub loss: Tensor,
    /// Predicted pixels of the removed patches in order of increasing patch index, (B, R, PP3).
    pub pred: Tensor,
}

impl Pretrainer {
    /// Builds the model of `method` on the tensors of `vb`, usually those of
    /// [`init_parameters`](crate::init_parameters) or of [`weights`](crate::weights).
    ///
    /// # Errors
    /// [`ModelError::Config`] for an impossible shape; a tensor is missing or has another shape.
    pub fn new(method: Method, config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(match method {
            Method::CropMae | Method::SiamMae => Self::Siamese(Siamese::new(config, vb)?),
            Method::Mae => Self::Mae(Mae::new(config, vb)?),
        })
    }

    /// The same model, run as `execution` says.
    #[must_use]
    pub fn with_execution(self, execution: Execution) -> Self {
        match self {
            Self::Siamese(model) => Self::Siamese(model.with_execution(execution)),
            Self::Mae(model) => Self::Mae(model.with_execution(execution)),
        }
    }

    /// Loss of reconstructing the last view's removed patches. `views` are one (MAE) or two tensors of
    /// patches (B, N, PP3), the masked one last. With `norm_pix` targets are normalised per patch.
    /// MAE ignores `dropout`.
    ///
    /// # Errors
    /// Wrong number of views, or shapes that do not match the model or the mask.
    pub fn forward(
        &self,
        views: &[Tensor],
        mask: &PatchMask,
        norm_pix: bool,
        dropout: Option<DropoutStream>,
    ) -> Result<Forward> {
        let (hidden, masked) = self.decode(views, mask, dropout)?;
        // The head works per token: only what is scored goes through it.
        let pred = self.ends().pixels(&mask.removed_tokens(&hidden)?)?;
        let loss = kernels::masked_pixel_loss(&pred, masked, mask.ids_removed(), norm_pix)?;
        Ok(Forward { loss, pred })
    }

    /// Predicted pixels of all patches of the masked view, visible ones too, (B, N, PP3), without
    /// dropout. With `norm_pix` training these are in units of each target patch's own deviation.
    ///
    /// # Errors
    /// Wrong number of views, or shapes that do not match the model or the mask.
    pub fn predict(&self, views: &[Tensor], mask: &PatchMask) -> Result<Tensor> {
        let (hidden, _) = self.decode(views, mask, None)?;
        let patches = hidden.narrow(1, 1, mask.num_patches())?; // without the class token
        Ok(self.ends().pixels(&patches)?.detach())
    }

    /// The encoder that pre-training is for.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        match self {
            Self::Siamese(model) => model.encoder(),
            Self::Mae(model) => model.encoder(),
        }
    }

    /// Hidden tokens of the masked view (B, 1 + N, Dd), and that view's patches.
    fn decode<'v>(
        &self,
        views: &'v [Tensor],
        mask: &PatchMask,
        dropout: Option<DropoutStream>,
    ) -> Result<(Tensor, &'v Tensor)> {
        match (self, views) {
            (Self::Siamese(model), [whole, masked]) => {
                Ok((model.forward(whole, masked, mask, dropout)?, masked))
            }
            (Self::Mae(model), [view]) => Ok((model.forward(view, mask)?, view)),
            _ => Err(ModelError::Views {
                found: views.len(),
                expected: match self {
                    Self::Siamese(_) => 2,
                    Self::Mae(_) => 1,
                },
            }),
        }
    }

    fn ends(&self) -> &DecoderEnds {
        match self {
            Self::Siamese(model) => model.decoder().ends(),
            Self::Mae(model) => model.decoder().ends(),
        }
    }
}
