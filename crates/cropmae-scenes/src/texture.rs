//! Procedural surface textures with anti-aliased edges.
//!
//! A texture is a pattern laid over the plane in its own frame (rotation, period, offset), bent a little by
//! noise, in three colors of a palette, with mottling and grain on top. It is sampled in the coordinates of
//! the surface it belongs to, so it moves with it.

use glam::{Affine2, Vec2, Vec3};
use rand::Rng;

use crate::color::ColorScheme;
use crate::noise::{fractal, gradient, smoothstep};
use crate::pattern::Pattern;

/// A textured surface.
#[derive(Debug, Clone)]
pub(crate) struct Texture {
    pattern: Pattern,
    /// Surface coordinates to periods.
    frame: Affine2,
    /// Periods per unit of the surface.
    frequency: f32,
    /// Ground, figure and accent, linear RGB.
    colors: [Vec3; 3],
    /// How far noise bends the pattern, in periods.
    warp: f32,
    /// Depth of the slow variation of brightness.
    mottle: f32,
    /// Depth of the fast one.
    grain: f32,
    seed: u32,
}

impl Texture {
    /// A random texture whose pattern repeats about every `period` units of the surface.
    pub fn draw(rng: &mut impl Rng, palette: &ColorScheme, period: f32) -> Self {
        let pattern = match rng.random_range(0..16) {
            0 | 1 => Pattern::Clouds,
            2 => Pattern::Marble,
            3 | 4 => Pattern::Stripes {
                duty: rng.random_range(0.25..0.6),
            },
            5 => Pattern::Checks,
            6 => Pattern::Bricks {
                length: rng.random_range(1.4..3.0),
            },
            7 | 8 => Pattern::Dots {
                radius: rng.random_range(0.2..0.42),
            },
            9 | 10 => Pattern::Cells {
                border: rng.random_range(0.04..0.2),
            },
            11 => Pattern::Tartan {
                duty: rng.random_range(0.25..0.5),
            },
            12 => Pattern::Zigzag {
                duty: rng.random_range(0.3..0.6),
            },
            13 => Pattern::Rings,
            14 => Pattern::Scales,
            _ => Pattern::Speckles,
        };
        Self::with_pattern(rng, palette, period, pattern)
    }

    /// A texture that is nearly plain: skin, hair, metal, cloth without print.
    pub fn plain(rng: &mut impl Rng, color: Vec3) -> Self {
        let palette = ColorScheme {
            colors: [color * 0.8, color, color * 1.1, color],
        };
        Self::with_pattern(rng, &palette, 0.1, Pattern::Plain)
    }

    /// An irregular one without man-made regularity: ground, foliage, rock.
    pub fn natural(rng: &mut impl Rng, palette: &ColorScheme, period: f32) -> Self {
        let pattern = match rng.random_range(0..5) {
            0 | 1 => Pattern::Clouds,
            2 => Pattern::Marble,
            3 => Pattern::Speckles,
            _ => Pattern::Cells {
                border: rng.random_range(0.1..0.3),
            },
        };
        Self::with_pattern(rng, palette, period, pattern)
    }

    fn with_pattern(
        rng: &mut impl Rng,
        palette: &ColorScheme,
        period: f32,
        pattern: Pattern,
    ) -> Self {
        let mut order = [0, 1, 2, 3];
        for i in (1..4).rev() {
            order.swap(i, rng.random_range(0..=i));
        }
        let frequency = 1.0 / period;
        // Most man-made patterns stand upright on their surface.
        let angle = match rng.random_range(0..3) {
            0 => 0.0,
            1 => std::f32::consts::FRAC_PI_4 * rng.random_range(-1..=2) as f32,
            _ => rng.random_range(-1.6..1.6),
        };
        let offset = Vec2::new(rng.random_range(-50.0..50.0), rng.random_range(-50.0..50.0));
        Self {
            pattern,
            frame: Affine2::from_scale_angle_translation(Vec2::splat(frequency), angle, offset),
            frequency,
            colors: [order[0], order[1], order[2]].map(|i| palette.colors[i]),
            warp: if rng.random_bool(0.4) {
                rng.random_range(0.05..0.5)
            } else {
                0.0
            },
            mottle: rng.random_range(0.05..0.3),
            grain: rng.random_range(0.0..0.18),
            seed: rng.random(),
        }
    }

    /// The color at `p` (surface coordinates) for a pixel of size `footprint`, linear RGB.
    pub fn sample(&self, p: Vec2, footprint: f32) -> Vec3 {
        let mut q = self.frame.transform_point2(p);
        let width = footprint * self.frequency;
        if self.warp > 0.0 {
            let at = q * 0.6;
            q += self.warp * Vec2::new(gradient(at, self.seed ^ 1), gradient(at, self.seed ^ 2));
        }
        let color = self.pattern.color(q, width, &self.colors, self.seed);
        // Patterns finer than a pixel blur to their mean instead of aliasing.
        let blur = smoothstep(0.3, 0.8, width);
        let color = color.lerp((self.colors[0] + self.colors[1]) * 0.5, blur);
        let mottle = self.mottle * fractal(q * 0.35, 3, width * 0.35, self.seed ^ 3);
        let grain =
            self.grain * gradient(q * 6.0, self.seed ^ 4) * (1.0 - smoothstep(0.05, 0.15, width));
        color * (1.0 + mottle + grain).max(0.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cropmae_config::{Seed, Stream};

    #[test]
    fn colors_stay_finite_and_positive() {
        for i in 0..60 {
            let rng = &mut Seed(2).rng(Stream::Scenes, 8, i);
            let palette = ColorScheme::draw(rng);
            let texture = Texture::draw(rng, &palette, 0.1);
            for k in 0..400 {
                let p = Vec2::new(k as f32 * 0.013 - 2.0, (k % 20) as f32 * 0.03);
                let color = texture.sample(p, 0.004);
                assert!(
                    color.is_finite() && color.min_element() >= 0.0,
                    "{texture:?} {color}"
                );
                assert!(color.max_element() < 2.5, "{texture:?} {color}");
            }
        }
    }

    #[test]
    fn far_away_patterns_blur_to_their_mean() {
        let rng = &mut Seed(2).rng(Stream::Scenes, 8, 0);
        let palette = ColorScheme::draw(rng);
        let checks = Texture::with_pattern(rng, &palette, 0.1, Pattern::Checks);
        let plain = Texture {
            mottle: 0.0,
            grain: 0.0,
            ..checks
        };
        let (here, there) = (
            plain.sample(Vec2::ZERO, 0.5),
            plain.sample(Vec2::splat(0.05), 0.5),
        );
        assert!(here.abs_diff_eq(there, 1e-5));
        let near = |p| plain.sample(p, 1e-3);
        let seen: Vec<Vec3> = (0..40)
            .map(|i| near(Vec2::new(i as f32 * 0.01, 0.003)))
            .collect();
        assert!(
            seen.iter().any(|c| !c.abs_diff_eq(seen[0], 0.02)),
            "checks alternate up close"
        );
    }
}
