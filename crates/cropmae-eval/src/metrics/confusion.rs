//! The confusion matrix of part ids and its mean IoU, computed as in VIP's evaluation.

use serde::{Deserialize, Serialize};

/// The number of part classes of VIP, including the background.
pub const VIP_CLASSES: usize = 20;

/// The numbers of pixels by annotated class (row) and predicted class (column), over any frames and videos.
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
    /// Counts one frame. Pixels with annotation 20 or above are ignored (255 is void).
    ///
    /// As in the reference, whose bins are `20 gt + pred`, a prediction of 20 counts in column 0 of the next row.
    ///
    /// # Errors
    /// Returns the invalid value if a prediction is above 20, or is 20 where the annotation is 19 and there is no next
    /// row. Nothing is counted in this case.
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

    /// Adds the counts of another matrix.
    pub fn merge(&mut self, other: &Self) {
        for (total, count) in self.counts.iter_mut().zip(&other.counts) {
            *total += count;
        }
    }

    /// Returns the intersection over union of each class, or `None` if a class is neither annotated nor predicted.
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

    /// Returns the mean IoU over the classes that have one, or NaN if none has.
    pub fn mean_iou(&self) -> f64 {
        let iou = self.iou();
        let known = iou.iter().flatten();
        known.clone().sum::<f64>() / known.count() as f64
    }

    /// Returns the rows of the matrix.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(VIP_CLASSES)
    }
}
