//! Dressed people who move.

use cropmae_eval::joints::JOINTS;
use glam::Vec2;
use rand::Rng;

use crate::action::Action;
use crate::body::{Body, Shadow};
use crate::motion::Motion;
use crate::painter::Painter;
use crate::pose::{Skeleton, joint};
use crate::wardrobe::Wardrobe;

/// A dressed, moving person.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    skeleton: Skeleton,
    wardrobe: Wardrobe,
    motion: Motion,
    /// Body height, scene units.
    height: f32,
    /// Girth around the usual.
    build: f32,
}

impl Figure {
    /// A random person of the given body height; `motion` moves the point on the ground below the pelvis.
    pub fn draw(rng: &mut impl Rng, action: Action, height: f32, motion: Motion) -> Self {
        Self {
            skeleton: Skeleton::draw(rng, action),
            wardrobe: Wardrobe::draw(rng),
            motion,
            height,
            build: rng.random_range(0.9..1.2),
        }
    }

    fn place(&self, frame: f32, shift: Vec2) -> (Vec2, f32) {
        let (ground, _, scale) = self.motion.at(frame);
        (ground + shift, self.height * scale)
    }

    /// Joints in JHMDB's order at a frame, scene units.
    pub fn joints(&self, frame: f32, shift: Vec2) -> [Vec2; JOINTS] {
        let (ground, scale) = self.place(frame, shift);
        self.skeleton
            .pose(frame)
            .joints
            .map(|joint| ground + joint * scale)
    }

    /// The person at a frame, moved by `shift` (scene units); pieces carry VIP's part ids.
    pub fn pose(&self, frame: f32, shift: Vec2) -> Body<'_> {
        let pose = self.skeleton.pose(frame);
        let (ground, scale) = self.place(frame, shift);
        let mut painter = Painter {
            wear: &self.wardrobe,
            pose: &pose,
            build: self.build,
            ground,
            scale,
            pieces: Vec::new(),
        };
        painter.person();
        let pieces = painter.pieces;
        let feet = (pose.joints[joint::ANKLE] + pose.joints[joint::ANKLE + 1]) * 0.5;
        let center = ground + Vec2::new(feet.x * scale, 0.0);
        Body {
            pieces,
            shadow: Shadow::Ground(center, Vec2::new(0.2, 0.045) * scale),
        }
    }
}
