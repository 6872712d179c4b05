//! The vision transformer encoder (Dosovitskiy et al., ICLR 2021) as MAE and CropMAE use it: fixed 2-D
//! sin-cos positions added before masking, a class token with its own position, pre-norm blocks, a final
//! layer norm (MAE, section 3 "MAE encoder"; CropMAE, section 3.2).
//!
//! Symbols: B batch, N patches, n tokens, D width, H heads, P patch size, PP3 = 3·P².

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use cropmae_config::ModelConfig;
use cropmae_kernels::{self as kernels, Compute, PatchPixels, Policy};

use crate::layers::{LayerNorm, Linear, Mlp, SelfAttention, check_width, xavier_uniform};
use crate::{Execution, ModelError, PatchMask, Result};

/// A linear map of flattened patches. The weight has the reference's convolution layout (D, 3, P, P).
#[derive(Debug, Clone)]
pub struct PatchEmbed {
    weight: Tensor,
    bias: Tensor,
    compute: Compute,
}

impl PatchEmbed {
    /// Reads `proj.weight` (dim, 3, P, P) and `proj.bias` (dim).
    ///
    /// # Errors
    /// Returns an error if a tensor is missing or has another shape.
    pub fn new(patch_size: usize, dim: usize, vb: &VarBuilder) -> Result<Self> {
        let vb = vb.pp("proj");
        let fan_in = 3 * patch_size * patch_size;
        // The reference keeps PyTorch's default for the bias of a convolution.
        let bound = 1.0 / (fan_in as f64).sqrt();
        Ok(Self {
            weight: vb.get_with_hints(
                (dim, 3, patch_size, patch_size),
                "weight",
                xavier_uniform(fan_in, dim),
            )?,
            bias: vb.get_with_hints(
                dim,
                "bias",
                Init::Uniform {
                    lo: -bound,
                    up: bound,
                },
            )?,
            compute: Compute::default(),
        })
    }

    /// Embeds `patches` (B, N, PP3), values or bytes, channel fastest, and adds the rows of the position table `pos` (N, D).
    ///
    /// Returns all patches (B, N, D), or those at `ids_keep` (B, K) as (B, K, D).
    ///
    /// # Errors
    /// Returns an error if the number or the size of the patches does not match the model.
    pub fn forward(
        &self,
        patches: impl Into<PatchPixels>,
        ids_keep: Option<&Tensor>,
        pos: &Tensor,
    ) -> Result<Tensor> {
        Ok(kernels::patch_embed(
            patches,
            ids_keep,
            &self.weight,
            &self.bias,
            pos,
            self.compute,
        )?)
    }
}

/// A pre-norm transformer block: x + attn(norm1(x)), then x + mlp(norm2(x)).
#[derive(Debug, Clone)]
pub struct Block {
    norm1: LayerNorm,
    attn: SelfAttention,
    norm2: LayerNorm,
    mlp: Mlp,
    policy: Policy,
}

impl Block {
    /// Reads `norm1`, `attn.{qkv,proj}`, `norm2` and `mlp.{fc1,fc2}` of a block of width `dim` whose MLP has the hidden
    /// width `hidden`.
    ///
    /// # Errors
    /// Returns an error if a tensor is missing or has another shape.
    pub fn new(dim: usize, num_heads: usize, hidden: usize, vb: &VarBuilder) -> Result<Self> {
        let (attn, mlp) = (vb.pp("attn"), vb.pp("mlp"));
        Ok(Self {
            norm1: LayerNorm::new(dim, &vb.pp("norm1"))?,
            attn: SelfAttention {
                qkv: Linear::new(dim, 3 * dim, &attn.pp("qkv"))?,
                proj: Linear::new(dim, dim, &attn.pp("proj"))?,
                num_heads,
            },
            norm2: LayerNorm::new(dim, &vb.pp("norm2"))?,
            mlp: Mlp::new(
                Linear::new(dim, hidden, &mlp.pp("fc1"))?,
                Linear::new(hidden, dim, &mlp.pp("fc2"))?,
            ),
            policy: Policy::default(),
        })
    }

    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        self.attn.set_compute(policy.compute);
        self.mlp.set_policy(policy);
    }

    /// Returns the same block with `eps` in its layer norms.
    pub(crate) fn with_eps(self, eps: f64) -> Self {
        Self {
            norm1: self.norm1.with_eps(eps),
            norm2: self.norm2.with_eps(eps),
            ..self
        }
    }

    /// Applies the block: (B, n, D) -> (B, n, D).
    ///
    /// # Errors
    /// Returns an error if `x` has another rank or width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        run_blocks(std::slice::from_ref(self), x)
    }

    /// Returns the weights in the form that the fused op takes.
    fn weights(&self) -> kernels::BlockWeights<'_> {
        kernels::BlockWeights {
            norm1: self.norm1.as_norm(),
            qkv: self.attn.qkv.tensors(),
            proj: self.attn.proj.tensors(),
            num_heads: self.attn.num_heads,
            norm2: self.norm2.as_norm(),
            fc1: self.mlp.fc1.tensors(),
            fc2: self.mlp.fc2.tensors(),
            policy: self.policy,
        }
    }

    /// Computes the attention branch, without the residual `x`: (B, n, D) -> (B, n, D).
    ///
    /// # Errors
    /// Returns an error if `x` has another rank or width.
    pub fn attention(&self, x: &Tensor) -> Result<Tensor> {
        self.attn.forward(&self.norm1.forward(x)?, None)
    }

    /// Computes the MLP branch, without the residual `x`: (B, n, D) -> (B, n, D).
    ///
    /// # Errors
    /// Returns an error if `x` has another rank or width.
    pub fn mlp(&self, x: &Tensor) -> Result<Tensor> {
        self.mlp.forward(&self.norm2.forward(x)?, None)
    }
}

