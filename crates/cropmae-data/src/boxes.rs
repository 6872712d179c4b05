//! Random crop boxes with a random share of the area and a random aspect ratio.
//!
//! This is Inception's random resized crop (Szegedy et al., CVPR 2015). There are two samplers. [`Sampler::Rejection`]
//! is what the published runs used: ten tries, then a central crop. [`Sampler::Uniform`] follows the text of the paper:
//! one try, clipped to the image. Random draws are f32 uniforms that are scaled with one rounding (fused multiply-add).
//! The sides of boxes are computed in f64 and rounded half to even. This is the arithmetic of the reference, so its
//! recorded draws give its boxes.
//!
//! Deviation from the reference: the uniform sampler never returns an empty box. By its text, the reference could do so
//! for tiny images.

use cropmae_config::Sampler;
use rand_chacha::rand_core::RngCore;

use crate::random::{below, uniform};

/// The number of tries of the rejection sampler before it falls back to the central crop.
const TRIES: usize = 10;

/// A box inside an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropBox {
    /// The first row.
    pub top: u32,
    /// The first column.
    pub left: u32,
    /// The number of rows.
    pub height: u32,
    /// The number of columns.
    pub width: u32,
}

impl CropBox {
    /// Returns the box that covers a whole image.
    pub fn full(width: u32, height: u32) -> Self {
        Self {
            top: 0,
            left: 0,
            height,
            width,
        }
    }

    /// Returns the smallest box that contains both boxes.
    pub(crate) fn union(self, other: Self) -> Self {
        let (top, left) = (self.top.min(other.top), self.left.min(other.left));
        let bottom = (self.top + self.height).max(other.top + other.height);
        let right = (self.left + self.width).max(other.left + other.width);
        Self {
            top,
            left,
            height: bottom - top,
            width: right - left,
        }
    }

    /// Returns the same box relative to the top left pixel of `area`, which must contain it.
    pub(crate) fn within(self, area: Self) -> Self {
        Self {
            top: self.top - area.top,
            left: self.left - area.left,
            ..self
        }
    }
}

/// A sampler of crop boxes for images of any size.
#[derive(Debug, Clone, PartialEq)]
pub struct BoxSampler {
    kind: Sampler,
    scale: [f32; 2],
    log_ratio: [f32; 2],
    ratio: [f64; 2],
}

impl BoxSampler {
    /// Creates a sampler of boxes that cover a share in the range `scale` of the image's area.
    ///
    /// The ratio width / height is log-uniform in the range `aspect_ratio`.
    pub fn new(kind: Sampler, scale: [f64; 2], aspect_ratio: [f64; 2]) -> Self {
        Self {
            kind,
            scale: scale.map(|share| share as f32),
            log_ratio: aspect_ratio.map(|ratio| f64::from(ratio as f32).ln() as f32),
            ratio: aspect_ratio,
        }
    }

