//! Options of `cropmae pretrain`.

use std::path::PathBuf;

use clap::Args;

use crate::device::DeviceArgs;

/// `cropmae pretrain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae pretrain
  cropmae pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES --out RUN
  cropmae pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES \\
      --set train.batch_size=16 --set train.max_steps=100
  cropmae pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES --out RUN \\
      --set eval.every_epochs=20 --set eval.max_sequences=5 --eval-data BENCHMARKS
  cropmae pretrain --data IMAGES --dry-run

The same command on the same --out continues a run that was stopped. Ctrl-C stops at the next
step and saves; a second Ctrl-C stops at once.")]
pub struct PretrainArgs {
    /// Experiment file, or the name of an embedded one, such as cropmae_in1k_vits16; without it the embedded
    /// default runs
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
