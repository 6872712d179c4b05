//! Finds the architecture of the weights of other programs from the shapes of their tensors and other known facts.

use std::path::Path;

use cropmae_config::{Method, ModelConfig};

use super::anchor::{Anchor, Sources};
use super::archive::Archive;
use super::import::ImportOptions;
use super::layouts::Layout;
use super::side::Side;
use super::{WeightsInfo, import};
use crate::{LAYER_NORM_EPS, ModelError, Result};

/// The encoder widths and numbers of heads of known vision transformers whose heads are not 64 wide.
const WIDE_HEADS: [(usize, usize); 4] = [(1152, 16), (1280, 16), (1408, 16), (1664, 16)];

/// The largest accepted dimension. No vision transformer has a larger one, and the product of two cannot overflow.
const MAX_SIDE: usize = 1 << 20;

/// The epsilon of the layer norms in transformers' ViT, unless its config says otherwise.
const HUGGING_FACE_EPS: f64 = 1e-12;

/// All information on the architecture of a file.
pub(crate) struct Clues<'a> {
    pub path: &'a Path,
    pub archive: &'a Archive,
    pub anchor: &'a Anchor,
    pub sources: &'a Sources,
    pub side: &'a Side,
    pub options: &'a ImportOptions,
}

impl Clues<'_> {
    /// Returns the method and the model, without provenance, and the assumptions that were made.
    ///
    /// # Errors
    /// Returns [`ModelError::Foreign`] if the shapes are not those of a plain vision transformer or are ambiguous.
    pub fn architecture(&self) -> Result<(WeightsInfo, Vec<String>)> {
        let mut notes = Vec::new();
        let [embed_dim, channels, patch_size, patch_width] =
            self.dims("patch_embed.proj.weight")?;
        if channels != 3 || patch_size != patch_width || patch_size == 0 {
            return Err(self.foreign(format!(
                "patches of {channels} channels and {patch_size}x{patch_width} pixels: expected RGB and squares"
            )));
        }
        let grid = self.grid()?;
        let depth = self.depth("blocks", "norm1.weight");
        let [hidden, _] = self.dims("blocks.0.mlp.fc1.weight")?;
        for (what, found) in [
            ("width", embed_dim),
            ("MLP width", hidden),
            ("patch size", patch_size),
            ("grid", grid),
            ("depth", depth),
        ] {
            if found > MAX_SIDE {
                return Err(
                    self.foreign(format!("a {what} of {found}: expected at most {MAX_SIDE}"))
                );
            }
        }
        let preset = self.preset(embed_dim, depth, patch_size)?;
        let mut info = WeightsInfo {
            method: None,
            model: ModelConfig {
                image_size: grid * patch_size,
                patch_size,
                embed_dim,
                depth,
                num_heads: self.num_heads(embed_dim, preset.map(|it| it.num_heads))?,
                mlp_ratio: mlp_ratio(embed_dim, hidden),
                layer_norm_eps: self.layer_norm_eps(&mut notes),
                decoder_embed_dim: 0,
                decoder_depth: 0,
                decoder_num_heads: 0,
                decoder_dropout: 0.0,
            },
            provenance: std::collections::BTreeMap::new(),
        };
        if !self.options.encoder_only {
            self.decoder(&mut info, &mut notes)?;
        }
        Ok((info, notes))
    }

    /// Returns the number of cells along one side of the position embedding's grid.
    fn grid(&self) -> Result<usize> {
        let Some(shape) = self.shape("pos_embed") else {
            return Err(self.foreign(
                "no pos_embed: expected absolute positions, not relative or rotary ones".to_owned(),
            ));
        };
        let tokens = match shape[..] {
            [1, tokens, _] => tokens,
            _ => 0,
        };
        let square = |cells: usize| {
            let grid = cells.isqrt();
            (grid > 0 && grid * grid == cells).then_some(grid)
        };
        // The position of the class token may be missing.
        square(tokens.saturating_sub(1))
            .or_else(|| square(tokens))
            .ok_or_else(|| {
                self.foreign(format!(
                    "pos_embed has shape {shape:?}: expected (1, 1 + G * G, D), a square grid and a class token"
                ))
            })
    }

    /// Counts the consecutive blocks from 0 that have the tensor `of_each`.
    fn depth(&self, blocks: &str, of_each: &str) -> usize {
        let held = |i: &usize| {
            let name = format!("{blocks}.{i}.{of_each}");
            self.sources.tensors.contains_key(&name)
        };
        (0..).take_while(held).count()
    }

    fn preset(
        &self,
        embed_dim: usize,
        depth: usize,
        patch_size: usize,
    ) -> Result<Option<ModelConfig>> {
        let Some(arch) = &self.options.arch else {
            return Ok(None);
        };
        let preset = ModelConfig::preset(arch).map_err(|error| self.foreign(error.to_string()))?;
        if (preset.embed_dim, preset.depth, preset.patch_size) != (embed_dim, depth, patch_size) {
            return Err(self.foreign(format!(
                "width {embed_dim}, {depth} blocks, patches of {patch_size}: expected {arch}, which has {}, {} \
                 and {}",
                preset.embed_dim, preset.depth, preset.patch_size
            )));
        }
        Ok(Some(preset))
    }

    fn num_heads(&self, width: usize, preset: Option<usize>) -> Result<usize> {
        let told = self.options.num_heads.or(preset).or(self.side.num_heads);
        let by_width = || {
            // The small encoder of MoCo v3 has the usual width but twice as many heads.
            let moco = self.anchor.prefix.contains("base_encoder")
                || self.anchor.prefix.contains("momentum_encoder");
            let wide = WIDE_HEADS.iter().find(|(known, _)| *known == width);
            match wide {
                Some((_, heads)) => Some(*heads),
                None if width.is_multiple_of(64) && width < 1152 && !moco => Some(width / 64),
                None => None,
            }
        };
        told.or_else(by_width).ok_or_else(|| {
            self.foreign(format!(
                "the number of attention heads cannot be derived from a width of {width}: import it with \
                 --num-heads N"
            ))
        })
    }

    fn layer_norm_eps(&self, notes: &mut Vec<String>) -> f64 {
        if let Some(eps) = self.options.layer_norm_eps.or(self.side.layer_norm_eps) {
            return eps;
        }
        match self.anchor.layout {
            Layout::HuggingFace if self.sources.scales.is_empty() => {
                if !self.side.found {
                    notes.push(format!(
                        "no config.json next to the file: layer norms use transformers' default eps of \
                         {HUGGING_FACE_EPS:e}"
                    ));
                }
                HUGGING_FACE_EPS
            }
            _ => LAYER_NORM_EPS,
        }
    }

    /// Adds the decoder to `info`, if the file holds one.
    fn decoder(&self, info: &mut WeightsInfo, notes: &mut Vec<String>) -> Result<()> {
        let holds = |name: &str| self.sources.tensors.contains_key(name);
        let model = &mut info.model;
        let asked = self.options.method;
        let method = if holds("decoder_blocks.0.multihead_attn.in_proj_weight") {
            asked.unwrap_or_else(|| {
                notes.push(
                    "a cross-attention decoder, assumed to be of CropMAE (set --method siammae for SiamMAE)"
                        .to_owned(),
                );
                Method::CropMae
            })
        } else if holds("decoder_blocks.0.attn.qkv.weight") {
            asked.unwrap_or(Method::Mae)
        } else {
            return Ok(());
        };
        let [width, _] = self.dims("decoder_embed.weight")?;
        if width > MAX_SIDE {
            return Err(self.foreign(format!(
                "a decoder {width} wide: expected at most {MAX_SIDE}"
            )));
        }
        model.decoder_embed_dim = width;
        model.decoder_depth = self.depth("decoder_blocks", "norm1.weight");
        model.decoder_dropout = if method == Method::Mae { 0.0 } else { 0.1 };
        let told = self
            .archive
            .facts()
            .get("args.decoder_num_heads")
            .and_then(|heads| heads.parse().ok());
        let by_width = match (method, width) {
            (Method::Mae, 256) => Some(4),
            (_, 256) => Some(8),
            (_, 512 | 1024) => Some(16),
            _ => None,
        };
        model.decoder_num_heads = self
            .options
            .decoder_num_heads
            .or(told)
            .or(by_width)
            .ok_or_else(|| {
                self.foreign(format!(
                    "the number of the decoder's attention heads cannot be derived from a width of {width}: import \
                     it with --decoder-num-heads N or --encoder-only"
                ))
            })?;
        info.method = Some(method);
        Ok(())
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.sources.shape(name, self.archive)
    }

    /// Returns the dimensions of the model's tensor `name`, which every plain vision transformer has.
    fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let shape = self.shape(name).ok_or_else(|| {
            import::variant(self.path, self.sources).unwrap_or_else(|| ModelError::Missing {
                path: self.path.to_owned(),
                tensor: name.to_owned(),
                others: 0,
            })
        })?;
        shape.clone().try_into().map_err(|_| {
            self.foreign(format!(
                "tensor {name}: found shape {shape:?}, expected {N} dimensions"
            ))
        })
    }

    fn foreign(&self, problem: String) -> ModelError {
        ModelError::Foreign {
            path: self.path.to_owned(),
            problem,
        }
    }
}

/// Returns the ratio that gives the width `hidden` when it is multiplied by `dim` and truncated.
fn mlp_ratio(dim: usize, hidden: usize) -> f64 {
    let ratio = hidden as f64 / dim.max(1) as f64;
    if (dim as f64 * ratio) as usize == hidden {
        ratio
    } else {
        (hidden as f64 + 0.5) / dim.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_gives_the_width_again() {
        for dim in 1..200 {
            for hidden in 1..600 {
                let found = (dim as f64 * mlp_ratio(dim, hidden)) as usize;
                assert_eq!(found, hidden, "{dim}");
            }
        }
        assert_eq!(mlp_ratio(384, 1536), 4.0);
    }
}
