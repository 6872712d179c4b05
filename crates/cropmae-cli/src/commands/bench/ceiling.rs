//! The speed of bare matrix products with a model's shapes: an upper limit for its operations.

use cropmae_config::ModelConfig;
use cropmae_kernels::{Compute, product_seconds};

const REPEATS: usize = 5;

/// The measured speed of some matrix products.
#[derive(Debug)]
pub struct Ceiling {
    compute: Compute,
    flops: f64,
    seconds: f64,
}

impl Ceiling {
    /// Measures the products of the linear layers in an encoder block on `rows` tokens.
    ///
    /// With `backward`, the products for both gradients of each layer are included.
    pub fn measure(model: &ModelConfig, rows: usize, backward: bool, compute: Compute) -> Self {
        let d = model.embed_dim;
        let hidden = model.mlp_width(d);
        let mut ceiling = Self {
            compute,
            flops: 0.0,
            seconds: 0.0,
        };
        for (d_in, d_out) in [(d, 3 * d), (d, d), (d, hidden), (hidden, d)] {
            ceiling.add((rows, d_in, d_out));
            if backward {
                ceiling.add((rows, d_out, d_in));
                ceiling.add((d_out, rows, d_in));
            }
        }
        ceiling
    }

    /// Returns the speed over all products, in 10⁹ operations per second.
    pub fn gflop_per_s(&self) -> f64 {
        self.flops / self.seconds / 1e9
    }

    fn add(&mut self, (m, k, n): (usize, usize, usize)) {
        self.flops += 2.0 * m as f64 * k as f64 * n as f64;
        self.seconds += product_seconds((m, k, n), self.compute, REPEATS);
    }
}
