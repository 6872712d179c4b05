//! Opens the encoders that the options name.

use std::path::Path;

use anyhow::{Result, ensure};
use candle_core::Device;
use cropmae_config::{ModelConfig, Seed};
use cropmae_model::FeatureExtractor;
use cropmae_run::{Contestant, named_apart};

use super::EvalArgs;

/// Opens the checkpoints, then the untrained encoders, then raw pixels.
pub fn open(args: &EvalArgs, device: &Device) -> Result<Vec<Contestant>> {
    let execution = args.dtype.execution();
    let mut contestants: Vec<Contestant> = Vec::new();
    for path in &args.checkpoints {
        let name = checkpoint_name(path);
        contestants.push(Contestant::checkpoint(name, path, execution, device)?);
    }
    for arch in &args.random_init {
        let config = ModelConfig::preset(arch)?;
        let name = format!("random-{arch}");
        contestants.push(Contestant::random(
            name,
            &config,
            Seed(0),
            execution,
            device,
        )?);
    }
    let network = contestants.first().map(|first| first.encoder.as_ref());
    if network.is_some_and(|network| network.compute() != execution.compute) {
        let device = device.location();
        tracing::warn!(
            "--dtype bf16: {device:?} has no bfloat16 instructions, so the encoders compute in f32"
        );
    }
    if args.pixels {
        let patch_size = network.map_or(16, FeatureExtractor::patch_size);
        contestants.push(Contestant::pixels(patch_size)?);
    }
    ensure!(
        !contestants.is_empty(),
        "nothing to score: name at least one of --checkpoint FILE, --random-init ARCH, --pixels"
    );
    Ok(named_apart(contestants))
}

/// Returns `RUN` for `runs/RUN/last.safetensors`, and `RUN-NAME` for any other file in a run folder.
fn checkpoint_name(path: &Path) -> String {
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    let stem = path
        .file_stem()
        .map_or_else(|| "checkpoint".into(), |stem| stem.to_string_lossy());
    match folder {
        Some(folder) if stem == "last" => folder,
        Some(folder) => format!("{folder}-{stem}"),
        None => stem.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_named_after_their_run() {
        assert_eq!(checkpoint_name(Path::new("runs/a/last.safetensors")), "a");
        assert_eq!(
            checkpoint_name(Path::new("runs/a/epoch_3.safetensors")),
            "a-epoch_3"
        );
    }
}
