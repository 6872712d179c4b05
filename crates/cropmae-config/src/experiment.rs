//! The typed experiment file. Each TOML table has a module.

mod about;
mod augment;
mod checkpoint;
mod crop;
mod data;
mod eval;
mod loss;
mod mask;
mod method;
mod model;
mod optim;
mod scenes;
mod schedule;
mod train;
mod views;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Seed;

pub use about::About;
pub use augment::AugmentConfig;
pub use checkpoint::CheckpointConfig;
pub use crop::{Interpolation, Sampler};
pub use data::{DataConfig, Samples};
pub use eval::EvalConfig;
pub use loss::LossConfig;
pub use mask::MaskConfig;
pub use method::Method;
pub use model::ModelConfig;
pub use optim::OptimConfig;
pub use scenes::ScenesConfig;
pub(crate) use schedule::ALTERNATIVES;
pub use schedule::ScheduleConfig;
pub use train::{ComputeDtype, TrainConfig};
pub use views::Views;

/// All settings that determine a pre-training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// The source of the recipe and its expected results.
    pub about: About,
    /// The training method.
    pub method: Method,
    /// The seed of all random numbers: crops, masks, order of samples, initialization, dropout.
    #[serde(default)]
    pub seed: Seed,
    /// How samples become views.
    pub data: DataConfig,
    /// The shapes of the encoder and the decoder.
    pub model: ModelConfig,
    /// The masking of the reconstructed view.
    pub mask: MaskConfig,
    /// The target of the reconstruction.
    pub loss: LossConfig,
    /// The AdamW optimizer and the scaling of its learning rate.
    pub optim: OptimConfig,
    /// The warm-up and decay of the learning rate.
    pub schedule: ScheduleConfig,
    /// The batches and epochs.
    pub train: TrainConfig,
    /// When checkpoints are written and which are kept.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// The evaluation during training.
    #[serde(default)]
    pub eval: EvalConfig,
}

impl Experiment {
    /// Returns the SHA-256 of the canonical JSON of all fields that affect training, in hexadecimal.
    ///
    /// Two experiments with equal fingerprints train the same model with the same settings. The fields `about`,
    /// `checkpoint` and `eval` do not affect training and are left out.
    pub fn fingerprint(&self) -> String {
        let decisive = Self {
            about: About::default(),
            checkpoint: CheckpointConfig::default(),
            eval: EvalConfig::default(),
            ..self.clone()
        };
        // Struct fields are serialized in the order of their declaration, so the text is canonical.
        let text = serde_json::to_string(&decisive).unwrap_or_default();
        format!("{:x}", Sha256::digest(text))
    }

    /// Returns the number of images per update in one process.
    pub fn effective_batch(&self) -> usize {
        self.train.batch_size * self.train.accum_iter
    }
}
