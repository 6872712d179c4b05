//! The typed experiment file: one file per TOML table, every key spelled with its unit.

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

/// Everything that decides a pre-training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Where the recipe comes from and what to expect of it.
    pub about: About,
    /// Which member of the family is trained.
    pub method: Method,
    /// Root of all randomness: crops, masks, order, initialisation, dropout.
    #[serde(default)]
    pub seed: Seed,
    /// How images become views.
    pub data: DataConfig,
    /// Encoder and decoder.
    pub model: ModelConfig,
    /// Masking of the reconstructed view.
    pub mask: MaskConfig,
    /// What the decoder is asked to predict.
    pub loss: LossConfig,
    /// AdamW and the scaling of its learning rate.
    pub optim: OptimConfig,
    /// Warm-up and decay of the learning rate.
    pub schedule: ScheduleConfig,
    /// Batches and epochs.
    pub train: TrainConfig,
    /// When checkpoints are written and which are kept.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// Scores while the run goes on.
    #[serde(default)]
    pub eval: EvalConfig,
}

impl Experiment {
    /// SHA-256 over the canonical JSON of all fields that change a run: two experiments with equal
    /// fingerprints train the same model on the same data. Provenance (`about`) and what only watches a
    /// run (`checkpoint`, `eval`) are left out.
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

    /// Images per update in one process.
    pub fn effective_batch(&self) -> usize {
        self.train.batch_size * self.train.accum_iter
    }
}
