//! Scores several encoders on a data set of images by class.

use std::path::Path;

use cropmae_config::ClassesProtocol;
use cropmae_eval::{EvalOptions, Measures, evaluate_classes};

use crate::contestant::Contestant;
use crate::error::RunError;
use crate::scoreboard::{Report, Scoreboard};
use crate::watch::Watch;

/// Scores every contestant on the images in `data`, which contains folders `train/CLASS` and `val/CLASS`.
///
/// Features are computed once for all `measures`. Results are written to `out/CONTESTANT/classes`.
///
/// # Errors
/// Returns [`RunError::Eval`] if the data set or the protocol cannot be used.
pub fn classify(
    data: &Path,
    contestants: &[Contestant],
    protocol: &ClassesProtocol,
    measures: Measures,
    out: &Path,
    git_revision: Option<String>,
    watch: &mut (dyn Watch + Sync),
) -> Result<Scoreboard, RunError> {
    let mut board = Scoreboard::new(git_revision);
    for contestant in contestants {
        let options = EvalOptions {
            out: Some(out.join(&contestant.name).join("classes")),
            weights_sha256: contestant.weights_sha256.clone(),
            ..EvalOptions::default()
        };
        watch.evaluation_started(&format!("classes {}", contestant.name));
        let encoder = contestant.encoder.as_ref();
        let told: &(dyn Watch + Sync) = watch;
        let progress = |done, total| told.images_done(done, total);
        let report = evaluate_classes(data, encoder, protocol, measures, &options, &progress);
        watch.evaluation_finished();
        board.add(&contestant.name, Report::Classes(Box::new(report?)));
    }
    Ok(board)
}
