//! The choice of the device and of the number of threads.

use std::{num::NonZeroUsize, thread};

use anyhow::{Context, Result};
use candle_core::Device;
use clap::{Args, ValueEnum};

/// The device and the number of threads.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Device for work on tensors
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    pub device: DeviceArg,
    /// Number of threads for tensors and for data [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

impl DeviceArgs {
    /// Returns the number of threads that will compute.
    pub fn threads(&self) -> usize {
        self.threads
            .map_or_else(rayon::current_num_threads, NonZeroUsize::get)
    }
}

/// Values of `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// The device with the fastest kernels, so far the CPU
    Auto,
    /// The CPU
    Cpu,
    /// The first NVIDIA GPU, with candle's own operations
    Cuda,
    /// The Apple GPU, with candle's own operations
    Metal,
}

/// Opens the requested device and starts the thread pool.
///
/// `auto` is the CPU, because only the CPU has fused kernels so far. Accelerators are used only on request.
pub fn open(args: &DeviceArgs) -> Result<Device> {
    start_pool(args.threads)?;
    match args.device {
        DeviceArg::Auto | DeviceArg::Cpu => Ok(Device::Cpu),
        DeviceArg::Cuda => Device::new_cuda(0).context(
            "--device cuda: no CUDA device found; install an NVIDIA driver and build with the feature cuda \
             (cargo xtask does so), or use --device cpu",
        ),
        DeviceArg::Metal => Device::new_metal(0).context(
            "--device metal: no Metal device found; use macOS and build with the feature metal \
             (cargo xtask does so), or use --device cpu",
        ),
    }
}

/// Returns the name of `device` for records.
pub fn name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}

/// Starts the thread pool with `threads` threads, or with one per core.
///
/// The current thread is one of them, so that it starts to work at once when it distributes work. A thread outside the
/// pool would sleep until a thread of the pool has finished, which costs 7 % of a training step.
///
/// A pool of one thread does not include the current one: others may need the pool while the current one waits for
/// them.
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
