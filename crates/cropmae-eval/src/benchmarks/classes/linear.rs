//! A linear probe: multinomial logistic regression on standardized, frozen features.
//!
//! The loss is convex, so its optimum and the score depend only on the data and the weight decay, and not on a learning
//! rate, augmentation or seed. Papers that train the probe by SGD on augmented crops report other numbers.

use candle_core::{D, Device, Tensor};
use cropmae_config::ClassesProtocol;

use super::LinearScore;
use super::features::Vectors;
use super::optimize::minimize;
use crate::error::EvalError;

/// Trains a probe on `train` and scores it on `val`.
pub(super) fn score(
    train: &Vectors,
    val: &Vectors,
    classes: usize,
    protocol: &ClassesProtocol,
) -> Result<LinearScore, EvalError> {
    let run = || -> candle_core::Result<LinearScore> {
        let scale = Standard::of(train);
        let problem = Problem {
            features: scale.apply(train)?,
            targets: one_hot(&train.labels, classes)?,
            weight_decay: protocol.weight_decay,
        };
        // The parameters (C + 1, K) are the weights and, in the last row, the bias.
        let start = vec![0.0; (train.channels + 1) * classes];
        let optimum = minimize(start, protocol.max_iterations, |point| problem.loss(point))?;
        let accuracy = |features: &Tensor, labels: &[usize]| -> candle_core::Result<f64> {
            let (weights, bias) = problem.parameters(&optimum.point)?;
            let found = features
                .matmul(&weights)?
                .broadcast_add(&bias)?
                .argmax(D::Minus1)?;
            let found: Vec<u32> = found.to_vec1()?;
            let hits = found
                .iter()
                .zip(labels)
                .filter(|(a, b)| **a as usize == **b)
                .count();
            Ok(hits as f64 / labels.len() as f64)
        };
        Ok(LinearScore {
            top1: accuracy(&scale.apply(val)?, &val.labels)?,
            train_top1: accuracy(&problem.features, &train.labels)?,
            loss: optimum.value,
            iterations: optimum.iterations,
        })
    };
    run().map_err(|error| EvalError::Numerics {
        what: "linear probe",
        message: error.to_string(),
    })
}

/// The mean and the standard deviation of each channel over the training images.
struct Standard {
    mean: Vec<f64>,
    inverse: Vec<f64>,
}

impl Standard {
    fn of(vectors: &Vectors) -> Self {
        let count = vectors.labels.len() as f64;
        let rows = || vectors.values.chunks_exact(vectors.channels);
        let mut mean = vec![0.0; vectors.channels];
        for row in rows() {
            for (mean, &value) in mean.iter_mut().zip(row) {
                *mean += f64::from(value) / count;
            }
        }
        let mut variance = vec![0.0; vectors.channels];
        for row in rows() {
            for ((variance, &value), mean) in variance.iter_mut().zip(row).zip(&mean) {
                *variance += (f64::from(value) - mean).powi(2) / count;
            }
        }
        // A constant channel has no information, and its deviation of 0 must not be a divisor.
        let inverse = |v: f64| if v > 1e-24 { v.sqrt().recip() } else { 0.0 };
        Self {
            inverse: variance.into_iter().map(inverse).collect(),
            mean,
        }
    }

    /// (n, C)
    fn apply(&self, vectors: &Vectors) -> candle_core::Result<Tensor> {
        let columns = self.mean.iter().zip(&self.inverse).cycle();
        let values = vectors.values.iter().zip(columns);
        let values: Vec<f32> = values
            .map(|(&value, (mean, inverse))| ((f64::from(value) - mean) * inverse) as f32)
            .collect();
        Tensor::from_vec(
            values,
            (vectors.labels.len(), vectors.channels),
            &Device::Cpu,
        )
    }
}

/// (n, K)
fn one_hot(labels: &[usize], classes: usize) -> candle_core::Result<Tensor> {
    let mut values = vec![0f32; labels.len() * classes];
    for (row, &label) in values.chunks_exact_mut(classes).zip(labels) {
        row[label] = 1.0;
    }
    Tensor::from_vec(values, (labels.len(), classes), &Device::Cpu)
}

