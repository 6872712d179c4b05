//! Dense features of images of any size. The evaluation propagates labels with them.
//!
//! Symbols: B images, H x W pixels, P patch size, h x w = H/P x W/P cells, C channels.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use cropmae_config::{ModelConfig, Pooling, Seed};

use crate::vit::Encoder;
use crate::weights::{self, ImportOptions, PIXELS};
use crate::{Compute, Execution, ModelError, Result, init, parameters, pos_embed};

/// Dense features: one vector per cell of the patch grid.
#[derive(Debug, Clone)]
pub struct Features {
    /// The features (B, h·w, C) in row-major order of the grid, not normalized.
    pub values: Tensor,
    /// The number of cells as (h, w).
    pub grid: (usize, usize),
}

/// A model or function that computes dense features of images.
pub trait FeatureExtractor: Send + Sync {
    /// Returns the name of the extractor in reports.
    fn name(&self) -> String;

    /// Returns the width and height of a cell in pixels.
    fn patch_size(&self) -> usize;

    /// Returns the number of channels C.
    fn dim(&self) -> usize;

    /// Returns the type of the operands of matrix products on the extractor's device.
    fn compute(&self) -> Compute {
        Compute::F32
    }

    /// Computes features (B, h·w, C) of `images` (B, 3, H, W), which are normalized with the mean and standard
    /// deviation of ImageNet.
    ///
    /// # Errors
    /// Returns [`ModelError::Input`] if H or W is not a multiple of the patch size, or an error if a device operation
    /// fails.
    fn features(&self, images: &Tensor) -> Result<Features>;

    /// Computes features (B, h·w, C) from the output of block number `block`, counted from 1, or of the last block if
    /// it is `None`. The output goes through the final norm.
    ///
    /// # Errors
    /// Returns [`ModelError::Config`] if the encoder has no such block, and the errors of [`Self::features`].
    fn block_features(&self, images: &Tensor, block: Option<usize>) -> Result<Features> {
        match block {
            None => self.features(images),
            Some(found) => Err(ModelError::Config {
                field: "feature_block",
                found,
                expected: format!("none: {} has no inner blocks", self.name()),
            }),
        }
    }

    /// Computes one vector per image: (B, 3, H, W) -> (B, C).
    ///
    /// # Errors
    /// Returns [`ModelError::NoClassToken`] if `pooling` asks for a class token that the encoder does not have, and the
    /// errors of [`Self::features`].
    fn image_features(&self, images: &Tensor, pooling: Pooling) -> Result<Tensor> {
        match pooling {
            Pooling::MeanPatch => Ok(self.features(images)?.values.mean(1)?),
            Pooling::ClassToken => Err(ModelError::NoClassToken {
                encoder: self.name(),
            }),
        }
    }
}

/// The attention of the class token in the last block.
#[derive(Debug, Clone)]
pub struct ClsAttention {
    /// The probabilities (B, heads, h·w). The remainder to 1 is the attention of the class token to itself.
    pub values: Tensor,
    /// The number of cells as (h, w).
    pub grid: (usize, usize),
}

/// The patch tokens of an encoder after its final norm, without the class token.
///
/// The position embedding is interpolated to the grid of the images.
#[derive(Debug)]
pub struct VitFeatures {
    name: String,
    encoder: Encoder,
    // The frames of a video share one grid. Resampling for each frame would take longer than the forward pass on a fast
    // device.
    last_pos_embed: Mutex<Option<((usize, usize), Tensor)>>,
}

impl VitFeatures {
    /// Creates the extractor of `encoder`. Build an encoder that is still in training on [`parameters::frozen`]
    /// tensors.
    #[must_use]
    pub fn new(name: impl Into<String>, encoder: Encoder) -> Self {
        Self {
            name: name.into(),
            encoder,
            last_pos_embed: Mutex::new(None),
        }
    }

