//! An evaluation that is about to run.

use std::path::{Path, PathBuf};

use cropmae_config::Protocol;
use cropmae_eval::{Benchmark, benchmarks};

/// A benchmark, its data and the settings to evaluate it under.
#[derive(Debug, Clone)]
pub struct PlannedEvaluation {
    /// The benchmark.
    pub benchmark: &'static dyn Benchmark,
    /// The folder of its data set, in the official layout.
    pub data: PathBuf,
    /// The numbers that decide the scores.
    pub protocol: Protocol,
}

impl PlannedEvaluation {
    /// `benchmark` on the data set in `data`, under the reference's settings.
    #[must_use]
    pub fn new(benchmark: &'static dyn Benchmark, data: PathBuf) -> Self {
        Self {
            benchmark,
            data,
            protocol: benchmark.protocol(),
        }
    }

    /// Every video benchmark whose folder (`DAVIS`, `VIP`, ..) lies in `folder`, under the reference's settings.
    #[must_use]
    pub fn all_in(folder: &Path) -> Vec<Self> {
        benchmarks::VIDEO
            .into_iter()
            .map(|benchmark| Self::new(benchmark, folder.join(benchmark.folder())))
            .filter(|planned| planned.data.is_dir())
            .collect()
    }
}
