//! The command line.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use cropmae_config::FrameSize;

mod bench;
pub use bench::{BenchArgs, BenchTask, InferArgs, OpsArgs, PeerArgs, ShapeArgs, StepArgs};

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
    Eval(EvalArgs),
    /// Pre-train on the embedded default, evaluate against baselines, print the table
    Demo(DemoArgs),
    /// Measure training steps, the encoder and single operations, also against PyTorch
    Bench(BenchArgs),
}

/// `cropmae pretrain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask pretrain
  cargo xtask pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES --out RUN
  cargo xtask pretrain --config configs/cropmae_in1k_vits16.toml --data IMAGES \\
      --set train.batch_size=16 --set train.max_steps=100
  cargo xtask pretrain --data IMAGES --dry-run

The same command on the same --out continues a run that was stopped. Ctrl-C stops at the next
step and saves; a second Ctrl-C stops at once.")]
pub struct PretrainArgs {
    /// Experiment file; without one the embedded default runs
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of images, nested or flat (jpg, jpeg, png, webp); for SiamMAE one folder of frames per video
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
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

/// `cropmae eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask eval --task davis --checkpoint RUN/last.safetensors --data DAVIS
  cargo xtask eval --task all --checkpoint RUN/last.safetensors --data DIR   (DIR holds DAVIS, VIP, JHMDB)
  cargo xtask eval --task vip --checkpoint A --checkpoint B --random-init vits16 --pixels --data VIP")]
pub struct EvalArgs {
    /// Benchmark
    #[arg(long, value_enum)]
    pub task: TaskArg,
    /// Checkpoint of a run; may be repeated
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub checkpoints: Vec<PathBuf>,
    /// Also score a randomly initialised encoder: vits16, vitb16, vitl16, vits8; may be repeated
    #[arg(long = "random-init", value_name = "ARCH")]
    pub random_init: Vec<String>,
    /// Also score raw pixels, the baseline without any network
    #[arg(long)]
    pub pixels: bool,
    /// The benchmark's folder in its official layout; for `all` a folder that holds DAVIS, VIP and JHMDB
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where scores, predictions and overlays go [default: eval beside the first checkpoint]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only these sequences, comma separated
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub sequences: Option<Vec<String>>,
    /// Do not draw overlays
    #[arg(long)]
    pub no_overlays: bool,
    /// Where the work runs.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Changes to the reference's protocol.
    #[command(flatten)]
    pub protocol: ProtocolArgs,
}

/// Label-propagation settings; each task's reference values are the defaults.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Protocol (default: the reference's)")]
pub struct ProtocolArgs {
    /// Size of the encoder's input: HEIGHTxWIDTH, or one number for the longer side (davis 480x880, vip
    /// 880, jhmdb 320x320)
    #[arg(long, value_name = "SIZE")]
    pub size: Option<FrameSize>,
    /// Sources whose labels a cell averages (davis 7, vip 10, jhmdb 7)
    #[arg(long, value_name = "K")]
    pub top_k: Option<NonZeroUsize>,
    /// Grid distance from which on cells of recent frames are excluded (20)
    #[arg(long, value_name = "CELLS")]
    pub radius: Option<f64>,
    /// Divides affinities before the softmax (0.7)
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// Recent frames used as sources beside frame 0 (20)
    #[arg(long, value_name = "FRAMES")]
    pub context_frames: Option<usize>,
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

/// Values of `--task`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskArg {
    /// DAVIS-2017, semi-supervised: J&F
    Davis,
    /// VIP, part propagation: mIoU
    Vip,
    /// JHMDB, key points: PCK
    Jhmdb,
    /// All three
    All,
}
