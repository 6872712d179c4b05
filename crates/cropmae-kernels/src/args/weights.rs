//! The weights of transformer blocks.

use candle_core::Tensor;

use crate::compute::Policy;

/// The layer norm at the start of a pre-norm block.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// The scale (D).
    pub weight: &'a Tensor,
    /// The shift (D).
    pub bias: &'a Tensor,
    /// The number that is added to the variance.
    pub eps: f64,
}

/// The arguments of [`crate::attention_block`] other than its input.
#[derive(Clone, Copy)]
pub(crate) struct AttentionWeights<'a> {
    pub(crate) norm: Norm<'a>,
    pub(crate) qkv: (&'a Tensor, &'a Tensor),
    pub(crate) proj: (&'a Tensor, &'a Tensor),
    pub(crate) num_heads: usize,
}

/// The arguments of [`crate::mlp_block`] other than its input.
#[derive(Clone, Copy)]
pub(crate) struct MlpWeights<'a> {
    pub(crate) norm: Norm<'a>,
    pub(crate) fc1: (&'a Tensor, &'a Tensor),
    pub(crate) fc2: (&'a Tensor, &'a Tensor),
}

/// The weights of a block: those of [`crate::attention_block`], and then those of [`crate::mlp_block`].
#[derive(Debug, Clone, Copy)]
pub struct BlockWeights<'a> {
    /// The layer norm before attention, over D.
    pub norm1: Norm<'a>,
    /// The weight (3D, D) with the rows of q, k and v, and the bias (3D).
    pub qkv: (&'a Tensor, &'a Tensor),
    /// The weight (D, D) and the bias (D).
    pub proj: (&'a Tensor, &'a Tensor),
    /// The number of heads of the attention.
    pub num_heads: usize,
    /// The layer norm before the MLP, over D.
    pub norm2: Norm<'a>,
    /// The weight (F, D) and the bias (F).
    pub fc1: (&'a Tensor, &'a Tensor),
    /// The weight (D, F) and the bias (D).
    pub fc2: (&'a Tensor, &'a Tensor),
    /// The way in which the block runs.
    pub policy: Policy,
}

/// Returns the weights of the first half.
impl<'a> BlockWeights<'a> {
    pub(crate) fn attention(&self) -> AttentionWeights<'a> {
        AttentionWeights {
            norm: self.norm1,
            qkv: self.qkv,
            proj: self.proj,
            num_heads: self.num_heads,
        }
    }

    /// Returns the weights of the second half.
    pub(crate) fn mlp(&self) -> MlpWeights<'a> {
        MlpWeights {
            norm: self.norm2,
            fc1: self.fc1,
            fc2: self.fc2,
        }
    }
}
