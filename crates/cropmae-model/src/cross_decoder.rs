//! The cross-attention decoder of CropMAE and SiamMAE (Gupta et al., NeurIPS 2023, section 3 "Decoder";
//! CropMAE, section 3.2): tokens of the masked view query the tokens of the whole view.
//!
//! Layers are post-norm as in Vaswani et al. (2017), but in the order cross-attention, feed-forward, self-attention.
//! Each sub-layer is `x = norm(x + dropout(f(x)))`, with norm2, norm3 and norm1 in that order. The key/value sequence
//! is the same for all layers and has no decoder positions.
//!
//! Symbols: B batch, N patches of the masked view, K visible patches of it, M patches of the whole view, D encoder
//! width, Dd decoder width.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use cropmae_config::ModelConfig;
use cropmae_kernels::{self as kernels, Backend, Compute, Dropout, Policy};

use crate::decoder::DecoderEnds;
use crate::dropout::{DropoutStream, Site};
use crate::layers::{LayerNorm, Linear, Mlp, SelfAttention};
use crate::{Execution, PatchMask, Result};

/// The hidden width of the feed-forward part in every layer of the cross-attention decoder. It is the default of
/// PyTorch, which the published models use for every decoder width.
pub const FEED_FORWARD_DIM: usize = 2048;

/// Multi-head attention from one sequence to another, in the layout of PyTorch's `MultiheadAttention`.
#[derive(Debug, Clone)]
struct CrossAttention {
    q: Linear,
    kv: Linear,
    out_proj: Linear,
    num_heads: usize,
    compute: Compute,
}

impl CrossAttention {
    fn new(dim: usize, num_heads: usize, vb: &VarBuilder) -> Result<Self> {
        let in_proj = Linear::named(dim, 3 * dim, vb, "in_proj_weight", "in_proj_bias")?;
        Ok(Self {
            q: in_proj.outputs(0, dim)?,
            kv: in_proj.outputs(dim, 2 * dim)?,
            out_proj: Linear::new(dim, dim, &vb.pp("out_proj"))?,
            num_heads,
            compute: Compute::default(),
        })
    }

    fn set_compute(&mut self, compute: Compute) {
        self.compute = compute;
        for layer in [&mut self.q, &mut self.kv, &mut self.out_proj] {
            layer.set_compute(compute);
        }
    }

    /// Attends from `x` (B, N, Dd) to `memory` (B, M, Dd): (B, N, Dd).
    fn forward(&self, x: &Tensor, memory: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
        let q = self.q.forward(x)?;
        let kv = self.kv.forward(memory)?; // (B, M, 2 Dd)
        let attended = kernels::cross_attention(&q, &kv, self.num_heads, dropout, self.compute)?;
        self.out_proj.forward(&attended)
    }
}

/// One layer of the cross-attention decoder.
#[derive(Debug, Clone)]
pub struct CrossLayer {
    index: usize,
    multihead_attn: CrossAttention,
    norm2: LayerNorm,
    feed_forward: Mlp,
    norm3: LayerNorm,
    self_attn: SelfAttention,
    norm1: LayerNorm,
}

