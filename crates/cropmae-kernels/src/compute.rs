//! The options of how ops run: the number type of matrix products, and the tensors that the backward pass keeps.

/// The type of the operands of matrix products.
///
/// Products are always summed in f32, and all other values (weights, gradients of weights, residual sums, layer norms,
/// softmax statistics, losses) are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compute {
    /// Single precision.
    #[default]
    F32,
    /// Operands rounded to bfloat16. This is about twice as fast if there are kernels and instructions for it.
    Bf16,
}

/// The way in which the ops of a block run. It changes results only by rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// The type of the operands of products.
    pub compute: Compute,
    /// `true` to keep only the input of the block and compute the rest again in the backward pass.
    ///
    /// This needs a third more work and a fraction of the memory. Ops return an error if [`crate::Backend::recomputes`]
    /// is false.
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