/// The encoder, which is the result of pre-training.
#[derive(Debug, Clone)]
pub struct Encoder {
    patch_embed: PatchEmbed,
    cls_token: Tensor,
    pos_embed: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    patch_size: usize,
}

impl Encoder {
    /// Reads `patch_embed`, `cls_token`, `pos_embed`, `blocks.N` and `norm`.
    ///
    /// # Errors
    /// Returns [`ModelError::Config`] if the shape is not valid, or an error if a tensor is missing or has another
    /// shape.
    pub fn new(config: &ModelConfig, vb: &VarBuilder) -> Result<Self> {
        let dim = config.embed_dim;
        check_width("embed_dim", dim, config.num_heads)?;
        if config.patch_size == 0 || !config.image_size.is_multiple_of(config.patch_size) {
            return Err(ModelError::Config {
                field: "image_size",
                found: config.image_size,
                expected: format!("a multiple of model.patch_size = {}", config.patch_size),
            });
        }
        Ok(Self {
            patch_embed: PatchEmbed::new(config.patch_size, dim, &vb.pp("patch_embed"))?,
            cls_token: vb.get_with_hints((1, 1, dim), "cls_token", TOKEN_INIT)?,
            pos_embed: fixed_pos_embed(config.num_patches(), dim, vb, "pos_embed")?,
            blocks: (0..config.depth)
                .map(|i| {
                    let vb = vb.pp(format!("blocks.{i}"));
                    let block = Block::new(dim, config.num_heads, config.mlp_width(dim), &vb)?;
                    Ok(block.with_eps(config.layer_norm_eps))
                })
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(dim, &vb.pp("norm"))?.with_eps(config.layer_norm_eps),
            patch_size: config.patch_size,
        })
    }

    /// Returns the same encoder, computed as `execution` says.
    #[must_use]
    pub fn with_execution(mut self, execution: Execution) -> Self {
        self.patch_embed.compute = execution.compute;
        for (i, block) in self.blocks.iter_mut().enumerate() {
            block.set_policy(execution.block(i));
        }
        self
    }

    /// Returns the requested type of the operands of matrix products.
    pub(crate) fn compute(&self) -> Compute {
        self.patch_embed.compute
    }

    /// Encodes `patches` (B, N, PP3) to latent tokens, class token first.
    ///
    /// Without a mask, all patches are encoded: (B, 1 + N, D). With a mask, only the visible patches are encoded, in
    /// the order of the mask: (B, 1 + K, D).
    ///
    /// # Errors
    /// Returns an error if the number or the size of the patches does not match the model.
    pub fn forward(
        &self,
        patches: impl Into<PatchPixels>,
        mask: Option<&PatchMask>,
    ) -> Result<Tensor> {
        self.encode(&self.embed(patches, &self.pos_embed, mask)?)
    }

    /// Embeds `patches` (B, N, PP3) to the tokens that enter the first block: (B, 1 + N, D), or (B, 1 + K, D) with a
    /// mask.
    ///
    /// Removed patches are not embedded. `pos_embed` (1, 1 + N, D) is [`Self::pos_embed`] or its interpolation to the
    /// grid of `patches`.
    ///
    /// # Errors
    /// Returns an error if the number or the size of the patches does not match the model.
    pub fn embed(
        &self,
        patches: impl Into<PatchPixels>,
        pos_embed: &Tensor,
        mask: Option<&PatchMask>,
    ) -> Result<Tensor> {
        let pixels = patches.into();
        let patches = pixels.patches();
        let (batch, num_patches, values) = patches.dims3()?;
        let dim = self.dim();
        let expected = (pos_embed.dim(1)? - 1, 3 * self.patch_size * self.patch_size);
        let masked = mask.map_or((batch, num_patches), |m| (m.batch(), m.num_patches()));
        if (num_patches, values) != expected || masked != (batch, num_patches) {
            return Err(ModelError::Input {
                what: "patches",
                found: patches.dims().to_vec(),
                expected: format!("({}, {}, {})", masked.0, expected.0, expected.1),
            });
        }
        let cls = (&self.cls_token + pos_embed.narrow(1, 0, 1)?)?
            .broadcast_as((batch, 1, dim))?
            .contiguous()?;
        let ids_keep = mask.and_then(PatchMask::ids_keep);
        if mask.is_some() && ids_keep.is_none() {
            return Ok(cls); // no patch is visible
        }
        let pos = pos_embed
            .narrow(1, 1, num_patches)?
            .reshape((num_patches, dim))?;
        let tokens = self.patch_embed.forward(patches, ids_keep, &pos)?;
        Ok(Tensor::cat(&[&cls, &tokens], 1)?)
    }

