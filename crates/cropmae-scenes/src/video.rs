//! One labeled video.

use cropmae_config::{Seed, Stream};

use crate::action::Action;
use crate::error::ScenesError;
use crate::layouts;
use crate::paths::ScenesPaths;
use crate::render::{Rendered, render};
use crate::scene::Scene;

/// Width and height of a frame of the DAVIS and VIP sets, in pixels: multiples of 64.
pub(crate) const VIDEO_PX: (u32, u32) = (448, 256);

/// Width and height of a frame of the JHMDB set, in pixels: the official size.
pub(crate) const JHMDB_PX: (u32, u32) = (320, 240);

/// Whose layout a video is written in. Never renumber: the discriminants key the random generator.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(crate) enum Layout {
    Davis = 1,
    Vip = 2,
    Jhmdb = 3,
}

/// A video to render: its scene, its layout and its number.
pub(crate) struct Video {
    layout: Layout,
    index: usize,
    pub scene: Scene,
    /// What the person of a JHMDB clip does.
    action: Action,
}

impl Video {
    /// Draws the scene of video number `index`.
    pub fn draw(seed: Seed, layout: Layout, index: usize) -> Self {
        let rng = &mut seed.rng(Stream::Scenes, layout as u64, index as u64);
        let action = Action::of_video(index);
        let scene = match layout {
            Layout::Davis => Scene::of_objects(rng, aspect(VIDEO_PX)),
            Layout::Vip => {
                let actions = [action, Action::of_video(index + 3)];
                Scene::of_people(rng, aspect(VIDEO_PX), actions)
            }
            Layout::Jhmdb => Scene::of_action(rng, aspect(JHMDB_PX), action),
        };
        Self {
            layout,
            index,
            scene,
            action,
        }
    }

    /// Renders a frame at a size in pixels.
    pub fn picture(&self, frame: usize, (width, height): (u32, u32)) -> Rendered {
        render(&self.scene.at(frame as f32, frame as u32), width, height)
    }

    /// Renders and writes a frame.
    pub fn write(&self, paths: &ScenesPaths, frame: usize) -> Result<(), ScenesError> {
        match self.layout {
            Layout::Davis => {
                let picture = self.picture(frame, VIDEO_PX);
                layouts::davis_frame(&paths.davis, self.index, frame, &picture.rgb, &picture.ids)
            }
            Layout::Vip => {
                let picture = self.picture(frame, VIDEO_PX);
                layouts::vip_frame(&paths.vip, self.index, frame, &picture.rgb, &picture.ids)
            }
            Layout::Jhmdb => {
                let clip = layouts::jhmdb_name(self.action, self.index);
                layouts::jhmdb_frame(
                    &paths.jhmdb,
                    &clip,
                    frame,
                    &self.picture(frame, JHMDB_PX).rgb,
                )
            }
        }
    }

    /// Writes the joints of a JHMDB clip; the other layouts have none.
    pub fn write_joints(&self, paths: &ScenesPaths, frames: usize) -> Result<(), ScenesError> {
        let Layout::Jhmdb = self.layout else {
            return Ok(());
        };
        let height = JHMDB_PX.1 as f32;
        let joints: Vec<_> = (0..frames)
            .filter_map(|frame| self.scene.joints(frame as f32).first().copied())
            .map(|joints| joints.map(|joint| joint * height))
            .collect();
        layouts::jhmdb_joints(
            &paths.jhmdb,
            &layouts::jhmdb_name(self.action, self.index),
            &joints,
        )
    }
}

fn aspect((width, height): (u32, u32)) -> f32 {
    width as f32 / height as f32
}
