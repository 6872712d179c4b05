//! The options of `cropmae pretrain`.

use std::path::PathBuf;

use clap::Args;

use crate::device::DeviceArgs;

/// The options of `cropmae pretrain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae pretrain
  cropmae pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES --out RUN
  cropmae pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES \\
      --set train.batch_size=16 --set train.max_steps=100
  cropmae pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES --out RUN \\
      --set eval.every_epochs=20 --set eval.max_sequences=5 --eval-data BENCHMARKS
  cropmae pretrain --data IMAGES --dry-run

The same command with the same --out continues a run that was stopped. Ctrl-C stops after the current
step and saves; a second Ctrl-C stops at once.")]
pub struct PretrainArgs {
    /// Experiment file, or the name of an embedded one, such as cropmae_in1k_vits16 [default: demo]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of images, list of paths (.txt), tar shards ("shard-{000..146}.tar") or Parquet files; for
    /// SiamMAE, videos, each of which is a folder of frames
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Folder of the videos for evaluations during training (eval.every_epochs), which contains DAVIS, VIP or
    /// JHMDB [default: those of the procedural data set]
    #[arg(long, value_name = "DIR")]
    pub eval_data: Option<PathBuf>,
    /// Run folder [default: runs/NAME, with NAME from the config]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Change one value of the config; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Print the config, data, parameters, updates, memory and time of the run instead of training
    #[arg(long)]
    pub dry_run: bool,
    /// Train on the first batch only, on which the loss of a correct model falls to almost 0
    #[arg(long)]
    pub overfit_one_batch: bool,
    /// The device and the number of threads.
    #[command(flatten)]
    pub device: DeviceArgs,
}
