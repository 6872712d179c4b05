//! `eval --task knn|linear|classes`: image classification with frozen features.

use std::path::Path;

use anyhow::{Result, ensure};
use cropmae_config::ClassesProtocol;
use cropmae_eval::{EvalOptions, Measures, evaluate_classes};

use super::{
    eval::Contestant,
    runs,
    scoreboard::{Report, Scoreboard},
};
use crate::{
    args::{EvalArgs, PoolingArg},
    console::Console,
};

/// Scores every contestant; vectors are computed once for both measures.
pub fn run(
    args: &EvalArgs,
    measures: Measures,
    contestants: &[Contestant],
    out: &Path,
    console: &Console,
) -> Result<Scoreboard> {
    ensure!(
        !(args.pixels && args.classes.pooling == PoolingArg::ClassToken),
        "--pixels: raw pixels have no class token; add --pooling mean-patch for all encoders, or leave it out"
    );
    let defaults = ClassesProtocol::default();
    let protocol = ClassesProtocol {
        pooling: args.classes.pooling.into(),
        neighbours: args
            .classes
            .neighbours
            .clone()
            .unwrap_or(defaults.neighbours),
        ..defaults
    };
    let mut board = Scoreboard::new(runs::git_revision());
    for contestant in contestants {
        let bar = console
            .bar(0, "images")
            .with_prefix(format!("classes {}", contestant.name));
        let options = EvalOptions {
            out: Some(out.join(&contestant.name).join("classes")),
            weights_sha256: contestant.weights.clone(),
            ..EvalOptions::default()
        };
        let report = evaluate_classes(
            &args.data,
            contestant.encoder.as_ref(),
            &protocol,
            measures,
            &options,
            &|done, total| {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            },
        );
        bar.finish_and_clear();
        board.add(&contestant.name, Report::Classes(Box::new(report?)));
    }
    Ok(board)
}
