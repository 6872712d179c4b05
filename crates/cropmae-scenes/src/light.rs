//! The light of a scene: direction, color, exposure, and how they change in time.

use glam::{Vec2, Vec3};
use rand::Rng;

use crate::motion::Swing;
use crate::noise::smoothstep;

/// A light that may change during a video.
#[derive(Debug, Clone)]
pub(crate) struct Lighting {
    /// Where the light comes from in the picture plane, radians.
    angle: Swing,
    /// How low it stands: 0 straight above the picture, 1 at 45 degrees.
    slant: f32,
    ambient: f32,
    exposure: Swing,
    /// Gain of each channel at the two ends of the swing of `warmth`.
    tint: Vec3,
    warmth: Swing,
    pool: Vec2,
    pool_radius: f32,
    pool_depth: f32,
    vignette: f32,
}

/// The light at one frame.
#[derive(Debug, Clone)]
pub(crate) struct Light {
    /// Unit vector towards the light; x right, y down, z towards the camera.
    pub direction: Vec3,
    /// Share of the light that comes from everywhere.
    pub ambient: f32,
    /// Gain of each channel.
    pub gain: Vec3,
    pool: Vec2,
    pool_radius: f32,
    pool_depth: f32,
    vignette: f32,
}

impl Lighting {
    /// Random light over a picture `aspect` wide and 1 high.
    pub fn draw(rng: &mut impl Rng, aspect: f32) -> Self {
        let angle = rng.random_range(-2.8..-0.3);
        let exposure = rng.random_range(0.8..1.25);
        Self {
            angle: Swing::draw(rng, angle, 0.6),
            slant: rng.random_range(0.5..1.1),
            ambient: rng.random_range(0.3..0.6),
            exposure: Swing::draw(rng, exposure, exposure * 0.25),
            tint: Vec3::from_array(std::array::from_fn(|_| rng.random_range(0.82..1.18))),
            warmth: Swing::draw(rng, 0.0, 0.08),
            pool: Vec2::new(rng.random_range(0.0..aspect), rng.random_range(0.0..1.0)),
            pool_radius: rng.random_range(0.5..1.2),
            pool_depth: rng.random_range(0.0..0.5),
            vignette: rng.random_range(0.0..0.35),
        }
    }

    /// The light at a frame.
    pub fn at(&self, frame: f32) -> Light {
        let plane = Vec2::from_angle(self.angle.at(frame)) * self.slant;
        let warmth = self.warmth.at(frame);
        let gain = self.tint * Vec3::new(1.0 + warmth, 1.0, 1.0 - warmth);
        Light {
            direction: plane.extend(1.0).normalize(),
            ambient: self.ambient,
            gain: gain * self.exposure.at(frame),
            pool: self.pool,
            pool_radius: self.pool_radius,
            pool_depth: self.pool_depth,
            vignette: self.vignette,
        }
    }
}

impl Light {
    /// Gain of each channel at a point of the scene.
    pub fn gain_at(&self, p: Vec2) -> Vec3 {
        let pool = smoothstep(self.pool_radius, 0.0, p.distance(self.pool));
        let lit = 1.0 - self.pool_depth + 1.6 * self.pool_depth * pool;
        self.gain * lit
    }

    /// What the lens leaves of the light at a point of the picture, which spans 0 to 1.
    pub fn vignette(&self, at: Vec2) -> f32 {
        1.0 - self.vignette * 2.0 * (at - 0.5).length_squared()
    }

    /// Brightness of a surface with this unit normal; 1 for one that faces the camera.
    pub fn diffuse(&self, normal: Vec3) -> f32 {
        let turned = normal.dot(self.direction).max(0.0) / self.direction.z;
        self.ambient + (1.0 - self.ambient) * turned
    }

    /// Strength of the highlight on a surface with this unit normal (Blinn-Phong, exponent 32).
    pub fn highlight(&self, normal: Vec3) -> f32 {
        let half = (self.direction + Vec3::Z).normalize();
        normal.dot(half).max(0.0).powi(32)
    }
}
