//! Statistics of ImageNet's pixels, by which images are normalized for every encoder here.

/// Mean per channel (red, green, blue), on the scale 0 to 1.
pub const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// Standard deviation per channel (red, green, blue), on the scale 0 to 1.
pub const STD: [f64; 3] = [0.229, 0.224, 0.225];
