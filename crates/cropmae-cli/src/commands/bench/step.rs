//! `bench step`: the speed of a training step on random pixels.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use cropmae_config::{Experiment, ModelConfig};
use cropmae_train::{BatchTensors, Step, Trainer, estimate, random_batch};

use super::{
    args::StepArgs,
    ceiling::Ceiling,
    record::{Record, Work},
    time,
};
use crate::device;

/// The number of updates in an epoch. It shapes the schedule, which does not affect the speed.
const BATCHES_PER_EPOCH: usize = 1000;

/// Measures the step.
pub fn measure(args: &StepArgs) -> Result<Record> {
    let experiment = experiment(args)?;
    let device = device::open(&args.shape.device)?;
    let mut trainer = Trainer::new(&experiment, BATCHES_PER_EPOCH, &device)?;
    let batch = trainer.tensors(random_batch(&experiment))?;
    let timing = time(&args.shape, || match trainer.step(&batch, true)? {
        Step::Updated { loss, .. } => loss.context("the loss was not read"),
        other => bail!("expected an update, got {other:?}"),
    })?;
    let work = work(&mut trainer, &batch)?;
    drop((trainer, batch));
    let flops = estimate(&experiment, BATCHES_PER_EPOCH, &device)?.flops_per_image;
    let model = &experiment.model;
    let kept = experiment.mask.len_keep(model.num_patches());
    let rows = args.batch.get() * (model.num_patches() + kept + 2);
    let ceiling = || Ceiling::measure(model, rows, true, args.shape.dtype.compute());
    let (shape, batch) = (&args.shape, args.batch.get());
    let mut record = Record::new("train", shape, &device, batch, flops, timing, ceiling);
    record.work = work;
    Ok(record)
}

/// Counts what a step asks of a device, if the emulator runs it.
#[cfg(feature = "emulated")]
fn work(trainer: &mut Trainer, batch: &BatchTensors) -> Result<Option<Work>> {
    use cropmae_kernels::Emulation;
    let _of_earlier_steps = Emulation::take_work();
    trainer.step(batch, true)?;
    let work = Emulation::take_work();
    Ok((work.launches > 0).then(|| Work {
        launches: work.launches,
        products: work.products,
        product_gflop: work.product_flops as f64 / 1e9,
        product_gbytes: work.product_bytes as f64 / 1e9,
        kernel_gbytes: work.kernel_bytes as f64 / 1e9,
    }))
}

#[cfg(not(feature = "emulated"))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "has the form of the function above"
)]
fn work(_trainer: &mut Trainer, _batch: &BatchTensors) -> Result<Option<Work>> {
    Ok(None)
}

/// Returns the published recipe with the requested architecture.
fn experiment(args: &StepArgs) -> Result<Experiment> {
    let overrides = [
        format!("train.batch_size={}", args.batch),
        "train.accum_iter=1".to_owned(),
        format!("mask.ratio={:?}", args.mask_ratio),
        format!("train.compute={}", args.shape.dtype.config_name()),
    ];
    let mut experiment = Experiment::cropmae_in1k(&overrides)?;
    experiment.model = ModelConfig::factory_preset(&args.shape.arch)?;
    Ok(experiment)
}

/// Returns the arguments of both programs for this measurement.
///
/// # Errors
/// Returns an error if PyTorch does not have the device.
pub fn flags(args: &StepArgs) -> Result<super::peer::Flags> {
    let own = [
        "step".into(),
        "--mask-ratio".into(),
        args.mask_ratio.to_string().into(),
    ];
    let theirs: [OsString; 4] = [
        "--mode".into(),
        "train".into(),
        "--mask-ratio".into(),
        args.mask_ratio.to_string().into(),
    ];
    super::peer::Flags::new(own, theirs, args.batch, (&args.shape, &args.peer))
}
