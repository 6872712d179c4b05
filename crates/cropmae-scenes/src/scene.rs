//! A scene in motion: what is in it, and where that is at a frame.

use cropmae_eval::joints::JOINTS;
use glam::Vec2;
use rand::Rng;

use crate::backdrop::Backdrop;
use crate::body::Body;
use crate::figure::Figure;
use crate::light::Lighting;
use crate::motion::Swing;
use crate::render::{Posed, View};
use crate::toy::Toy;

/// A scene in motion. Scene units: the picture is 1 high and `aspect` wide.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub backdrop: Backdrop,
    pub lighting: Lighting,
    pub pan: [Swing; 2],
    /// Back to front.
    pub actors: Vec<Actor>,
    pub noise: f32,
}

/// A thing or a person in a scene.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub what: What,
    pub label: Label,
    /// Whether it stands in the scene, so that it leaves the picture when the camera pans.
    pub standing: bool,
}

/// What an actor is.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Toy(Toy),
    // Boxed: a wardrobe of textures is ten times a toy.
    Figure(Box<Figure>),
}

/// What an actor is called in the mask.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Label {
    Background,
    Object(u8),
    Parts,
}

impl Scene {
    /// A square window on a square scene, from a third of its height to all of it, around one of its
    /// actors: photographs show their subject closer than the frames of a video do.
    pub fn close_up(&self, rng: &mut impl Rng, frame: f32) -> View {
        let actor = &self.actors[rng.random_range(0..self.actors.len())];
        let (low, high) = actor.pose(frame, self.pan(frame)).bounds();
        let height = rng.random_range(0.33f32..1.0);
        let within = Vec2::new(rng.random_range(0.0..1.0), rng.random_range(0.0..1.0));
        let corner = low + (high - low) * within - height * 0.5;
        View {
            corner: corner.clamp(Vec2::ZERO, Vec2::splat(1.0 - height)),
            height,
        }
    }

    /// The scene at a frame; `noise_seed` draws its sensor noise.
    pub fn at(&self, frame: f32, noise_seed: u32) -> Posed<'_> {
        let pan = self.pan(frame);
        let bodies = self
            .actors
            .iter()
            .map(|actor| actor.pose(frame, pan))
            .collect();
        Posed {
            backdrop: &self.backdrop,
            pan,
            view: View::WHOLE,
            bodies,
            light: self.lighting.at(frame),
            noise: (self.noise, noise_seed),
        }
    }

    /// Joints of each labeled person at a frame, in JHMDB's order, scene units.
    pub fn joints(&self, frame: f32) -> Vec<[Vec2; JOINTS]> {
        let people = self
            .actors
            .iter()
            .filter_map(|actor| match (&actor.what, actor.label) {
                (What::Figure(figure), Label::Parts) => Some(figure.joints(frame, Vec2::ZERO)),
                _ => None,
            });
        people.collect()
    }

    fn pan(&self, frame: f32) -> Vec2 {
        Vec2::new(self.pan[0].at(frame), self.pan[1].at(frame))
    }
}

impl Actor {
    fn pose(&self, frame: f32, pan: Vec2) -> Body<'_> {
        let shift = if self.standing { -pan } else { Vec2::ZERO };
        let body = match &self.what {
            What::Toy(toy) => toy.pose(frame, shift),
            What::Figure(figure) => figure.pose(frame, shift),
        };
        match self.label {
            Label::Background => body.labeled(0),
            Label::Object(id) => body.labeled(id),
            Label::Parts => body,
        }
    }
}
