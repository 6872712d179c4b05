//! Where things go when the user does not say, and what identifies them in a record.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cropmae_config::{Experiment, ScenesConfig};
use cropmae_scenes::ScenesPaths;
use sha2::{Digest, Sha256};

use crate::console::Console;

/// The folder of all runs: `runs`, or what the environment variable `CROPMAE_RUNS` says.
pub fn root() -> PathBuf {
    std::env::var_os("CROPMAE_RUNS").map_or_else(|| PathBuf::from("runs"), PathBuf::from)
}

/// The procedural data set of `experiment`: made now, or found where an earlier run made it.
pub fn scenes(
    experiment: &Experiment,
    config: &ScenesConfig,
    console: &Console,
) -> Result<ScenesPaths> {
    let ScenesConfig {
        images,
        image_px,
        videos,
        video_frames,
    } = config;
    let seed = experiment.seed.0;
    let folder = root().join(format!(
        "scenes-{images}x{image_px}px-{videos}x{video_frames}frames-seed{seed}"
    ));
    let bar = console.bar(0, "pictures").with_prefix("rendering scenes");
    let paths = cropmae_scenes::generate(&folder, config, experiment.seed, &|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    paths.with_context(|| {
        format!(
            "cannot make the procedural data set in {}",
            folder.display()
        )
    })
}

/// What the task runner found in git, for records.
pub fn git_revision() -> Option<String> {
    std::env::var("CROPMAE_REVISION").ok()
}

/// SHA-256 of a file's bytes.
pub fn file_hash(path: &Path) -> Result<String> {
    let unreadable = || format!("cannot read {}", path.display());
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path).with_context(unreadable)?, &mut hash)
        .with_context(unreadable)?;
    Ok(format!("{:x}", hash.finalize()))
}

/// Replaces `path` with `bytes`: a program that is killed leaves the old file or the new one, never half.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    cropmae_files::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// An amount of memory as people say it.
pub fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// A duration as people say it.
pub fn spoken(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}
