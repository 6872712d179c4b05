//! Named model shapes of the paper, and the experiments that are embedded in the program.

use std::path::Path;

use crate::{ConfigError, Experiment, ModelConfig};

/// The experiment that runs when no config is given. It takes minutes on two cores, and its data are generated.
pub const DEMO: &str = include_str!("../../../configs/demo.toml");

/// The published CropMAE run on ImageNet.
pub const CROPMAE_IN1K: &str = include_str!("../../../configs/cropmae_in1k_vits16.toml");

/// The experiments of the folder `configs`, by name.
const EXPERIMENTS: [(&str, &str); 5] = [
    ("demo", DEMO),
    ("cropmae_in1k_vits16", CROPMAE_IN1K),
    (
        "cropmae_k400_vits16",
        include_str!("../../../configs/cropmae_k400_vits16.toml"),
    ),
    (
        "siammae_k400_vits16",
        include_str!("../../../configs/siammae_k400_vits16.toml"),
    ),
    (
        "mae_in1k_vits16",
        include_str!("../../../configs/mae_in1k_vits16.toml"),
    ),
];

/// Architectures by name: the encoder's and the decoder's (width, depth, heads) in the reference's builders.
const ARCHITECTURES: [(&str, [usize; 3], [usize; 3]); 3] = [
    ("vits", [384, 12, 6], [256, 4, 8]),
    ("vitb", [768, 12, 12], [512, 8, 16]),
    ("vitl", [1024, 24, 16], [1024, 12, 16]),
];

impl Experiment {
    /// Returns the embedded default experiment with `overrides` applied.
    ///
    /// # Errors
    /// Returns [`ConfigError`] if an override is not valid.
    pub fn demo(overrides: &[String]) -> Result<Self, ConfigError> {
        Self::parse(DEMO, "the embedded default", overrides)
    }

    /// The experiment in the file `config`, or the embedded experiment of that name (`demo`, `cropmae_in1k_vits16`,
    /// ...) where there is no such file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownExperiment`] when there is neither, and every error of [`Self::load`].
    pub fn open(config: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let named = EXPERIMENTS
            .into_iter()
            .find(|(name, _)| config == Path::new(name));
        match named {
            _ if config.exists() => Self::load(config, overrides),
            Some((name, text)) => Self::parse(text, name, overrides),
            None => Err(ConfigError::UnknownExperiment {
                path: config.to_owned(),
                known: EXPERIMENTS.map(|(name, _)| name).join(", "),
            }),
        }
    }

    /// Returns the published CropMAE recipe, `configs/cropmae_in1k_vits16.toml`, with `overrides` applied.
    ///
    /// # Errors
    /// Returns [`ConfigError`] if an override is not valid.
    pub fn cropmae_in1k(overrides: &[String]) -> Result<Self, ConfigError> {
        Self::parse(CROPMAE_IN1K, "configs/cropmae_in1k_vits16.toml", overrides)
    }
}

impl ModelConfig {
    /// Returns the model shape `vits16`, `vitb16`, `vitl16`, `vits8`, `vitb8` or `vitl8` for images of 224 x 224 pixels.
    ///
    /// The decoder is the one that the published training runs used for every size: 256 wide, 4 layers, 8 heads.
    ///
    /// # Errors
    /// Returns [`ConfigError::UnknownPreset`] for any other name.
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            decoder_embed_dim: 256,
            decoder_depth: 4,
            decoder_num_heads: 8,
            ..Self::factory_preset(name)?
        })
    }

    /// Returns the same shape as [`Self::preset`], but with the decoder of the reference's builders, which grows with
    /// the encoder.
    ///
    /// # Errors
    /// Returns [`ConfigError::UnknownPreset`] for any other name.
    pub fn factory_preset(name: &str) -> Result<Self, ConfigError> {
        let unknown = || ConfigError::UnknownPreset {
            name: name.to_owned(),
            known: "vits16, vitb16, vitl16, vits8, vitb8, vitl8".to_owned(),
        };
        let (arch, patch_size) = name
            .strip_suffix("16")
            .map(|arch| (arch, 16))
            .or_else(|| name.strip_suffix('8').map(|arch| (arch, 8)))
            .ok_or_else(unknown)?;
        let (
            _,
            [embed_dim, depth, num_heads],
            [decoder_embed_dim, decoder_depth, decoder_num_heads],
        ) = ARCHITECTURES
            .into_iter()
            .find(|row| row.0 == arch)
            .ok_or_else(unknown)?;
        Ok(Self {
            image_size: 224,
            patch_size,
            embed_dim,
            depth,
            num_heads,
            mlp_ratio: 4.0,
            layer_norm_eps: 1e-6,
            decoder_embed_dim,
            decoder_depth,
            decoder_num_heads,
            decoder_dropout: 0.1,
        })
    }
}
