//! Writes the page of a run folder, with its settings, curves, scores and reconstructions.

use std::path::Path;

use cropmae_config::Experiment;
use cropmae_eval::benchmarks;
use cropmae_report::{Chart, Page, Series, Table};
use cropmae_train::StepStats;
use serde_json::Value;

use crate::error::RunError;
use crate::json_lines;
use crate::reconstructions::newest_picture;
use crate::score::Score;
use crate::training_scores::TrainingScores;
use crate::units::gib;

/// A function that returns the value of an update in a curve.
type Shown = fn(&StepStats) -> f64;

/// The titles and the values of the curves in the training section.
const CURVES: [(&str, Shown); 5] = [
    ("Loss", |stats| stats.loss),
    ("Learning rate", |stats| stats.lr),
    ("Gradient norm", |stats| stats.grad_norm),
    ("Images per second", |stats| stats.images_per_s),
    ("Share of time spent waiting for data", |stats| {
        stats.data_wait_share
    }),
];

/// Writes `report.html` into the folder `run` from the files of the run. `data` describes the data set.
///
/// # Errors
/// Returns [`RunError::Io`], [`RunError::LogLine`] or [`RunError::Picture`] if a file of the run cannot be read, and
/// [`RunError::Io`] if the page cannot be written.
pub fn write_page(experiment: &Experiment, run: &Path, data: &str) -> Result<(), RunError> {
    let mut page = Page::new(&experiment.about.name, &experiment.about.paper);
    let steps: Vec<StepStats> = json_lines::read(&run.join("metrics.jsonl"), "an update")?;
    training(&mut page, &steps, peak_memory(run)?, data)?;
    evaluations(&mut page, &TrainingScores::read(run)?)?;
    if let Some(newest) = newest_picture(run)? {
        let picture = image::open(&newest).map_err(RunError::picture("read", &newest))?;
        page.section("Reconstructions");
        page.picture(
            "The newest reconstructions; visible patches are pasted in",
            &picture.to_rgb8(),
        )?;
    }
    config(&mut page, experiment)?;
    let path = run.join("report.html");
    cropmae_files::write(&path, page.render().as_bytes()).map_err(RunError::io("write", &path))
}

/// Adds tiles with the state of the last logged update, and curves over all logged updates.
fn training(
    page: &mut Page,
    steps: &[StepStats],
    peak_bytes: Option<u64>,
    data: &str,
) -> Result<(), RunError> {
    let Some(last) = steps.last() else {
        return Ok(());
    };
    let mut tiles = vec![
        ("updates", last.step.to_string()),
        ("loss", format!("{:.4}", last.loss)),
        ("images/s", format!("{:.1}", last.images_per_s)),
        ("hours", format!("{:.2}", last.seconds / 3600.0)),
        (
            "waiting for data",
            format!("{:.1} %", 100.0 * waiting_share(steps)),
        ),
    ];
    if let Some(bytes) = peak_bytes {
        tiles.push(("peak memory", gib(bytes)));
    }
    tiles.push(("data", data.to_owned()));
    page.tiles(&tiles);
    page.section("Training");
    for (title, value) in CURVES {
        let points = steps.iter().map(|it| (it.step as f64, value(it))).collect();
        page.chart(&Chart {
            title: title.to_owned(),
            x_label: "update".to_owned(),
            series: vec![Series {
                name: title.to_lowercase(),
                points,
            }],
        })?;
    }
    Ok(())
}

/// Adds a chart for each benchmark, with its main measure over the epochs for the weights and their moving average.
fn evaluations(page: &mut Page, scores: &[Score]) -> Result<(), RunError> {
    if scores.is_empty() {
        return Ok(());
    }
    page.section("Evaluation during training");
    for benchmark in benchmarks::VIDEO {
        let own = || scores.iter().filter(|it| it.task == benchmark.name());
        let Some(first) = own().next() else {
            continue;
        };
        let series = ["weights", "ema"].map(|weights| Series {
            name: weights.to_owned(),
            points: own()
                .filter(|score| score.weights == weights)
                .filter_map(|score| Some((score.epoch as f64, score.value?)))
                .collect(),
        });
        page.chart(&Chart {
            title: format!("{} {}", benchmark.name(), first.measure),
            x_label: "epoch".to_owned(),
            series: series
                .into_iter()
                .filter(|it| !it.points.is_empty())
                .collect(),
        })?;
    }
    Ok(())
}

/// Adds the table of all settings of the run.
fn config(page: &mut Page, experiment: &Experiment) -> Result<(), RunError> {
    page.section("Experiment");
    let mut rows = vec![vec!["fingerprint".to_owned(), experiment.fingerprint()]];
    let value = serde_json::to_value(experiment).map_err(RunError::json("the config"))?;
    flatten("", &value, &mut rows);
    page.folded_table(
        "Every value that decides this run",
        &Table {
            caption: "config.json".to_owned(),
            columns: vec!["key".to_owned(), "value".to_owned()],
            rows,
        },
    )?;
    Ok(())
}

/// Returns the share of the run's time that was spent waiting for data.
fn waiting_share(steps: &[StepStats]) -> f64 {
    let starts = std::iter::once(0.0).chain(steps.iter().map(|step| step.seconds));
    let waited: f64 = starts
        .zip(steps)
        .map(|(start, step)| (step.seconds - start) * step.data_wait_share)
        .sum();
    steps
        .last()
        .map_or(0.0, |last| waited / last.seconds.max(1e-9))
}

/// Returns the largest peak memory of all sessions that recorded one, in bytes.
fn peak_memory(run: &Path) -> Result<Option<u64>, RunError> {
    let sessions = cropmae_train::sessions(run)?;
    let ends = sessions.into_iter().filter_map(|session| session.end);
    Ok(ends.filter_map(|end| end.peak_rss_bytes).max())
}

/// Adds a row for each leaf of `value`, with keys separated by dots.
fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                flatten(&path, value, rows);
            }
        }
        Value::String(text) => rows.push(vec![prefix.to_owned(), text.clone()]),
        other => rows.push(vec![prefix.to_owned(), other.to_string()]),
    }
}
