//! The pixel statistics of ImageNet. Images are normalized with them for every encoder.

/// The mean of each channel (red, green, blue) for pixels from 0 to 1.
pub const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// The standard deviation of each channel (red, green, blue) for pixels from 0 to 1.
pub const STD: [f64; 3] = [0.229, 0.224, 0.225];
