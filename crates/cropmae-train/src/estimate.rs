//! Estimates the cost of a run before it starts.
//!
//! The number of operations follows from the shapes, the memory is estimated, and the time is measured on one real
//! update with random pixels.

mod memory;

use std::time::Instant;

use candle_core::Device;
use cropmae_config::{Experiment, Method, ModelConfig, Stream};
use cropmae_data::Batch;
use cropmae_model::FEED_FORWARD_DIM;
use rand::Rng;
use serde::Serialize;

use crate::{Plan, TrainError, Trainer};

use memory::Parameters;
pub use memory::PeakMemory;

/// The cost of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The length of the run.
    pub plan: Plan,
    /// The number of trainable values.
    pub parameters: usize,
    /// Floating-point operations of the forward and the backward pass per image.
    pub flops_per_image: f64,
    /// The memory on a CPU.
    pub memory: PeakMemory,
    /// The time of one update in seconds, if it was measured.
    pub seconds_per_update: Option<f64>,
}

impl Estimate {
    /// Returns the time of the whole run in seconds, if an update was measured.
    ///
    /// Decoding is not included, because it runs at the same time as the model.
    pub fn seconds(&self) -> Option<f64> {
        self.seconds_per_update
            .map(|seconds| seconds * self.plan.total_updates as f64)
    }
}

/// Estimates the cost of `experiment` on a source of `batches_per_epoch` batches.
///
/// If `measure` is true, two real updates run on `device`, and the second one is timed.
///
/// # Errors
/// Returns [`TrainError::EpochTooShort`] if an epoch has too few batches for an update, and [`TrainError::Model`] or
/// [`TrainError::Compute`] if the model cannot be built or run on `device`.
pub fn estimate(
    experiment: &Experiment,
    batches_per_epoch: usize,
    device: &Device,
    measure: bool,
) -> Result<Estimate, TrainError> {
    let plan = Plan::new(experiment, batches_per_epoch)?;
    let mut trainer = Trainer::new(experiment, batches_per_epoch, device)?;
    let parameters = Parameters::of(trainer.weights());
    Ok(Estimate {
        plan,
        parameters: parameters.all(),
        flops_per_image: 3.0 * forward_flops(experiment),
        memory: PeakMemory::of(experiment, parameters),
        seconds_per_update: if measure {
            Some(time_update(&mut trainer, experiment)?)
        } else {
            None
        },
    })
}

/// Measures the seconds of one update on random pixels, after an uncounted one that fills caches and pools.
fn time_update(trainer: &mut Trainer, experiment: &Experiment) -> Result<f64, TrainError> {
    let mut seconds = 0.0;
    for _ in 0..2 {
        let start = Instant::now();
        for _ in 0..experiment.train.accum_iter {
            let batch = trainer.tensors(random_batch(experiment))?;
            trainer.step(&batch, true)?;
        }
        seconds = start.elapsed().as_secs_f64();
    }
    Ok(seconds)
}

/// Returns a batch of random normalized values in the shapes of `experiment`, for measurements.
pub fn random_batch(experiment: &Experiment) -> Batch {
    let (b, n) = (experiment.train.batch_size, experiment.model.num_patches());
    let mut rng = experiment.seed.rng(Stream::Views, 0, 0);
    let values = b * n * experiment.model.patch_values();
    let mut view = || {
        (0..values)
            .map(|_| rng.random_range(-2.0..2.0))
            .collect::<Vec<f32>>()
            .into()
    };
    Batch {
        size: b,
        views: (0..experiment.data.views.count()).map(|_| view()).collect(),
        ids_shuffle: (0..b).flat_map(|_| 0..n as u32).collect(),
        first_index: 0,
        bad_files: 0,
    }
}

/// Returns the operations of a linear layer on `n` tokens.
fn linear(n: usize, d_in: usize, d_out: usize) -> f64 {
    2.0 * n as f64 * d_in as f64 * d_out as f64
}

/// Returns the operations of attention from `n` queries to `m` keys of width `d`, including the four projections.
fn attention(n: usize, m: usize, d: usize) -> f64 {
    2.0 * linear(n, d, d) + 2.0 * linear(m, d, d) + 2.0 * linear(n, m, d)
}

/// Returns the operations of a pre-norm transformer block on `n` tokens.
fn block(n: usize, d: usize, hidden: usize) -> f64 {
    attention(n, n, d) + 2.0 * linear(n, d, hidden)
}

/// Returns the floating-point operations of the encoder's forward pass on `patches` visible patches.
pub fn encoder_flops(model: &ModelConfig, patches: usize) -> f64 {
    let (d, hidden) = (model.embed_dim, model.mlp_width(model.embed_dim));
    linear(patches, model.patch_values(), d) + model.depth as f64 * block(patches + 1, d, hidden)
}

/// Returns the floating-point operations of the forward pass of one sample.
fn forward_flops(experiment: &Experiment) -> f64 {
    let model = &experiment.model;
    let (patches, dd) = (model.num_patches(), model.decoder_embed_dim);
    let (kept, n) = (experiment.mask.len_keep(patches), patches + 1);
    let depth = model.decoder_depth as f64;
    let head = linear(patches - kept, dd, model.patch_values());
    encoder_flops(model, kept)
        + linear(kept + 1, model.embed_dim, dd)
        + head
        + match experiment.method {
            Method::Mae => depth * block(n, dd, model.mlp_width(dd)),
            Method::CropMae | Method::SiamMae => {
                let layer = attention(n, n, dd)
                    + 2.0 * linear(n, dd, FEED_FORWARD_DIM)
                    + attention(n, n, dd);
                encoder_flops(model, patches) + linear(n, model.embed_dim, dd) + depth * layer
            }
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(preset: &str) -> Experiment {
        let mut experiment = Experiment::parse(
            include_str!("../../../configs/cropmae_in1k_vits16.toml"),
            "cropmae_in1k_vits16.toml",
            &["train.batch_size=16".to_owned()],
        )
        .unwrap();
        experiment.model = ModelConfig::preset(preset).unwrap();
        experiment
    }

    #[test]
    fn arithmetic_per_image_agrees_with_counts_made_by_hand() {
        for (preset, gflop) in [("vits16", 36.7), ("vitb16", 115.8), ("vitl16", 383.7)] {
            let found = 3e-9 * forward_flops(&published(preset));
            assert!(
                (found / gflop - 1.0).abs() < 0.01,
                "{preset}: {found} against {gflop}"
            );
        }
    }

    #[test]
    fn an_estimate_counts_updates_and_times_one() {
        let overrides = ["train.batch_size=2", "train.accum_iter=3", "train.epochs=4"];
        let experiment = Experiment::demo(&overrides.map(str::to_owned)).unwrap();
        let estimate = estimate(&experiment, 10, &Device::Cpu, true).unwrap();
        assert_eq!(
            (estimate.plan.updates_per_epoch, estimate.plan.total_updates),
            (3, 12)
        );
        let one = estimate.seconds_per_update.unwrap();
        assert!(one > 0.0 && (estimate.seconds().unwrap() / one - 12.0).abs() < 1e-9);
    }
}
