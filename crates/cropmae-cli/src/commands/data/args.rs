//! Options of `cropmae data`.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};

use crate::commands::eval::TaskArg;

/// `cropmae data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// What to do with the data.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// One thing to do with data each.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Verify images, or the download of a benchmark, before they are used
    Check(CheckArgs),
    /// Write tar shards from any source of images
    Pack(PackArgs),
    /// Draw crops and masks as a run would see them
    Preview(PreviewArgs),
}

/// `cropmae data check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae data check IMAGES
  cropmae data check 'SHARDS/shard-{000000..000146}.tar' --strict
  cropmae data check --task davis DAVIS
  cropmae data check --task davis --list DAVIS/ImageSets/2017/train.txt DAVIS
  cropmae data check --task all DIR                  (DIR holds DAVIS, VIP, JHMDB)

The fingerprint is the one that stands in the run.json of a run, or the report.json of an evaluation, on
the same data. The exit code is 0 only if nothing must be mended: for images, if a run would accept them.")]
pub struct CheckArgs {
    /// Images for pre-training, wherever --data of pretrain takes them from; with --task the folder in its
    /// official layout; for `all` one that holds DAVIS, VIP and JHMDB
    #[arg(value_name = "PATH")]
    pub dir: PathBuf,
    /// Benchmark
    #[arg(long, value_enum)]
    pub task: Option<TaskArg>,
    /// Check the sequences of this file, one name a line, in place of the benchmark's own list
    #[arg(long, value_name = "FILE", requires = "task")]
    pub list: Option<PathBuf>,
    /// Only these sequences of the list, comma separated
    #[arg(long, value_delimiter = ',', value_name = "NAMES", requires = "task")]
    pub sequences: Option<Vec<String>>,
    /// Share of unusable images that a run may meet, its data.max_bad_fraction
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.01,
        conflicts_with = "task"
    )]
    pub max_bad_fraction: f64,
    /// Images with a side of fewer pixels are tiny
    #[arg(long, value_name = "PX", default_value_t = 64, conflicts_with = "task")]
    pub tiny_px: u32,
    /// Let any broken, tiny or duplicate image fail the check
    #[arg(long, conflicts_with = "task")]
    pub strict: bool,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}

/// `cropmae data pack`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae data pack IMAGES --out SHARDS
  cropmae data pack IMAGES --out SHARDS --shorter-side 256 --quality 90
  cropmae data pack PARQUET --out SHARDS --shard-size 500

Without --shorter-side every byte is kept, and shards of a folder give the same batches as the folder.
The folder of shards appears when its last byte is written.")]
pub struct PackArgs {
    /// Images, wherever --data of pretrain takes them from
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// Folder for the shards; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Size at which a shard is closed, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub shard_size: u64,
    /// Resize images with a longer shorter side to it, and store them as JPEG
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..))]
    pub shorter_side: Option<u32>,
    /// Quality of those JPEGs
    #[arg(long, value_name = "1-100", default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,
}

/// `cropmae data preview`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae data preview IMAGES
  cropmae data preview SHARDS --config configs/mae_in1k_vits16.toml --out mae.png
  cropmae data preview VIDEOS --config configs/siammae_k400_vits16.toml --samples 4
  cropmae data preview IMAGES --set data.views=random_views --set mask.ratio=0.75")]
pub struct PreviewArgs {
    /// Images or videos, wherever --data of pretrain takes them from
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// Experiment file, or the name of an embedded one [default: cropmae_in1k_vits16]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one value of the config; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Samples, the first of the epoch
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(6).unwrap_or(NonZeroUsize::MIN))]
    pub samples: NonZeroUsize,
    /// Epoch, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub epoch: u64,
    /// The sheet
    #[arg(long, value_name = "FILE", default_value = "preview.png")]
    pub out: PathBuf,
}
