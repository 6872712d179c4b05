//! Paints a skeleton: the pieces of its body and clothes, with VIP's part ids.

use glam::Vec2;

use crate::body::Piece;
use crate::pose::{Pose, joint};
use crate::shape::Shape;
use crate::texture::Texture;
use crate::wardrobe::{Bottom, Wardrobe, part};

/// Collects the pieces of one person, back to front.
pub(crate) struct Painter<'w, 'p> {
    pub wear: &'w Wardrobe,
    pub pose: &'p Pose,
    pub build: f32,
    pub ground: Vec2,
    pub scale: f32,
    pub pieces: Vec<Piece<'w>>,
}

impl<'w> Painter<'w, '_> {
    /// Adds all pieces.
    pub fn person(&mut self) {
        let near = self.pose.near;
        let far = 1 - near;
        let wear = self.wear;
        let face = self.pose.joints[joint::FACE];
        if wear.long_hair && !self.pose.from_behind {
            self.mane(face);
        }
        if self.pose.gaze != 0.0 {
            self.arm(far);
        }
        self.leg(far);
        self.leg(near);
        if let Bottom::Flared(id) = wear.bottom {
            self.flared(id);
        }
        self.torso();
        self.head(face);
        if wear.long_hair && self.pose.from_behind {
            self.mane(face);
        }
        if self.pose.gaze == 0.0 {
            self.arm(far);
        }
        self.arm(near);
    }

    /// A shape at `at` (body heights), turned so that its own x axis points along `axis`.
    fn add(&mut self, shape: Shape, at: Vec2, axis: Vec2, texture: &'w Texture, id: u8) {
        let place = (self.ground + at * self.scale, axis.to_angle(), self.scale);
        self.pieces
            .push(Piece::new(shape, texture, place, id, 0.08));
    }

    fn limb(&mut self, from: Vec2, to: Vec2, radii: [f32; 2], texture: &'w Texture, id: u8) {
        let bone = to - from;
        let shape = Shape::Limb {
            length: bone.length().max(1e-3),
            radii: radii.map(|r| r * self.build),
        };
        self.add(shape, from, bone, texture, id);
    }

    fn arm(&mut self, side: usize) {
        let wear = self.wear;
        let at = |index: usize| self.pose.joints[index + side];
        let (shoulder, elbow, wrist) = (at(joint::SHOULDER), at(joint::ELBOW), at(joint::WRIST));
        // Ids run left then right, joints right then left.
        let skin = part::ARM + 1 - side as u8;
        self.limb(shoulder, elbow, [0.034, 0.027], &wear.skin, skin);
        self.limb(elbow, wrist, [0.027, 0.019], &wear.skin, skin);
        let hand = wrist + (wrist - elbow).normalize_or_zero() * 0.03;
        let (cloth, id) = if wear.gloves {
            (&wear.extra, part::GLOVE)
        } else {
            (&wear.skin, skin)
        };
        self.limb(wrist, hand, [0.02, 0.022], cloth, id);
        let upper = wear.sleeves.min(1.0);
        if upper > 0.0 {
            let end = shoulder.lerp(elbow, upper);
            self.limb(shoulder, end, [0.04, 0.036], &wear.top_cloth, wear.top);
        }
        if wear.sleeves > 1.0 {
            let end = elbow.lerp(wrist, 0.9);
            self.limb(elbow, end, [0.035, 0.027], &wear.top_cloth, wear.top);
        }
    }

    fn leg(&mut self, side: usize) {
        let wear = self.wear;
        let at = |index: usize| self.pose.joints[index + side];
        let (hip, knee, ankle) = (at(joint::HIP), at(joint::KNEE), at(joint::ANKLE));
        let (skin, shoe) = (part::LEG + 1 - side as u8, part::SHOE + 1 - side as u8);
        self.limb(hip, knee, [0.052, 0.038], &wear.skin, skin);
        self.limb(knee, ankle, [0.038, 0.024], &wear.skin, skin);
        if wear.socks && wear.bottom != Bottom::Trousers {
            self.limb(
                knee.lerp(ankle, 0.55),
                ankle,
                [0.036, 0.028],
                &wear.extra,
                part::SOCKS,
            );
        }
        let heel = ankle + Vec2::new(0.0, 0.012);
        self.limb(
            heel,
            heel + self.pose.toes[side] * 0.075,
            [0.03, 0.022],
            &wear.shoes,
            shoe,
        );
        match wear.bottom {
            Bottom::Trousers => {
                self.limb(knee, ankle, [0.044, 0.033], &wear.bottom_cloth, part::PANTS);
                self.limb(hip, knee, [0.06, 0.045], &wear.bottom_cloth, part::PANTS);
            }
            Bottom::Shorts => {
                self.limb(
                    hip,
                    hip.lerp(knee, 0.6),
                    [0.06, 0.056],
                    &wear.bottom_cloth,
                    part::PANTS,
                );
            }
            Bottom::Flared(_) => {}
        }
    }

    /// A skirt from the waist to the thighs, wide enough for both knees.
    fn flared(&mut self, id: u8) {
        let at = |index: usize| self.pose.joints[index];
        let waist = (at(joint::HIP) + at(joint::HIP + 1)) * 0.5 + self.pose.up * 0.05;
        let knees = [0, 1].map(|side| at(joint::HIP + side).lerp(at(joint::KNEE + side), 0.75));
        let (left, right) = if knees[0].x < knees[1].x {
            (knees[0], knees[1])
        } else {
            (knees[1], knees[0])
        };
        let wide = 0.035 * self.build;
        let hem = [right + Vec2::new(wide, 0.0), left - Vec2::new(wide, 0.0)];
        let side = Vec2::new(0.045, 0.0) * self.build;
        let corners = vec![
            waist - side - waist,
            waist + side - waist,
            hem[0] - waist,
            hem[1] - waist,
        ];
        let shape = Shape::Polygon {
            corners,
            round: 0.025,
        };
        self.add(shape, waist, Vec2::X, &self.wear.bottom_cloth, id);
    }

    fn torso(&mut self) {
        let wear = self.wear;
        let at = |index: usize| self.pose.joints[index];
        let (neck, face) = (at(joint::NECK), at(joint::FACE));
        let pelvis = (at(joint::HIP) + at(joint::HIP + 1)) * 0.5;
        self.limb(
            neck - self.pose.up * 0.02,
            neck.lerp(face, 0.7),
            [0.034, 0.03],
            &wear.skin,
            part::TORSO_SKIN,
        );
        let round = (if self.pose.gaze == 0.0 { 0.036 } else { 0.048 }) * self.build;
        // The polygon is laid out with x along `up`, so that cloth keeps upright on a leaning body.
        let local = |p: Vec2| Vec2::from_angle(-self.pose.up.to_angle()).rotate(p - pelvis);
        let below = |index: usize, amount: f32| at(index) - self.pose.up * amount;
        let hem = if wear.top == part::COAT { 0.1 } else { 0.0 };
        let corners = [
            below(joint::SHOULDER, 0.015),
            below(joint::SHOULDER + 1, 0.015),
            below(joint::HIP + 1, hem),
            below(joint::HIP, hem),
        ];
        let shape = Shape::Polygon {
            corners: corners.map(local).to_vec(),
            round,
        };
        self.add(shape, pelvis, self.pose.up, &wear.top_cloth, wear.top);
        if wear.top == part::COAT && self.pose.gaze == 0.0 && !self.pose.from_behind {
            let front = [neck - self.pose.up * 0.03, pelvis];
            self.limb(
                front[0],
                front[1],
                [0.022, 0.03],
                &wear.extra,
                part::UPPER_CLOTHES,
            );
        }
        if wear.scarf {
            let half = Vec2::new(0.028, 0.058) * self.build;
            let at = neck + self.pose.up * 0.015;
            self.add(
                Shape::Superellipse { half, power: 3.0 },
                at,
                self.pose.up,
                &wear.extra,
                part::SCARF,
            );
        }
    }

    /// Hair down to the shoulders.
    fn mane(&mut self, face: Vec2) {
        let (up, back) = (self.pose.up, Vec2::new(-self.pose.gaze * 0.03, 0.0));
        let (top, end) = (face + back + up * 0.01, face + back - up * 0.1);
        self.limb(top, end, [0.068, 0.058], &self.wear.hair, part::HAIR);
    }

    fn head(&mut self, face: Vec2) {
        let (wear, up, gaze) = (self.wear, self.pose.up, self.pose.gaze);
        let forward = Vec2::new(gaze, 0.0);
        let skull = Shape::Ellipse(Vec2::new(0.077, 0.064));
        self.add(
            skull,
            face + up * 0.014 - forward * 0.012,
            up,
            &wear.hair,
            part::HAIR,
        );
        if !self.pose.from_behind {
            let oval = Shape::Ellipse(Vec2::new(0.064, 0.05));
            self.add(
                oval,
                face - up * 0.012 + forward * 0.016,
                up,
                &wear.skin,
                part::FACE,
            );
            let side = Vec2::new(-up.y, up.x);
            let eyes: &[f32] = if gaze == 0.0 {
                &[-0.02, 0.02]
            } else {
                &[0.036]
            };
            let along = if gaze == 0.0 { side } else { side * gaze };
            let level = face + up * 0.004;
            if wear.sunglasses {
                let (from, to) = if gaze == 0.0 {
                    (-0.034, 0.034)
                } else {
                    (0.0, 0.056)
                };
                let (from, to) = (level + along * from, level + along * to);
                self.limb(from, to, [0.015, 0.015], &wear.dark, part::SUNGLASSES);
            } else {
                for eye in eyes {
                    let dot = Shape::Ellipse(Vec2::splat(0.008));
                    self.add(dot, level + along * *eye, up, &wear.dark, part::FACE);
                }
            }
        }
        if wear.hat {
            let crown = Shape::Box {
                half: Vec2::new(0.03, 0.056),
                corner: 0.025,
            };
            self.add(
                crown,
                face + up * 0.07 - forward * 0.008,
                up,
                &wear.extra,
                part::HAT,
            );
            let across = Vec2::new(-up.y, up.x);
            let (from, to) = if gaze == 0.0 {
                (-0.072, 0.072)
            } else {
                (-0.03, 0.1)
            };
            let across = if gaze < 0.0 { -across } else { across };
            let level = face + up * 0.045;
            self.limb(
                level + across * from,
                level + across * to,
                [0.011, 0.011],
                &wear.extra,
                part::HAT,
            );
        }
    }
}