impl CrossLayer {
    /// Reads `multihead_attn`, `linear1`, `linear2`, `self_attn` and `norm1..3`. `index` tells the dropout masks of the
    /// layers apart.
    ///
    /// # Errors
    /// Returns an error if a tensor is missing or has another shape.
    pub fn new(index: usize, dim: usize, num_heads: usize, vb: &VarBuilder) -> Result<Self> {
        let self_attn = vb.pp("self_attn");
        Ok(Self {
            index,
            multihead_attn: CrossAttention::new(dim, num_heads, &vb.pp("multihead_attn"))?,
            norm2: LayerNorm::new(dim, &vb.pp("norm2"))?,
            feed_forward: Mlp::new(
                Linear::new(dim, FEED_FORWARD_DIM, &vb.pp("linear1"))?,
                Linear::new(FEED_FORWARD_DIM, dim, &vb.pp("linear2"))?,
            ),
            norm3: LayerNorm::new(dim, &vb.pp("norm3"))?,
            self_attn: SelfAttention {
                qkv: Linear::named(dim, 3 * dim, &self_attn, "in_proj_weight", "in_proj_bias")?,
                proj: Linear::new(dim, dim, &self_attn.pp("out_proj"))?,
                num_heads,
            },
            norm1: LayerNorm::new(dim, &vb.pp("norm1"))?,
        })
    }

    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.multihead_attn.set_compute(policy.compute);
        // The hidden layer is eight times as wide as the decoder. On a CPU in bfloat16, computing its product twice is
        // fast enough and saves 6 % of a step's memory.
        let device = self.feed_forward.device();
        let fast = policy.compute.available_on(device) == Compute::Bf16;
        let again = fast && Backend::of(device) == Backend::Cpu;
        self.feed_forward.set_policy(Policy {
            recompute: policy.recompute || again,
            ..policy
        });
        self.self_attn.set_compute(policy.compute);
    }

    /// Applies the layer to `x` (B, 1 + N, Dd) and `memory` (B, 1 + M, Dd): (B, 1 + N, Dd).
    ///
    /// # Errors
    /// Returns an error if the shapes do not match the layer's width.
    pub fn forward(
        &self,
        x: &Tensor,
        memory: &Tensor,
        dropout: Option<DropoutStream>,
    ) -> Result<Tensor> {
        let x = self.cross_attend(x, memory, dropout)?;
        let x = self.feed_forward(&x, dropout)?;
        self.self_attend(&x, dropout)
    }

    /// Applies the first sub-layer, norm2(x + dropout(cross_attention(x, memory))), with the shapes of
    /// [`Self::forward`].
    ///
    /// # Errors
    /// Returns an error if the shapes do not match the layer's width.
    pub fn cross_attend(
        &self,
        x: &Tensor,
        memory: &Tensor,
        dropout: Option<DropoutStream>,
    ) -> Result<Tensor> {
        let at = |site| dropout.map(|stream| stream.site(self.index, site));
        let attended = self
            .multihead_attn
            .forward(x, memory, at(Site::CrossAttention))?;
        self.norm2
            .forward_residual(&attended, x, at(Site::CrossResidual))
    }

    /// Applies the second sub-layer, norm3(x + dropout(feed_forward(x))): (B, 1 + N, Dd) -> (B, 1 + N, Dd).
    ///
    /// # Errors
    /// Returns an error if the shapes do not match the layer's width.
    pub fn feed_forward(&self, x: &Tensor, dropout: Option<DropoutStream>) -> Result<Tensor> {
        let at = |site| dropout.map(|stream| stream.site(self.index, site));
        let hidden = self.feed_forward.forward(x, at(Site::FeedForward))?;
        self.norm3
            .forward_residual(&hidden, x, at(Site::FeedForwardResidual))
    }

    /// Applies the last sub-layer, norm1(x + dropout(self_attention(x))): (B, 1 + N, Dd) -> (B, 1 + N, Dd).
    ///
    /// # Errors
    /// Returns an error if the shapes do not match the layer's width.
    pub fn self_attend(&self, x: &Tensor, dropout: Option<DropoutStream>) -> Result<Tensor> {
        let at = |site| dropout.map(|stream| stream.site(self.index, site));
        let attended = self.self_attn.forward(x, at(Site::SelfAttention))?;
        self.norm1
            .forward_residual(&attended, x, at(Site::SelfResidual))
    }
}

/// The cross-attention decoder up to its last hidden tokens.
#[derive(Debug, Clone)]
pub struct CrossDecoder {
    ends: DecoderEnds,
    layers: Vec<CrossLayer>,
}

impl CrossDecoder {
    /// Reads `decoder_blocks.N` and the tensors of [`DecoderEnds`].
    ///
    /// # Errors
    /// Returns an error if a tensor is missing or has another shape.
    pub fn new(config: &ModelConfig, vb: &VarBuilder) -> Result<Self> {
        let (dim, heads) = (config.decoder_embed_dim, config.decoder_num_heads);
        Ok(Self {
            ends: DecoderEnds::new(config, vb)?,
            layers: (0..config.decoder_depth)
                .map(|i| CrossLayer::new(i, dim, heads, &vb.pp(format!("decoder_blocks.{i}"))))
                .collect::<Result<_>>()?,
        })
    }

    /// Returns the same decoder, computed as `execution` says. Its first layer is block number `first_layer` of the
    /// model.
    #[must_use]
    pub fn with_execution(mut self, execution: Execution, first_layer: usize) -> Self {
        self.ends.set_compute(execution.compute);
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.set_policy(execution.block(first_layer + i));
        }
        self
    }

    /// Computes hidden tokens (B, 1 + N, Dd) of the masked view from the latents of the whole view (B, 1 + M, D) and of
    /// the visible patches (B, 1 + K, D).
    ///
    /// # Errors
    /// Returns an error if the shapes do not match the model or the mask.
    pub fn forward(
        &self,
        whole: &Tensor,
        visible: &Tensor,
        mask: &PatchMask,
        dropout: Option<DropoutStream>,
    ) -> Result<Tensor> {
        let memory = self.ends.embed(whole)?;
        let mut x = self.ends.queries(&self.ends.embed(visible)?, mask)?;
        for layer in &self.layers {
            x = layer.forward(&x, &memory, dropout)?;
        }
        Ok(x)
    }

    /// Returns the first and last layers.
    #[must_use]
    pub fn ends(&self) -> &DecoderEnds {
        &self.ends
    }

    /// Returns the layers in order.
    #[must_use]
    pub fn layers(&self) -> &[CrossLayer] {
        &self.layers
    }
}
