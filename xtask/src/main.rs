//! The task runner, `cargo xtask TASK`.
//!
//! It builds the program `cropmae` in release mode with the features that fit the machine and runs it, so that nobody
//! trains with a debug build by accident. It links none of the other crates of this workspace, so that it builds fast.

mod cargo;
mod ci;
mod features;
mod program;
mod test;
mod toolkit;

use std::{ffi::OsString, process::ExitCode};

const HELP: &str = "\
Builds and runs the program `cropmae`, and checks changes.

Usage: cargo xtask TASK [ARGS]

Tasks of xtask:
  test [ARGS]  run the tests and count what they skipped; ARGS go to cargo, such as -p cropmae-data
  ci           run everything that a change must pass: format, lints, tests, docs, the README's commands

Every other task is a command of `cropmae`: `cargo xtask pretrain` builds the program in release mode and runs
`cropmae pretrain`. The first build takes minutes; cargo shows its progress.
  help         list the commands of `cropmae`
  TASK --help  describe one of these commands

Options for the build, anywhere on the command line:
  --device cuda, --device metal  build with the kernels of that device, and pass the option on
  --features NAME                build with a feature of `cropmae`: video, hub, zstd, ...";

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let task = args.first().and_then(|task| task.to_str());
    let outcome = match task {
        None | Some("--help" | "-h") => {
            say(HELP);
            Ok(ExitCode::SUCCESS)
        }
        Some("ci") if args.len() == 1 => ci::run(),
        Some("test") => test::run(&args.split_off(1)),
        Some(_) => program::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        #[expect(
            clippy::print_stderr,
            reason = "the task runner prints to the terminal"
        )]
        {
            eprintln!("error: {error:#}");
        }
        ExitCode::FAILURE
    })
}

#[expect(
    clippy::print_stdout,
    reason = "the task runner prints to the terminal"
)]
fn say(text: &str) {
    println!("{text}");
}
