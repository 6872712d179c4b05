//! Arguments of `cropmae data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::TaskArg;

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
    /// Verify a download before it is used
    Check(CheckArgs),
}

/// `cropmae data check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask data check --task davis DAVIS
  cargo xtask data check --task davis --list DAVIS/ImageSets/2017/train.txt DAVIS
  cargo xtask data check --task all DIR                  (DIR holds DAVIS, VIP, JHMDB)

The fingerprint is the one that stands in the report.json of an evaluation of the same sequences.
The exit code is 0 only if nothing must be mended.")]
pub struct CheckArgs {
    /// The folder, in its official layout; for `all` one that holds DAVIS, VIP and JHMDB
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Benchmark
    #[arg(long, value_enum)]
    pub task: TaskArg,
    /// Check the sequences of this file, one name a line, in place of the benchmark's own list
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Only these sequences of the list, comma separated
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub sequences: Option<Vec<String>>,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}
