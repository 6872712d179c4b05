//! Palettes and the display transfer curve.
//!
//! Light is computed in linear RGB. Palettes are drawn in OKLCh (Ottosson 2020), where equal steps look
//! equal, so that a palette has the contrast it was asked for whatever its hues.

use std::f32::consts::TAU;
use std::sync::LazyLock;

use glam::Vec3;
use rand::Rng;

/// Four related colors in linear RGB: dark, middle, light and an accent.
#[derive(Debug, Clone)]
pub(crate) struct ColorScheme {
    pub colors: [Vec3; 4],
}

impl ColorScheme {
    /// A palette around a random hue.
    pub fn draw(rng: &mut impl Rng) -> Self {
        let hue = rng.random_range(0.0..TAU);
        // Muted colors are the rule and vivid ones the exception, as in photographs.
        let chroma = 0.02 + 0.14 * rng.random_range(0.0f32..1.0).powi(2);
        Self::around(rng, hue, chroma)
    }

    /// A palette of ground, rock or leaves.
    pub fn earthy(rng: &mut impl Rng) -> Self {
        let (hue, chroma) = [
            (rng.random_range(1.9..2.5), 0.09),  // grass and leaves
            (rng.random_range(0.8..1.4), 0.05),  // soil
            (rng.random_range(1.3..1.6), 0.06),  // sand
            (rng.random_range(0.0..TAU), 0.012), // rock
        ][rng.random_range(0..4)];
        Self::around(rng, hue, chroma)
    }

    fn around(rng: &mut impl Rng, hue: f32, chroma: f32) -> Self {
        let spread = rng.random_range(0.0f32..0.9);
        let accent = [TAU / 2.0, TAU / 3.0, -TAU / 3.0, 0.6][rng.random_range(0..4)];
        // A narrow span makes a low-contrast palette: told apart by texture rather than by color.
        let middle = rng.random_range(0.42f32..0.72);
        let span = rng.random_range(0.10f32..0.28);
        let mut color = |l: f32, h: f32, c: f32| {
            let jitter = rng.random_range(0.8f32..1.2);
            oklch(l.clamp(0.12, 0.95), c * jitter, hue + h)
        };
        Self {
            colors: [
                color(middle - span, -spread * 0.5, chroma),
                color(middle, 0.0, chroma),
                color(middle + span, spread * 0.5, chroma * 0.8),
                color(middle + span * 0.3, accent, chroma * 1.3),
            ],
        }
    }

    /// A palette that is easily taken for this one.
    pub fn look_alike(&self, rng: &mut impl Rng) -> Self {
        let gain = rng.random_range(0.85f32..1.15);
        Self {
            colors: self.colors.map(|c| {
                let tint = Vec3::from_array(std::array::from_fn(|_| rng.random_range(0.9..1.1)));
                c * tint * gain
            }),
        }
    }
}

/// OKLCh (lightness 0 to 1, chroma, hue in radians) to linear RGB, clipped to what a display can show.
pub(crate) fn oklch(lightness: f32, chroma: f32, hue: f32) -> Vec3 {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    Vec3::new(
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_38 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    )
    .clamp(Vec3::splat(0.003), Vec3::ONE)
}

/// Steps of the transfer table: fine enough that neighbors differ by less than one 8-bit level.
const STEPS: usize = 4096;

static TRANSFER: LazyLock<Vec<f32>> = LazyLock::new(|| {
    (0..=STEPS)
        .map(|i| {
            let v = i as f32 / STEPS as f32;
            if v <= 0.003_130_8 {
                v * 12.92
            } else {
                1.055 * v.powf(1.0 / 2.4) - 0.055
            }
        })
        .collect()
});

/// Linear light to the display's 0 to 255 (IEC 61966-2-1), before rounding; values above 1 are clipped.
pub(crate) fn display(linear: f32) -> f32 {
    TRANSFER[(linear.clamp(0.0, 1.0) * STEPS as f32) as usize] * 255.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use cropmae_config::{Seed, Stream};

    #[test]
    fn gray_of_oklch_is_gray_and_white_is_white() {
        assert!(oklch(1.0, 0.0, 1.0).abs_diff_eq(Vec3::ONE, 1e-3));
        let gray = oklch(0.5, 0.0, 2.0);
        assert!((gray.x - 0.125).abs() < 1e-3 && (gray.max_element() - gray.min_element()) < 1e-3);
    }

    #[test]
    fn transfer_curve_hits_known_points() {
        assert_eq!(display(0.0), 0.0);
        assert!((display(1.0) - 255.0).abs() < 1e-3);
        assert!((display(0.214_04) - 127.5).abs() < 0.5);
    }

    #[test]
    fn palettes_have_their_lightness_order() {
        for i in 0..100 {
            let palette = ColorScheme::draw(&mut Seed(1).rng(Stream::Scenes, 9, i));
            let light = palette
                .colors
                .map(|c| c.dot(Vec3::new(0.2126, 0.7152, 0.0722)));
            assert!(light[0] < light[1] && light[1] < light[2], "{light:?}");
        }
    }
}
