//! Results of operations, kept to be compared with those of another device.

use std::cell::RefCell;

use anyhow::Result;
use candle_core::{Tensor, Var};
use cropmae_kernels::{Compute, Gradients, pixel_loss};

/// The results of operations, in the order in which they ran.
#[derive(Debug, Default)]
pub struct Results {
    /// All variables so far, in the order in which they were made.
    vars: RefCell<Vec<Var>>,
    kept: RefCell<Vec<Kept>>,
}

/// The results of one operation.
#[derive(Debug)]
struct Kept {
    op: &'static str,
    shape: String,
    /// The value, and then the gradients of the variables that it depends on.
    tensors: Vec<Vec<f32>>,
}

/// How far the results of an operation are from those that were expected.
#[derive(Debug)]
pub struct Comparison {
    pub op: &'static str,
    pub shape: String,
    /// The largest difference of the value, as a share of the largest expected magnitude.
    pub value: f64,
    /// The same for the gradient that is worst, if the operation has any.
    pub gradient: Option<f64>,
}

impl Comparison {
    /// Returns whether both are close enough for the number type. The bound of f32 is that of the golden gradients.
    pub fn holds(&self, compute: Compute) -> bool {
        let bound = match compute {
            Compute::F32 => 1e-4,
            Compute::Bf16 => 3e-2,
        };
        // A NaN is not close.
        self.value <= bound && self.gradient.is_none_or(|gradient| gradient <= bound)
    }
}

impl Results {
    /// Remembers a variable, whose gradients will be compared.
    pub fn remember(&self, var: &Var) {
        self.vars.borrow_mut().push(var.clone());
    }

    /// Keeps the value of an operation, and the gradients of the mean of its squares.
    pub fn keep(&self, op: &'static str, shape: &str, y: &Tensor) -> Result<()> {
        let loss = if y.elem_count() == 1 {
            y.clone()
        } else {
            pixel_loss(y, &y.zeros_like()?, false)?
        };
        let mut gradients = Gradients::new();
        gradients.accumulate(&loss)?;
        let vars = self.vars.borrow();
        let gradients = vars.iter().filter_map(|var| gradients.get(var));
        let tensors: Vec<&Tensor> = std::iter::once(y).chain(gradients).collect();
        self.keep_all(op, shape, &tensors)
    }

    /// Keeps tensors, of which the first counts as the value.
    pub fn keep_all(&self, op: &'static str, shape: &str, tensors: &[&Tensor]) -> Result<()> {
        let tensors = tensors
            .iter()
            .map(|tensor| tensor.flatten_all()?.to_vec1())
            .collect::<candle_core::Result<_>>()?;
        self.kept.borrow_mut().push(Kept {
            op,
            shape: shape.to_owned(),
            tensors,
        });
        Ok(())
    }

    /// Compares the results with the `expected` ones of the same operations.
    pub fn compare(&self, expected: &Self) -> Vec<Comparison> {
        let (found, expected) = (self.kept.borrow(), expected.kept.borrow());
        let pairs = found.iter().zip(&*expected);
        let comparisons = pairs.map(|(found, expected)| {
            let tensors = found.tensors.iter().zip(&expected.tensors);
            let mut distances = tensors.map(|(found, expected)| distance(found, expected));
            let same_gradients = found.tensors.len() == expected.tensors.len();
            Comparison {
                op: found.op,
                shape: found.shape.clone(),
                value: distances.next().unwrap_or(f64::NAN),
                // A gradient that is missing is as wrong as one can be.
                gradient: distances
                    .chain((!same_gradients).then_some(f64::NAN))
                    .reduce(|a, b| if a.is_nan() { a } else { b.max(a) }),
            }
        });
        comparisons.collect()
    }
}

/// The largest difference as a share of the largest expected magnitude.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::NAN;
    }
    let largest = expected
        .iter()
        .fold(f32::MIN_POSITIVE, |a, b| a.max(b.abs()));
    let pairs = found.iter().zip(expected);
    let worst = pairs.fold(0f64, |worst, (a, b)| {
        let difference = f64::from((a - b).abs());
        if difference.is_nan() || worst.is_nan() {
            f64::NAN
        } else {
            worst.max(difference)
        }
    });
    worst / f64::from(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_shares_of_the_largest_value() {
        assert_eq!(distance(&[1.0, -3.5], &[1.0, -4.0]), 0.125);
        assert!(distance(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
        assert!(distance(&[1.0], &[1.0, 1.0]).is_nan());
        assert_eq!(distance(&[0.0], &[0.0]), 0.0);
    }

    #[test]
    fn a_gradient_that_is_missing_does_not_hold() {
        let results = |tensors: Vec<Vec<f32>>| {
            let shape = String::new();
            let op = "op";
            let kept = RefCell::new(vec![Kept { op, shape, tensors }]);
            Results {
                kept,
                ..Results::default()
            }
        };
        let expected = results(vec![vec![1.0], vec![2.0]]);
        let holds = |tensors| {
            let comparison = results(tensors).compare(&expected).pop().unwrap();
            comparison.holds(Compute::F32)
        };
        assert!(holds(vec![vec![1.0], vec![2.0]]));
        assert!(!holds(vec![vec![1.0], vec![2.1]]));
        assert!(!holds(vec![vec![1.0]]));
        assert!(!holds(vec![vec![f32::NAN], vec![2.0]]));
    }
}
