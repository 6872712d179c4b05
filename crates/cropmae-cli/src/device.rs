//! The choice of the device and of the number of threads.

use std::{fmt, num::NonZeroUsize, str::FromStr, thread};

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use clap::Args;
use cropmae_kernels::Backend;

/// The device and the number of threads.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Device for work on tensors: auto, cpu, cuda, cuda:N, metal or emulated
    ///
    /// auto is the CPU. cuda is the first NVIDIA GPU, and cuda:1 the second. emulated runs the kernels of GPUs on the
    /// CPU, which checks them and is very slow.
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        hide_default_value = true
    )]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceArg {
    /// The device to use if none is named: the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU with this number.
    Cuda(usize),
    /// The Apple GPU.
    Metal,
    /// The kernels of GPUs, emulated on the CPU.
    Emulated,
}

impl fmt::Display for DeviceArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => write!(f, "metal"),
            Self::Emulated => write!(f, "emulated"),
        }
    }
}

impl DeviceArg {
    /// Returns PyTorch's name of the device, or `None` for the emulator, which it does not have.
    pub fn torch_name(self) -> Option<String> {
        match self {
            Self::Auto | Self::Cpu => Some("cpu".to_owned()),
            Self::Cuda(_) => Some(self.to_string()),
            Self::Metal => Some("mps".to_owned()),
            Self::Emulated => None,
        }
    }
}

impl FromStr for DeviceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Auto,
            "cpu" => Self::Cpu,
            "cuda" => Self::Cuda(0),
            "metal" => Self::Metal,
            "emulated" => Self::Emulated,
            _ => match text.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(number)) => Self::Cuda(number),
                _ => return Err("expected auto, cpu, cuda, cuda:N, metal or emulated".to_owned()),
            },
        })
    }
}

/// Opens the requested device and starts the thread pool.
pub fn open(args: &DeviceArgs) -> Result<Device> {
    start_pool(args.threads)?;
    match args.device {
        DeviceArg::Auto | DeviceArg::Cpu => Ok(Device::Cpu),
        DeviceArg::Cuda(number) => cuda(number),
        DeviceArg::Metal => metal(),
        DeviceArg::Emulated => emulated(),
    }
}

fn cuda(number: usize) -> Result<Device> {
    ensure!(
        cfg!(feature = "cuda"),
        "--device cuda: this program was built without CUDA; build it with --features cuda (cargo xtask does so), \
         or use --device cpu"
    );
    Device::new_cuda(number).with_context(|| {
        format!(
            "--device cuda:{number}: cannot open this GPU; nvidia-smi shows which GPUs there are, and whether their \
             driver is installed; --device cpu works without one"
        )
    })
}

fn metal() -> Result<Device> {
    ensure!(
        cfg!(feature = "metal"),
        "--device metal: this program was built without Metal; build it on a Mac with --features metal (cargo xtask \
         does so), or use --device cpu"
    );
    Device::new_metal(0).context("--device metal: no Apple GPU found; use --device cpu")
}

/// The kernels of GPUs run on tensors of the CPU device.
fn emulated() -> Result<Device> {
    ensure!(
        cfg!(feature = "emulated"),
        "--device emulated: this program was built without the emulator; build it with --features emulated (cargo \
         xtask does so), or use --device cpu"
    );
    Backend::Gpu.make_default();
    Ok(Device::Cpu)
}

/// Returns the name of `device` for records.
pub fn name(device: &Device) -> &'static str {
    match device {
        Device::Cpu if Backend::of(device) == Backend::Gpu => "emulated",
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
