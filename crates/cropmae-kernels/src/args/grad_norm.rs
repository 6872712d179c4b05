//! The global norm of a gradient, and what an update does with it.

use candle_core::{Result, Tensor};

/// The L2 norm of the sums of gradients, which may still be on its way through the device.
#[derive(Debug, Clone)]
pub enum GradNorm {
    /// A norm that was read.
    Known(f64),
    /// A norm that the program has not waited for.
    OnDevice {
        /// The sum of all squares, f32 of shape (1).
        squares: Tensor,
    },
}

impl GradNorm {
    /// Returns the norm. This waits for the device if the norm is there.
    ///
    /// # Errors
    /// Returns the errors of the device.
    pub fn read(&self) -> Result<f64> {
        match self {
            Self::Known(norm) => Ok(*norm),
            Self::OnDevice { squares } => {
                let squares = squares.flatten_all()?.to_vec1::<f32>()?;
                Ok(squares.into_iter().map(f64::from).sum::<f64>().sqrt())
            }
        }
    }
}

/// How the sums of gradients become the gradient of an update.
#[derive(Debug, Clone, Copy)]
pub struct GradScale<'a> {
    /// The number of batches in the sums. The gradient is the sums divided by this number.
    pub batches: usize,
    /// The largest norm of the gradient, and the norm of the sums. A gradient of a larger norm is scaled down to it.
    pub clip: Option<(f64, &'a GradNorm)>,
}

impl Default for GradScale<'_> {
    /// One batch, without clipping.
    fn default() -> Self {
        Self {
            batches: 1,
            clip: None,
        }
    }
}

impl GradScale<'_> {
    /// Returns the factor of the sums. This waits for the device if the norm is there.
    pub(crate) fn factor(&self) -> Result<f64> {
        let batches = self.batches as f64;
        let clip = match self.clip {
            // As in PyTorch, the gradient is never scaled up, and there is no division by zero.
            Some((max, norm)) => (max / (norm.read()? / batches + 1e-6)).min(1.0),
            None => 1.0,
        };
        Ok(clip / batches)
    }
}
