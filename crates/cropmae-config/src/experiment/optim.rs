//! The table `[optim]`: the AdamW optimizer.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{non_negative, require},
};

/// The AdamW optimizer and the scaling of its learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimConfig {
    /// The learning rate for an effective batch of 256 images. The peak learning rate is proportional to the batch.
    pub blr: f64,
    /// The decay of the first moment.
    pub beta1: f64,
    /// The decay of the second moment.
    pub beta2: f64,
    /// The value that is added to the denominator of an update.
    #[serde(default = "default_eps")]
    pub eps: f64,
    /// The decoupled weight decay. It does not apply to biases and 1-D tensors.
    pub weight_decay: f64,
    /// The global gradient norm above which gradients are scaled down, or `None` for no clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_grad_norm: Option<f64>,
}

fn default_eps() -> f64 {
    1e-8
}

impl OptimConfig {
    /// Returns the peak learning rate for `effective_batch` images per update.
    pub fn peak_lr(&self, effective_batch: usize) -> f64 {
        self.blr * effective_batch as f64 / 256.0
    }
}

impl OptimConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (field, value) in [("optim.blr", self.blr), ("optim.eps", self.eps)] {
            require(value > 0.0 && value.is_finite(), field, value, "above 0")?;
        }
        for (field, value) in [("optim.beta1", self.beta1), ("optim.beta2", self.beta2)] {
            require(
                (0.0..1.0).contains(&value),
                field,
                value,
                "at least 0, less than 1",
            )?;
        }
        non_negative("optim.weight_decay", self.weight_decay)?;
        match self.clip_grad_norm {
            Some(norm) => require(
                norm > 0.0,
                "optim.clip_grad_norm",
                norm,
                "above 0 (or omit the key)",
            ),
            None => Ok(()),
        }
    }
}
