//! How things move: smooth periodic paths that stay in the picture however long the video is.

use std::f32::consts::TAU;

use glam::Vec2;
use rand::Rng;

/// Frames in a second of scene time; speeds below are given per second.
const FRAMES_PER_SECOND: f32 = 12.0;

/// `base + depth * sin(rate * frame + phase)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Swing {
    pub base: f32,
    pub depth: f32,
    /// Radians per frame.
    pub rate: f32,
    pub phase: f32,
}

impl Swing {
    /// A swing of the given depth around `base` with a period of about one to three seconds.
    pub fn draw(rng: &mut impl Rng, base: f32, depth: f32) -> Self {
        Self {
            base,
            depth,
            rate: TAU * rng.random_range(0.35..0.9) / FRAMES_PER_SECOND,
            phase: rng.random_range(0.0..TAU),
        }
    }

    /// Its value at a frame, which may be fractional.
    pub fn at(&self, frame: f32) -> f32 {
        self.base + self.depth * (self.rate * frame + self.phase).sin()
    }
}

/// The path of an object: where it is, how it is turned, how large it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Motion {
    x: Swing,
    y: Swing,
    angle: Swing,
    scale: Swing,
}

impl Motion {
    /// A path around `center` that goes as far as `reach` (scene units), turns up to `turn` radians and
    /// swells by up to the share `swell`.
    pub fn draw(rng: &mut impl Rng, center: Vec2, reach: Vec2, turn: f32, swell: f32) -> Self {
        let tilt = rng.random_range(-0.7..0.7) * turn;
        let mut swing = |base, depth: f32| Swing::draw(rng, base, depth);
        Self {
            x: swing(center.x, reach.x),
            y: swing(center.y, reach.y),
            angle: swing(tilt, turn),
            scale: swing(1.0, swell),
        }
    }

    /// A thing that stays where it is, turned by `angle`.
    pub fn still(center: Vec2, angle: f32) -> Self {
        let fixed = |base| Swing {
            base,
            depth: 0.0,
            rate: 0.0,
            phase: 0.0,
        };
        Self {
            x: fixed(center.x),
            y: fixed(center.y),
            angle: fixed(angle),
            scale: fixed(1.0),
        }
    }

    /// Position (scene units), angle (radians) and scale at a frame.
    pub fn at(&self, frame: f32) -> (Vec2, f32, f32) {
        let position = Vec2::new(self.x.at(frame), self.y.at(frame));
        (position, self.angle.at(frame), self.scale.at(frame))
    }
}
