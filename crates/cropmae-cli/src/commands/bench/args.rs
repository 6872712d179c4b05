//! `cropmae bench`.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};
use cropmae_config::FrameSize;

use crate::{device::DeviceArgs, dtype::DtypeArgs};

/// `cropmae bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae bench step
  cropmae bench step --arch vitb16 --batch 8 --peer --python VENV/bin/python
  cropmae bench infer --json
  cropmae bench ops --threads 1
  cropmae bench propagate --data DAVIS --sequence blackswan --peer --python VENV/bin/python
  cropmae bench loader --data IMAGES --threads 1 --peer --python VENV/bin/python")]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub task: BenchTask,
}

/// Values of `cropmae bench TASK`.
#[derive(Debug, Subcommand)]
pub enum BenchTask {
    /// A training step: forward, backward and optimiser on random pixels
    Step(StepArgs),
    /// The encoder's features of video frames
    Infer(InferArgs),
    /// Crop pairs from files to batches, without a model
    Loader(LoaderArgs),
    /// A whole evaluation of a DAVIS sequence, and its loading, encoding and propagation one by one
    Propagate(PropagateArgs),
    /// Each differentiable operation at the model's sizes, forward and backward
    Ops(OpsArgs),
}

/// `cropmae bench step`.
#[derive(Debug, Args)]
pub struct StepArgs {
    /// Images per step
    #[arg(long, default_value_t = NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN))]
    pub batch: NonZeroUsize,
    /// Share of view 2's patches that is removed
    #[arg(long, default_value_t = 0.985)]
    pub mask_ratio: f64,
    /// What to run, how often, and how to tell.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Against whom.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// `cropmae bench infer`.
#[derive(Debug, Args)]
pub struct InferArgs {
    /// Frames per forward pass
    #[arg(long, default_value_t = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN))]
    pub batch: NonZeroUsize,
    /// Size of a frame, HEIGHTxWIDTH
    #[arg(long, value_name = "SIZE", default_value = "480x880")]
    pub size: FrameSize,
    /// What to run, how often, and how to tell.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Against whom.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// `cropmae bench loader`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae bench loader --data IMAGES --threads 1
  cropmae bench loader --data 'SHARDS/shard-{000000..000146}.tar' --json
  cropmae bench loader --data IMAGES --set data.global_scale=[0.5,1.0]
  cropmae bench loader --data IMAGES --threads 1 --peer --python VENV/bin/python

Files are read once before the clock starts, so they come from memory. Without --config the published
ImageNet recipe is loaded, which is also what the PyTorch program does.")]
pub struct LoaderArgs {
    /// Images or videos, wherever --data of pretrain takes them from
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Experiment file, or the name of an embedded one, whose data, image and patch size are used
    /// [default: cropmae_in1k_vits16]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one value of the config; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Threads that load [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Samples per batch
    #[arg(long, default_value_t = NonZeroUsize::new(32).unwrap_or(NonZeroUsize::MIN))]
    pub batch: NonZeroUsize,
    /// Batches of bytes, which accelerators normalise, in place of normalised f32
    #[arg(long, conflicts_with = "peer")]
    pub bytes: bool,
    /// Measure whole epochs for at least this long
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Against whom.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// `cropmae bench propagate`.
#[derive(Debug, Args)]
pub struct PropagateArgs {
    /// DAVIS-2017 as downloaded
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Sequence [default: the first of the list]
    #[arg(long, value_name = "NAME")]
    pub sequence: Option<String>,
    /// Architecture of a randomly initialised encoder: vits16, vitb16, vitl16, vits8
    #[arg(long, default_value = "vits16")]
    pub arch: String,
    /// Encoder of a checkpoint in its place
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// In which number type the encoder computes; the PyTorch program computes in single precision.
    #[command(flatten)]
    pub dtype: DtypeArgs,
    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Where the work runs.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Against whom.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// `cropmae bench ops`.
#[derive(Debug, Args)]
pub struct OpsArgs {
    /// Images per step
    #[arg(long, default_value_t = NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN))]
    pub batch: NonZeroUsize,
    /// What to run, how often, and how to tell.
    #[command(flatten)]
    pub shape: ShapeArgs,
}

/// What all measurements share.
#[derive(Debug, Args)]
pub struct ShapeArgs {
    /// Architecture, with the decoder of the reference's builders: vits16, vitb16, vitl16, vits8, ...
    #[arg(long, default_value = "vits16")]
    pub arch: String,
    /// In which number type.
    #[command(flatten)]
    pub dtype: DtypeArgs,
    /// Measured steps; the median counts
    #[arg(long, default_value_t = NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN))]
    pub steps: NonZeroUsize,
    /// Steps before the measured ones
    #[arg(long, default_value_t = 2)]
    pub warmup: usize,
    /// One JSON object per line instead of a table
    #[arg(long)]
    pub json: bool,
    /// Where the work runs.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// A comparison with PyTorch.
#[derive(Debug, Args)]
#[command(next_help_heading = "Comparison")]
pub struct PeerArgs {
    /// Also run a PyTorch program, in turn with ours, each time in a new process, and print the ratios
    /// [default script: the one for this measurement in the repository's folder peers, which is embedded]
    #[arg(long, value_name = "SCRIPT")]
    pub peer: Option<Option<PathBuf>>,
    /// Python with torch and timm, or torchvision for the loader
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub python: PathBuf,
    /// Turns of each
    #[arg(long, default_value_t = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN))]
    pub alternations: NonZeroUsize,
}
