//! The front door: `cargo xtask TASK`. Builds the real program in release mode with the features that fit
//! the machine and runs it, so that nobody trains in a debug build by accident. Links none of our crates.

mod cargo;
mod ci;
mod program;

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// CropMAE in Rust: pre-train vision transformers from crop pairs, and score them.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
#[command(after_help = "Examples:
  cargo xtask pretrain                                   the embedded default: minutes, no download
  cargo xtask pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES --out RUN
  cargo xtask eval --task davis --checkpoint RUN/last.safetensors --data DAVIS
  cargo xtask demo                                       pre-train, evaluate, compare with baselines
  cargo xtask bench step --peer                          a training step, in turn with PyTorch's
  cargo xtask import checkpoint-399.pth                  the reference's weights as ours
  cargo xtask export RUN/last.safetensors --format timm --out encoder.safetensors
  cargo xtask TASK --help                                everything about one task")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Pre-train an encoder on a folder of images (with no arguments: the embedded default)
    #[command(disable_help_flag = true)]
    Pretrain(Forwarded),
    /// Score encoders by label propagation on DAVIS-2017, VIP and JHMDB
    #[command(disable_help_flag = true)]
    Eval(Forwarded),
    /// Pre-train on the embedded default, evaluate against baselines, print the table
    #[command(disable_help_flag = true)]
    Demo(Forwarded),
    /// Measure training steps, the encoder, the loader and single operations, also against PyTorch
    #[command(disable_help_flag = true)]
    Bench(Forwarded),
    /// Check images and downloads before they are used, pack images into shards, preview crops
    #[command(disable_help_flag = true)]
    Data(Forwarded),
    /// Read other people's weights: PyTorch checkpoints, timm and Hugging Face vision transformers
    #[command(disable_help_flag = true)]
    Import(Forwarded),
    /// Write weights for the reference, timm or Hugging Face
    #[command(disable_help_flag = true)]
    Export(Forwarded),
    /// Say what is in a weight file: architecture, provenance, tensors
    #[command(disable_help_flag = true)]
    Inspect(Forwarded),
    /// Everything a change must pass: format, lints, tests, docs, a smoke run of the README's commands
    Ci,
}

/// Arguments that belong to the program behind the task, `--help` included.
#[derive(Args)]
struct Forwarded {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    args: Vec<OsString>,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Pretrain(forwarded) => program::run("pretrain", &forwarded.args),
        Task::Eval(forwarded) => program::run("eval", &forwarded.args),
        Task::Demo(forwarded) => program::run("demo", &forwarded.args),
        Task::Bench(forwarded) => program::run("bench", &forwarded.args),
        Task::Data(forwarded) => program::run("data", &forwarded.args),
        Task::Import(forwarded) => program::run("import", &forwarded.args),
        Task::Export(forwarded) => program::run("export", &forwarded.args),
        Task::Inspect(forwarded) => program::run("inspect", &forwarded.args),
        Task::Ci => ci::run(),
    };
    outcome.unwrap_or_else(|error| {
        #[expect(clippy::print_stderr, reason = "the task runner talks to a person")]
        {
            eprintln!("error: {error:#}");
        }
        ExitCode::FAILURE
    })
}
