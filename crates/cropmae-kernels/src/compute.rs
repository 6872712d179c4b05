//! The number type of matrix products, and what is kept for the backward pass.

/// Type of the operands of matrix products. Products are summed in f32, and everything else (weights,
/// gradients of weights, residual sums, layer norms, softmax statistics, losses) is f32 with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compute {
    /// Single precision.
    #[default]
    F32,
    /// Operands rounded to bfloat16: about twice as fast where kernels and instructions for it exist.
    Bf16,
}

/// How the ops of a block run. Neither choice changes what is computed, except for rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Type of the operands of products.
    pub compute: Compute,
    /// Keep only the input of the block and compute the rest again in the backward pass: a third more work
    /// for a fraction of the memory. Ops refuse it where [`crate::Backend::recomputes`] is false.
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
