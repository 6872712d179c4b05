//! The command line: the options of each command are in its folder.

use clap::{Parser, Subcommand};

use crate::commands::{
    bench::BenchArgs,
    data::DataArgs,
    demo::DemoArgs,
    eval::EvalArgs,
    pretrain::PretrainArgs,
    weights::{ExportArgs, ImportArgs, InspectArgs},
};

/// Self-supervised pre-training of vision transformers from crop pairs, and their evaluation.
#[derive(Debug, Parser)]
#[command(name = "cropmae", version)]
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
    Eval(Box<EvalArgs>),
    /// Pre-train on the embedded default, evaluate against baselines, print the table
    Demo(DemoArgs),
    /// Measure training steps, the encoder, the loader and single operations, also against PyTorch
    Bench(BenchArgs),
    /// Check images and downloads, pack images into shards, preview crops
    Data(DataArgs),
    /// Read other people's weights: PyTorch checkpoints, timm and Hugging Face vision transformers
    Import(ImportArgs),
    /// Write weights for the reference, timm or Hugging Face
    Export(ExportArgs),
    /// Say what is in a weight file: architecture, provenance, tensors
    Inspect(InspectArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench::BenchTask;

    #[test]
    fn a_comparison_needs_no_script() {
        let cli = Cli::try_parse_from("cropmae bench loader --data x --peer --python p".split(' '));
        let Command::Bench(args) = cli.unwrap().command else {
            panic!("another command");
        };
        let BenchTask::Loader(args) = args.task else {
            panic!("another task");
        };
        assert_eq!(args.peer.peer, Some(None));
    }
}
