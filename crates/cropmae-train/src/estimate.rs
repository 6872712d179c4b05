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
}

/// Estimates the cost of `experiment` on a source of `batches_per_epoch` batches.
///
/// # Errors
/// Returns [`TrainError::EpochTooShort`] if an epoch has too few batches for an update, and [`TrainError::Model`] or
/// [`TrainError::Compute`] if the model cannot be built or run on `device`.
pub fn estimate(
    experiment: &Experiment,
    batches_per_epoch: usize,
    device: &Device,
) -> Result<Estimate, TrainError> {
    let plan = Plan::new(experiment, batches_per_epoch)?;
    let trainer = Trainer::new(experiment, batches_per_epoch, device)?;
    let parameters = Parameters::of(trainer.weights());
    Ok(Estimate {
        plan,
        parameters: parameters.all(),
        flops_per_image: 3.0 * forward_flops(experiment),
        memory: PeakMemory::of(experiment, parameters),
    })
}

/// The most images of a batch that is measured on a CPU, whose time for an image hardly depends on it.
const MEASURED_ON_CPU: usize = 16;

/// Measures the seconds of an update of `experiment` on `device`, without decoding, which runs at the same time.
///
/// Three batches of random pixels are computed, however many an update has: one to fill caches and pools, one that ends
/// with an update of the weights, and one without. On a CPU they have at most 16 images.
///
/// # Errors
/// Returns [`TrainError::Model`] or [`TrainError::Compute`] if the model cannot be built or run on `device`.
pub fn seconds_per_update(experiment: &Experiment, device: &Device) -> Result<f64, TrainError> {
    let mut measured = experiment.clone();
    measured.train.accum_iter = 2;
    if device.is_cpu() {
        measured.train.batch_size = experiment.train.batch_size.min(MEASURED_ON_CPU);
    }
    let mut trainer = Trainer::new(&measured, 2, device)?;
    let mut seconds = [0.0; 3];
    for seconds in &mut seconds {
        let start = Instant::now();
        let batch = trainer.tensors(random_batch(&measured))?;
        trainer.step(&batch, true)?;
        *seconds = start.elapsed().as_secs_f64();
    }
    let [_, with_update, without] = seconds;
    let images = experiment.train.batch_size * experiment.train.accum_iter;
    let batches = images as f64 / measured.train.batch_size as f64;
    Ok(batches * without + (with_update - without).max(0.0))
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
    fn an_estimate_counts_updates() {
        let overrides = ["train.batch_size=2", "train.accum_iter=3", "train.epochs=4"];
        let experiment = Experiment::demo(&overrides.map(str::to_owned)).unwrap();
        let estimate = estimate(&experiment, 10, &Device::Cpu).unwrap();
        assert_eq!(
            (estimate.plan.updates_per_epoch, estimate.plan.total_updates),
            (3, 12)
        );
    }

    #[test]
    fn an_update_of_many_batches_is_timed_by_a_few() {
        let seconds = |accum_iter: usize| {
            let overrides = [
                "train.batch_size=2".to_owned(),
                format!("train.accum_iter={accum_iter}"),
            ];
            let experiment = Experiment::demo(&overrides).unwrap();
            seconds_per_update(&experiment, &Device::Cpu).unwrap()
        };
        let start = Instant::now();
        let many = seconds(100_000);
        let spent = start.elapsed().as_secs_f64();
        // What was measured is a small part of an update.
        assert!(many > 100.0 * spent, "{many} s estimated in {spent} s");
    }
}
