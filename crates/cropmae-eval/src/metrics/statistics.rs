//! Mean, recall and decay of a measure over a sequence, as davis2017-evaluation computes them.

use serde::{Deserialize, Serialize};

use crate::nan;

/// One object's measure over the scored frames of its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Mean over frames, those without a value left out.
    #[serde(with = "nan")]
    pub mean: f64,
    /// Share of frames above 0.5; frames without a value count as below.
    #[serde(with = "nan")]
    pub recall: f64,
    /// Mean of the first quarter minus mean of the last; NaN if either has no value.
    #[serde(with = "nan")]
    pub decay: f64,
}

impl Statistics {
    /// Statistics of one value a frame; NaN stands for no value.
    ///
    /// The quarters share their edges, and the toolkit keeps edges in 8 bits: beyond 256 frames they wrap
    /// around, which may leave the last quarter empty. Reproduced, since it is in every published decay.
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

    /// Mean of each statistic over objects.
    pub fn mean_of<'a>(objects: impl Iterator<Item = &'a Self> + Clone) -> Self {
        // As the toolkit does, a plain mean here: an object without a decay leaves none for the set.
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

/// Mean of the values that are not NaN; NaN if there is none.
fn mean(values: &[f64]) -> f64 {
    let known = values.iter().filter(|v| !v.is_nan());
    known.clone().sum::<f64>() / known.count() as f64
}
