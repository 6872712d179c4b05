//! The optional augmentations of the reference.
//!
//! They are, in this order, color jitter, Gaussian blur and an elastic deformation, and they apply to the view that is
//! cut from the image first.
//!
//! Each operation is that of torchvision on values in `[0, 1]`. Golden values are in `fixtures/data/augment.json`,
//! beside the program that made them. Pixels are interleaved, `(H, W, 3)`.
//!
//! Deviations from the reference: it augments after normalization, where torchvision's clamping to `[0, 1]` cuts off
//! everything darker than the mean. Here, augmentation comes before normalization, and its result is rounded to 8 bits.
//! The reference asks for a blur kernel of size 12, which torchvision refuses. Here it has 13 taps.

mod color;
mod elastic;
mod filter;
#[cfg(test)]
mod golden;

use cropmae_config::AugmentConfig;
use image::RgbImage;
use rand_chacha::rand_core::RngCore;

use crate::random::{below, uniform};

/// The largest distance from 1 of the factors of brightness, contrast and saturation.
const JITTER: f32 = 0.4;
/// The largest change of the hue, as a fraction of the color circle.
const HUE: f32 = 0.1;
/// The number of taps of the blur.
const BLUR_TAPS: usize = 13;
/// The range of the blur's standard deviation, in pixels.
const BLUR_SIGMA: [f32; 2] = [0.1, 2.0];
/// Twice the largest displacement before smoothing, in pixels.
const ELASTIC_ALPHA: f32 = 50.0;
/// The standard deviation of the smoothing of displacements, in pixels.
const ELASTIC_SIGMA: f32 = 5.0;

/// Augments `view` according to `config`. Nothing is drawn for operations that are turned off.
pub(crate) fn augment(view: &mut RgbImage, config: AugmentConfig, rng: &mut impl RngCore) {
    if config.is_off() {
        return;
    }
    let (width, height) = (view.width() as usize, view.height() as usize);
    let mut pixels: Vec<f32> = view.iter().map(|&b| f32::from(b) / 255.0).collect();
    if config.color_jitter {
        jitter(&mut pixels, rng);
    }
    if config.gaussian_blur {
        let [low, high] = BLUR_SIGMA;
        let sigma = low + uniform(rng) * (high - low);
        pixels = filter::blur::<3>(&pixels, width, BLUR_TAPS, sigma);
    }
    if config.elastic {
        let mut noise = || {
            (0..width * height)
                .map(|_| uniform(rng))
                .collect::<Vec<_>>()
        };
        let (across, down) = (noise(), noise());
        let shift =
            |noise: &[f32]| elastic::displacements(noise, width, ELASTIC_ALPHA, ELASTIC_SIGMA);
        pixels = elastic::warp(&pixels, (width, height), &shift(&across), &shift(&down));
    }
    for (byte, value) in view.iter_mut().zip(pixels) {
        *byte = (value * 255.0).round() as u8;
    }
}

/// Changes brightness, contrast, saturation and hue, in random order.
fn jitter(pixels: &mut [f32], rng: &mut impl RngCore) {
    let mut order = [0, 1, 2, 3];
    for last in (1..order.len()).rev() {
        order.swap(last, below(rng, last as u32 + 1) as usize);
    }
    let mut around = |center: f32, reach: f32| center + (2.0 * uniform(rng) - 1.0) * reach;
    let factors = [1.0, 1.0, 1.0].map(|one| around(one, JITTER));
    let turn = around(0.0, HUE);
    for operation in order {
        match operation {
            0 => color::brightness(pixels, factors[0]),
            1 => color::contrast(pixels, factors[1]),
            2 => color::saturation(pixels, factors[2]),
            _ => color::hue(pixels, turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cropmae_config::{Seed, Stream};

    fn view() -> RgbImage {
        RgbImage::from_fn(64, 64, |x, y| {
            image::Rgb([(x * 4) as u8, (y * 4) as u8, ((x ^ y) * 3) as u8])
        })
    }

    fn augmented(config: AugmentConfig, sample: u64) -> RgbImage {
        let mut out = view();
        augment(&mut out, config, &mut Seed(1).rng(Stream::Views, 0, sample));
        out
    }

    #[test]
    fn each_switch_changes_the_view_by_draws_of_the_sample() {
        let off = AugmentConfig::default();
        let all = [
            AugmentConfig {
                color_jitter: true,
                ..off
            },
            AugmentConfig {
                gaussian_blur: true,
                ..off
            },
            AugmentConfig {
                elastic: true,
                ..off
            },
        ];
        assert!(augmented(off, 0) == view());
        for config in all {
            let first = augmented(config, 0);
            assert!(first != view(), "{config:?}");
            assert!(first == augmented(config, 0), "{config:?}");
            assert!(first != augmented(config, 1), "{config:?}");
        }
    }
}
