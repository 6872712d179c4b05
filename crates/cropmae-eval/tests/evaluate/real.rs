//! Tests the real videos in `CROPMAE_SHARED`, with pixels as features.
//!
//! The scores are far above chance if all parts agree on the positions of cells, and near chance if one part is off by a
//! cell or a frame.

use cropmae_eval::{Benchmark, Davis, EvalOptions, Jhmdb, Measure, Vip, evaluate};
use cropmae_fixtures::shared;
use cropmae_model::RawPixels;

/// Returns the value of `column` over one sequence or over all of them.
fn score(task: &dyn Benchmark, folder: &str, sequence: Option<&str>, column: &str) -> Option<f64> {
    let encoder = RawPixels::new(16, 4).unwrap();
    let options = EvalOptions {
        sequences: sequence.map(|name| vec![name.into()]),
        ..EvalOptions::default()
    };
    let data = shared(folder)?;
    let report = evaluate(task, &data, &encoder, &task.protocol(), &options, &mut ()).unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let headline = report.scores.headline();
    let named = |measure: &Measure| measure.name == column;
    headline
        .into_iter()
        .find(named)
        .map(|measure| measure.value)
}

#[test]
fn pixels_follow_the_black_swan() {
    if let Some(found) = score(&Davis, "data/DAVIS", Some("blackswan"), "J&F-Mean") {
        assert!((0.72..0.75).contains(&found), "{found}");
    }
}

#[test]
fn pixels_follow_parts() {
    if let Some(found) = score(&Vip, "data/VIP", None, "mIoU") {
        assert!((0.33..0.35).contains(&found), "{found}");
    }
}

#[test]
fn pixels_follow_joints() {
    if let Some(found) = score(&Jhmdb, "data/JHMDB", None, "PCK@0.5") {
        assert!((58.0..67.0).contains(&found), "{found}");
    }
}
