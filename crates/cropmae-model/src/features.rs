//! Dense features of images of any size: what evaluation propagates labels with.
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

/// One vector per cell of the patch grid.
#[derive(Debug, Clone)]
pub struct Features {
    /// (B, h·w, C), rows of the grid after one another; not normalised.
    pub values: Tensor,
    /// Cells as (h, w).
    pub grid: (usize, usize),
}

/// Anything that turns images into dense features.
pub trait FeatureExtractor: Send + Sync {
    /// What to call it in reports.
    fn name(&self) -> String;

    /// Width and height of a cell, in pixels.
    fn patch_size(&self) -> usize;

    /// Channels C.
    fn dim(&self) -> usize;

    /// Type of the operands of its matrix products, as they run on its device.
    fn compute(&self) -> Compute {
        Compute::F32
    }

    /// Features of `images` (B, 3, H, W), normalised with the ImageNet mean and deviation; H and W are
    /// multiples of the patch size.
    ///
    /// # Errors
    /// [`ModelError::Input`] for other sizes; errors of the device.
    fn features(&self, images: &Tensor) -> Result<Features>;

    /// Features from the output of an inner block, from 1, passed through the final norm; none: the last.
    ///
    /// # Errors
    /// [`ModelError::Config`] if the encoder has no such block; as [`Self::features`].
    fn block_features(&self, images: &Tensor, block: Option<usize>) -> Result<Features> {
        match block {
            None => self.features(images),
            Some(found) => Err(ModelError::Config {
                field: "feature_block",
                found,
                expected: format!("none: {} has no inner blocks to look at", self.name()),
            }),
        }
    }

    /// One vector per image, (B, C).
    ///
    /// # Errors
    /// [`ModelError::NoClassToken`]; as [`Self::features`].
    fn image_features(&self, images: &Tensor, pooling: Pooling) -> Result<Tensor> {
        match pooling {
            Pooling::MeanPatch => Ok(self.features(images)?.values.mean(1)?),
            Pooling::ClassToken => Err(ModelError::NoClassToken {
                encoder: self.name(),
            }),
        }
    }
}

/// Attention of the class token in the last block.
#[derive(Debug, Clone)]
pub struct ClsAttention {
    /// (B, heads, h·w) probabilities; the rest up to 1 is the class token's attention to itself.
    pub values: Tensor,
    /// Cells as (h, w).
    pub grid: (usize, usize),
}

/// Patch tokens of a pre-trained encoder after its final norm, the class token dropped; the position
/// embedding is interpolated to the image's grid.
#[derive(Debug)]
pub struct VitFeatures {
    name: String,
    encoder: Encoder,
    // The frames of a video share one grid; resampling for each would cost more than a fast device's
    // whole forward pass.
    last_pos_embed: Mutex<Option<((usize, usize), Tensor)>>,
}

impl VitFeatures {
    /// Features of `encoder`. Build it on [`parameters::frozen`] tensors when it is still training.
    #[must_use]
    pub fn new(name: impl Into<String>, encoder: Encoder) -> Self {
        Self {
            name: name.into(),
            encoder,
            last_pos_embed: Mutex::new(None),
        }
    }

    /// The encoder of any weight file that [`weights::import`] reads: of CropMAE, SiamMAE, MAE, DINO, DINOv2,
    /// timm or Hugging Face. A decoder, if the file holds one, is not read.
    ///
    /// # Errors
    /// As [`weights::import`].
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

    /// An untrained encoder: the floor that pre-training has to beat.
    ///
    /// # Errors
    /// [`ModelError::Config`] for an impossible shape.
    pub fn random(config: &ModelConfig, seed: Seed, device: &Device) -> Result<Self> {
        let layout = parameters::encoder_layout(config)?;
        let tensors = init::draw_all(layout, config.grid(), seed, device)?;
        let vb = VarBuilder::from_tensors(tensors.into_iter().collect(), DType::F32, device);
        Ok(Self::new("random-init", Encoder::new(config, &vb)?))
    }

    /// The same features, computed as `execution` says.
    #[must_use]
    pub fn with_execution(self, execution: Execution) -> Self {
        Self {
            encoder: self.encoder.with_execution(execution),
            ..self
        }
    }

    /// Attention of the class token in the last block over `images` (B, 3, H, W).
    ///
    /// # Errors
    /// As [`FeatureExtractor::features`].
    pub fn cls_attention(&self, images: &Tensor) -> Result<ClsAttention> {
        let (tokens, grid) = self.embed(images)?;
        Ok(ClsAttention {
            values: self.encoder.cls_attention(&tokens)?,
            grid,
        })
    }

    /// Tokens as they enter the first block, (B, 1 + h·w, D), and the grid (h, w).
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

/// The pixels themselves, averaged over `pool` x `pool` tiles of each cell: the floor for any encoder.
#[derive(Debug, Clone, Copy)]
pub struct RawPixels {
    patch_size: usize,
    pool: usize,
}

impl RawPixels {
    /// Cells of `patch_size` pixels, each described by `pool` x `pool` mean colours.
    ///
    /// # Errors
    /// [`ModelError::Config`] unless `pool` divides `patch_size`.
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
        format!("raw pixels, {0}x{0} mean colours per cell", self.pool)
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
            .reshape((batch * cells * pool, tile, pool, tile, 3))? // rows in tile, tiles, columns in tile
            .mean((1, 3))? // (B·h·w·pool, pool, 3)
            .reshape((batch, cells, self.dim()))?;
        Ok(Features { values, grid })
    }
}

/// Normalises a photo for an encoder with patches of `patch_size`: from `rgb`, height x width pixels of R, G, B
/// in 0..=255, to (1, 3, H, W). H and W are the sides floored to multiples of the patch; what lies beyond, to
/// the right and below, is left out.
///
/// # Errors
/// [`ModelError::Input`] unless `rgb` holds that many pixels, and at least one patch.
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

/// Cuts `images` (B, 3, H, W) into patches (B, h·w, P·P·3), channel fastest, and tells the grid (h, w).
///
/// # Errors
/// [`ModelError::Input`] unless there are three channels and H and W are multiples of `patch_size`.
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
