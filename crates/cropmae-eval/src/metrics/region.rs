//! The region similarity J, which is the intersection over union (Perazzi et al., CVPR 2016).

use super::BitMask;

/// Returns |pred & gt| / |pred | gt| without `void` pixels, or 1 if both masks are empty.
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
