//! In which number type the matrix products run, and what is kept for the backward pass.

use crate::cpu::product;

/// Type of the operands of matrix products. Products are summed in f32, and everything else (weights,
/// gradients of weights, residual sums, layer norms, softmax statistics, losses) is f32 with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compute {
    /// Single precision.
    #[default]
    F32,
    /// Operands rounded to bfloat16: about twice as fast where the machine has instructions for it.
    Bf16,
}

impl Compute {
    /// What this machine's CPU runs when asked for `self`: [`Compute::F32`] where it has no bf16
    /// instructions. Ops make the same choice by themselves; ask here to tell the user.
    #[must_use]
    pub fn available(self) -> Self {
        match self {
            Self::Bf16 if product::kernels(Self::Bf16).is_some() => Self::Bf16,
            _ => Self::F32,
        }
    }
}

/// How the ops of a block run. Neither choice changes what is computed, but for rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Type of the products' operands.
    pub compute: Compute,
    /// Keep only the block's input and form the rest again in the backward pass: a third more work for a
    /// fraction of the memory.
    pub recompute: bool,
}

impl From<Compute> for Policy {
    fn from(compute: Compute) -> Self {
        Self {
            compute,
            recompute: false,
        }
    }
}
