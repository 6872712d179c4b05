//! The command line.

mod bench;
mod data;
mod dtype;
mod eval;
mod weights;

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use bench::{
    BenchArgs, BenchTask, InferArgs, LoaderArgs, OpsArgs, PeerArgs, PropagateArgs, ShapeArgs,
    StepArgs,
};
pub use data::{CheckArgs, DataArgs, DataCommand, PackArgs, PreviewArgs};
pub use dtype::{DtypeArgs, dtype_name};
pub use eval::{Axis, EvalArgs, PoolingArg, TaskArg, video_folders};
pub use weights::{ExportArgs, ImportArgs, InspectArgs};

/// Self-supervised pre-training of vision transformers from crop pairs, and their evaluation.
#[derive(Debug, Parser)]
#[command(name = "cropmae", bin_name = "cargo xtask", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say more in the log (also through RUST_LOG)
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// One task each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pre-train an encoder on a folder of images (with no arguments: the embedded default)
    Pretrain(PretrainArgs),
    /// Score encoders by label propagation on DAVIS-2017, VIP and JHMDB
    Eval(Box<EvalArgs>),
    /// Pre-train on the embedded default, evaluate against baselines, print the table
    Demo(DemoArgs),
    /// Measure training steps, the encoder, the loader and single operations, also against PyTorch
    Bench(BenchArgs),
    /// Check images and downloads, pack images into shards, preview crops
    Data(DataArgs),
    /// Read other people's weights: PyTorch checkpoints, timm and Hugging Face vision transformers
    Import(ImportArgs),
    /// Write weights for the reference, timm or Hugging Face
    Export(ExportArgs),
    /// Say what is in a weight file: architecture, provenance, tensors
    Inspect(InspectArgs),
}

/// `cropmae pretrain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask pretrain
  cargo xtask pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES --out RUN
  cargo xtask pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES \\
      --set train.batch_size=16 --set train.max_steps=100
  cargo xtask pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES --out RUN \\
      --set eval.every_epochs=20 --set eval.max_sequences=5 --eval-data BENCHMARKS
  cargo xtask pretrain --data IMAGES --dry-run

The same command on the same --out continues a run that was stopped. Ctrl-C stops at the next
step and saves; a second Ctrl-C stops at once.")]
pub struct PretrainArgs {
    /// Experiment file; without one the embedded default runs
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of images, list of paths (.txt), tar shards ("shard-{000..146}.tar") or Parquet files; for
    /// SiamMAE videos, one folder of frames each
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Videos to evaluate on during training, with eval.every_epochs: a folder that holds DAVIS, VIP or
    /// JHMDB [default: those of the procedural data set]
    #[arg(long, value_name = "DIR")]
    pub eval_data: Option<PathBuf>,
    /// Run folder [default: runs/NAME, NAME from the config]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Change one value of the config; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Print what would happen and stop: config, data, parameters, steps, memory, time
    #[arg(long)]
    pub dry_run: bool,
    /// Train on the first batch again and again: the loss of a healthy model falls to almost nothing
    #[arg(long)]
    pub overfit_one_batch: bool,
    /// Where the work runs.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// `cropmae demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask demo
  cargo xtask demo --seed 1 --out runs/demo1")]
pub struct DemoArgs {
    /// Seed of the data, the weights and the order
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for data, run and scores [default: runs/demo-seedN]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Change one value of the embedded config; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where the work runs.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Where the work runs.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Processor for tensors
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    pub device: DeviceArg,
    /// Threads for tensors and for data [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

impl DeviceArgs {
    /// Threads that will compute.
    pub fn threads(&self) -> usize {
        self.threads
            .map_or_else(rayon::current_num_threads, NonZeroUsize::get)
    }
}

/// Values of `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// The device with the fastest kernels: so far the CPU
    Auto,
    /// The CPU
    Cpu,
    /// The first NVIDIA GPU, on candle's own operations
    Cuda,
    /// The Apple GPU, on candle's own operations
    Metal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_needs_no_script() {
        let cli = Cli::try_parse_from("cropmae bench loader --data x --peer --python p".split(' '));
        let Command::Bench(args) = cli.unwrap().command else {
            panic!("another command");
        };
        let BenchTask::Loader(args) = args.task else {
            panic!("another task");
        };
        assert_eq!(args.peer.peer, Some(None));
    }
}
