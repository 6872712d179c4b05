//! `eval`: encoders by benchmarks, a table, predictions and overlays.

mod args;
mod contestants;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, ensure};
use cropmae_config::{ClassesProtocol, ProtocolFile};
use cropmae_eval::{Benchmark, Measures, benchmarks};
use cropmae_run::{Contestant, PlannedEvaluation, Scoreboard, Suite, classify, sweep};

use crate::{console::Console, device, places, progress::EvalProgress};

use args::PoolingArg;
pub use args::{EvalArgs, TaskArg, video_folders};

/// Runs the command.
pub fn run(args: &EvalArgs, console: &Console) -> Result<ExitCode> {
    let device = device::open(&args.device)?;
    let contestants = contestants::open(args, &device)?;
    let out = args.out.clone().unwrap_or_else(|| default_out(args));
    let mut progress = EvalProgress::new(console);
    let board = match args.task.measures() {
        Some(measures) => classes(args, measures, &contestants, &out, &mut progress)?,
        None => {
            let suite = suite(args, out.clone())?;
            if !args.sweep.is_empty() {
                return compare_settings(args, &suite, &contestants, &mut progress, console);
            }
            suite.run(&contestants, &mut progress)?
        }
    };
    console.say(board.render());
    board.write(&out.join("report.json"))?;
    console.say(format!(
        "scores, predictions and overlays: {}",
        out.display()
    ));
    let failures = board.failures();
    for failure in &failures {
        console.say(format!("not scored: {failure}"));
    }
    Ok(exit_code(failures.is_empty()))
}

/// The evaluations on videos that `args` ask for.
fn suite(args: &EvalArgs, out: PathBuf) -> Result<Suite> {
    let benchmarks = args.task.videos();
    let file = match &args.protocol.file {
        Some(path) => ProtocolFile::load(path, &benchmarks::VIDEO.map(Benchmark::name))?,
        None => ProtocolFile::default(),
    };
    // The benchmark's own protocol with the changes of the file, then those of the flags.
    let planned = |&benchmark: &&'static dyn Benchmark| PlannedEvaluation {
        benchmark,
        data: task_folder(&args.data, benchmark, benchmarks.len() > 1),
        protocol: args
            .protocol
            .changes()
            .apply(file.apply(benchmark.name(), benchmark.protocol())),
    };
    Ok(Suite {
        evaluations: benchmarks.iter().map(planned).collect(),
        list: args.list.clone(),
        sequences: args.sequences.clone(),
        overlays: !args.no_overlays,
        out,
        git_revision: places::git_revision(),
    })
}

/// `--sweep`: every combination of settings, in a table of its own for each benchmark and encoder.
fn compare_settings(
    args: &EvalArgs,
    suite: &Suite,
    contestants: &[Contestant],
    progress: &mut EvalProgress,
    console: &Console,
) -> Result<ExitCode> {
    let mut complete = true;
    sweep(suite, contestants, &args.sweep, progress, &mut |sweep| {
        console.say(format!("\n{}\n{}", sweep.label, sweep.render()));
        for failure in &sweep.reports[0].failures {
            complete = false;
            console.say(format!(
                "not scored: {}: {}",
                failure.sequence, failure.message
            ));
        }
        console.say(format!(
            "written: {}/sweep.csv, sweep.json",
            sweep.folder.display()
        ));
    })?;
    Ok(exit_code(complete))
}

/// `--task knn|linear|classes`: image classification with frozen features.
fn classes(
    args: &EvalArgs,
    measures: Measures,
    contestants: &[Contestant],
    out: &Path,
    progress: &mut EvalProgress,
) -> Result<Scoreboard> {
    ensure!(
        !(args.pixels && args.classes.pooling == PoolingArg::ClassToken),
        "--pixels: raw pixels have no class token; add --pooling mean-patch for all encoders, or leave it out"
    );
    let defaults = ClassesProtocol::default();
    let neighbours = args.classes.neighbours.clone();
    let protocol = ClassesProtocol {
        pooling: args.classes.pooling.into(),
        neighbours: neighbours.unwrap_or(defaults.neighbours),
        ..defaults
    };
    let revision = places::git_revision();
    let board = classify(
        &args.data,
        contestants,
        &protocol,
        measures,
        out,
        revision,
        progress,
    );
    Ok(board?)
}

/// `eval` beside the first checkpoint, or in the folder of all runs.
fn default_out(args: &EvalArgs) -> PathBuf {
    let beside = args.checkpoints.first().and_then(|path| path.parent());
    beside
        .map_or_else(places::root, Path::to_owned)
        .join("eval")
}

/// `data` itself for one benchmark, its subfolder when it holds them all.
pub fn task_folder(data: &Path, benchmark: &dyn Benchmark, all: bool) -> PathBuf {
    let folder = data.join(benchmark.folder());
    if all || folder.is_dir() {
        folder
    } else {
        data.to_owned()
    }
}

fn exit_code(complete: bool) -> ExitCode {
    if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
