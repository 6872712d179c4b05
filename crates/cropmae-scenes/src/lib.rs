//! A procedural data set, made on the spot: images to pre-train on and labeled videos to evaluate on.
//!
//! Scenes are drawn from the experiment's seed and rendered by a small software rasterizer. Textured, beveled and lit
//! things lie over one another in front of a textured backdrop: toys, and people with limbs, clothes and something to
//! do. In videos they move, turn, swell and pass behind each other while the camera pans and the light changes, among
//! things of the same colors: color alone does not tell them apart.
//!
//! Images and videos come from one distribution of things, so what a model learns from the images is what it needs on
//! the videos. The videos are written in the layouts of DAVIS-2017, VIP and JHMDB and are read by the same code; their
//! scores say nothing about the real benchmarks.
//!
//! The modules from front to back: `folder` decides whether a folder can be reused, `write` and `video` fill it in the
//! `layouts`, `compose` composes a `scene` of `toy`, `figure` (with `pose`, `wardrobe` and `painter`), `backdrop` and
//! `light`, and `render` paints it.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use cropmae_config::{ScenesConfig, Seed};
//!
//! let config = ScenesConfig { images: 100, image_px: 128, videos: 2, video_frames: 8 };
//! let paths = cropmae_scenes::generate(Path::new("scenes"), &config, Seed(0), &|done, total| {
//!     println!("{done} of {total} pictures");
//! })?;
//! assert!(paths.train.join("00000.jpg").is_file());
//! # Ok::<(), cropmae_scenes::ScenesError>(())
//! ```

mod action;
mod backdrop;
mod body;
mod color;
mod compose;
mod error;
mod figure;
mod folder;
mod layouts;
mod light;
mod motion;
mod noise;
mod painter;
mod paths;
mod pattern;
mod pose;
mod render;
mod scene;
mod shape;
#[cfg(test)]
mod tests;
mod texture;
mod toy;
mod video;
mod wardrobe;
mod write;

use std::path::Path;

use cropmae_config::{FrameSize, ScenesConfig, Seed};
use cropmae_files::NewFolder;

pub use error::ScenesError;
pub use paths::ScenesPaths;

use folder::Marker;
use video::VIDEO_PX;

/// Size at which the frames of the DAVIS and VIP sets are best evaluated: their own.
pub const VIDEO_SIZE: FrameSize = FrameSize::Exact {
    height: VIDEO_PX.1 as usize,
    width: VIDEO_PX.0 as usize,
};

/// Makes a procedural data set in `dir`, or reuses the one it holds when that was made with the same settings and
/// seed.
///
/// The folder appears all at once: until the last file is written, everything is in a temporary folder beside it. The
/// bytes written depend on the settings and the seed only, not on the number of threads. `on_progress(done, total)` is
/// called with the number of pictures written so far.
///
/// # Errors
/// [`ScenesError::Differ`] when `dir` holds anything else, which is left as it is; [`ScenesError::Write`] when a file
/// cannot be written.
pub fn generate(
    dir: &Path,
    config: &ScenesConfig,
    seed: Seed,
    on_progress: &dyn Fn(usize, usize),
) -> Result<ScenesPaths, ScenesError> {
    let marker = Marker::new(config, seed);
    if !marker.describes(dir)? {
        let failed = |source| ScenesError::write(dir, source);
        let folder = NewFolder::create(dir).map_err(failed)?;
        write::all(
            &ScenesPaths::below(folder.path()),
            config,
            seed,
            on_progress,
        )?;
        marker.write(folder.path())?;
        if let Err(source) = folder.commit() {
            // Another process may have been faster.
            if !marker.describes(dir)? {
                return Err(failed(source));
            }
        }
    }
    Ok(ScenesPaths::below(dir))
}
