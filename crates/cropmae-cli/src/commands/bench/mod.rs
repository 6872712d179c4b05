//! `bench`: measures speed and memory in the units of the PyTorch programs that it can be compared with.

mod args;
mod ceiling;
mod infer;
mod loader;
mod ops;
mod peer;
mod propagate;
mod record;
mod script;
mod step;
mod verify;

use std::{process::ExitCode, time::Instant};

use anyhow::Result;
use candle_core::Device;
use cropmae_train::peak_rss_bytes;

use crate::console::Console;

use args::ShapeArgs;
pub use args::{BenchArgs, BenchTask};

use script::Script;

/// Runs the command.
pub fn run(args: &BenchArgs, console: &Console) -> Result<ExitCode> {
    match &args.task {
        BenchTask::Step(args) => match Script::of(&args.peer, script::STEP)? {
            Some(script) => peer::compare(script.path(), &args.peer, &step::flags(args)?, console)?,
            None => step::measure(args)?.say(args.shape.json, console)?,
        },
        BenchTask::Infer(args) => match Script::of(&args.peer, script::STEP)? {
            Some(script) => {
                peer::compare(script.path(), &args.peer, &infer::flags(args)?, console)?
            }
            None => infer::measure(args)?.say(args.shape.json, console)?,
        },
        BenchTask::Loader(args) => match Script::of(&args.peer, script::LOADER)? {
            Some(script) => loader::compare(script.path(), args, console)?,
            None => loader::measure(args)?.say(args.json, console)?,
        },
        BenchTask::Propagate(args) => propagate::run(args, console)?,
        BenchTask::Ops(args) if args.verify => ops::verify(args, console)?,
        BenchTask::Ops(args) => ops::measure(args, console)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the seconds of each measured call of `step` and the result of the last one.
///
/// The device must have finished its work when `step` returns.
fn time(shape: &ShapeArgs, mut step: impl FnMut() -> Result<f64>) -> Result<(Vec<f64>, f64)> {
    for _ in 0..shape.warmup {
        step()?;
    }
    let mut last = f64::NAN;
    let seconds = (0..shape.steps.get())
        .map(|_| {
            let start = Instant::now();
            last = step()?;
            Ok(start.elapsed().as_secs_f64())
        })
        .collect::<Result<_>>()?;
    Ok((seconds, last))
}

/// Returns the peak resident memory of this process in MiB, or `None` if the system does not report it.
fn peak_rss_mib() -> Option<f64> {
    peak_rss_bytes().map(|bytes| bytes as f64 / f64::from(1 << 20))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Returns the number of threads that compute on `device`.
fn threads(device: &Device) -> usize {
    if device.is_cpu() {
        rayon::current_num_threads()
    } else {
        1
    }
}
