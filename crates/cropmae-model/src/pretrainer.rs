//! One interface for all methods. It takes views and a mask and returns the loss and predictions.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use cropmae_config::{Method, ModelConfig};
use cropmae_kernels::{self as kernels, PatchPixels};

use crate::decoder::DecoderEnds;
use crate::vit::Encoder;
use crate::{DropoutStream, Execution, Mae, ModelError, PatchMask, Result, Siamese};

/// A model for pre-training.
#[derive(Debug, Clone)]
pub enum Pretrainer {
    /// The model of CropMAE and SiamMAE, which takes two views.
    Siamese(Siamese),
    /// The model of MAE, which takes one view.
    Mae(Mae),
}

/// The outputs of a training step.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The mean squared error over the removed patches, a scalar.
    pub loss: Tensor,
    /// The predicted pixels of the removed patches in order of increasing patch index, (B, R, PP3).
    pub pred: Tensor,
}

impl Pretrainer {
    /// Builds the model of `method` on the tensors of `vb`, usually those of
    /// [`init_parameters`](crate::init_parameters) or of [`weights`](crate::weights).
    ///
    /// # Errors
    /// Returns [`ModelError::Config`] if the shape is not valid, or an error if a tensor is missing or has another
    /// shape.
    pub fn new(method: Method, config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(match method {
            Method::CropMae | Method::SiamMae => Self::Siamese(Siamese::new(config, vb)?),
            Method::Mae => Self::Mae(Mae::new(config, vb)?),
        })
    }

    /// Returns the same model, computed as `execution` says.
    #[must_use]
    pub fn with_execution(self, execution: Execution) -> Self {
        match self {
            Self::Siamese(model) => Self::Siamese(model.with_execution(execution)),
            Self::Mae(model) => Self::Mae(model.with_execution(execution)),
        }
    }

    /// Computes the loss of the reconstruction of the removed patches.
    ///
    /// `views` are the patches (B, N, PP3) of one view (MAE) or two: tensors of normalized values, or [`PatchPixels`] of
    /// bytes. The last view is masked. With `norm_pix`, targets are normalized per patch. MAE ignores `dropout`.
    ///
    /// # Errors
    /// Returns [`ModelError::Views`] if the number of views is wrong, or an error if the shapes do not match the model
    /// or the mask.
    pub fn forward<V>(
        &self,
        views: &[V],
        mask: &PatchMask,
        norm_pix: bool,
        dropout: Option<DropoutStream>,
    ) -> Result<Forward>
    where
        for<'v> &'v V: Into<PatchPixels>,
    {
        let (hidden, masked) = self.decode(views, mask, dropout)?;
        // The head works per token, so only the scored tokens go through it.
        let pred = self.ends().pixels(&mask.removed_tokens(&hidden)?)?;
        let loss = kernels::masked_pixel_loss(&pred, masked, mask.ids_removed(), norm_pix)?;
        Ok(Forward { loss, pred })
    }

    /// Predicts the pixels (B, N, PP3) of all patches of the masked view, including the visible ones, without dropout.
    ///
    /// A model that was trained with `norm_pix` predicts each patch normalized by its own mean and standard deviation.
    ///
    /// # Errors
    /// Returns [`ModelError::Views`] if the number of views is wrong, or an error if the shapes do not match the model
    /// or the mask.
    pub fn predict(&self, views: &[Tensor], mask: &PatchMask) -> Result<Tensor> {
        let (hidden, _) = self.decode(views, mask, None)?;
        let patches = hidden.narrow(1, 1, mask.num_patches())?; // without the class token
        Ok(self.ends().pixels(&patches)?.detach())
    }

    /// Returns the encoder.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        match self {
            Self::Siamese(model) => model.encoder(),
            Self::Mae(model) => model.encoder(),
        }
    }

    /// Returns the hidden tokens of the masked view (B, 1 + N, Dd) and the patches of that view.
    fn decode<'v, V>(
        &self,
        views: &'v [V],
        mask: &PatchMask,
        dropout: Option<DropoutStream>,
    ) -> Result<(Tensor, &'v V)>
    where
        &'v V: Into<PatchPixels>,
    {
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
