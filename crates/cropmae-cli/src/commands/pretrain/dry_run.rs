//! `--dry-run`: describes a run instead of training.

use std::process::ExitCode;

use anyhow::Result;
use cropmae_run::{Job, units::spoken};
use cropmae_train::{BatchSource, estimate, seconds_per_update};

use crate::{console::Console, device};

/// Prints the config and the data, the size of the model, the updates, and estimates of memory and time.
pub fn run(job: &Job<'_>, console: &Console) -> Result<ExitCode> {
    let Job {
        experiment, device, ..
    } = job;
    let source = job.source()?;
    // Decoding one batch shows whether the files can be read.
    let first = source.epoch(0, 0).next().transpose()?;
    let bad = first.map_or(0, |batch| batch.bad_files);
    let cost = estimate(experiment, source.batches_per_epoch(), device)?;
    let gib = |bytes: usize| bytes as f64 / (1u64 << 30) as f64;
    let json = serde_json::to_string_pretty(experiment)?;
    console.say(format!("config  {}\n{json}", experiment.fingerprint()));
    console.say(format!(
        "data    {} batches per epoch; {bad} unreadable files in the first",
        source.batches_per_epoch()
    ));
    console.say(format!(
        "model   {:.2} M trainable parameters; {:.1} GFLOP per image and update",
        cost.parameters as f64 / 1e6,
        cost.flops_per_image / 1e9
    ));
    console.say(format!(
        "steps   {} updates of {} images, peak learning rate {:.3e}",
        cost.plan.total_updates, cost.plan.images_per_update, cost.plan.peak_lr
    ));
    let memory = &cost.memory;
    console.say(format!(
        "memory  about {:.2} GiB on a CPU: {:.2} for weights and optimizer, {:.2} for activations and gradients, \
         {:.2} for batches loaded ahead",
        gib(memory.peak_bytes()),
        gib(memory.state_bytes),
        gib(memory.step_bytes),
        gib(memory.loader_bytes)
    ));
    tracing::info!("measuring three batches");
    let one = seconds_per_update(experiment, device)?;
    console.say(format!(
        "time    about {}: {one:.2} s per update, from batches measured now on {}",
        spoken(one * cost.plan.total_updates as f64),
        device::name(device)
    ));
    Ok(ExitCode::SUCCESS)
}
