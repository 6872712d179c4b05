//! Compositions: what is in a training image and in the videos of each benchmark.

use glam::Vec2;
use rand::Rng;

use crate::action::Action;
use crate::backdrop::{Backdrop, HORIZON};
use crate::color::ColorScheme;
use crate::figure::Figure;
use crate::light::Lighting;
use crate::motion::{Motion, Swing};
use crate::render::render;
use crate::scene::{Actor, Label, Scene, What};
use crate::toy::Toy;

impl Scene {
    /// A scene of one training image, which is square.
    pub fn for_training(rng: &mut impl Rng) -> Self {
        let mut stage = Stage::set(rng, 1.0, 0.5);
        stage.clutter(2..=8);
        let mut actors = Vec::new();
        for _ in 0..stage.rng.random_range(3..=7) {
            let actor = if stage.rng.random_bool(0.3) {
                stage.figure(0.4..0.9)
            } else {
                stage.toy(0.07..0.24)
            };
            actors.push(actor);
        }
        stage.actors.extend(actors);
        stage.finish()
    }

    /// A video of two to four moving objects, ids from 1, among things that look like them.
    pub fn of_objects(rng: &mut impl Rng, aspect: f32) -> Self {
        // Draws again until the first frame shows every object well: an id must be there to be followed.
        for _ in 0..20 {
            let scene = Self::draw_objects(rng, aspect);
            let shows = |frame: f32, least: f32| {
                let shares = scene.shares(frame, aspect);
                shares.iter().all(|&share| share > least)
            };
            if shows(0.0, 0.012) && shows(5.0, 0.004) && shows(10.0, 0.004) && shows(15.0, 0.004) {
                return scene;
            }
        }
        Self::draw_objects(rng, aspect)
    }

    fn draw_objects(rng: &mut impl Rng, aspect: f32) -> Self {
        let mut stage = Stage::set(rng, aspect, 0.4);
        stage.clutter(3..=8);
        let count = stage.rng.random_range(2..=4);
        let mut objects = Vec::new();
        for id in 1..=count {
            let palette = stage.palette();
            for _ in 0..stage.rng.random_range(0..=2) {
                let colors = palette.look_alike(stage.rng);
                let mut twin = stage.toy_of(&colors, 0.05..0.12);
                twin.standing = true;
                stage.actors.push(twin);
            }
            let mut object = if stage.rng.random_bool(0.3) {
                stage.figure(0.45..0.75)
            } else {
                stage.toy_of(&palette, 0.12..0.23)
            };
            object.label = Label::Object(id);
            objects.push(object);
        }
        stage.actors.extend(objects);
        if stage.rng.random_bool(0.4) {
            let mut post = stage.toy(0.05..0.08);
            post.standing = true;
            stage.actors.push(post);
        }
        stage.finish()
    }

    /// A video of one or two people doing `actions`, their parts labeled with VIP's ids.
    pub fn of_people(rng: &mut impl Rng, aspect: f32, actions: [Action; 2]) -> Self {
        let mut stage = Stage::set(rng, aspect, 1.0);
        stage.clutter(3..=8);
        let count = stage.rng.random_range(1..=2);
        for (i, action) in actions.into_iter().take(count).enumerate() {
            let x = aspect * (i as f32 + 0.5) / count as f32;
            let mut person = stage.person(action, 0.62..0.82, x, 0.25 / count as f32);
            person.label = Label::Parts;
            stage.actors.push(person);
        }
        stage.finish()
    }

    /// A video of one person doing `action`.
    pub fn of_action(rng: &mut impl Rng, aspect: f32, action: Action) -> Self {
        let mut stage = Stage::set(rng, aspect, 1.0);
        stage.clutter(2..=6);
        let mut person = stage.person(action, 0.55..0.78, aspect * 0.5, 0.18);
        person.label = Label::Parts;
        stage.actors.push(person);
        stage.finish()
    }

    /// Share of the picture that each object covers at a frame.
    fn shares(&self, frame: f32, aspect: f32) -> Vec<f32> {
        let height = 48;
        let ids = render(&self.at(frame, 0), (height as f32 * aspect) as u32, height).ids;
        let objects = self.actors.iter().filter_map(|actor| match actor.label {
            Label::Object(id) => Some(id),
            Label::Background | Label::Parts => None,
        });
        let share = |id| ids.iter().filter(|&&i| i == id).count() as f32 / ids.len() as f32;
        objects.map(share).collect()
    }
}

