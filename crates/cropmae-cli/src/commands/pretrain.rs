//! `pretrain`: from a config and a folder of images to a run folder with a trained encoder.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use cropmae_config::Experiment;
use cropmae_data::{Dataset, LoaderConfig, Pixels};
use cropmae_scenes::{ScenesPaths, VIDEO_SIZE};
use cropmae_train::{
    BatchSource, DatasetSource, Outcome, PretrainOptions, RepeatFirstBatch, estimate, pretrain,
};

use super::{
    eval::Planned,
    evaluations::{self, Evaluations},
    page,
    pictures::{self, Pictures},
    runs,
    watch::Watch,
};
use crate::{args::PretrainArgs, console::Console, device, interrupt};

/// Runs the command.
pub fn run(args: &PretrainArgs, console: &Console) -> Result<ExitCode> {
    let experiment = match &args.config {
        Some(path) => Experiment::load(path, &args.overrides)?,
        None => Experiment::demo(&args.overrides)?,
    };
    let device = device::open(&args.device)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| runs::root().join(&experiment.about.name));
    let (data, scenes) = training_data(args.data.as_deref(), &experiment, console)?;
    let dataset = Arc::new(Dataset::open(&data, &experiment.data)?);
    console.say(format!(
        "data    {}: {}",
        data.display(),
        dataset.describe()
    ));

    let evaluations =
        evaluations::planned(&experiment, args.eval_data.as_deref(), scenes.as_ref())?;
    if args.dry_run {
        return dry_run(&experiment, &dataset, &device, console);
    }
    let job = Job {
        experiment: &experiment,
        dataset,
        device,
        out: &out,
        overfit_one_batch: args.overfit_one_batch,
        evaluations,
    };
    let stop = interrupt::stop_flag()?;
    Ok(match job.run(&stop, console)? {
        Outcome::Finished(_) => {
            say_next(&out, scenes.as_ref(), console)?;
            ExitCode::SUCCESS
        }
        Outcome::Interrupted(at) => {
            console.say(format!(
                "\nstopped after update {}; everything is in {}. The same command continues.",
                at.step,
                out.display()
            ));
            ExitCode::from(interrupt::INTERRUPTED)
        }
    })
}

/// The folder of images, and the evaluation sets when the data is made on the spot.
fn training_data(
    given: Option<&Path>,
    experiment: &Experiment,
    console: &Console,
) -> Result<(PathBuf, Option<ScenesPaths>)> {
    match (given, &experiment.data.scenes) {
        (Some(folder), _) => Ok((folder.to_owned(), None)),
        (None, Some(config)) => {
            let scenes = runs::scenes(experiment, config, console)?;
            Ok((scenes.train.clone(), Some(scenes)))
        }
        (None, None) => bail!(
            "config {:?} brings no data of its own: say where the images are with --data DIR",
            experiment.about.name
        ),
    }
}

/// A run, ready to start.
pub struct Job<'a> {
    /// What to train.
    pub experiment: &'a Experiment,
    /// On what.
    pub dataset: Arc<Dataset>,
    /// Where tensors live.
    pub device: Device,
    /// The run folder.
    pub out: &'a Path,
    /// Use the first batch only.
    pub overfit_one_batch: bool,
    /// What to evaluate on, as `eval.every_epochs` says.
    pub evaluations: Vec<Planned>,
}

impl Job<'_> {
    /// Trains until the end or until `stop`, with a bar, pictures and a page for the browser.
    pub fn run(self, stop: &Arc<AtomicBool>, console: &Console) -> Result<Outcome> {
        let Self {
            experiment,
            dataset,
            device,
            out,
            overfit_one_batch,
            evaluations,
        } = self;
        let on_disk = open_source(experiment, Arc::clone(&dataset), &device)?;
        let repeated = RepeatFirstBatch(&on_disk);
        let source: &dyn BatchSource = if overfit_one_batch {
            &repeated
        } else {
            &on_disk
        };
        let pictures = Pictures::new(experiment, &dataset, &device, out);
        let options = PretrainOptions {
            run_dir: out.to_owned(),
            device: device.clone(),
            stop: Arc::clone(stop),
            git_revision: runs::git_revision(),
        };
        let evaluations = Evaluations::new(experiment, evaluations, out);
        let mut watch = Watch::new(experiment, pictures, evaluations, console);
        let outcome = pretrain(experiment, source, &options, &mut watch);
        watch.finish();
        let outcome = outcome?;
        let replaced = on_disk.loader().bad_files().len();
        if replaced > 0 {
            console.say(format!(
                "data    {replaced} unusable, replaced by others (named in the log)"
            ));
        }
        watch.say_end(&outcome);
        page::write(experiment, out, &dataset.describe())
            .with_context(|| format!("cannot write {}", out.join("report.html").display()))?;
        Ok(outcome)
    }
}

/// The batches of `dataset`, loaded by as many threads as there are for computing. Accelerators get bytes.
fn open_source(
    experiment: &Experiment,
    dataset: Arc<Dataset>,
    device: &Device,
) -> Result<DatasetSource> {
    let mut config = LoaderConfig::of(experiment, rayon::current_num_threads());
    if !device.is_cpu() {
        config.pixels = Pixels::Bytes;
    }
    Ok(DatasetSource::new(dataset, config)?)
}

fn dry_run(
    experiment: &Experiment,
    dataset: &Arc<Dataset>,
    device: &Device,
    console: &Console,
) -> Result<ExitCode> {
    let source = open_source(experiment, Arc::clone(dataset), device)?;
    // Decoding one batch finds out whether the folder holds what it promises.
    let first = source.epoch(0, 0).next().transpose()?;
    let bad = first.map_or(0, |batch| batch.bad_files);
    let cost = estimate(experiment, source.batches_per_epoch(), device, true)?;
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
        "memory  about {:.2} GiB on a CPU: {:.2} for weights and optimiser, {:.2} for activations and gradients, \
         {:.2} for batches ahead",
        gib(memory.peak_bytes()),
        gib(memory.state_bytes),
        gib(memory.step_bytes),
        gib(memory.loader_bytes)
    ));
    if let (Some(total), Some(one)) = (cost.seconds(), cost.seconds_per_update) {
        console.say(format!(
            "time    about {}: {one:.2} s per update, measured now on {}",
            runs::spoken(total),
            device::name(device)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The next command to type.
fn say_next(out: &Path, scenes: Option<&ScenesPaths>, console: &Console) -> Result<()> {
    let target = scenes.map_or_else(
        || "all --data DIR   (a folder that holds DAVIS, VIP and JHMDB)".to_owned(),
        |scenes| {
            format!(
                "davis --data {} --size {VIDEO_SIZE}",
                scenes.davis.display()
            )
        },
    );
    console.say(format!(
        "\ntrained: {0}/last.safetensors\nlook:    {1}\n\
         next:    cargo xtask eval --checkpoint {0}/last.safetensors --task {target}",
        out.display(),
        pictures::to_look_at(out)?
    ));
    Ok(())
}
