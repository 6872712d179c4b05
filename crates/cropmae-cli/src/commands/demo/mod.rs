//! `demo`: runs the whole pipeline on the embedded default and checks whether the encoder learned.

mod args;

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use cropmae_config::Experiment;
use cropmae_data::Dataset;
use cropmae_model::Execution;
use cropmae_run::{Contestant, Job, Suite};
use cropmae_train::Outcome;

use super::pretrain::{Watch, planned, to_look_at};
use crate::{
    console::Console,
    device, interrupt,
    places::{self, scenes_evaluations},
    progress::EvalProgress,
};

pub use args::DemoArgs;

/// Names of the contestants, in the order of the table.
const TRAINED: &str = "trained";
const RANDOM: &str = "random-init";

/// Runs the command.
pub fn run(args: &DemoArgs, console: &Console) -> Result<ExitCode> {
    let mut overrides = args.overrides.clone();
    overrides.push(format!("seed={}", args.seed));
    let experiment = Experiment::demo(&overrides)?;
    let device = device::open(&args.device)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| places::root().join(format!("demo-seed{}", args.seed)));
    let Some(config) = &experiment.data.scenes else {
        anyhow::bail!(
            "data.scenes: the demo needs the procedural data set; do not remove it with --set"
        );
    };
    let scenes = places::scenes(&experiment, config, console)?;
    let dataset = Arc::new(Dataset::open(&scenes.train, &experiment.data)?);
    console.say(format!(
        "data    {}: {}",
        scenes.train.display(),
        dataset.describe()
    ));

    let stop = interrupt::stop_flag()?;
    let job = Job {
        experiment: &experiment,
        dataset,
        device: device.clone(),
        out: &out,
        overfit_one_batch: false,
        evaluations: planned(&experiment, None, Some(&scenes))?,
        git_revision: places::git_revision(),
    };
    if let Outcome::Interrupted(_) = Watch::run(&job, &stop, console)? {
        console.say("\nstopped; everything is saved. The same command continues.");
        return Ok(ExitCode::from(interrupt::INTERRUPTED));
    }

    let contestants = [
        Contestant::checkpoint(
            TRAINED,
            &out.join("last.safetensors"),
            Execution::default(),
            &device,
        )?,
        Contestant::random(
            RANDOM,
            &experiment.model,
            experiment.seed,
            Execution::default(),
            &device,
        )?,
        Contestant::pixels(experiment.model.patch_size)?,
    ];
    let suite = Suite {
        evaluations: scenes_evaluations(&scenes),
        overlays: true,
        out: out.join("eval"),
        git_revision: places::git_revision(),
        ..Suite::default()
    };
    let board = suite.run(&contestants, &mut EvalProgress::new(console))?;
    console.say(board.render());
    board.write(&suite.out.join("report.json"))?;
    let (trained, random) = (board.main_scores(TRAINED), board.main_scores(RANDOM));
    for ((task, trained), (_, random)) in trained.into_iter().zip(random) {
        let verdict = if trained.value > random.value {
            "ahead of"
        } else {
            "NOT ahead of"
        };
        console.say(format!(
            "{task}: {} of the trained encoder is {verdict} random initialization",
            trained.name
        ));
    }
    console.say(format!(
        "\nlook:   {}, {}/eval/trained",
        to_look_at(&out)?,
        out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
