//! `eval`: scores encoders on benchmarks, and writes a table, predictions and overlays.

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

/// Returns the evaluations on videos that `args` request.
fn suite(args: &EvalArgs, out: PathBuf) -> Result<Suite> {
    let benchmarks = args.task.videos();
    let file = match &args.protocol.file {
        Some(path) => ProtocolFile::load(path, &benchmarks::VIDEO.map(Benchmark::name))?,
        None => ProtocolFile::default(),
    };
    // The changes of the file come first, so that options override them.
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

/// Runs `--sweep`: scores every combination of settings, with one table for each benchmark and encoder.
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

/// Runs `--task knn|linear|classes`: image classification with frozen features.
fn classes(
    args: &EvalArgs,
    measures: Measures,
    contestants: &[Contestant],
    out: &Path,
    progress: &mut EvalProgress,
) -> Result<Scoreboard> {
    ensure!(
        !(args.pixels && args.classes.pooling == PoolingArg::ClassToken),
        "--pixels: raw pixels have no class token; add --pooling mean-patch for all encoders, or leave --pixels out"
    );
    let defaults = ClassesProtocol::default();
    let neighbors = args.classes.neighbors.clone();
    let protocol = ClassesProtocol {
        pooling: args.classes.pooling.into(),
        neighbors: neighbors.unwrap_or(defaults.neighbors),
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

/// Returns the folder `eval` beside the first checkpoint, or else in the folder of all runs.
fn default_out(args: &EvalArgs) -> PathBuf {
    let beside = args.checkpoints.first().and_then(|path| path.parent());
    beside
        .map_or_else(places::root, Path::to_owned)
        .join("eval")
}

/// Returns the subfolder of `data` for `benchmark`, or `data` if it is the folder of one benchmark.
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
