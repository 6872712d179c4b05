//! `data`: checks, packs and previews the data of runs.

mod args;
mod benchmarks;
mod images;
mod pack;
mod preview;

use std::process::ExitCode;

use anyhow::Result;

use crate::console::Console;

pub use args::DataArgs;
use args::DataCommand;

/// Runs the command.
pub fn run(args: &DataArgs, console: &Console) -> Result<ExitCode> {
    match &args.command {
        DataCommand::Check(args) if args.task.is_none() => images::check(args, console),
        DataCommand::Check(args) => benchmarks::check(args, console),
        DataCommand::Pack(args) => pack::run(args, console),
        DataCommand::Preview(args) => preview::run(args, console),
    }
}
