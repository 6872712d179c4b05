//! Mean, recall and decay of a measure over a sequence, computed as in davis2017-evaluation.

use serde::{Deserialize, Serialize};

use crate::nan;

/// The statistics of a measure of one object over the scored frames of its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// The mean over the frames that have a value.
    #[serde(with = "nan")]
    pub mean: f64,
    /// The share of frames above 0.5. Frames without a value count as below.
    #[serde(with = "nan")]
    pub recall: f64,
    /// The mean of the first quarter minus the mean of the last quarter, or NaN if one of them has no value.
    #[serde(with = "nan")]
    pub decay: f64,
}

impl Statistics {
    /// Computes the statistics of one value per frame, where NaN means no value.
    ///
    /// The quarters share their edges. The toolkit stores the edges in 8 bits, so they wrap around beyond 256 frames,
    /// and the last quarter can be empty. This is reproduced here, because all published decays contain it.
    pub fn of(values: &[f64]) -> Self {
        let above = values.iter().filter(|&&v| v > 0.5).count();
        let last = values.len().saturating_sub(1) as f64;
        let edge = |i: usize| {
            let id = (1.0 + last * i as f64 / 4.0 + 1e-10).round() - 1.0;
            usize::from(id as u64 as u8)
        };
        let quarter = |i: usize| mean(values.get(edge(i)..=edge(i + 1)).unwrap_or_default());
        Self {
            mean: mean(values),
            recall: above as f64 / values.len() as f64,
            decay: quarter(0) - quarter(3),
        }
    }

    /// Returns the mean of each statistic over objects.
    pub fn mean_of<'a>(objects: impl Iterator<Item = &'a Self> + Clone) -> Self {
        // As in the toolkit, this is a plain mean, so one object without a decay makes the result NaN.
        let average = |field: fn(&Self) -> f64| {
            let count = objects.clone().count() as f64;
            objects.clone().map(field).sum::<f64>() / count
        };
        Self {
            mean: average(|s| s.mean),
            recall: average(|s| s.recall),
            decay: average(|s| s.decay),
        }
    }
}

/// Returns the mean of the values that are not NaN, or NaN if there is none.
fn mean(values: &[f64]) -> f64 {
    let known = values.iter().filter(|v| !v.is_nan());
    known.clone().sum::<f64>() / known.count() as f64
}
