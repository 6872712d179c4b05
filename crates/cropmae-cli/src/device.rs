//! Which processor does the tensor work, and with how many threads.

use std::{num::NonZeroUsize, thread};

use anyhow::{Context, Result};
use candle_core::Device;
use clap::{Args, ValueEnum};

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

/// Opens the device that was asked for and sizes the thread pool.
///
/// `auto` is the CPU: only it has fused kernels so far, and accelerators are taken when asked for.
pub fn open(args: &DeviceArgs) -> Result<Device> {
    start_pool(args.threads)?;
    match args.device {
        DeviceArg::Auto | DeviceArg::Cpu => Ok(Device::Cpu),
        DeviceArg::Cuda => Device::new_cuda(0).context(
            "--device cuda: no CUDA device answers; it needs an NVIDIA driver and a program built with \
             the feature cuda (cargo xtask does so), or use --device cpu",
        ),
        DeviceArg::Metal => Device::new_metal(0).context(
            "--device metal: no Metal device answers; it needs macOS and a program built with the feature \
             metal (cargo xtask does so), or use --device cpu",
        ),
    }
}

/// The device in a word, for records.
pub fn name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}

/// Starts the pool of `threads` threads, one of which is this one: work that it shares out begins at once,
/// where a thread outside of the pool hands over and sleeps (7 % of a training step).
///
/// A pool of one thread has it apart: others may need the pool while this one waits for them.
fn start_pool(threads: Option<NonZeroUsize>) -> Result<()> {
    let pool = match threads {
        Some(threads) => rayon::ThreadPoolBuilder::new().num_threads(threads.get()),
        None => rayon::ThreadPoolBuilder::new(),
    };
    let chosen_outside = threads.is_none() && std::env::var_os("RAYON_NUM_THREADS").is_some();
    let count = threads.or_else(|| thread::available_parallelism().ok());
    let pool = match count {
        Some(count) if count.get() > 1 && !chosen_outside => pool.use_current_thread(),
        _ => pool,
    };
    pool.build_global().context("cannot start the thread pool")
}
