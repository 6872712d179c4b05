//! Shapes as signed distance functions: negative inside, positive outside, in the shape's own units.
//!
//! Formulas after Quilez, "2D distance functions". Ellipses, superellipses and blobs are first-order
//! approximations (value over gradient): their zero set, hence every mask, is exact.

use std::f32::consts::TAU;

use glam::Vec2;
use rand::Rng;

/// A closed region of the plane around the origin.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Half axes.
    Ellipse(Vec2),
    /// A rectangle of these half sides with rounded corners.
    Box { half: Vec2, corner: f32 },
    /// `|x/a|^n + |y/b|^n = 1`.
    Superellipse { half: Vec2, power: f32 },
    /// A polygon, its corners rounded.
    Polygon { corners: Vec<Vec2>, round: f32 },
    /// A circle whose radius swings with the angle: amplitude and phase of its 2nd, 3rd and 5th harmonic.
    Blob { radius: f32, waves: [(f32, f32); 3] },
    /// The hull of a circle at the origin and one at `(length, 0)`: a limb.
    Limb { length: f32, radii: [f32; 2] },
}

/// Harmonics of a blob.
const HARMONICS: [f32; 3] = [2.0, 3.0, 5.0];

impl Shape {
    /// A random shape about `size` across in half.
    pub fn draw(rng: &mut impl Rng, size: f32) -> Self {
        let stretch = rng.random_range(0.55f32..1.0);
        let half = Vec2::new(size, size * stretch);
        match rng.random_range(0..8) {
            0 => Self::Ellipse(half),
            1 | 2 => Self::Box {
                half,
                corner: size * stretch * rng.random_range(0.05..0.6),
            },
            3 => Self::Superellipse {
                half,
                power: rng.random_range(2.5..5.0),
            },
            4 => Self::regular(
                rng.random_range(3..=7),
                size,
                1.0,
                rng.random_range(0.05..0.2),
            ),
            5 => Self::regular(
                rng.random_range(4..=7) * 2,
                size,
                rng.random_range(0.5..0.75),
                rng.random_range(0.03..0.1),
            ),
            _ => Self::Blob {
                radius: size * 0.85,
                waves: [0.16, 0.12, 0.06]
                    .map(|most| (rng.random_range(0.0..most), rng.random_range(0.0..TAU))),
            },
        }
    }

    /// A regular polygon; every second corner at `inner` times the radius makes it a star.
    pub fn regular(corners: usize, radius: f32, inner: f32, round: f32) -> Self {
        let corners = (0..corners)
            .map(|i| {
                let reach = if i % 2 == 1 { inner } else { 1.0 };
                Vec2::from_angle(i as f32 / corners as f32 * TAU) * radius * (reach - round)
            })
            .collect();
        Self::Polygon {
            corners,
            round: round * radius,
        }
    }

    /// Signed distance of `p` to the outline.
    pub fn distance(&self, p: Vec2) -> f32 {
        match self {
            Self::Ellipse(half) => {
                let (inner, slope) = ((p / *half).length(), (p / (*half * *half)).length());
                if slope < 1e-6 {
                    -half.min_element()
                } else {
                    inner * (inner - 1.0) / slope
                }
            }
            Self::Box { half, corner } => {
                let q = p.abs() - *half + *corner;
                q.max(Vec2::ZERO).length() + q.max_element().min(0.0) - corner
            }
            Self::Superellipse { half, power } => {
                let q = p.abs() / *half;
                let sum = q.x.powf(*power) + q.y.powf(*power);
                if sum < 1e-9 {
                    return -half.min_element();
                }
                let value = sum.powf(1.0 / power);
                let g = Vec2::new(q.x.powf(power - 1.0), q.y.powf(power - 1.0)) / *half;
                (value - 1.0) / (g.length() * value / sum)
            }
            Self::Polygon { corners, round } => polygon(corners, p) - round,
            Self::Blob { radius, waves } => {
                let (length, angle) = (p.length(), p.y.atan2(p.x));
                let (mut reach, mut slope) = (1.0, 0.0);
                for (n, (amplitude, phase)) in HARMONICS.iter().zip(waves) {
                    let (sin, cos) = (n * angle + phase).sin_cos();
                    reach += amplitude * cos;
                    slope -= amplitude * n * sin;
                }
                let tilt = slope * radius / length.max(radius * 0.2);
                (length - radius * reach) / (1.0 + tilt * tilt).sqrt()
            }
            Self::Limb { length, radii } => {
                let p = Vec2::new(p.x, p.y.abs());
                let b = ((radii[0] - radii[1]) / length).clamp(-0.99, 0.99);
                let a = (1.0 - b * b).sqrt();
                let along = p.x * a - p.y * b;
                if along < 0.0 {
                    p.length() - radii[0]
                } else if along > a * length {
                    (p - Vec2::new(*length, 0.0)).length() - radii[1]
                } else {
                    p.x * b + p.y * a - radii[0]
                }
            }
        }
    }

