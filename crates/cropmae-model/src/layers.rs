//! The layers of all models, on the differentiable ops of `cropmae-kernels`.
//!
//! The `LayerNorm` and `Linear` of candle-nn are not used: the former has no backward pass on contiguous inputs, and
//! both would bypass the fused kernels. Initialization hints are those of the reference: Xavier-uniform matrices
//! (packed projections as one matrix), zero biases, unit gains.

use candle_core::{Device, Tensor};
use candle_nn::{Init, VarBuilder};
use cropmae_kernels::{self as kernels, Compute, Dropout, Norm, Policy};

use crate::{ModelError, Result};

/// The value that layer norms add to the variance unless the config says otherwise.
pub const LAYER_NORM_EPS: f64 = 1e-6;

/// y = x Wᵀ + b, with W of shape (Dout, Din).
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
    compute: Compute,
}

impl Linear {
    /// Reads `weight` (d_out, d_in) and `bias` (d_out).
    ///
    /// # Errors
    /// Returns an error if a tensor is missing or has another shape.
    pub fn new(d_in: usize, d_out: usize, vb: &VarBuilder) -> Result<Self> {
        Self::named(d_in, d_out, vb, "weight", "bias")
    }

    /// Does the same as [`Self::new`] for tensors of other names, such as those of PyTorch's `MultiheadAttention`.
    ///
    /// # Errors
    /// Returns an error if a tensor is missing or has another shape.
    pub(crate) fn named(
        d_in: usize,
        d_out: usize,
        vb: &VarBuilder,
        weight: &str,
        bias: &str,
    ) -> Result<Self> {
        Ok(Self {
            weight: vb.get_with_hints((d_out, d_in), weight, xavier_uniform(d_in, d_out))?,
            bias: vb.get_with_hints(d_out, bias, Init::Const(0.0))?,
            compute: Compute::default(),
        })
    }

    pub(crate) fn set_compute(&mut self, compute: Compute) {
        self.compute = compute;
    }

    /// Returns the layer that computes only the outputs `start..start + len`. It shares the storage of this layer, and
    /// gradients reach the variables of this layer.
    pub(crate) fn outputs(&self, start: usize, len: usize) -> Result<Self> {
        Ok(Self {
            weight: self.weight.narrow(0, start, len)?,
            bias: self.bias.narrow(0, start, len)?,
            compute: self.compute,
        })
    }

    /// Returns the weight and the bias, for the fused blocks.
    pub(crate) fn tensors(&self) -> (&Tensor, &Tensor) {
        (&self.weight, &self.bias)
    }

    /// Applies the layer: (.., Din) -> (.., Dout).
    ///
    /// # Errors
    /// Returns an error if the last dimension of `x` is not Din.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(kernels::linear(x, &self.weight, &self.bias, self.compute)?)
    }
}

/// Normalization over the last dimension with gain and bias.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Reads `weight` (dim) and `bias` (dim).
    ///
    /// # Errors
    /// Returns an error if a tensor is missing or has another shape.
    pub fn new(dim: usize, vb: &VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vb.get_with_hints(dim, "weight", Init::Const(1.0))?,
            bias: vb.get_with_hints(dim, "bias", Init::Const(0.0))?,
            eps: LAYER_NORM_EPS,
        })
    }

    /// Returns the same layer with `eps` added to the variance.
    pub(crate) fn with_eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// Normalizes `x`: (.., D) -> (.., D).
    ///
    /// # Errors
    /// Returns an error if the last dimension of `x` is not D.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(kernels::layer_norm(x, &self.weight, &self.bias, self.eps)?)
    }

    /// Returns the weights for the fused blocks, which normalize by themselves.
    pub(crate) fn as_norm(&self) -> Norm<'_> {
        Norm {
            weight: &self.weight,
            bias: &self.bias,
            eps: self.eps,
        }
    }

    /// Computes norm(residual + dropout(x)), the end of a post-norm sub-layer: (.., D), (.., D) -> (.., D).
    ///
    /// # Errors
    /// Returns an error if the shapes differ or their last dimension is not D.
    pub fn forward_residual(
        &self,
        x: &Tensor,
        residual: &Tensor,
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        Ok(kernels::residual_layer_norm(
            x,
            residual,
            &self.weight,
            &self.bias,
            self.eps,
            dropout,
        )?)
    }
}

/// Multi-head self-attention with one packed projection, whose rows are q, k, v.
#[derive(Debug, Clone)]
pub struct SelfAttention {
    pub(crate) qkv: Linear,
    pub(crate) proj: Linear,
    pub(crate) num_heads: usize,
}

impl SelfAttention {
    pub(crate) fn set_compute(&mut self, compute: Compute) {
        self.qkv.set_compute(compute);
        self.proj.set_compute(compute);
    }

    /// Applies self-attention: (B, N, D) -> (B, N, D). `dropout` acts on the attention probabilities.
    ///
    /// # Errors
    /// Returns an error if `x` has another rank or width.
    pub fn forward(&self, x: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?; // (B, N, 3D)
        let attended = kernels::self_attention(&qkv, self.num_heads, dropout, self.qkv.compute)?;
        self.proj.forward(&attended)
    }

    /// Computes the attention probabilities from the first token to all tokens: (B, N, D) -> (B, H, N). The result is
    /// not differentiable.
    ///
    /// # Errors
    /// Returns an error if `x` has another rank or width.
    pub fn first_token_map(&self, x: &Tensor) -> Result<Tensor> {
        let dim = x.dim(2)?;
        let q = self.qkv.outputs(0, dim)?.forward(&x.narrow(1, 0, 1)?)?; // (B, 1, D)
        let k = self.qkv.outputs(dim, dim)?.forward(x)?;
        Ok(kernels::attention_map(&q, &k, self.num_heads)?.squeeze(2)?)
    }
}

/// The MLP of a block: fc2(dropout(gelu(fc1(x)))).
#[derive(Debug, Clone)]
pub struct Mlp {
    pub(crate) fc1: Linear,
    pub(crate) fc2: Linear,
    policy: Policy,
}

impl Mlp {
    pub(crate) fn new(fc1: Linear, fc2: Linear) -> Self {
        Self {
            fc1,
            fc2,
            policy: Policy::default(),
        }
    }

    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Returns the device of the weights.
    pub(crate) fn device(&self) -> &Device {
        self.fc1.weight.device()
    }

    /// Applies the MLP: (B, N, D) -> (B, N, D). `dropout` acts on the hidden activations.
    ///
    /// # Errors
    /// Returns an error if `x` has another rank or width.
    pub fn forward(&self, x: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
        Ok(kernels::mlp(
            x,
            self.fc1.tensors(),
            self.fc2.tensors(),
            dropout,
            self.policy,
        )?)
    }
}

/// Returns the uniform distribution within ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, AISTATS 2010).
pub(crate) fn xavier_uniform(fan_in: usize, fan_out: usize) -> Init {
    let bound = (6.0 / (fan_in + fan_out) as f64).sqrt();
    Init::Uniform {
        lo: -bound,
        up: bound,
    }
}

/// Returns an error if `width` cannot be split into heads or into the four parts of a 2-D sin-cos embedding.
pub(crate) fn check_width(field: &'static str, width: usize, heads: usize) -> Result<()> {
    if width > 0 && heads > 0 && width.is_multiple_of(heads) && width.is_multiple_of(4) {
        return Ok(());
    }
    Err(ModelError::Config {
        field,
        found: width,
        expected: format!(
            "a multiple of 4 (sin-cos position embedding) and of the number of heads, {heads}"
        ),
    })
}
