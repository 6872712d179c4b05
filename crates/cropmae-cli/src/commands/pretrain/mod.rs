//! `pretrain`: trains an encoder with a config on a folder of images, and writes a run folder.

mod args;
mod dry_run;
mod watch;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Result, bail, ensure};
use cropmae_config::Experiment;
use cropmae_data::Dataset;
use cropmae_run::{Job, PlannedEvaluation, newest_picture, pictures_folder};
use cropmae_scenes::{ScenesPaths, VIDEO_SIZE};
use cropmae_train::Outcome;

use super::eval::video_folders;
use crate::{
    console::Console,
    device, interrupt,
    places::{self, scenes_evaluations},
};

pub use args::PretrainArgs;
pub use watch::Watch;

/// Runs the command.
pub fn run(args: &PretrainArgs, console: &Console) -> Result<ExitCode> {
    let experiment = match &args.config {
        Some(path) => Experiment::open(path, &args.overrides)?,
        None => Experiment::demo(&args.overrides)?,
    };
    let device = device::open(&args.device)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| places::root().join(&experiment.about.name));
    let (data, scenes) = training_data(args.data.as_deref(), &experiment, console)?;
    let dataset = Arc::new(Dataset::open(&data, &experiment.data)?);
    console.say(format!(
        "data    {}: {}",
        data.display(),
        dataset.describe()
    ));

    let job = Job {
        experiment: &experiment,
        dataset,
        device,
        out: &out,
        overfit_one_batch: args.overfit_one_batch,
        evaluations: planned(&experiment, args.eval_data.as_deref(), scenes.as_ref())?,
        git_revision: places::git_revision(),
    };
    if args.dry_run {
        return dry_run::run(&job, console);
    }
    let stop = interrupt::stop_flag()?;
    Ok(match Watch::run(&job, &stop, console)? {
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

/// Returns the path of the training data, and the procedural data set if that is used.
fn training_data(
    given: Option<&Path>,
    experiment: &Experiment,
    console: &Console,
) -> Result<(PathBuf, Option<ScenesPaths>)> {
    match (given, &experiment.data.scenes) {
        (Some(folder), _) => Ok((folder.to_owned(), None)),
        (None, Some(config)) => {
            let scenes = places::scenes(experiment, config, console)?;
            Ok((scenes.train.clone(), Some(scenes)))
        }
        (None, None) => bail!(
            "config {:?} has no data of its own: name the images with --data PATH",
            experiment.about.name
        ),
    }
}

/// Returns what `eval.every_epochs` evaluates on.
///
/// These are the benchmarks in the folder `given`, or else those of the procedural data set.
pub fn planned(
    experiment: &Experiment,
    given: Option<&Path>,
    scenes: Option<&ScenesPaths>,
) -> Result<Vec<PlannedEvaluation>> {
    if experiment.eval.every_epochs.is_none() {
        ensure!(
            given.is_none(),
            "--eval-data: also set how often to evaluate, with --set eval.every_epochs=N"
        );
        return Ok(Vec::new());
    }
    let evaluations = match (given, scenes) {
        (Some(folder), _) => PlannedEvaluation::all_in(folder),
        (None, Some(scenes)) => scenes_evaluations(scenes),
        (None, None) => Vec::new(),
    };
    ensure!(
        !evaluations.is_empty(),
        "eval.every_epochs needs videos: give --eval-data DIR, where DIR contains at least one of {}",
        video_folders()
    );
    Ok(evaluations)
}

/// Prints where the results are and the next command to run.
fn say_next(out: &Path, scenes: Option<&ScenesPaths>, console: &Console) -> Result<()> {
    let target = scenes.map_or_else(
        || "all --data DIR   (a folder that contains DAVIS, VIP and JHMDB)".to_owned(),
        |scenes| {
            format!(
                "davis --data {} --size {VIDEO_SIZE}",
                scenes.davis.display()
            )
        },
    );
    console.say(format!(
        "\ntrained: {0}/last.safetensors\nlook:    {1}\n\
         next:    {2} eval --checkpoint {0}/last.safetensors --task {target}",
        out.display(),
        to_look_at(out)?,
        places::program()
    ));
    Ok(())
}

/// Returns the paths of the HTML page in the folder `run` and, if there are any, of its pictures.
pub fn to_look_at(run: &Path) -> Result<String> {
    let mut text = run.join("report.html").display().to_string();
    if newest_picture(run)?.is_some() {
        text += &format!(", {}", pictures_folder(run).display());
    }
    Ok(text)
}
