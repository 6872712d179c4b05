//! The weights of a resize along one axis.

use cropmae_config::Interpolation;

use super::PRECISION_BITS;

/// The weights of one axis. Every output is a weighted sum over a window of `taps` inputs.
pub(super) struct Kernel {
    pub(super) taps: usize,
    /// The first input of each output's window.
    pub(super) firsts: Vec<usize>,
    /// The weights `(outputs, taps)`. Windows that need fewer inputs are filled up with zeros.
    pub(super) weights: Vec<i32>,
}

impl Kernel {
    pub(super) fn new(input: u32, output: u32, filter: Interpolation) -> Self {
        match filter {
            Interpolation::Bilinear => Self::of_shape(input, output, 1.0, triangle),
            Interpolation::Bicubic => Self::of_shape(input, output, 2.0, cubic),
        }
    }

    /// Computes the weights of a filter that reaches `radius` inputs (or outputs, if these are further apart).
    fn of_shape(input: u32, output: u32, radius: f64, shape: impl Fn(f64) -> f64) -> Self {
        let scale = f64::from(input) / f64::from(output);
        let filter_scale = scale.max(1.0);
        let support = radius * filter_scale;
        let inverse = 1.0 / filter_scale;
        let window = |x: u32| {
            let center = (f64::from(x) + 0.5) * scale;
            // The cast truncates, and it changes negative values to 0, which is the lower bound.
            let first = (center - support + 0.5) as u32;
            let last = ((center + support + 0.5) as u32).min(input);
            (center, first, last)
        };
        let lengths = (0..output).map(window).map(|(_, first, last)| last - first);
        let taps = lengths.max().unwrap_or(0);
        let mut firsts = Vec::with_capacity(output as usize);
        let mut weights = vec![0; (output * taps) as usize];
        let mut exact = Vec::new();
        for (x, row) in (0..output).zip(weights.chunks_exact_mut(taps as usize)) {
            let (center, first, last) = window(x);
            exact.clear();
            exact.extend((first..last).map(|i| shape((f64::from(i) - center + 0.5) * inverse)));
            let sum: f64 = exact.iter().sum();
            // A shorter window at the far end is moved back, so that all of it lies inside the input.
            let moved = first.min(input - taps);
            for (fixed, weight) in row[(first - moved) as usize..].iter_mut().zip(&exact) {
                *fixed = to_fixed(weight / sum);
            }
            firsts.push(moved as usize);
        }
        Self {
            taps: taps as usize,
            firsts,
            weights,
        }
    }

    pub(super) fn outputs(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.firsts
            .iter()
            .copied()
            .zip(self.weights.chunks_exact(self.taps))
    }
}

/// Converts to fixed point with `PRECISION_BITS` fractional bits, rounding half away from zero.
fn to_fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION_BITS) + 0.5f64.copysign(weight)) as i32
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic filter with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
