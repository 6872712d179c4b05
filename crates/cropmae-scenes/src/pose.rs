//! The articulated skeleton: what a person is doing, and where the joints are at a frame.
//!
//! Angles hang from straight down. Seen from the side, positive is forward; seen from the front, positive
//! is away from the body. Elbows bend forward and knees backward.

use std::f32::consts::TAU;

use cropmae_eval::joints::JOINTS;
use glam::Vec2;
use rand::Rng;

use crate::action::Action;
use crate::motion::Swing;

/// Index of a joint in JHMDB's order. Paired joints are the right one; the left follows it.
pub(crate) mod joint {
    pub const NECK: usize = 0;
    pub const BELLY: usize = 1;
    pub const FACE: usize = 2;
    pub const SHOULDER: usize = 3;
    pub const HIP: usize = 5;
    pub const ELBOW: usize = 7;
    pub const KNEE: usize = 9;
    pub const WRIST: usize = 11;
    pub const ANKLE: usize = 13;
}

/// Lengths of the bones, in body heights.
#[derive(Debug, Clone, Copy)]
struct Bones {
    torso: f32,
    head: f32,
    shoulders: f32,
    hips: f32,
    arm: [f32; 2],
    leg: [f32; 2],
}

/// A person's bones and movement. Index 0 of a pair is the right side.
#[derive(Debug, Clone)]
pub(crate) struct Skeleton {
    bones: Bones,
    in_profile: bool,
    /// +1 where the person looks towards +x (profile), or at the camera (front); -1 the other way.
    facing: f32,
    lean: Swing,
    lift: Swing,
    arms: [Swing; 2],
    elbows: [Swing; 2],
    legs: [Swing; 2],
    knees: [Swing; 2],
}

/// Joints and ends of a posed skeleton, in body heights, y down, the ground at 0.
#[derive(Debug, Clone)]
pub(crate) struct Pose {
    pub joints: [Vec2; JOINTS],
    /// Direction in which the feet point, per side.
    pub toes: [Vec2; 2],
    /// Unit vector from the pelvis to the neck.
    pub up: Vec2,
    /// Where the face looks: +1 or -1 along x in profile, 0 towards the camera.
    pub gaze: f32,
    /// Which side is nearer to the camera: 0 right, 1 left.
    pub near: usize,
    /// Whether the person is seen from behind.
    pub from_behind: bool,
}

impl Skeleton {
    /// A random person doing `action`.
    pub fn draw(rng: &mut impl Rng, action: Action) -> Self {
        let mut around = |length: f32| length * rng.random_range(0.92f32..1.08);
        let bones = Bones {
            torso: around(0.29),
            head: around(0.095),
            shoulders: around(0.10),
            hips: around(0.055),
            arm: [around(0.155), around(0.14)],
            leg: [around(0.235), around(0.22)],
        };
        let cycle = Swing::draw(rng, 0.0, 0.0);
        let turn = rng.random_range(-0.2..0.2);
        let vigor = rng.random_range(0.8f32..1.2);
        let swing = |base: f32, depth: f32, phase: f32| Swing {
            base,
            depth: depth * vigor,
            phase: cycle.phase + phase * TAU + turn,
            ..cycle
        };
        let still = |base: f32| swing(base, 0.0, 0.0);
        // Opposite sides swing half a cycle apart.
        let apart =
            |base, depth, phase| [swing(base, depth, phase), swing(base, depth, phase + 0.5)];
        let both = |base, depth, phase| [swing(base, depth, phase); 2];
        let (lean, lift, arms, elbows, legs, knees) = match action {
            Action::Walk => (
                still(0.05),
                still(0.0),
                apart(0.0, 0.5, 0.5),
                apart(0.35, 0.2, 0.5),
                apart(0.05, 0.45, 0.0),
                apart(0.35, 0.3, 0.2),
            ),
            Action::Run => (
                still(0.22),
                swing(0.02, 0.02, 0.1),
                apart(0.0, 0.8, 0.5),
                apart(1.4, 0.3, 0.5),
                apart(0.25, 0.8, 0.0),
                apart(0.85, 0.65, 0.2),
            ),
            Action::Wave => (
                swing(0.0, 0.06, 0.0),
                still(0.0),
                [swing(2.1, 0.25, 0.1), still(0.25)],
                [swing(0.7, 0.6, 0.0), swing(0.2, 0.1, 0.3)],
                both(0.1, 0.02, 0.0),
                both(0.02, 0.02, 0.0),
            ),
            Action::Jump => (
                still(0.0),
                swing(0.05, 0.05, 0.0),
                both(1.4, 1.1, 0.0),
                both(0.25, 0.2, 0.2),
                both(0.27, 0.2, 0.0),
                both(0.1, 0.08, 0.5),
            ),
            Action::Pick => (
                swing(0.55, 0.45, 0.0),
                still(0.0),
                apart(0.9, 0.5, 0.0),
                both(0.3, 0.2, 0.3),
                both(0.65, 0.55, 0.0),
                both(0.85, 0.75, 0.0),
            ),
            Action::KickBall => (
                swing(-0.05, 0.15, 0.5),
                still(0.0),
                apart(0.1, 0.6, 0.5),
                both(0.5, 0.2, 0.0),
                [swing(0.3, 0.8, 0.0), swing(-0.05, 0.15, 0.5)],
                [swing(0.5, 0.45, 0.4), swing(0.2, 0.1, 0.5)],
            ),
        };
        let mut person = Self {
            bones,
            in_profile: action.in_profile(),
            facing: 1.0,
            lean,
            lift,
            arms,
            elbows,
            legs,
            knees,
        };
        if rng.random_bool(if person.in_profile { 0.5 } else { 0.15 }) {
            person.facing = -1.0;
        }
        person
    }

