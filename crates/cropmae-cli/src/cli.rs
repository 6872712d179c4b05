//! The command line. The options of each command are defined in its module.

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
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// Write more log messages (RUST_LOG overrides this)
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pre-train an encoder on a folder of images, or without arguments on procedural scenes
    Pretrain(PretrainArgs),
    /// Score encoders by label propagation on DAVIS-2017, VIP and JHMDB, or by classifying images
    Eval(Box<EvalArgs>),
    /// Pre-train on the embedded default, evaluate against baselines, and print the table
    Demo(DemoArgs),
    /// Measure training steps, the encoder, the loader and single operations, and compare with PyTorch
    Bench(BenchArgs),
    /// Check images and downloads, pack images into shards, and preview crops
    Data(DataArgs),
    /// Import weights: PyTorch checkpoints, and vision transformers of timm and Hugging Face
    Import(ImportArgs),
    /// Export weights for the reference, timm or Hugging Face
    Export(ExportArgs),
    /// Describe a weight file: architecture, provenance and tensors
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
            panic!("expected the command bench");
        };
        let BenchTask::Loader(args) = args.task else {
            panic!("expected the measurement loader");
        };
        assert_eq!(args.peer.peer, Some(None));
    }
}