    /// Loads the encoder of any weight file that [`weights::import`] reads: CropMAE, SiamMAE, MAE, DINO, DINOv2, timm
    /// or Hugging Face. A decoder in the file is not read.
    ///
    /// # Errors
    /// Returns the errors of [`weights::import`].
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let options = ImportOptions {
            encoder_only: true,
            ..ImportOptions::default()
        };
        let encoder = weights::import(path, &options, device)?
            .weights
            .encoder(device)?;
        Ok(Self::new(path.display().to_string(), encoder))
    }

    /// Creates an untrained encoder, a baseline for pre-trained ones.
    ///
    /// # Errors
    /// Returns [`ModelError::Config`] if the shape is not valid.
    pub fn random(config: &ModelConfig, seed: Seed, device: &Device) -> Result<Self> {
        let layout = parameters::encoder_layout(config)?;
        let tensors = init::draw_all(layout, config.grid(), seed, device)?;
        let vb = VarBuilder::from_tensors(tensors.into_iter().collect(), DType::F32, device);
        Ok(Self::new("random-init", Encoder::new(config, &vb)?))
    }

    /// Returns the same extractor, computed as `execution` says.
    #[must_use]
    pub fn with_execution(self, execution: Execution) -> Self {
        Self {
            encoder: self.encoder.with_execution(execution),
            ..self
        }
    }

    /// Computes the attention of the class token in the last block for `images` (B, 3, H, W).
    ///
    /// # Errors
    /// Returns the errors of [`FeatureExtractor::features`].
    pub fn cls_attention(&self, images: &Tensor) -> Result<ClsAttention> {
        let (tokens, grid) = self.embed(images)?;
        Ok(ClsAttention {
            values: self.encoder.cls_attention(&tokens)?,
            grid,
        })
    }

    /// Returns the tokens that enter the first block, (B, 1 + h·w, D), and the grid (h, w).
    fn embed(&self, images: &Tensor) -> Result<(Tensor, (usize, usize))> {
        let images = images.to_device(self.encoder.pos_embed().device())?;
        let (patches, grid) = patchify(&images, self.encoder.patch_size())?;
        let pos_embed = self.pos_embed(grid)?;
        Ok((self.encoder.embed(&patches, &pos_embed, None)?, grid))
    }

    fn pos_embed(&self, grid: (usize, usize)) -> Result<Tensor> {
        let mut last = self
            .last_pos_embed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((known, pos_embed)) = &*last
            && *known == grid
        {
            return Ok(pos_embed.clone());
        }
        let pos_embed = pos_embed::interpolate(self.encoder.pos_embed(), grid)?;
        *last = Some((grid, pos_embed.clone()));
        Ok(pos_embed)
    }
}

impl FeatureExtractor for VitFeatures {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn patch_size(&self) -> usize {
        self.encoder.patch_size()
    }

    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    fn compute(&self) -> Compute {
        let device = self.encoder.pos_embed().device();
        self.encoder.compute().available_on(device)
    }

    fn features(&self, images: &Tensor) -> Result<Features> {
        self.block_features(images, None)
    }

    fn block_features(&self, images: &Tensor, block: Option<usize>) -> Result<Features> {
        let (tokens, grid) = self.embed(images)?;
        let latent = match block {
            None => self.encoder.encode(&tokens)?,
            Some(block) => self.encoder.encode_through(&tokens, block)?,
        };
        let values = latent.narrow(1, 1, grid.0 * grid.1)?.contiguous()?;
        Ok(Features { values, grid })
    }

    fn image_features(&self, images: &Tensor, pooling: Pooling) -> Result<Tensor> {
        let (tokens, grid) = self.embed(images)?;
        let latent = self.encoder.encode(&tokens)?; // (B, 1 + h·w, D)
        Ok(match pooling {
            Pooling::ClassToken => latent.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?,
            Pooling::MeanPatch => latent.narrow(1, 1, grid.0 * grid.1)?.mean(1)?,
        })
    }
}

/// Raw pixels as features, averaged over `pool` x `pool` tiles of each cell: a baseline for any encoder.
#[derive(Debug, Clone, Copy)]
pub struct RawPixels {
    patch_size: usize,
    pool: usize,
}

