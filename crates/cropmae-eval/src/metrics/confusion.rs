//! Confusion matrix of part ids and its mean IoU, as VIP's evaluation computes them.

use serde::{Deserialize, Serialize};

/// Part classes of VIP, background included.
pub const VIP_CLASSES: usize = 20;

/// Pixels by annotated class (row) and predicted class (column), over any number of frames and videos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// (20, 20), row-major.
    counts: Vec<u64>,
}

impl Default for Confusion {
    fn default() -> Self {
        Self {
            counts: vec![0; VIP_CLASSES * VIP_CLASSES],
        }
    }
}

impl Confusion {
    /// Counts one frame; pixels annotated 20 or above (255: void) are ignored.
    ///
    /// A prediction of 20 is accepted and lands in the next row's column 0, as in the reference, whose bins
    /// are `20 gt + pred`.
    ///
    /// # Errors
    /// The offending value if a prediction is above 20, or 20 where the annotation is 19 and there is no
    /// next row; nothing is counted then.
    pub fn add(&mut self, gt: &[u8], pred: &[u8]) -> Result<(), u8> {
        let mut counts = [0u64; VIP_CLASSES * VIP_CLASSES + 1];
        for (&gt, &pred) in gt.iter().zip(pred) {
            if usize::from(pred) > VIP_CLASSES {
                return Err(pred);
            }
            if usize::from(gt) < VIP_CLASSES {
                counts[usize::from(gt) * VIP_CLASSES + usize::from(pred)] += 1;
            }
        }
        if counts[VIP_CLASSES * VIP_CLASSES] > 0 {
            return Err(VIP_CLASSES as u8);
        }
        for (total, count) in self.counts.iter_mut().zip(counts) {
            *total += count;
        }
        Ok(())
    }

    /// Adds another matrix.
    pub fn merge(&mut self, other: &Self) {
        for (total, count) in self.counts.iter_mut().zip(&other.counts) {
            *total += count;
        }
    }

    /// Intersection over union of each class; none where a class is neither annotated nor predicted.
    pub fn iou(&self) -> [Option<f64>; VIP_CLASSES] {
        std::array::from_fn(|class| {
            let row: u64 = self.counts[class * VIP_CLASSES..][..VIP_CLASSES]
                .iter()
                .sum();
            let column: u64 = self.counts.iter().skip(class).step_by(VIP_CLASSES).sum();
            let intersection = self.counts[class * (VIP_CLASSES + 1)];
            let union = row + column - intersection;
            (union > 0).then(|| intersection as f64 / union as f64)
        })
    }

    /// Mean IoU over the classes that have one; NaN if none has.
    pub fn mean_iou(&self) -> f64 {
        let iou = self.iou();
        let known = iou.iter().flatten();
        known.clone().sum::<f64>() / known.count() as f64
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(VIP_CLASSES)
    }
}