    /// The joints at a frame.
    pub fn pose(&self, frame: f32) -> Pose {
        let bones = &self.bones;
        let lean = self.lean.at(frame);
        let up = if self.in_profile {
            Vec2::new(lean.sin() * self.facing, -lean.cos())
        } else {
            Vec2::new(lean.sin(), -lean.cos())
        };
        // In profile the body is thin, and its near side is the right one when it looks to the right.
        let across = Vec2::new(-up.y, up.x) * if self.in_profile { 0.3 } else { 1.0 };
        let pelvis = Vec2::ZERO;
        let neck = pelvis + up * bones.torso;
        let mut joints = [Vec2::ZERO; JOINTS];
        joints[joint::NECK] = neck;
        joints[joint::BELLY] = pelvis + up * bones.torso * 0.3;
        let nod = if self.in_profile {
            Vec2::new(0.015 * self.facing, 0.0)
        } else {
            Vec2::ZERO
        };
        joints[joint::FACE] = neck + up * bones.head + nod;
        let mut toes = [Vec2::ZERO; 2];
        for side in 0..2 {
            let outward = if side == 0 { -self.facing } else { self.facing };
            let forward = if self.in_profile {
                self.facing
            } else {
                outward
            };
            let hang = |angle: f32| Vec2::new(angle.sin() * forward, angle.cos());
            let (arm, leg) = (self.arms[side].at(frame), self.legs[side].at(frame));
            let (elbow, knee) = (self.elbows[side].at(frame), self.knees[side].at(frame));
            let (elbow, knee) = (elbow.max(0.0), knee.max(0.0));
            // In profile arms hang from a leaning torso; legs stand on the ground.
            let arm = if self.in_profile {
                arm - lean * 0.5
            } else {
                arm
            };
            let shoulder = neck - up * 0.02 + across * outward * bones.shoulders;
            let hip = pelvis + across * outward * bones.hips;
            joints[joint::SHOULDER + side] = shoulder;
            joints[joint::HIP + side] = hip;
            joints[joint::ELBOW + side] = shoulder + hang(arm) * bones.arm[0];
            joints[joint::WRIST + side] =
                joints[joint::ELBOW + side] + hang(arm + elbow) * bones.arm[1];
            joints[joint::KNEE + side] = hip + hang(leg) * bones.leg[0];
            joints[joint::ANKLE + side] =
                joints[joint::KNEE + side] + hang(leg - knee) * bones.leg[1];
            toes[side] = if self.in_profile {
                let pitch = (leg - knee) * 0.7;
                Vec2::new(pitch.cos() * forward, -pitch.sin())
            } else {
                Vec2::new(0.45 * outward, 0.9)
            };
        }
        // Stand the lower foot on the ground, plus the jump.
        let sole = joints[joint::ANKLE].y.max(joints[joint::ANKLE + 1].y) + 0.035;
        let drop = Vec2::new(0.0, sole + self.lift.at(frame).max(0.0));
        for point in &mut joints {
            *point -= drop;
        }
        Pose {
            joints,
            toes,
            up,
            gaze: if self.in_profile { self.facing } else { 0.0 },
            near: if self.facing > 0.0 { 0 } else { 1 },
            from_behind: !self.in_profile && self.facing < 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cropmae_config::{Seed, Stream};

    #[test]
    fn bones_keep_their_length_and_feet_their_ground() {
        for (i, action) in Action::ALL.into_iter().enumerate() {
            let person = Skeleton::draw(&mut Seed(4).rng(Stream::Scenes, 6, i as u64), action);
            let thigh = |p: &Pose| p.joints[joint::HIP].distance(p.joints[joint::KNEE]);
            let forearm = |p: &Pose| p.joints[joint::ELBOW].distance(p.joints[joint::WRIST]);
            let first = person.pose(0.0);
            let mut moved = 0.0f32;
            for frame in 1..30 {
                let pose = person.pose(frame as f32);
                assert!((thigh(&pose) - thigh(&first)).abs() < 1e-5);
                assert!((forearm(&pose) - forearm(&first)).abs() < 1e-5);
                assert!(
                    pose.joints.iter().all(|j| j.y < 0.0),
                    "{action:?} sinks into the ground"
                );
                moved = moved.max(pose.joints[joint::WRIST].distance(first.joints[joint::WRIST]));
            }
            assert!(moved > 0.03, "{action:?} stands still");
        }
    }

    #[test]
    fn people_facing_the_camera_have_their_right_on_the_left() {
        for i in 0..20 {
            let person = Skeleton::draw(&mut Seed(4).rng(Stream::Scenes, 6, i), Action::Wave);
            let pose = person.pose(3.0);
            let right = pose.joints[joint::SHOULDER].x < pose.joints[joint::SHOULDER + 1].x;
            assert_eq!(right, !pose.from_behind);
        }
    }
}