    /// Bounds of the shape: lower and upper corner.
    pub fn bounds(&self) -> (Vec2, Vec2) {
        match self {
            Self::Ellipse(half) | Self::Box { half, .. } | Self::Superellipse { half, .. } => {
                (-*half, *half)
            }
            Self::Polygon { corners, round } => {
                let low = corners.iter().fold(Vec2::MAX, |a, &b| a.min(b));
                let high = corners.iter().fold(Vec2::MIN, |a, &b| a.max(b));
                (low - *round, high + *round)
            }
            Self::Blob { radius, waves } => {
                let reach = radius * (1.0 + waves.iter().map(|w| w.0.abs()).sum::<f32>());
                (Vec2::splat(-reach), Vec2::splat(reach))
            }
            Self::Limb { length, radii } => {
                let most = radii[0].max(radii[1]);
                (
                    Vec2::new(-radii[0], -most),
                    Vec2::new(length + radii[1], most),
                )
            }
        }
    }

    /// Half the width of the shape at its slimmest: how far a bevel can reach in.
    pub fn thickness(&self) -> f32 {
        match self {
            Self::Limb { radii, .. } => 0.5 * (radii[0] + radii[1]),
            _ => {
                let (low, high) = self.bounds();
                0.5 * (high - low).min_element()
            }
        }
    }
}

/// Signed distance to a simple polygon.
fn polygon(corners: &[Vec2], p: Vec2) -> f32 {
    let (mut nearest, mut inside) = (f32::MAX, false);
    let mut previous = corners[corners.len() - 1];
    for &corner in corners {
        let (edge, to) = (previous - corner, p - corner);
        let along = (to.dot(edge) / edge.length_squared()).clamp(0.0, 1.0);
        nearest = nearest.min((to - edge * along).length_squared());
        // A ray towards +x crosses this edge.
        if (corner.y > p.y) != (previous.y > p.y)
            && p.x < (previous.x - corner.x) * (p.y - corner.y) / (previous.y - corner.y) + corner.x
        {
            inside = !inside;
        }
        previous = corner;
    }
    if inside {
        -nearest.sqrt()
    } else {
        nearest.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cropmae_config::{Seed, Stream};

    #[test]
    fn limbs_are_exact() {
        let limb = Shape::Limb {
            length: 4.0,
            radii: [1.0, 0.5],
        };
        assert!((limb.distance(Vec2::new(-2.0, 0.0)) - 1.0).abs() < 1e-6);
        assert!((limb.distance(Vec2::new(6.0, 0.0)) - 1.5).abs() < 1e-6);
        assert!((limb.distance(Vec2::ZERO) + 1.0).abs() < 1e-6);
        // Both circles touch the slanted side, so a point far along its normal is as far as from the side.
        let normal = Vec2::new(0.125, (1.0f32 - 0.125 * 0.125).sqrt());
        let side = normal * 1.0 + Vec2::new(normal.y, -normal.x) * 2.0;
        assert!(limb.distance(side).abs() < 1e-5);
        assert!((limb.distance(side + normal * 3.0) - 3.0).abs() < 1e-5);
    }

    #[test]
    fn every_shape_is_negative_inside_its_bounds_only() {
        for i in 0..80 {
            let rng = &mut Seed(3).rng(Stream::Scenes, 7, i);
            let shape = Shape::draw(rng, 0.3);
            let (low, high) = shape.bounds();
            assert!(
                shape.distance(Vec2::ZERO) < 0.0,
                "{shape:?} holds its origin"
            );
            for k in 0..900 {
                let p = Vec2::new((k % 30) as f32, (k / 30) as f32) / 29.0 * 1.6 - 0.8;
                let within = p.cmpge(low - 1e-4).all() && p.cmple(high + 1e-4).all();
                assert!(within || shape.distance(p) > 0.0, "{shape:?} at {p}");
            }
        }
    }

    #[test]
    fn distances_change_no_faster_than_the_point_moves() {
        // Anti-aliasing takes the distance for pixels: near the outline it has to be one.
        for i in 0..80 {
            let rng = &mut Seed(3).rng(Stream::Scenes, 7, i);
            let shape = Shape::draw(rng, 0.3);
            for k in 0..400 {
                let p = Vec2::new((k % 20) as f32, (k / 20) as f32) / 19.0 * 0.8 - 0.4;
                let d = shape.distance(p);
                if d.abs() < 0.02 {
                    let slope = Vec2::new(
                        shape.distance(p + Vec2::new(1e-3, 0.0)) - d,
                        shape.distance(p + Vec2::new(0.0, 1e-3)) - d,
                    ) / 1e-3;
                    assert!(
                        (0.5..1.5).contains(&slope.length()),
                        "{shape:?} at {p}: {slope}"
                    );
                }
            }
        }
    }
}
