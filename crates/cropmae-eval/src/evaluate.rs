//! Evaluates an encoder on a data set and reports the scores.

use std::path::Path;

use cropmae_config::Protocol;
use cropmae_model::FeatureExtractor;

use crate::benchmark::Benchmark;
use crate::catalog::Catalog;
use crate::error::EvalError;
use crate::observer::Observer;
use crate::options::EvalOptions;
use crate::report::{TaskReport, compute_of};
use crate::run::Run;

/// Evaluates `encoder` on the data set at `data_dir`, which has the official layout.
///
/// If [`EvalOptions::out`] is set, predictions and the report are written there. A sequence that cannot be evaluated
/// does not stop the others. It is left out of the scores and listed in [`TaskReport::failures`].
///
/// # Errors
/// - [`EvalError::Protocol`] if a value of the protocol is invalid,
/// - [`EvalError::Layout`] if the data set is missing,
/// - [`EvalError::UnknownSequence`] if a requested sequence is not in its list,
/// - [`EvalError::NothingEvaluated`] if every sequence failed,
/// - [`EvalError::Write`] if the report cannot be written.
pub fn evaluate(
    benchmark: &dyn Benchmark,
    data_dir: &Path,
    encoder: &dyn FeatureExtractor,
    protocol: &Protocol,
    options: &EvalOptions,
    observer: &mut dyn Observer,
) -> Result<TaskReport, EvalError> {
    let settings = std::slice::from_ref(protocol);
    let mut run = Run::new(encoder, settings, observer)?;
    run.out = options.out.as_deref();
    let report = reports(benchmark, data_dir, run, options)?.swap_remove(0);
    if let Some(out) = &options.out {
        report.write(out)?;
    }
    Ok(report)
}

/// Evaluates `encoder` with several `settings` of the protocol at once, and returns the reports in their order.
///
/// Each frame is decoded and encoded once, and its labels are propagated with each setting. No files are written, and
/// the observer receives the predictions of the first setting.
///
/// # Errors
/// Returns the errors of [`evaluate`], and [`EvalError::Protocol`] if there are no settings or if they differ in a value
/// that features depend on (`frame_size`, `feature_block`, `l2_normalize`).
pub fn sweep(
    benchmark: &dyn Benchmark,
    data_dir: &Path,
    encoder: &dyn FeatureExtractor,
    settings: &[Protocol],
    options: &EvalOptions,
    observer: &mut dyn Observer,
) -> Result<Vec<TaskReport>, EvalError> {
    let run = Run::new(encoder, settings, observer)?;
    reports(benchmark, data_dir, run, options)
}

/// Runs a benchmark and returns a report for each setting.
fn reports(
    benchmark: &dyn Benchmark,
    data_dir: &Path,
    mut run: Run<'_>,
    options: &EvalOptions,
) -> Result<Vec<TaskReport>, EvalError> {
    let catalog = Catalog::open(benchmark, data_dir, options)?;
    let data_fingerprint = catalog.fingerprint();
    run.sequences = catalog.sequences;
    let scores = benchmark.score(&mut run)?;
    let report = |(protocol, scores): (&Protocol, _)| TaskReport {
        task: benchmark.name().to_owned(),
        encoder: run.encoder.name(),
        weights_sha256: options.weights_sha256.clone(),
        compute: compute_of(run.encoder),
        patch_size: run.encoder.patch_size(),
        input_sizes: run.sizes.counts.clone(),
        data_fingerprint: data_fingerprint.clone(),
        protocol: protocol.clone(),
        scores,
        failures: run.failures.clone(),
    };
    Ok(run.settings.iter().zip(scores).map(report).collect())
}
