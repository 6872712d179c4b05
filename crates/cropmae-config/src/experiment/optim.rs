//! `[optim]`: AdamW.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{non_negative, require},
};

/// AdamW and the scaling of its learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimConfig {
    /// Learning rate per 256 images of effective batch.
    pub blr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    #[serde(default = "default_eps")]
    pub eps: f64,
    /// Decoupled weight decay; biases and 1-D tensors have none.
    pub weight_decay: f64,
    /// Global gradient norm above which gradients are scaled down; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_grad_norm: Option<f64>,
}

fn default_eps() -> f64 {
    1e-8
}

impl OptimConfig {
    /// Peak learning rate for `effective_batch` images per update.
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
            require((0.0..1.0).contains(&value), field, value, "0 up to below 1")?;
        }
        non_negative("optim.weight_decay", self.weight_decay)?;
        match self.clip_grad_norm {
            Some(norm) => require(
                norm > 0.0,
                "optim.clip_grad_norm",
                norm,
                "above 0, or leave the key out",
            ),
            None => Ok(()),
        }
    }
}