    /// Draws a box inside an image of `width` x `height` pixels, which must both be at least 1.
    ///
    /// Each try draws the area, then the ratio. After the accepted try, the row is drawn, then the column.
    pub fn sample(&self, width: u32, height: u32, rng: &mut impl RngCore) -> CropBox {
        let tries = match self.kind {
            Sampler::Rejection => TRIES,
            Sampler::Uniform => 1,
        };
        for _ in 0..tries {
            let (u_area, u_ratio) = (uniform(rng), uniform(rng));
            let (w, h) = self.sides(
                width,
                height,
                self.area(u_area),
                exp(self.log_aspect(u_ratio)),
            );
            let (w, h) = match self.kind {
                Sampler::Rejection => (w, h),
                Sampler::Uniform => (w.clamp(1, width), h.clamp(1, height)),
            };
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                return CropBox {
                    top: below(rng, height - h + 1),
                    left: below(rng, width - w + 1),
                    height: h,
                    width: w,
                };
            }
        }
        self.center(width, height)
    }

    /// Returns the share of the area for a uniform draw.
    fn area(&self, u: f32) -> f32 {
        u.mul_add(self.scale[1] - self.scale[0], self.scale[0])
    }

    /// Returns the logarithm of the aspect ratio for a uniform draw.
    fn log_aspect(&self, u: f32) -> f32 {
        let [low, high] = self.log_ratio;
        u.mul_add(high - low, low)
    }

    /// Returns the width and height of a box with this share of the area and this aspect ratio.
    ///
    /// They may be larger than the image.
    fn sides(&self, width: u32, height: u32, area: f32, aspect: f32) -> (u32, u32) {
        let target = f64::from(width) * f64::from(height) * f64::from(area);
        let aspect = f64::from(aspect);
        let side = |squared: f64| squared.sqrt().round_ties_even() as u32;
        (side(target * aspect), side(target / aspect))
    }

    /// Returns the largest central box whose aspect ratio is in the range.
    fn center(&self, width: u32, height: u32) -> CropBox {
        let ratio = f64::from(width) / f64::from(height);
        let [low, high] = self.ratio;
        let side = |exact: f64, limit: u32| (exact.round_ties_even() as u32).clamp(1, limit);
        let (w, h) = if ratio < low {
            (width, side(f64::from(width) / low, height))
        } else if ratio > high {
            (side(f64::from(height) * high, width), height)
        } else {
            (width, height)
        };
        CropBox {
            top: (height - h) / 2,
            left: (width - w) / 2,
            height: h,
            width: w,
        }
    }
}

/// Returns e to the power of `log`, computed in f64 and rounded, so that it is the same on every platform.
///
/// PyTorch's result differs by at most one unit in the last place.
fn exp(log: f32) -> f32 {
    f64::from(log).exp() as f32
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;
    use cropmae_config::{Seed, Stream};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn boxes_lie_inside_the_image(
            width in 1u32..3000, height in 1u32..3000, seed: u64, uniform: bool,
            low in 0.001f64..1.0, share in 0.0f64..1.0, squash in 0.05f64..1.0,
        ) {
            let kind = if uniform { Sampler::Uniform } else { Sampler::Rejection };
            let scale = [low, low + share * (1.0 - low)];
            let sampler = BoxSampler::new(kind, scale, [squash, 1.0 / squash]);
            let mut rng = Seed(seed).rng(Stream::Views, 0, 0);
            for _ in 0..20 {
                let b = sampler.sample(width, height, &mut rng);
                prop_assert!(b.width >= 1 && b.height >= 1);
                prop_assert!(b.left + b.width <= width && b.top + b.height <= height);
            }
        }
    }

    #[test]
    fn areas_and_ratios_follow_the_configuration() {
        let sampler = BoxSampler::new(Sampler::Rejection, [0.3, 0.6], [0.75, 4.0 / 3.0]);
        let mut rng = Seed(1).rng(Stream::Views, 0, 0);
        let mut sum = 0.0;
        for _ in 0..4000 {
            let b = sampler.sample(224, 224, &mut rng);
            let share = f64::from(b.width * b.height) / f64::from(224 * 224);
            let ratio = f64::from(b.width) / f64::from(b.height);
            assert!((0.295..0.605).contains(&share), "{share}");
            assert!((0.74..1.35).contains(&ratio), "{ratio}");
            sum += share;
        }
        assert!((sum / 4000.0 - 0.45).abs() < 0.01);
    }

    #[test]
    fn images_without_a_fitting_box_get_their_center() {
        let sampler = BoxSampler::new(Sampler::Rejection, [0.9, 1.0], [0.75, 4.0 / 3.0]);
        let mut rng = Seed(1).rng(Stream::Views, 0, 0);
        let wide = sampler.sample(300, 20, &mut rng);
        assert_eq!(
            wide,
            CropBox {
                top: 0,
                left: 136,
                height: 20,
                width: 27
            }
        );
        let tall = sampler.sample(30, 300, &mut rng);
        assert_eq!(
            tall,
            CropBox {
                top: 130,
                left: 0,
                height: 40,
                width: 30
            }
        );
    }
}
