//! The default places of results, and the names of the program for records and hints.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cropmae_config::{Experiment, Protocol, ScenesConfig};
use cropmae_eval::{Benchmark, Davis, Jhmdb, Vip};
use cropmae_run::PlannedEvaluation;
use cropmae_scenes::{ScenesPaths, VIDEO_SIZE};

use crate::console::Console;

/// Returns the folder of all runs: the environment variable `CROPMAE_RUNS`, or else `runs`.
pub fn root() -> PathBuf {
    std::env::var_os("CROPMAE_RUNS").map_or_else(|| PathBuf::from("runs"), PathBuf::from)
}

/// Returns the procedural data set of `experiment`, which is rendered unless an earlier run did so.
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

/// Returns the benchmarks on the videos of the procedural data set.
pub fn scenes_evaluations(scenes: &ScenesPaths) -> Vec<PlannedEvaluation> {
    let benchmarks: [(&'static dyn Benchmark, _, _); 3] = [
        (&Davis, &scenes.davis, VIDEO_SIZE),
        (&Vip, &scenes.vip, VIDEO_SIZE),
        (&Jhmdb, &scenes.jhmdb, Jhmdb.protocol().frame_size),
    ];
    benchmarks
        .map(|(benchmark, data, frame_size)| PlannedEvaluation {
            benchmark,
            data: data.clone(),
            protocol: Protocol {
                frame_size,
                ..benchmark.protocol()
            },
        })
        .into()
}

/// Returns the command that starts this program: `cropmae`, or the one that the task runner sets.
pub fn program() -> String {
    std::env::var("CROPMAE_STARTED_AS").unwrap_or_else(|_| "cropmae".to_owned())
}

/// Returns the git revision for records.
///
/// It is the one that the task runner found, or else the one that the program was built from.
pub fn git_revision() -> Option<String> {
    let built_from = || option_env!("CROPMAE_BUILT_FROM").map(str::to_owned);
    std::env::var("CROPMAE_REVISION").ok().or_else(built_from)
}

/// Replaces the file `path` with `bytes`.
///
/// If the program is killed, the old or the new file is there, never a part of one.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    cropmae_files::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
