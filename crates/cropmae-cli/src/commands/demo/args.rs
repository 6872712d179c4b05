//! The options of `cropmae demo`.

use std::path::PathBuf;

use clap::Args;

use crate::device::DeviceArgs;

/// The options of `cropmae demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cropmae demo
  cropmae demo --seed 1 --out runs/demo1")]
pub struct DemoArgs {
    /// Seed of the data, the weights and the order
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for the run and its scores [default: runs/demo-seedN]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Change one value of the embedded config; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// The device and the number of threads.
    #[command(flatten)]
    pub device: DeviceArgs,
}
