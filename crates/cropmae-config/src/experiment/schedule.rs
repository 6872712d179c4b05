//! The table `[schedule]`: the learning rate over a run.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{non_negative, require},
};

/// Pairs of keys that exclude each other.
pub(crate) const ALTERNATIVES: [[&str; 2]; 2] = [
    ["schedule.warmup_epochs", "schedule.warmup_steps"],
    ["schedule.decay_epochs", "schedule.decay_steps"],
];

/// The warm-up and decay of the learning rate. Lengths count from the start of the run, either in epochs or in steps
/// (updates).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// The length of the linear warm-up in epochs, which may be a fraction. There is no warm-up if this and
    /// `warmup_steps` are `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_epochs: Option<f64>,
    /// The length of the linear warm-up in steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<u64>,
    /// The epoch at which the half cosine reaches `min_lr`, where the rate stays. It is `train.epochs` if this and
    /// `decay_steps` are `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay_epochs: Option<f64>,
    /// The step at which the half cosine reaches `min_lr`, where the rate stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay_steps: Option<u64>,
    /// The learning rate at the end of the half cosine.
    pub min_lr: f64,
    /// Whether each update uses the learning rate of the previous update, as in the reference.
    #[serde(default)]
    pub compat: bool,
}

impl ScheduleConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        non_negative("schedule.min_lr", self.min_lr)?;
        for (field, epochs) in [
            ("schedule.warmup_epochs", self.warmup_epochs),
            ("schedule.decay_epochs", self.decay_epochs),
        ] {
            non_negative(field, epochs.unwrap_or(0.0))?;
        }
        for (field, other, epochs, steps) in [
            (
                "schedule.warmup_steps",
                "schedule.warmup_epochs",
                self.warmup_epochs,
                self.warmup_steps,
            ),
            (
                "schedule.decay_steps",
                "schedule.decay_epochs",
                self.decay_epochs,
                self.decay_steps,
            ),
        ] {
            require(
                epochs.is_none() || steps.is_none(),
                field,
                steps.unwrap_or(0),
                format!("only one of this key and {other}: remove one"),
            )?;
        }
        let after = |field, decay: Option<f64>, warmup: Option<f64>| match (decay, warmup) {
            (Some(decay), warmup) => require(
                decay > warmup.unwrap_or(0.0),
                field,
                decay,
                "more than the warm-up",
            ),
            (None, _) => Ok(()),
        };
        after(
            "schedule.decay_epochs",
            self.decay_epochs,
            self.warmup_epochs,
        )?;
        after(
            "schedule.decay_steps",
            self.decay_steps.map(|steps| steps as f64),
            self.warmup_steps.map(|steps| steps as f64),
        )
    }
}
