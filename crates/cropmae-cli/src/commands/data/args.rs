//! The options of `cropmae data`.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};

use crate::commands::eval::TaskArg;

/// The options of `cropmae data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// The task.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// The tasks of `cropmae data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Verify images, or the download of a benchmark, before they are used
    Check(CheckArgs),
    /// Write tar shards from any source of images
    Pack(PackArgs),
    /// Draw the crops and masks that a run would use
    Preview(PreviewArgs),
}

/// The options of `cropmae data check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae data check IMAGES
  cropmae data check 'SHARDS/shard-{000000..000146}.tar' --strict
  cropmae data check --task davis DAVIS
  cropmae data check --task davis --list DAVIS/ImageSets/2017/train.txt DAVIS
  cropmae data check --task all DIR                  (DIR contains DAVIS, VIP, JHMDB)

The fingerprint equals the one in the run.json of a run, or in the report.json of an evaluation, on the
same data. The exit code is 0 only if there are no problems: for images, if a run would accept them.")]
pub struct CheckArgs {
    /// Images for pre-training, in any form that pretrain --data accepts; with --task, the folder of the
    /// benchmark in its official layout; with --task all, a folder that contains DAVIS, VIP and JHMDB
    #[arg(value_name = "PATH")]
    pub dir: PathBuf,
    /// Benchmark to check
    #[arg(long, value_enum)]
    pub task: Option<TaskArg>,
    /// Check the sequences in this file, one name per line, instead of the benchmark's own list
    #[arg(long, value_name = "FILE", requires = "task")]
    pub list: Option<PathBuf>,
    /// Check only these sequences of the list, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES", requires = "task")]
    pub sequences: Option<Vec<String>>,
    /// Largest share of unusable images that a run accepts, as in data.max_bad_fraction
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.01,
        conflicts_with = "task"
    )]
    pub max_bad_fraction: f64,
    /// Report images with a side of fewer pixels as tiny
    #[arg(long, value_name = "PX", default_value_t = 64, conflicts_with = "task")]
    pub tiny_px: u32,
    /// Fail if any image is broken, tiny or a duplicate
    #[arg(long, conflicts_with = "task")]
    pub strict: bool,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `cropmae data pack`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae data pack IMAGES --out SHARDS
  cropmae data pack IMAGES --out SHARDS --shorter-side 256 --quality 90
  cropmae data pack PARQUET --out SHARDS --shard-size 500

Without --shorter-side, every file keeps its bytes, and the shards of a folder give the same batches as
the folder. The folder of shards appears only when it is complete.")]
pub struct PackArgs {
    /// Images, in any form that pretrain --data accepts
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// Folder for the shards, which must be new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Size in MiB at which a shard is complete
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub shard_size: u64,
    /// Longest shorter side: larger images are resized to it and stored as JPEG
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..))]
    pub shorter_side: Option<u32>,
    /// JPEG quality of these images
    #[arg(long, value_name = "1-100", default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,
}

/// The options of `cropmae data preview`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae data preview IMAGES
  cropmae data preview SHARDS --config configs/mae_in1k_vits16.toml --out mae.png
  cropmae data preview VIDEOS --config configs/siammae_k400_vits16.toml --samples 4
  cropmae data preview IMAGES --set data.views=random_views --set mask.ratio=0.75")]
pub struct PreviewArgs {
    /// Images or videos, in any form that pretrain --data accepts
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// Experiment file, or the name of an embedded one [default: cropmae_in1k_vits16]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one value of the config; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Number of samples, from the start of the epoch
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(6).unwrap_or(NonZeroUsize::MIN))]
    pub samples: NonZeroUsize,
    /// Number of the epoch, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub epoch: u64,
    /// PNG file for the contact sheet
    #[arg(long, value_name = "FILE", default_value = "preview.png")]
    pub out: PathBuf,
}
