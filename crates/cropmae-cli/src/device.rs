//! Which processor does the tensor work, and with how many threads.

use anyhow::{Context, Result};
use candle_core::Device;

use crate::args::{DeviceArg, DeviceArgs};

/// Opens the device that was asked for and sizes the thread pool.
///
/// `auto` is the CPU: only it has fused kernels so far, and accelerators are taken when asked for.
pub fn open(args: &DeviceArgs) -> Result<Device> {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build_global()
            .context("cannot start the thread pool")?;
    }
    match args.device {
        DeviceArg::Auto | DeviceArg::Cpu => Ok(Device::Cpu),
        DeviceArg::Cuda => Device::new_cuda(0).context(
            "--device cuda: no CUDA device answers; it needs an NVIDIA driver and a program built with \
             the cuda feature (cargo xtask does so), or use --device cpu",
        ),
        DeviceArg::Metal => Device::new_metal(0).context(
            "--device metal: no Metal device answers; it needs macOS and a program built with the metal \
             feature (cargo xtask does so), or use --device cpu",
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