/// The mean cross-entropy plus half the weight decay times the squared norm of the weights.
struct Problem {
    /// (n, C)
    features: Tensor,
    /// (n, K)
    targets: Tensor,
    weight_decay: f64,
}

impl Problem {
    /// Returns the weights (C, K) and the bias (1, K).
    fn parameters(&self, point: &[f64]) -> candle_core::Result<(Tensor, Tensor)> {
        let (channels, classes) = (self.features.dim(1)?, self.targets.dim(1)?);
        let values: Vec<f32> = point.iter().map(|&v| v as f32).collect();
        let all = Tensor::from_vec(values, (channels + 1, classes), &Device::Cpu)?;
        Ok((all.narrow(0, 0, channels)?, all.narrow(0, channels, 1)?))
    }

    /// Returns the loss at a point and its gradient.
    fn loss(&self, point: &[f64]) -> candle_core::Result<(f64, Vec<f64>)> {
        let count = self.features.dim(0)? as f64;
        let (weights, bias) = self.parameters(point)?;
        let logits = self.features.matmul(&weights)?.broadcast_add(&bias)?; // (n, K)
        let logits = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
        let exponentials = logits.exp()?;
        let sums = exponentials.sum_keepdim(D::Minus1)?;
        let log_likelihoods = (logits.broadcast_sub(&sums.log()?)? * &self.targets)?;
        let log_likelihood: f64 = to_f64(&log_likelihoods)?.iter().sum();
        let residuals = ((exponentials.broadcast_div(&sums)? - &self.targets)? / count)?;
        let mut gradient = to_f64(&self.features.t()?.matmul(&residuals)?)?;
        let weights = &point[..gradient.len()];
        for (gradient, weight) in gradient.iter_mut().zip(weights) {
            *gradient += self.weight_decay * weight;
        }
        let norm2: f64 = weights.iter().map(|w| w * w).sum();
        gradient.extend(to_f64(&residuals.sum(0)?)?);
        let loss = -log_likelihood / count + 0.5 * self.weight_decay * norm2;
        Ok((loss, gradient))
    }
}

fn to_f64(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
    Ok(values.into_iter().map(f64::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns points around three centers. The second channel is useless and the third is constant.
    fn clusters(count: usize, noise: f32) -> Vectors {
        let values = (0..count).flat_map(|i| {
            let jitter = |k: usize| ((i * 7919 + k * 104_729) % 1000) as f32 / 500.0 - 1.0;
            let center = [-4.0, 0.0, 4.0][i % 3];
            [center + noise * jitter(1), jitter(2) * 100.0, 5.0]
        });
        Vectors {
            values: values.collect(),
            channels: 3,
            labels: (0..count).map(|i| i % 3).collect(),
        }
    }

    #[test]
    fn separable_classes_are_learned() {
        let protocol = ClassesProtocol::default();
        let found = score(&clusters(90, 1.0), &clusters(30, 1.0), 3, &protocol).unwrap();
        assert_eq!((found.top1, found.train_top1), (1.0, 1.0));
        assert!(found.loss < 0.3 && found.iterations < 100, "{found:?}");
        let again = score(&clusters(90, 1.0), &clusters(30, 1.0), 3, &protocol).unwrap();
        assert_eq!(found, again);
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let train = clusters(20, 3.0);
        let problem = Problem {
            features: Standard::of(&train).apply(&train).unwrap(),
            targets: one_hot(&train.labels, 3).unwrap(),
            weight_decay: 0.1,
        };
        let point: Vec<f64> = (0..12).map(|i| (i as f64 - 5.0) / 9.0).collect();
        let (_, gradient) = problem.loss(&point).unwrap();
        for i in 0..point.len() {
            let at = |step: f64| {
                let mut moved = point.clone();
                moved[i] += step;
                problem.loss(&moved).unwrap().0
            };
            let expected = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (gradient[i] - expected).abs() < 1e-4,
                "{i}: {} {expected}",
                gradient[i]
            );
        }
    }
}
