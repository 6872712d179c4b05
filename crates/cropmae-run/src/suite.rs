//! Scores several encoders on several benchmarks.

use std::path::PathBuf;

use cropmae_eval::{EvalOptions, TaskReport, evaluate};

use crate::contestant::Contestant;
use crate::error::RunError;
use crate::overlays::Overlays;
use crate::planned::PlannedEvaluation;
use crate::scoreboard::{Report, Scoreboard};
use crate::watch::Watch;

/// The evaluations to run, and their output folder.
#[derive(Debug, Clone, Default)]
pub struct Suite {
    /// The evaluations, in order.
    pub evaluations: Vec<PlannedEvaluation>,
    /// A file with one sequence name per line, which replaces the lists of the benchmarks.
    pub list: Option<PathBuf>,
    /// The sequences to evaluate. If it is `None`, all are evaluated.
    pub sequences: Option<Vec<String>>,
    /// `true` to draw the predictions on the frames.
    pub overlays: bool,
    /// The folder of the results. Predictions, reports and overlays are written to `out/CONTESTANT/BENCHMARK`.
    pub out: PathBuf,
    /// The revision of the program, if known, to be recorded.
    pub git_revision: Option<String>,
}

impl Suite {
    /// Scores every contestant on every benchmark.
    ///
    /// # Errors
    /// Returns [`RunError::Eval`] if a data set cannot be used, and the error of an overlay that cannot be drawn. A
    /// sequence that cannot be evaluated is not an error. The board lists it.
    pub fn run(
        &self,
        contestants: &[Contestant],
        watch: &mut dyn Watch,
    ) -> Result<Scoreboard, RunError> {
        let mut board = Scoreboard::new(self.git_revision.clone());
        for planned in &self.evaluations {
            for contestant in contestants {
                let report = self.score(planned, contestant, watch)?;
                board.add(&contestant.name, Report::Video(Box::new(report)));
            }
        }
        Ok(board)
    }

    /// Scores one contestant on one benchmark.
    fn score(
        &self,
        planned: &PlannedEvaluation,
        contestant: &Contestant,
        watch: &mut dyn Watch,
    ) -> Result<TaskReport, RunError> {
        let out = self.folder(planned, contestant);
        let overlays = self.overlays.then(|| out.join("overlays"));
        let options = EvalOptions {
            out: Some(out),
            ..self.options(contestant)
        };
        watch.evaluation_started(&label(planned, &contestant.name));
        let mut observer = Overlays::new(overlays, watch);
        let report = evaluate(
            planned.benchmark,
            &planned.data,
            contestant.encoder.as_ref(),
            &planned.protocol,
            &options,
            &mut observer,
        );
        let drawn = observer.finish();
        watch.evaluation_finished();
        let report = report?;
        drawn?;
        Ok(report)
    }

    /// Returns the folder of the results of a contestant on a benchmark.
    pub(crate) fn folder(&self, planned: &PlannedEvaluation, contestant: &Contestant) -> PathBuf {
        self.out
            .join(&contestant.name)
            .join(planned.benchmark.name())
    }

    /// Returns the options of an evaluation without output files.
    pub(crate) fn options(&self, contestant: &Contestant) -> EvalOptions {
        EvalOptions {
            out: None,
            list: self.list.clone(),
            sequences: self.sequences.clone(),
            max_sequences: None,
            weights_sha256: contestant.weights_sha256.clone(),
        }
    }
}

/// Returns the label of the evaluation of an encoder for watches and tables.
pub(crate) fn label(planned: &PlannedEvaluation, encoder: &str) -> String {
    format!("{} {encoder}", planned.benchmark.name())
}