    /// Applies the blocks and the final norm: (B, n, D) -> (B, n, D).
    ///
    /// # Errors
    /// Returns an error if `tokens` has another rank or width.
    pub fn encode(&self, tokens: &Tensor) -> Result<Tensor> {
        self.encode_through(tokens, self.blocks.len())
    }

    /// Applies the first `blocks` blocks and the final norm: (B, n, D) -> (B, n, D).
    ///
    /// # Errors
    /// Returns [`ModelError::Config`] if there are fewer blocks, or an error if `tokens` has another rank or width.
    pub fn encode_through(&self, tokens: &Tensor, blocks: usize) -> Result<Tensor> {
        let Some(blocks) = self.blocks.get(..blocks) else {
            return Err(ModelError::Config {
                field: "feature_block",
                found: blocks,
                expected: format!("at most {}, the depth of the encoder", self.blocks.len()),
            });
        };
        self.norm.forward(&run_blocks(blocks, tokens)?)
    }

    /// Applies the blocks and the final norm to `first` (B, n, D) and `second` (C, m, D), which keep their shapes.
    ///
    /// This gives the same result as two calls of [`Self::encode`] and is faster.
    ///
    /// # Errors
    /// Returns an error if a tensor has another rank or width.
    pub fn encode_both(&self, first: &Tensor, second: &Tensor) -> Result<(Tensor, Tensor)> {
        let ((b, n, _), (c, m, _)) = (first.dims3()?, second.dims3()?);
        let tokens = Tensor::cat(&[first.flatten_to(1)?, second.flatten_to(1)?], 0)?;
        let latent = self
            .norm
            .forward(&run(&self.blocks, &tokens, &[(b, n), (c, m)])?)?;
        Ok((
            latent.narrow(0, 0, b * n)?.reshape(first.shape())?,
            latent.narrow(0, b * n, c * m)?.reshape(second.shape())?,
        ))
    }

    /// Computes the last block's attention from the class token to the patches: (B, 1 + N, D) -> (B, H, N).
    ///
    /// The values are probabilities. A row sums to 1 together with the attention of the class token to itself, which is
    /// left out. The result is not differentiable.
    ///
    /// # Errors
    /// Returns an error if `tokens` has another rank or width.
    pub fn cls_attention(&self, tokens: &Tensor) -> Result<Tensor> {
        let mut x = tokens.clone();
        let Some((last, rest)) = self.blocks.split_last() else {
            return Err(ModelError::Config {
                field: "depth",
                found: 0,
                expected: "at least 1".to_owned(),
            });
        };
        for block in rest {
            x = block.forward(&x)?;
        }
        let map = last.attn.first_token_map(&last.norm1.forward(&x)?)?; // (B, H, 1 + N)
        Ok(map.narrow(2, 1, map.dim(2)? - 1)?)
    }

    /// Returns the patch embedding.
    #[must_use]
    pub fn patch_embed(&self) -> &PatchEmbed {
        &self.patch_embed
    }

    /// Returns the fixed position embedding of the training grid, (1, 1 + N, D), class token first.
    #[must_use]
    pub fn pos_embed(&self) -> &Tensor {
        &self.pos_embed
    }

    /// Returns the blocks in order.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Returns the width and height of a patch in pixels.
    #[must_use]
    pub fn patch_size(&self) -> usize {
        self.patch_size
    }

    /// Returns the width D.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.cls_token.elem_count()
    }
}

/// Applies `blocks` to sequences of one length: (B, n, D) -> (B, n, D).
pub(crate) fn run_blocks(blocks: &[Block], x: &Tensor) -> Result<Tensor> {
    let (batch, n, _) = x.dims3()?;
    Ok(run(blocks, &x.flatten_to(1)?, &[(batch, n)])?.reshape(x.shape())?)
}

/// Applies `blocks` to the tokens (T, D) of sequences. Each of `segments` is a number of sequences and their length.
fn run(blocks: &[Block], tokens: &Tensor, segments: &[(usize, usize)]) -> Result<Tensor> {
    if blocks.is_empty() {
        return Ok(tokens.clone());
    }
    let blocks: Vec<kernels::BlockWeights> = blocks.iter().map(Block::weights).collect();
    Ok(kernels::transformer(tokens, segments, &blocks)?)
}

/// The initial distribution of class and mask tokens: normal, not truncated.
pub(crate) const TOKEN_INIT: Init = Init::Randn {
    mean: 0.0,
    stdev: 0.02,
};

/// Reads a fixed position embedding (1, 1 + num_patches, dim). It is detached: weight files hold it, but it is neither
/// tracked nor trained.
pub(crate) fn fixed_pos_embed(
    num_patches: usize,
    dim: usize,
    vb: &VarBuilder,
    name: &str,
) -> Result<Tensor> {
    let shape = (1, 1 + num_patches, dim);
    Ok(vb.get_with_hints(shape, name, Init::Const(0.0))?.detach())
}
