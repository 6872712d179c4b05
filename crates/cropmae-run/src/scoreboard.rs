//! All scores of an evaluation, as a table and as JSON, with everything that is needed to trace and reproduce them.

use std::fmt::Write;
use std::path::Path;

use cropmae_eval::{ClassesReport, Failure, Measure, TaskReport};
use serde::Serialize;

use crate::error::RunError;

/// The scores of several encoders on several benchmarks.
#[derive(Debug, Serialize)]
pub struct Scoreboard {
    version: &'static str,
    git_revision: Option<String>,
    results: Vec<Entry>,
}

/// The result of one encoder on one benchmark.
#[derive(Debug, Serialize)]
struct Entry {
    encoder: String,
    report: Report,
}

/// The report of one evaluation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Label propagation.
    Video(Box<TaskReport>),
    /// Classification with frozen features.
    Classes(Box<ClassesReport>),
}

impl Report {
    fn task(&self) -> &str {
        match self {
            Self::Video(report) => &report.task,
            Self::Classes(_) => "classes",
        }
    }

    fn headline(&self) -> Vec<Measure> {
        match self {
            Self::Video(report) => report.scores.headline(),
            Self::Classes(report) => report.headline(),
        }
    }

    fn failures(&self) -> &[Failure] {
        match self {
            Self::Video(report) => &report.failures,
            Self::Classes(report) => &report.failures,
        }
    }
}

impl Scoreboard {
    /// Creates a board without results. `git_revision` is the revision of the program, if known.
    #[must_use]
    pub fn new(git_revision: Option<String>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            git_revision,
            results: Vec::new(),
        }
    }

    /// Adds the `report` on `encoder`.
    pub fn add(&mut self, encoder: &str, report: Report) {
        self.results.push(Entry {
            encoder: encoder.to_owned(),
            report,
        });
    }

    /// Returns the benchmarks and the main measure of `encoder` on each, in the order of the results.
    #[must_use]
    pub fn main_scores(&self, encoder: &str) -> Vec<(&str, Measure)> {
        let results = self.results.iter();
        results
            .filter(|entry| entry.encoder == encoder)
            .map(|Entry { report, .. }| (report.task(), report.headline().swap_remove(0)))
            .collect()
    }

    /// Returns one line with the reason for each sequence or image that could not be scored.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let of = |entry: &Entry| {
            let label = format!("{} {}", entry.report.task(), entry.encoder);
            let line = move |failure: &Failure| {
                format!("{label}, {}: {}", failure.sequence, failure.message)
            };
            entry.report.failures().iter().map(line).collect::<Vec<_>>()
        };
        self.results.iter().flat_map(of).collect()
    }

    /// Returns the text of one table for each benchmark, with a row for each encoder, in percent.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let width = self
            .results
            .iter()
            .map(|entry| entry.encoder.len())
            .max()
            .unwrap_or(0)
            .max(7);
        let mut task = "";
        for entry in &self.results {
            let headline = entry.report.headline();
            if task != entry.report.task() {
                task = entry.report.task();
                let _ = write!(text, "\n{task:<width$}");
                headline.iter().for_each(|measure| {
                    let _ = write!(text, "  {:>8}", measure.name);
                });
                text.push('\n');
            }
            let _ = write!(text, "{:<width$}", entry.encoder);
            for measure in &headline {
                let _ = write!(text, "  {:>8.1}", measure.in_percent());
            }
            text.push('\n');
        }
        text
    }

    /// Writes the board as JSON to `path`, which is never visible half-written.
    ///
    /// # Errors
    /// Returns [`RunError::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        let json = serde_json::to_vec_pretty(self).map_err(RunError::json("the scores"))?;
        cropmae_files::write(path, &json).map_err(RunError::io("write", path))
    }
}
