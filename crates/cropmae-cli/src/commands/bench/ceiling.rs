//! What bare matrix products of a model's shapes reach: the ceiling of everything made of them.

use cropmae_config::ModelConfig;
use cropmae_kernels::{Compute, product_seconds};

const REPEATS: usize = 5;

/// Products and the seconds they took.
#[derive(Debug)]
pub struct Ceiling {
    compute: Compute,
    flops: f64,
    seconds: f64,
}

impl Ceiling {
    /// The linear layers of an encoder block on `rows` tokens; with `backward` also both gradients of each.
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

    /// Speed over all of them.
    pub fn gflop_per_s(&self) -> f64 {
        self.flops / self.seconds / 1e9
    }

    fn add(&mut self, (m, k, n): (usize, usize, usize)) {
        self.flops += 2.0 * m as f64 * k as f64 * n as f64;
        self.seconds += product_seconds((m, k, n), self.compute, REPEATS);
    }
}
