//! The files next to a model of the Hugging Face hub: `config.json` and `preprocessor_config.json`. They hold the
//! number of heads, the epsilon of the layer norms and the normalization of the pixels, which shapes do not tell.

use std::path::Path;

use cropmae_config::imagenet;
use serde::Deserialize;

use crate::{ModelError, Result};

/// The pixel statistics of ImageNet, with which images are normalized for every encoder.
pub(crate) const PIXELS: PixelStatistics = PixelStatistics {
    mean: imagenet::MEAN,
    std: imagenet::STD,
};

/// The mean and standard deviation of each channel with which images are normalized, for pixels from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PixelStatistics {
    pub mean: [f64; 3],
    pub std: [f64; 3],
}

/// The information in the files.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Side {
    /// Whether there is a `config.json`.
    pub found: bool,
    pub num_heads: Option<usize>,
    pub layer_norm_eps: Option<f64>,
    pub pixels: Option<PixelStatistics>,
}

#[derive(Deserialize)]
struct Config {
    num_attention_heads: Option<usize>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    pretrained_cfg: Option<Pretrained>,
}

/// The settings with which timm trained a model.
#[derive(Deserialize)]
struct Pretrained {
    mean: Option<[f64; 3]>,
    std: Option<[f64; 3]>,
}

#[derive(Deserialize)]
struct Preprocessor {
    image_mean: Option<[f64; 3]>,
    image_std: Option<[f64; 3]>,
}

impl Side {
    /// Reads the files next to the weight file at `path`, if it has a name that the hub uses.
    ///
    /// # Errors
    /// Returns [`ModelError::Foreign`] if an existing file is not valid or the activation is not GELU, or
    /// [`ModelError::Io`] if a file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        const NAMES: [&str; 3] = [
            "model.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin",
        ];
        let name = path.file_name().unwrap_or_default();
        if !NAMES.iter().any(|known| name == *known) {
            return Ok(Self::default());
        }
        let config: Option<Config> = json(&path.with_file_name("config.json"))?;
        let preprocessor: Option<Preprocessor> =
            json(&path.with_file_name("preprocessor_config.json"))?;
        let mut side = Self {
            found: config.is_some(),
            ..Self::default()
        };
        if let Some(config) = config {
            if let Some(activation) = config.hidden_act
                && activation != "gelu"
            {
                return Err(ModelError::Foreign {
                    path: path.with_file_name("config.json"),
                    problem: format!("hidden_act = {activation:?}: expected \"gelu\""),
                });
            }
            side.num_heads = config.num_attention_heads;
            side.layer_norm_eps = config.layer_norm_eps;
            side.pixels = config.pretrained_cfg.and_then(|it| pixels(it.mean, it.std));
        }
        if let Some(preprocessor) = preprocessor {
            let given = pixels(preprocessor.image_mean, preprocessor.image_std);
            side.pixels = given.or(side.pixels);
        }
        Ok(side)
    }
}

fn pixels(mean: Option<[f64; 3]>, std: Option<[f64; 3]>) -> Option<PixelStatistics> {
    let (mean, std) = (mean?, std?);
    let usable =
        mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s > 0.0);
    usable.then_some(PixelStatistics { mean, std })
}

fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read(path).map_err(|source| ModelError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| ModelError::Foreign {
            path: path.to_owned(),
            problem: format!("not a config file of a model of the Hugging Face hub: {error}"),
        })
}
