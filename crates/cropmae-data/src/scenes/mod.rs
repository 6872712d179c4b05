//! A procedural data set, made on the spot: images to pre-train on and labeled videos to evaluate on.
//!
//! Scenes are drawn from the experiment's seed and rendered by a small software rasterizer. Textured,
//! bevelled and lit things lie over one another in front of a textured backdrop: toys, and people with
//! limbs, clothes and something to do. In videos they move, turn, swell and pass behind each other while the camera
//! pans and the light changes, among things of the same colors: color alone does not tell them apart.
//!
//! Images and videos come from one distribution of things, so what a model learns from the former is
//! what it needs on the latter. The videos are written in the layouts of DAVIS-2017, VIP and JHMDB and are
//! read by the same code; their scores say nothing about the real benchmarks.
//!
//! Files, front to back: `scene` composes, `toy`, `figure` (on `pose` and `wardrobe`), `backdrop` and `light` are what it
//! is composed of, `render` paints, `layouts` writes.

mod backdrop;
mod body;
mod color;
mod figure;
mod layouts;
mod light;
mod mat5;
mod motion;
mod noise;
mod pose;
mod render;
mod scene;
mod shape;
#[cfg(test)]
mod tests;
mod texture;
mod toy;
mod wardrobe;

use std::fs;
use std::path::{Path, PathBuf};

use cropmae_config::{FrameSize, ScenesConfig, Seed, Stream};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::layouts::failed;
use self::pose::Action;
use self::render::{Picture, Posed, render};
use self::scene::Scene;
use crate::DataError;

/// Changes whenever the same seed gives other pictures: a folder of another version is not reused.
const FORMAT: u32 = 1;

/// File that says what a folder of scenes holds.
const MARKER: &str = "scenes.json";

/// Width and height of a frame of the DAVIS and VIP sets, in pixels: multiples of 64.
const VIDEO_PX: (u32, u32) = (448, 256);

/// Size at which the frames of the DAVIS and VIP sets are best evaluated: their own.
pub const VIDEO_SIZE: FrameSize = FrameSize::Exact {
    height: VIDEO_PX.1 as usize,
    width: VIDEO_PX.0 as usize,
};

/// Width and height of a frame of the JHMDB set, in pixels: the official size.
const JHMDB_PX: (u32, u32) = (320, 240);

/// Files rendered between two reports of progress.
const CHUNK: usize = 32;

/// Where the four sets of a folder of scenes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenesPaths {
    /// Folder of training images.
    pub train: PathBuf,
    /// Objects to follow, in DAVIS-2017's layout.
    pub davis: PathBuf,
    /// Human parts, in VIP's layout.
    pub vip: PathBuf,
    /// Key points, in JHMDB's layout.
    pub jhmdb: PathBuf,
}

impl ScenesPaths {
    fn below(dir: &Path) -> Self {
        Self {
            train: dir.join("train"),
            davis: dir.join("DAVIS"),
            vip: dir.join("VIP"),
            jhmdb: dir.join("JHMDB"),
        }
    }
}

/// What decides the contents of a folder of scenes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    format: u32,
    seed: Seed,
    scenes: ScenesConfig,
}

/// Counter of the random generator for training images; those of the videos are [`Task`]'s discriminants.
const TRAIN: u64 = 0;

/// Whose layout a video is written in. Never renumber: the discriminants key the random generator.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
enum Task {
    Davis = 1,
    Vip = 2,
    Jhmdb = 3,
}

/// Makes a procedural data set in `dir`, or reuses the one it holds when that was made with the same
/// settings and seed.
///
/// The folder appears all at once: until the last file is written, everything lies in a temporary folder
/// beside it. The bytes written depend on the settings and the seed only, not on the number of
/// threads. `on_progress(done, total)` is called with the number of pictures written so far.
///
/// # Errors
/// [`DataError::ScenesDiffer`] when `dir` holds anything else, which is left as it is;
/// [`DataError::Write`] when a file cannot be written.
pub fn generate(
    dir: &Path,
    config: &ScenesConfig,
    seed: Seed,
    on_progress: &dyn Fn(usize, usize),
) -> Result<ScenesPaths, DataError> {
    let marker = Marker {
        format: FORMAT,
        seed,
        scenes: config.clone(),
    };
    if reusable(dir, &marker)? {
        return Ok(ScenesPaths::below(dir));
    }
    let beside = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(beside).map_err(|source| failed(beside, source))?;
    let temporary = tempfile::Builder::new()
        .prefix(".scenes-")
        .tempdir_in(beside)
        .map_err(|source| failed(beside, source))?;
    // A folder inside the temporary one: that is private to the user, its contents need not be.
    let made = temporary.path().join("scenes");
    write_all(&ScenesPaths::below(&made), config, seed, on_progress)?;
    let text = serde_json::to_vec_pretty(&marker)
        .map_err(|error| failed(&made.join(MARKER), error.into()))?;
    layouts::write(&made.join(MARKER), &text)?;
    if let Err(source) = fs::rename(&made, dir) {
        // Another process may have been faster.
        return if reusable(dir, &marker)? {
            Ok(ScenesPaths::below(dir))
        } else {
            Err(failed(dir, source))
        };
    }
    Ok(ScenesPaths::below(dir))
}

