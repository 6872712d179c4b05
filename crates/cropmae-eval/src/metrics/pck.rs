//! The percentage of correct key points (Yang and Ramanan, PAMI 2013), computed as in JHMDB's evaluation.

use crate::joints::{JOINTS, Pose};

/// The distances, in units of the normalizer, up to which a key point is correct.
pub const THRESHOLDS: [f64; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];

/// The counts of key points over any number of clips.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pck {
    /// The number of scored key points, by joint.
    items: [u64; JOINTS],
    /// The number of correct key points, by threshold and joint.
    correct: [[u64; JOINTS]; THRESHOLDS.len()],
}

impl Pck {
    /// Counts one clip of annotated and predicted (x, y), in pixels of the clip. Frame 0 is skipped.
    pub fn add_clip(&mut self, gt: &[Pose<f64>], pred: &[Pose<f32>]) {
        for (gt, pred) in gt.iter().zip(pred).skip(1) {
            self.add_frame(gt, pred);
        }
    }

    /// Counts one frame of annotated and predicted (x, y), in pixels of the clip.
    ///
    /// A joint is scored unless its predicted x is negative. Distances are divided by 0.6 times the diagonal of the box
    /// around the annotated joints that are scored.
    pub fn add_frame(&mut self, gt: &Pose<f64>, pred: &Pose<f32>) {
        let normalizer = normalizer(gt, pred);
        for (joint, (gt, pred)) in gt.iter().zip(pred).enumerate() {
            if pred[0] < 0.0 {
                continue;
            }
            self.items[joint] += 1;
            let distance =
                (f64::from(pred[0]) - gt[0]).hypot(f64::from(pred[1]) - gt[1]) / normalizer;
            for (correct, threshold) in self.correct.iter_mut().zip(THRESHOLDS) {
                correct[joint] += u64::from(distance <= threshold);
            }
        }
    }

    /// Adds the counts of another clip.
    pub fn merge(&mut self, other: &Self) {
        for (total, items) in self.items.iter_mut().zip(other.items) {
            *total += items;
        }
        for (total, correct) in self
            .correct
            .iter_mut()
            .flatten()
            .zip(other.correct.iter().flatten())
        {
            *total += correct;
        }
    }

    /// Returns the percentage of each joint at the `threshold`-th of [`THRESHOLDS`].
    ///
    /// It is `None` for a joint that is never scored.
    pub fn per_joint(&self, threshold: usize) -> [Option<f64>; JOINTS] {
        std::array::from_fn(|joint| {
            let items = self.items[joint];
            (items > 0).then(|| self.correct[threshold][joint] as f64 / items as f64 * 100.0)
        })
    }

    /// Returns the mean percentage over the joints that have one, or NaN if none has.
    pub fn mean(&self, threshold: usize) -> f64 {
        let joints = self.per_joint(threshold);
        let known = joints.iter().flatten();
        known.clone().sum::<f64>() / known.count() as f64
    }

    /// Returns the number of scored key points, by joint.
    pub fn items(&self) -> &[u64; JOINTS] {
        &self.items
    }
}

/// Returns 0.6 times the diagonal of the box around the annotated joints whose predicted x is not negative.
pub(crate) fn normalizer(gt: &Pose<f64>, pred: &Pose<f32>) -> f64 {
    let extent = |axis: usize| {
        let counted = gt.iter().zip(pred).filter(|(_, pred)| pred[0] >= 0.0);
        let (low, high) = counted.fold(
            (f64::INFINITY, f64::NEG_INFINITY),
            |(low, high), (gt, _)| (low.min(gt[axis]), high.max(gt[axis])),
        );
        high - low
    };
    0.6 * extent(0).hypot(extent(1))
}
