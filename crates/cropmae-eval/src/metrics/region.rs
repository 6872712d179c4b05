//! Region similarity J: intersection over union (Perazzi et al., CVPR 2016).

use super::BitMask;

/// |pred & gt| / |pred | gt|, `void` pixels left out; 1 if both are empty.
pub fn jaccard(gt: &BitMask, pred: &BitMask, void: Option<&BitMask>) -> f64 {
    if let Some(void) = void {
        return jaccard(&gt.without(void), &pred.without(void), None);
    }
    let intersection = gt.count_and(pred);
    let union = gt.count() + pred.count() - intersection;
    if union == 0 {
        return 1.0;
    }
    intersection as f64 / union as f64
}