/// Whether `dir` holds what `wanted` describes; an absent or empty folder holds nothing.
fn reusable(dir: &Path, wanted: &Marker) -> Result<bool, DataError> {
    let differs = |found: String| DataError::ScenesDiffer {
        path: dir.to_owned(),
        found,
    };
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(differs(error.to_string())),
    };
    if entries.next().is_none() {
        return Ok(false);
    }
    let Ok(text) = fs::read(dir.join(MARKER)) else {
        return Err(differs(format!("files, but no {MARKER}")));
    };
    match serde_json::from_slice::<Marker>(&text) {
        Ok(found) if found == *wanted => Ok(true),
        Ok(found) => Err(differs(format!(
            "scenes of format {}, seed {}, {:?}",
            found.format, found.seed.0, found.scenes
        ))),
        Err(error) => Err(differs(format!("a {MARKER} that cannot be read ({error})"))),
    }
}

/// A video to render: its scene, its task and its number.
struct Video {
    task: Task,
    index: usize,
    scene: Scene,
    /// What the person of a JHMDB clip does.
    action: Action,
}

/// One picture to render and write.
enum Job<'a> {
    Image(usize),
    Frame(&'a Video, usize),
}

fn write_all(
    paths: &ScenesPaths,
    config: &ScenesConfig,
    seed: Seed,
    on_progress: &dyn Fn(usize, usize),
) -> Result<(), DataError> {
    let videos: Vec<Video> = [Task::Davis, Task::Vip, Task::Jhmdb]
        .into_par_iter()
        .flat_map(|task| {
            (0..config.videos)
                .into_par_iter()
                .map(move |index| (task, index))
        })
        .map(|(task, index)| Video::draw(seed, task, index))
        .collect();
    let frames = videos
        .iter()
        .flat_map(|video| (0..config.video_frames).map(move |at| Job::Frame(video, at)));
    let jobs: Vec<Job<'_>> = (0..config.images).map(Job::Image).chain(frames).collect();
    for (done, chunk) in jobs.chunks(CHUNK).enumerate() {
        chunk.par_iter().try_for_each(|job| match *job {
            Job::Image(index) => train_image(paths, config, seed, index),
            Job::Frame(video, frame) => video.write(paths, frame),
        })?;
        on_progress((done * CHUNK + chunk.len()).min(jobs.len()), jobs.len());
    }
    for video in &videos {
        video.write_joints(paths, config.video_frames)?;
    }
    let names = |name: fn(usize) -> String| (0..config.videos).map(name);
    layouts::list(
        &paths.davis.join("ImageSets/2017/val.txt"),
        names(layouts::sequence),
    )?;
    layouts::list(
        &paths.vip.join("lists/val_videos.txt"),
        names(layouts::vip_video),
    )
}

fn train_image(
    paths: &ScenesPaths,
    config: &ScenesConfig,
    seed: Seed,
    index: usize,
) -> Result<(), DataError> {
    let rng = &mut seed.rng(Stream::Scenes, TRAIN, index as u64);
    let scene = Scene::for_training(rng);
    let moment = rng.random_range(0.0..60.0);
    let view = scene.close_up(rng, moment);
    let posed = Posed {
        view,
        ..scene.at(moment, rng.random())
    };
    let picture = render(&posed, config.image_px, config.image_px);
    layouts::train_image(&paths.train, index, &picture.rgb)
}

impl Video {
    fn draw(seed: Seed, task: Task, index: usize) -> Self {
        let rng = &mut seed.rng(Stream::Scenes, task as u64, index as u64);
        let action = Action::of_video(index);
        let scene = match task {
            Task::Davis => Scene::of_objects(rng, aspect(VIDEO_PX)),
            Task::Vip => {
                let actions = [action, Action::of_video(index + 3)];
                Scene::of_people(rng, aspect(VIDEO_PX), actions)
            }
            Task::Jhmdb => Scene::of_action(rng, aspect(JHMDB_PX), action),
        };
        Self {
            task,
            index,
            scene,
            action,
        }
    }

    fn picture(&self, frame: usize, (width, height): (u32, u32)) -> Picture {
        render(&self.scene.at(frame as f32, frame as u32), width, height)
    }

    fn write(&self, paths: &ScenesPaths, frame: usize) -> Result<(), DataError> {
        match self.task {
            Task::Davis => {
                let picture = self.picture(frame, VIDEO_PX);
                layouts::davis_frame(&paths.davis, self.index, frame, &picture.rgb, &picture.ids)
            }
            Task::Vip => {
                let picture = self.picture(frame, VIDEO_PX);
                layouts::vip_frame(&paths.vip, self.index, frame, &picture.rgb, &picture.ids)
            }
            Task::Jhmdb => {
                let clip = layouts::clip(self.action, self.index);
                layouts::jhmdb_frame(
                    &paths.jhmdb,
                    &clip,
                    frame,
                    &self.picture(frame, JHMDB_PX).rgb,
                )
            }
        }
    }

    /// Writes the joints of a JHMDB clip; other tasks have none.
    fn write_joints(&self, paths: &ScenesPaths, frames: usize) -> Result<(), DataError> {
        let Task::Jhmdb = self.task else {
            return Ok(());
        };
        let height = JHMDB_PX.1 as f32;
        let joints: Vec<_> = (0..frames)
            .filter_map(|frame| self.scene.joints(frame as f32).first().copied())
            .map(|joints| joints.map(|joint| joint * height))
            .collect();
        layouts::jhmdb_joints(
            &paths.jhmdb,
            &layouts::clip(self.action, self.index),
            &joints,
        )
    }
}

fn aspect((width, height): (u32, u32)) -> f32 {
    width as f32 / height as f32
}
