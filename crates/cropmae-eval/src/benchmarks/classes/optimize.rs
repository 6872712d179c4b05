//! L-BFGS (Liu and Nocedal, 1989) for smooth convex functions.

/// The number of recent steps whose curvature is stored.
const MEMORY: usize = 10;
/// The search ends at this slope, relative to the initial one.
const TOLERANCE: f64 = 1e-4;
/// The minimum decrease of a step, as a share of the decrease that the slope predicts.
const ARMIJO: f64 = 1e-4;
/// The number of halvings of a step after which the search ends, because only rounding errors remain.
const HALVINGS: usize = 20;

/// The end of a search.
#[derive(Debug)]
pub(super) struct Optimum {
    pub point: Vec<f64>,
    pub value: f64,
    pub iterations: usize,
}

/// Minimizes a function that returns its value and its gradient at a point.
pub(super) fn minimize<E>(
    start: Vec<f64>,
    max_iterations: usize,
    mut function: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
) -> Result<Optimum, E> {
    let mut point = start;
    let (mut value, mut gradient) = function(&point)?;
    let enough = TOLERANCE * norm(&gradient);
    let mut memory: Vec<Step> = Vec::with_capacity(MEMORY + 1);
    let mut iterations = 0;
    while iterations < max_iterations && norm(&gradient) > enough {
        let direction = descent(&gradient, &memory);
        let slope = dot(&gradient, &direction);
        // The first step has no curvature information, so it has at most the length 1.
        let mut length = if memory.is_empty() {
            norm(&gradient).recip().min(1.0)
        } else {
            1.0
        };
        let mut taken = None;
        for _ in 0..HALVINGS {
            let next: Vec<f64> = point
                .iter()
                .zip(&direction)
                .map(|(p, d)| p + length * d)
                .collect();
            let (next_value, next_gradient) = function(&next)?;
            if next_value <= value + ARMIJO * length * slope {
                taken = Some((next, next_value, next_gradient));
                break;
            }
            length /= 2.0;
        }
        let Some((next, next_value, next_gradient)) = taken else {
            break;
        };
        let step = Step::new(
            difference(&next, &point),
            difference(&next_gradient, &gradient),
        );
        memory.extend(step);
        if memory.len() > MEMORY {
            memory.remove(0);
        }
        (point, value, gradient) = (next, next_value, next_gradient);
        iterations += 1;
    }
    Ok(Optimum {
        point,
        value,
        iterations,
    })
}

/// A stored step, with the changes of the point and of the gradient.
struct Step {
    moved: Vec<f64>,
    changed: Vec<f64>,
    /// The inner product of the two changes.
    curvature: f64,
}

impl Step {
    /// Returns `None` if rounding hides the curvature.
    fn new(moved: Vec<f64>, changed: Vec<f64>) -> Option<Self> {
        let curvature = dot(&moved, &changed);
        (curvature > 1e-12 * dot(&changed, &changed)).then_some(Self {
            moved,
            changed,
            curvature,
        })
    }
}

/// Returns the negative product of the inverse curvature and the gradient, by the two-loop recursion.
fn descent(gradient: &[f64], memory: &[Step]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for step in memory.iter().rev() {
        let share = dot(&step.moved, &direction) / step.curvature;
        add(&mut direction, -share, &step.changed);
        shares.push(share);
    }
    if let Some(newest) = memory.last() {
        let scale = newest.curvature / dot(&newest.changed, &newest.changed);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (step, share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = dot(&step.changed, &direction) / step.curvature;
        add(&mut direction, share - back, &step.moved);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn add(a: &mut [f64], factor: f64, b: &[f64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += factor * b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretched_bowl_is_found_in_few_steps() {
        let center: Vec<f64> = (0..30).map(|i| f64::from(i) - 10.0).collect();
        let function = |point: &[f64]| -> Result<_, ()> {
            let stretch = |i: usize| 1.0 + i as f64 * i as f64;
            let terms = point.iter().zip(&center).enumerate();
            let value = terms
                .clone()
                .map(|(i, (p, c))| stretch(i) * (p - c).powi(2))
                .sum::<f64>();
            let gradient = terms
                .map(|(i, (p, c))| 2.0 * stretch(i) * (p - c))
                .collect();
            Ok((value, gradient))
        };
        let found = minimize(vec![0.0; 30], 200, function).unwrap();
        assert!(found.iterations < 100, "{}", found.iterations);
        for (found, expected) in found.point.iter().zip(&center) {
            assert!((found - expected).abs() < 0.5, "{found} {expected}");
        }
    }
}
