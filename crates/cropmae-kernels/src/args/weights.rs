//! The weights of transformer blocks.

use candle_core::Tensor;

use crate::compute::Policy;

/// The layer norm that a pre-norm block begins with.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Scale (D).
    pub weight: &'a Tensor,
    /// Shift (D).
    pub bias: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
}

/// What [`crate::attention_block`] takes besides its input.
#[derive(Clone, Copy)]
pub(crate) struct AttentionWeights<'a> {
    pub(crate) norm: Norm<'a>,
    pub(crate) qkv: (&'a Tensor, &'a Tensor),
    pub(crate) proj: (&'a Tensor, &'a Tensor),
    pub(crate) num_heads: usize,
}

/// What [`crate::mlp_block`] takes besides its input.
#[derive(Clone, Copy)]
pub(crate) struct MlpWeights<'a> {
    pub(crate) norm: Norm<'a>,
    pub(crate) fc1: (&'a Tensor, &'a Tensor),
    pub(crate) fc2: (&'a Tensor, &'a Tensor),
}

/// Weights of a block: first those of [`crate::attention_block`], then those of [`crate::mlp_block`].
#[derive(Debug, Clone, Copy)]
pub struct BlockWeights<'a> {
    /// The layer norm before attention, over D.
    pub norm1: Norm<'a>,
    /// Weight (3D, D), rows q, k, v, and bias (3D).
    pub qkv: (&'a Tensor, &'a Tensor),
    /// Weight (D, D) and bias (D).
    pub proj: (&'a Tensor, &'a Tensor),
    /// Heads of the attention.
    pub num_heads: usize,
    /// The layer norm before the MLP, over D.
    pub norm2: Norm<'a>,
    /// Weight (F, D) and bias (F).
    pub fc1: (&'a Tensor, &'a Tensor),
    /// Weight (D, F) and bias (D).
    pub fc2: (&'a Tensor, &'a Tensor),
    /// How the block runs.
    pub policy: Policy,
}

impl<'a> BlockWeights<'a> {
    /// The weights of the first half.
    pub(crate) fn attention(&self) -> AttentionWeights<'a> {
        AttentionWeights {
            norm: self.norm1,
            qkv: self.qkv,
            proj: self.proj,
            num_heads: self.num_heads,
        }
    }

    /// The weights of the second half.
    pub(crate) fn mlp(&self) -> MlpWeights<'a> {
        MlpWeights {
            norm: self.norm2,
            fc1: self.fc1,
            fc2: self.fc2,
        }
    }
}
