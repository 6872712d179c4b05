//! The encoders that an evaluation compares.

use std::fs::File;
use std::io;
use std::path::Path;

use candle_core::Device;
use cropmae_config::{ModelConfig, Seed};
use cropmae_model::{Compute, Execution, FeatureExtractor, RawPixels, VitFeatures, weights};
use sha2::{Digest, Sha256};

use crate::error::RunError;

/// The number of mean colors per side of a cell in the raw-pixel baseline.
const RAW_PIXEL_POOL: usize = 4;

/// An encoder with a short name.
pub struct Contestant {
    /// The name of its row in tables and of its folder of results.
    pub name: String,
    /// The encoder.
    pub encoder: Box<dyn FeatureExtractor>,
    /// The SHA-256 of the weight file, if there is one.
    pub weights_sha256: Option<String>,
}

impl Contestant {
    /// Loads the encoder of a checkpoint, which is a weight file or a folder that contains one.
    ///
    /// # Errors
    /// Returns [`RunError::Model`] if the file cannot be used, and [`RunError::Io`] if it cannot be read.
    pub fn checkpoint(
        name: impl Into<String>,
        path: &Path,
        execution: Execution,
        device: &Device,
    ) -> Result<Self, RunError> {
        let path = &weights::locate(path)?;
        let encoder = VitFeatures::load(path, device)?.with_execution(execution);
        Ok(Self {
            name: name.into(),
            encoder: Box::new(encoder),
            weights_sha256: Some(file_sha256(path)?),
        })
    }

    /// Creates an encoder with the initial weights of `seed`.
    ///
    /// # Errors
    /// Returns [`RunError::Model`] if the model of `config` cannot be built.
    pub fn random(
        name: impl Into<String>,
        config: &ModelConfig,
        seed: Seed,
        execution: Execution,
        device: &Device,
    ) -> Result<Self, RunError> {
        let encoder = VitFeatures::random(config, seed, device)?.with_execution(execution);
        Ok(Self {
            name: name.into(),
            encoder: Box::new(encoder),
            weights_sha256: None,
        })
    }

    /// Creates the baseline `raw-pixels`, whose features are the colors of the frames, without a network.
    ///
    /// # Errors
    /// Returns [`RunError::Model`] if cells of `patch_size` pixels cannot be pooled.
    pub fn pixels(patch_size: usize) -> Result<Self, RunError> {
        Ok(Self {
            name: "raw-pixels".to_owned(),
            encoder: Box::new(RawPixels::new(patch_size, RAW_PIXEL_POOL)?),
            weights_sha256: None,
        })
    }
}

/// Makes the names of contestants unique, and adds the number type if it is not f32.
#[must_use]
pub fn named_apart(mut contestants: Vec<Contestant>) -> Vec<Contestant> {
    let mut taken: Vec<String> = Vec::new();
    for contestant in &mut contestants {
        let mut name = contestant.name.clone();
        if contestant.encoder.compute() == Compute::Bf16 {
            name.push_str("-bf16");
        }
        contestant.name = unused_name(name, |name| taken.iter().any(|other| other == name));
        taken.push(contestant.name.clone());
    }
    contestants
}

/// Returns `name`, or the first of `name-2`, `name-3`, .. that is not `taken`.
fn unused_name(name: String, taken: impl Fn(&str) -> bool) -> String {
    let mut candidate = name.clone();
    let mut count = 1;
    while taken(&candidate) {
        count += 1;
        candidate = format!("{name}-{count}");
    }
    candidate
}

/// Returns the SHA-256 of a file in hexadecimal.
fn file_sha256(path: &Path) -> Result<String, RunError> {
    let unreadable = || RunError::io("read", path);
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(unreadable())?;
    io::copy(&mut file, &mut hash).map_err(unreadable())?;
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_not_f32_and_are_never_shared() {
        let named = |compute| {
            let execution = Execution {
                compute,
                ..Execution::default()
            };
            let tiny = ModelConfig {
                embed_dim: 12,
                depth: 1,
                num_heads: 1,
                ..ModelConfig::preset("vits16").unwrap()
            };
            let random = || Contestant::random("a", &tiny, Seed(0), execution, &Device::Cpu);
            let contestants = vec![
                random().unwrap(),
                random().unwrap(),
                Contestant::pixels(16).unwrap(),
            ];
            let names = named_apart(contestants).into_iter().map(|one| one.name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(named(Compute::F32), ["a", "a-2", "raw-pixels"]);
        if Compute::Bf16.available_on(&Device::Cpu) == Compute::Bf16 {
            let expected = ["a-bf16", "a-bf16-2", "raw-pixels"];
            assert_eq!(named(Compute::Bf16), expected);
        }
    }
}