/// A scene while it is being composed.
struct Stage<'r, R> {
    rng: &'r mut R,
    aspect: f32,
    palettes: [ColorScheme; 3],
    scene: Scene,
    actors: Vec<Actor>,
}

impl<'r, R: Rng> Stage<'r, R> {
    /// An empty stage; with probability `ground`, one to stand on.
    fn set(rng: &'r mut R, aspect: f32, ground: f64) -> Self {
        let palettes = std::array::from_fn(|_| ColorScheme::draw(rng));
        let ground = rng.random_bool(ground);
        let scene = Scene {
            backdrop: Backdrop::draw(rng, &palettes[0], ground),
            lighting: Lighting::draw(rng, aspect),
            pan: [0.15, 0.03].map(|most| {
                let depth = rng.random_range(0.0..most);
                Swing::draw(rng, 0.0, depth)
            }),
            actors: Vec::new(),
            noise: rng.random_range(0.5..4.0),
        };
        Self {
            rng,
            aspect,
            palettes,
            scene,
            actors: Vec::new(),
        }
    }

    fn finish(mut self) -> Scene {
        self.scene.actors = self.actors;
        self.scene
    }

    /// One of the scene's few palettes, or now and then a new one.
    fn palette(&mut self) -> ColorScheme {
        if self.rng.random_bool(0.6) {
            let base = self.rng.random_range(0..self.palettes.len());
            self.palettes[base].look_alike(self.rng)
        } else {
            ColorScheme::draw(self.rng)
        }
    }

    /// Small things that stand around, the farther ones first.
    fn clutter(&mut self, count: std::ops::RangeInclusive<usize>) {
        for _ in 0..self.rng.random_range(count) {
            let palette = self.palette();
            let size = self.rng.random_range(0.02..0.07);
            let at = Vec2::new(
                self.rng.random_range(0.0..self.aspect),
                self.rng.random_range(HORIZON - 0.15..1.0),
            );
            let motion = Motion::still(at, self.rng.random_range(-0.3..0.3));
            let toy = Toy::draw(self.rng, &palette, size, motion);
            self.actors.push(Actor {
                what: What::Toy(toy),
                label: Label::Background,
                standing: true,
            });
        }
    }

    fn toy(&mut self, sizes: std::ops::Range<f32>) -> Actor {
        let palette = self.palette();
        self.toy_of(&palette, sizes)
    }

    fn toy_of(&mut self, palette: &ColorScheme, sizes: std::ops::Range<f32>) -> Actor {
        let size = self.rng.random_range(sizes);
        let at = Vec2::new(
            self.rng.random_range(0.12..0.88) * self.aspect,
            self.rng.random_range(0.15..0.85),
        );
        let reach = Vec2::new(
            self.rng.random_range(0.05..0.22),
            self.rng.random_range(0.02..0.12),
        );
        let turn = self.rng.random_range(0.05..0.7);
        let motion = Motion::draw(self.rng, at, reach, turn, 0.14);
        let toy = Toy::draw(self.rng, palette, size, motion);
        Actor {
            what: What::Toy(toy),
            label: Label::Background,
            standing: false,
        }
    }

    fn figure(&mut self, heights: std::ops::Range<f32>) -> Actor {
        let action = Action::of_video(self.rng.random_range(0..Action::ALL.len()));
        let x = self.rng.random_range(0.12..0.88) * self.aspect;
        self.person(action, heights, x, 0.15)
    }

    /// A person who stands on the ground around `x` and moves by up to `reach` to each side.
    fn person(
        &mut self,
        action: Action,
        heights: std::ops::Range<f32>,
        x: f32,
        reach: f32,
    ) -> Actor {
        let height = self.rng.random_range(heights);
        // Taller means nearer, and nearer stands lower in the picture.
        let ground =
            (HORIZON + 0.05 + 0.38 * height + self.rng.random_range(-0.03..0.03)).min(0.97);
        let reach = Vec2::new(reach * self.rng.random_range(0.3f32..1.0), 0.01);
        let motion = Motion::draw(self.rng, Vec2::new(x, ground), reach, 0.0, 0.05);
        let figure = Figure::draw(self.rng, action, height, motion);
        Actor {
            what: What::Figure(Box::new(figure)),
            label: Label::Background,
            standing: false,
        }
    }
}
