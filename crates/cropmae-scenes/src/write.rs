//! Renders and writes all pictures, in parallel.

use cropmae_config::{ScenesConfig, Seed, Stream};
use cropmae_eval::benchmarks::{davis, vip};
use rand::Rng;
use rayon::prelude::*;

use crate::error::ScenesError;
use crate::layouts;
use crate::paths::ScenesPaths;
use crate::render::{Posed, render};
use crate::scene::Scene;
use crate::video::{Layout, Video};

/// Counter of the random generator for training images; those of the videos are [`Layout`]'s discriminants.
const TRAIN: u64 = 0;

/// Files rendered between two reports of progress.
const CHUNK: usize = 32;

/// One picture to render and write.
enum Job<'a> {
    Image(usize),
    Frame(&'a Video, usize),
}

/// Renders and writes everything that belongs into a folder of scenes, except for its marker.
pub(crate) fn all(
    paths: &ScenesPaths,
    config: &ScenesConfig,
    seed: Seed,
    on_progress: &dyn Fn(usize, usize),
) -> Result<(), ScenesError> {
    let videos: Vec<Video> = [Layout::Davis, Layout::Vip, Layout::Jhmdb]
        .into_par_iter()
        .flat_map(|layout| {
            (0..config.videos)
                .into_par_iter()
                .map(move |index| (layout, index))
        })
        .map(|(layout, index)| Video::draw(seed, layout, index))
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
    layouts::list(davis::LAYOUT, &paths.davis, names(layouts::davis_name))?;
    layouts::list(vip::LAYOUT, &paths.vip, names(layouts::vip_name))
}

fn train_image(
    paths: &ScenesPaths,
    config: &ScenesConfig,
    seed: Seed,
    index: usize,
) -> Result<(), ScenesError> {
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
