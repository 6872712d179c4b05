//! Verifies that all files of a download exist, can be read and have the content that their benchmark expects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::benchmark::Benchmark;
use crate::catalog::Catalog;
use crate::error::EvalError;
use crate::findings::Findings;
use crate::options::EvalOptions;
use crate::report::Failure;

/// The result of a check of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataCheck {
    /// The name of the benchmark.
    pub task: String,
    /// The file or folder that lists the sequences.
    pub list: PathBuf,
    /// The number of sequences listed.
    pub sequences: usize,
    /// The number of frames found.
    pub frames: usize,
    /// The number of masks or files of joints found.
    pub annotations: usize,
    /// The number of sequences for each height and width of their frames.
    pub sizes: BTreeMap<String, usize>,
    /// The number of masks for each way of storing them.
    pub masks: BTreeMap<String, usize>,
    /// The [`TaskReport::data_fingerprint`](crate::TaskReport::data_fingerprint) of an evaluation of this data.
    pub fingerprint: String,
    /// The problems that must be fixed, by sequence. An evaluation would leave these sequences out, or its scores would
    /// not be comparable with others.
    pub problems: Vec<Failure>,
    /// Harmless observations, by sequence.
    pub remarks: Vec<Failure>,
}

/// Checks the sequences that an evaluation with these `options` would evaluate, and decodes every file.
///
/// `progress(done, total)` is called with numbers of sequences.
///
/// # Errors
/// Returns [`EvalError::Layout`] if the data set is missing, and [`EvalError::UnknownSequence`] if a requested sequence
/// is not in its list.
pub fn check(
    benchmark: &dyn Benchmark,
    data_dir: &Path,
    options: &EvalOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<DataCheck, EvalError> {
    let catalog = Catalog::open(benchmark, data_dir, options)?;
    let (done, total) = (AtomicUsize::new(0), catalog.sequences.len());
    let found: Vec<Findings> = catalog
        .sequences
        .par_iter()
        .map(|sequence| {
            let found = match &sequence.files {
                Ok(files) => {
                    let mut found = Findings::of_frames(files);
                    benchmark.check(files, &mut found);
                    found
                }
                Err(error) => Findings::unreadable(error),
            };
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            found
        })
        .collect();
    let mut check = DataCheck {
        task: benchmark.name().to_owned(),
        list: catalog.list.clone(),
        sequences: total,
        frames: found.iter().map(|found| found.frames).sum(),
        annotations: found.iter().map(|found| found.annotations).sum(),
        sizes: tally(found.iter().filter_map(|found| found.size)),
        masks: tally(found.iter().flat_map(|found| found.storages.clone())),
        fingerprint: catalog.fingerprint(),
        problems: Vec::new(),
        remarks: Vec::new(),
    };
    let say = |sequence: &str, message: String| Failure {
        sequence: sequence.into(),
        message,
    };
    for (sequence, found) in catalog.sequences.iter().zip(found) {
        let name = &sequence.name;
        let length = other_than_official(benchmark, name, found.frames);
        let problems = length.into_iter().chain(found.problems);
        check.problems.extend(problems.map(|it| say(name, it)));
        let remarks = found.remarks.into_iter();
        check.remarks.extend(remarks.map(|it| say(name, it)));
    }
    let incomplete = incomplete_list(benchmark, &catalog);
    check.remarks.extend(incomplete.map(|it| say("", it)));
    Ok(check)
}

fn tally<T: std::fmt::Display>(items: impl Iterator<Item = T>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for item in items {
        *tally.entry(item.to_string()).or_default() += 1;
    }
    tally
}

/// Compares the number of frames with the download, because a sequence that lacks its last frames and masks looks
/// complete.
fn other_than_official(benchmark: &dyn Benchmark, name: &str, frames: usize) -> Option<String> {
    let official = benchmark.official().frames.iter();
    let (_, official) = official.copied().find(|(known, _)| *known == name)?;
    // If there are no frames at all, the missing folder is reported instead.
    (frames > 0 && frames != official)
        .then(|| format!("{frames} frames, expected {official} as in the official download"))
}

fn incomplete_list(benchmark: &dyn Benchmark, catalog: &Catalog) -> Option<String> {
    let official = benchmark.official();
    let found = catalog.sequences.len();
    (!catalog.official || found != official.sequences).then(|| {
        format!(
            "{found} sequences, {} has {}{}: scores compare with published ones only over all",
            official.part, official.sequences, official.source
        )
    })
}
