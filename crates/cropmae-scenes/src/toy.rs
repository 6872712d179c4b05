//! Rigid and wobbling objects: a patterned shape, alone, with a decal, or with limbs, fins, eyes or wheels.

use std::f32::consts::TAU;

use glam::Vec2;
use rand::Rng;

use crate::body::{Body, Piece, Shadow};
use crate::color::ColorScheme;
use crate::motion::{Motion, Swing};
use crate::shape::Shape;
use crate::texture::Texture;

/// An object of several parts. Its own unit is the scene's.
#[derive(Debug, Clone)]
pub(crate) struct Toy {
    parts: Vec<Part>,
    textures: Vec<Texture>,
    motion: Motion,
    height: f32,
    gloss: f32,
}

#[derive(Debug, Clone)]
struct Part {
    shape: Shape,
    at: Vec2,
    /// Angle at the joint, which may wave in time.
    angle: Swing,
    /// Index into the toy's textures.
    texture: usize,
}

impl Toy {
    /// A random toy about `size` in radius.
    pub fn draw(rng: &mut impl Rng, palette: &ColorScheme, size: f32, motion: Motion) -> Self {
        let period = |rng: &mut _| size * Rng::random_range(rng, 0.18f32..0.8);
        let main = period(rng);
        let other = period(rng);
        let eyes = if rng.random_bool(0.5) { 0.95 } else { 0.04 };
        let second = palette.look_alike(rng);
        let cover = if rng.random_bool(0.12) {
            Texture::plain(rng, palette.colors[1])
        } else {
            Texture::draw(rng, palette, main)
        };
        let textures = vec![
            cover,
            Texture::draw(rng, &second, other),
            Texture::plain(rng, glam::Vec3::splat(eyes)),
        ];
        let parts = match rng.random_range(0..6) {
            0 => vec![Part::fixed(Shape::draw(rng, size), Vec2::ZERO, 0.0, 0)],
            1 | 2 => decal(rng, size),
            3 | 4 => creature(rng, size),
            _ => vehicle(rng, size),
        };
        Self {
            parts,
            textures,
            motion,
            height: size * rng.random_range(0.1..0.5),
            gloss: if rng.random_bool(0.5) {
                rng.random_range(0.1..0.7)
            } else {
                0.0
            },
        }
    }

    /// The toy at a frame, moved by `shift` (scene units). Its pieces have id 0.
    pub fn pose(&self, frame: f32, shift: Vec2) -> Body<'_> {
        let (position, angle, scale) = self.motion.at(frame);
        let pieces = self
            .parts
            .iter()
            .map(|part| {
                let at = position + shift + Vec2::from_angle(angle).rotate(part.at) * scale;
                let place = (at, angle + part.angle.at(frame), scale);
                let texture = &self.textures[part.texture];
                Piece::new(part.shape.clone(), texture, place, 0, self.gloss)
            })
            .collect();
        Body {
            pieces,
            shadow: Shadow::Drop(self.height),
        }
    }
}

impl Part {
    fn fixed(shape: Shape, at: Vec2, angle: f32, texture: usize) -> Self {
        let angle = Swing {
            base: angle,
            depth: 0.0,
            rate: 0.0,
            phase: 0.0,
        };
        Self {
            shape,
            at,
            angle,
            texture,
        }
    }
}

/// A shape with one or two smaller ones painted on it.
fn decal(rng: &mut impl Rng, size: f32) -> Vec<Part> {
    let mut parts = vec![Part::fixed(Shape::draw(rng, size), Vec2::ZERO, 0.0, 0)];
    for _ in 0..rng.random_range(1..=2) {
        let at = Vec2::new(rng.random_range(-0.3..0.3), rng.random_range(-0.2..0.2)) * size;
        let small = size * rng.random_range(0.2..0.42);
        let decal = Shape::draw(rng, small);
        parts.push(Part::fixed(decal, at, rng.random_range(-0.6..0.6), 1));
    }
    parts
}

/// A body with mirrored limbs, ears or fins that wave, and eyes.
fn creature(rng: &mut impl Rng, size: f32) -> Vec<Part> {
    let mut parts = Vec::new();
    let half = Vec2::new(
        size * rng.random_range(0.6..0.75),
        size * rng.random_range(0.45..0.65),
    );
    for _ in 0..rng.random_range(1..=3) {
        let around = rng.random_range(-1.3f32..1.3);
        let length = size * rng.random_range(0.4..0.7);
        let radii = [0.0, 0.0].map(|_: f32| size * rng.random_range(0.06..0.2));
        let depth = rng.random_range(0.1..0.5);
        let wave = Swing::draw(rng, around, depth);
        for mirror in [false, true] {
            let flip = |angle: f32| if mirror { TAU / 2.0 - angle } else { angle };
            let angle = Swing {
                base: flip(around),
                depth: if mirror { -wave.depth } else { wave.depth },
                ..wave
            };
            let at = Vec2::from_angle(flip(around)) * half * 0.8;
            parts.push(Part {
                shape: Shape::Limb { length, radii },
                at,
                angle,
                texture: 1,
            });
        }
    }
    let body = match rng.random_range(0..3) {
        0 => Shape::Ellipse(half),
        1 => Shape::Superellipse {
            half,
            power: rng.random_range(2.3..4.0),
        },
        _ => Shape::Box {
            half,
            corner: half.min_element() * 0.6,
        },
    };
    parts.push(Part::fixed(body, Vec2::ZERO, 0.0, 0));
    let (apart, up) = (
        half.x * rng.random_range(0.25..0.5),
        -half.y * rng.random_range(0.1..0.5),
    );
    let eye = size * rng.random_range(0.07..0.13);
    for side in [-1.0, 1.0] {
        let at = Vec2::new(apart * side, up);
        parts.push(Part::fixed(Shape::Ellipse(Vec2::splat(eye)), at, 0.0, 2));
        parts.push(Part::fixed(
            Shape::Ellipse(Vec2::splat(eye * 0.5)),
            at,
            0.0,
            1,
        ));
    }
    parts
}

/// A car or cart: a box with a cabin and wheels that roll.
fn vehicle(rng: &mut impl Rng, size: f32) -> Vec<Part> {
    let half = Vec2::new(size * 0.9, size * rng.random_range(0.25..0.38));
    let cabin = Vec2::new(
        size * rng.random_range(0.35..0.55),
        size * rng.random_range(0.25..0.35),
    );
    let corner = half.y * 0.4;
    let at = Vec2::new(size * rng.random_range(-0.3..0.3), -half.y - cabin.y * 0.6);
    let wheel = size * rng.random_range(0.2..0.3);
    let roll = Swing::draw(rng, 0.0, 2.0);
    let mut parts = vec![
        Part::fixed(
            Shape::Box {
                half: cabin,
                corner: cabin.y * 0.5,
            },
            at,
            0.0,
            1,
        ),
        Part::fixed(
            Shape::Box {
                half: cabin * 0.55,
                corner: cabin.y * 0.2,
            },
            at,
            0.0,
            2,
        ),
        Part::fixed(Shape::Box { half, corner }, Vec2::ZERO, 0.0, 0),
    ];
    for side in [-0.55, 0.55] {
        let at = Vec2::new(size * side, half.y);
        parts.push(Part::fixed(Shape::Ellipse(Vec2::splat(wheel)), at, 0.0, 2));
        let hub = Shape::regular(10, wheel * 0.75, 0.5, 0.1);
        parts.push(Part {
            shape: hub,
            at,
            angle: roll,
            texture: 1,
        });
    }
    parts
}
