//! Where things go when the user does not say, and what identifies them in a record.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cropmae_config::{Experiment, Protocol, ScenesConfig};
use cropmae_eval::{Benchmark, Davis, Jhmdb, Vip};
use cropmae_run::PlannedEvaluation;
use cropmae_scenes::{ScenesPaths, VIDEO_SIZE};

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

/// The benchmarks on the videos that come with the procedural data set.
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

/// What to type to start this program: `cropmae`, or what the task runner says it was started with.
pub fn program() -> String {
    std::env::var("CROPMAE_STARTED_AS").unwrap_or_else(|_| "cropmae".to_owned())
}

/// The git revision for records: the one that the task runner found, or the one that the program was built from.
pub fn git_revision() -> Option<String> {
    let built_from = || option_env!("CROPMAE_BUILT_FROM").map(str::to_owned);
    std::env::var("CROPMAE_REVISION").ok().or_else(built_from)
}

/// Replaces `path` with `bytes`: a program that is killed leaves the old file or the new one, never half.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    cropmae_files::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
