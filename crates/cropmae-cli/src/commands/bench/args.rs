//! The options of `cropmae bench`.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};
use cropmae_config::FrameSize;

use crate::{device::DeviceArgs, dtype::DtypeArgs};

/// The options of `cropmae bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae bench step
  cropmae bench step --arch vitb16 --batch 8 --peer --python VENV/bin/python
  cropmae bench infer --json
  cropmae bench ops --threads 1
  cropmae bench ops --device cuda --dtype bf16 --verify
  cropmae bench propagate --data DAVIS --sequence blackswan --peer --python VENV/bin/python
  cropmae bench loader --data IMAGES --threads 1 --peer --python VENV/bin/python")]
pub struct BenchArgs {
    /// The measurement.
    #[command(subcommand)]
    pub task: BenchTask,
}

/// The measurements of `cropmae bench`.
#[derive(Debug, Subcommand)]
pub enum BenchTask {
    /// Time a training step on random pixels: forward, backward and optimizer
    Step(StepArgs),
    /// Time the encoder on random video frames
    Infer(InferArgs),
    /// Time the loader: from files to batches of crop pairs, without a model
    Loader(LoaderArgs),
    /// Time a whole evaluation of one DAVIS sequence, and its loading, encoding and propagation alone
    Propagate(PropagateArgs),
    /// Time each differentiable operation at the sizes of the model, forward and backward
    Ops(OpsArgs),
}

/// The options of `cropmae bench step`.
#[derive(Debug, Args)]
pub struct StepArgs {
    /// Number of images per step
    #[arg(long, default_value_t = NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN))]
    pub batch: NonZeroUsize,
    /// Share of the patches of view 2 that is removed
    #[arg(long, default_value_t = 0.985)]
    pub mask_ratio: f64,
    /// The options that all measurements of a model share.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// The options of the comparison with PyTorch.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// The options of `cropmae bench infer`.
#[derive(Debug, Args)]
pub struct InferArgs {
    /// Number of frames per forward pass
    #[arg(long, default_value_t = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN))]
    pub batch: NonZeroUsize,
    /// Size of a frame, HEIGHTxWIDTH
    #[arg(long, value_name = "SIZE", default_value = "480x880")]
    pub size: FrameSize,
    /// The options that all measurements of a model share.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// The options of the comparison with PyTorch.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// The options of `cropmae bench loader`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae bench loader --data IMAGES --threads 1
  cropmae bench loader --data 'SHARDS/shard-{000000..000146}.tar' --json
  cropmae bench loader --data IMAGES --set data.global_scale=[0.5,1.0]
  cropmae bench loader --data IMAGES --threads 1 --peer --python VENV/bin/python

All files are read once before the measurement starts, so that the measurement reads them from memory.
Without --config, the loader follows the published ImageNet recipe, as the PyTorch program does.")]
pub struct LoaderArgs {
    /// Images or videos, in any form that pretrain --data accepts
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Experiment file, or the name of an embedded one, that sets the data, image size and patch size
    /// [default: cropmae_in1k_vits16]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change one value of the config; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Number of threads that load [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Number of samples per batch
    #[arg(long, default_value_t = NonZeroUsize::new(32).unwrap_or(NonZeroUsize::MIN))]
    pub batch: NonZeroUsize,
    /// Build batches of bytes, which accelerators normalize, instead of normalized f32
    #[arg(long, conflicts_with = "peer")]
    pub bytes: bool,
    /// Measure whole epochs for at least this long
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// The options of the comparison with PyTorch.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// The options of `cropmae bench propagate`.
#[derive(Debug, Args)]
pub struct PropagateArgs {
    /// Folder of DAVIS-2017, as downloaded
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Name of the sequence [default: the first of the list]
    #[arg(long, value_name = "NAME")]
    pub sequence: Option<String>,
    /// Architecture of a randomly initialized encoder: vits16, vitb16, vitl16, vits8
    #[arg(long, default_value = "vits16")]
    pub arch: String,
    /// Measure the encoder of this checkpoint instead
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The number type of the encoder. The PyTorch program computes in single precision.
    #[command(flatten)]
    pub dtype: DtypeArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// The device and the number of threads.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// The options of the comparison with PyTorch.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// The options of `cropmae bench ops`.
#[derive(Debug, Args)]
pub struct OpsArgs {
    /// Number of images per step
    #[arg(long, default_value_t = NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN))]
    pub batch: NonZeroUsize,
    /// Compare the results and gradients of each operation with those of its definition on the CPU, instead of timing
    /// it, and fail if one is wrong
    #[arg(long)]
    pub verify: bool,
    /// The options that all measurements of a model share.
    #[command(flatten)]
    pub shape: ShapeArgs,
}

/// The options that all measurements of a model share.
#[derive(Debug, Args)]
pub struct ShapeArgs {
    /// Architecture, with the decoder that the reference gives it: vits16, vitb16, vitl16, vits8, ...
    #[arg(long, default_value = "vits16")]
    pub arch: String,
    /// The number type.
    #[command(flatten)]
    pub dtype: DtypeArgs,
    /// Number of measured steps, whose median is reported
    #[arg(long, default_value_t = NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN))]
    pub steps: NonZeroUsize,
    /// Number of steps before the measured ones
    #[arg(long, default_value_t = 2)]
    pub warmup: usize,
    /// Print JSON objects, one per line, instead of a table
    #[arg(long)]
    pub json: bool,
    /// The device and the number of threads.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// The options of a comparison with PyTorch.
#[derive(Debug, Args)]
#[command(next_help_heading = "Comparison")]
pub struct PeerArgs {
    /// Run a PyTorch program and this one alternately, each time in a new process, and print the ratios
    /// [default script: the embedded copy of the one for this measurement in the folder peers of the repository]
    #[arg(long, value_name = "SCRIPT")]
    pub peer: Option<Option<PathBuf>>,
    /// Python with torch and timm, or with torch and torchvision for the loader
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub python: PathBuf,
    /// Have PyTorch compile its model by torch.compile, which only the programs for step and infer do
    #[arg(long)]
    pub compile: bool,
    /// Number of turns of each program
    #[arg(long, default_value_t = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN))]
    pub alternations: NonZeroUsize,
}
