//! The `cropmae` program: arguments, device choice, logs and progress bars around the libraries.
//!
//! The exit code is 0 on success, 1 on failure, 2 on wrong usage, and 130 after an interrupt (finished work is saved).

mod advice;
mod cli;
mod commands;
mod console;
mod device;
mod dtype;
mod interrupt;
mod places;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    cropmae_kernels::keep_freed_memory();
    let console = console::Console::start(cli.verbose);
    let outcome = match &cli.command {
        Command::Pretrain(args) => commands::pretrain::run(args, &console),
        Command::Eval(args) => commands::eval::run(args, &console),
        Command::Demo(args) => commands::demo::run(args, &console),
        Command::Bench(args) => commands::bench::run(args, &console),
        Command::Data(args) => commands::data::run(args, &console),
        Command::Import(args) => commands::weights::import(args, cli.verbose, &console),
        Command::Export(args) => commands::weights::export(args, &console),
        Command::Inspect(args) => commands::weights::inspect(args, &console),
    };
    outcome.unwrap_or_else(|error| {
        console.error(&error);
        ExitCode::FAILURE
    })
}
