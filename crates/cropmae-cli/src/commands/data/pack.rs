//! `data pack`: writes tar shards from any source of images.

use std::process::ExitCode;

use anyhow::Result;
use cropmae_data::{
    Dataset,
    pack::{PackOptions, pack},
};

use super::args::PackArgs;
use super::images::every_image;
use crate::{console::Console, interrupt, places};

/// Runs the command.
pub fn run(args: &PackArgs, console: &Console) -> Result<ExitCode> {
    let recipe = every_image(0.01)?;
    let dataset = Dataset::open(&args.source, &recipe)?;
    console.say(format!(
        "source  {}: {}",
        args.source.display(),
        dataset.describe()
    ));
    let options = PackOptions {
        shard_bytes: args.shard_size << 20,
        shorter_side: args.shorter_side,
        quality: args.quality,
    };
    let stop = interrupt::stop_flag()?;
    let bar = console
        .bar(dataset.len() as u64, "images")
        .with_prefix("packing");
    let progress = |done| bar.set_position(done as u64);
    let packed = pack(&dataset, &args.out, &options, &progress, &stop);
    bar.finish_and_clear();
    let Some(packed) = packed? else {
        console.say("stopped; nothing was written");
        return Ok(ExitCode::from(interrupt::INTERRUPTED));
    };
    console.say(format!(
        "packed  {}: {} images ({} of them resized) in {} shards, {:.1} MiB; {} unusable images left out",
        args.out.display(),
        packed.images,
        packed.resized,
        packed.shards,
        packed.bytes as f64 / (1 << 20) as f64,
        packed.bad_files.len()
    ));
    console.say(format!(
        "next    {} pretrain --data {}",
        places::program(),
        args.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