impl RawPixels {
    /// Creates an extractor for cells of `patch_size` x `patch_size` pixels, each with `pool` x `pool` mean colors.
    ///
    /// # Errors
    /// Returns [`ModelError::Config`] unless `pool` divides `patch_size`.
    pub fn new(patch_size: usize, pool: usize) -> Result<Self> {
        if pool == 0 || patch_size == 0 || !patch_size.is_multiple_of(pool) {
            return Err(ModelError::Config {
                field: "patch_size",
                found: patch_size,
                expected: format!("a multiple of the {pool} tiles per side"),
            });
        }
        Ok(Self { patch_size, pool })
    }
}

impl FeatureExtractor for RawPixels {
    fn name(&self) -> String {
        format!("raw pixels, {0}x{0} mean colors per cell", self.pool)
    }

    fn patch_size(&self) -> usize {
        self.patch_size
    }

    fn dim(&self) -> usize {
        self.pool * self.pool * 3
    }

    fn features(&self, images: &Tensor) -> Result<Features> {
        let (patches, grid) = patchify(images, self.patch_size)?;
        let (batch, cells, _) = patches.dims3()?;
        let (pool, tile) = (self.pool, self.patch_size / self.pool);
        let values = patches
            .reshape((batch * cells * pool, tile, pool, tile, 3))? // rows of a tile, tiles, columns of a tile
            .mean((1, 3))? // (B·h·w·pool, pool, 3)
            .reshape((batch, cells, self.dim()))?;
        Ok(Features { values, grid })
    }
}

/// Normalizes an image for an encoder with patches of `patch_size` x `patch_size` pixels.
///
/// `rgb` holds height x width pixels of R, G, B in 0..=255. The result has the shape (1, 3, H, W), where H and W are
/// the height and width rounded down to multiples of `patch_size`. Pixels at the right and the bottom beyond them are
/// cut off.
///
/// # Errors
/// Returns [`ModelError::Input`] if the length of `rgb` is not 3 x height x width or the image is smaller than a patch.
pub fn normalize_rgb(
    rgb: &[u8],
    (height, width): (usize, usize),
    patch_size: usize,
    device: &Device,
) -> Result<Tensor> {
    let floor = |side: usize| side.checked_div(patch_size).unwrap_or(0) * patch_size;
    let (h, w) = (floor(height), floor(width));
    let expected = height.checked_mul(width).and_then(|it| it.checked_mul(3));
    if expected != Some(rgb.len()) || h == 0 || w == 0 {
        return Err(ModelError::Input {
            what: "rgb",
            found: vec![rgb.len()],
            expected: format!(
                "{height} x {width} pixels of 3 values, at least one patch of {patch_size}"
            ),
        });
    }
    let mut values = Vec::with_capacity(3 * h * w);
    for (channel, (mean, std)) in PIXELS.mean.into_iter().zip(PIXELS.std).enumerate() {
        for row in rgb.chunks_exact(3 * width).take(h) {
            let pixels = row.chunks_exact(3).take(w);
            values.extend(pixels.map(|it| ((f64::from(it[channel]) / 255.0 - mean) / std) as f32));
        }
    }
    Ok(Tensor::from_vec(values, (1, 3, h, w), device)?)
}

/// Cuts `images` (B, 3, H, W) into patches (B, h·w, P·P·3), channel fastest, and returns them with the grid (h, w).
///
/// # Errors
/// Returns [`ModelError::Input`] unless there are three channels and H and W are positive multiples of `patch_size`.
pub fn patchify(images: &Tensor, patch_size: usize) -> Result<(Tensor, (usize, usize))> {
    let p = patch_size;
    match *images.dims() {
        [batch, 3, height, width]
            if p > 0
                && height >= p
                && width >= p
                && height.is_multiple_of(p)
                && width.is_multiple_of(p) =>
        {
            let (h, w) = (height / p, width / p);
            let patches = images
                .reshape(&[batch, 3, h, p, w, p][..])?
                .permute(vec![0, 2, 4, 3, 5, 1])? // (B, h, w, P, P, 3)
                .reshape((batch, h * w, p * p * 3))?;
            Ok((patches, (h, w)))
        }
        _ => Err(ModelError::Input {
            what: "images",
            found: images.dims().to_vec(),
            expected: format!("(B, 3, H, W) with H and W multiples of the patch size {p}"),
        }),
    }
}
