//! The page of a run: what was trained, how the loss went, what the decoder fills in.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use cropmae_config::Experiment;
use cropmae_eval::benchmarks;
use cropmae_report::{Chart, Page, Series, Table};
use cropmae_train::StepStats;
use serde_json::Value;

use super::{
    evaluations::{self, Score},
    pictures, runs,
};

/// Writes `report.html` into the run folder `out` from what lies there.
pub fn write(experiment: &Experiment, out: &Path, data: &str) -> Result<()> {
    let steps = read_steps(&out.join("metrics.jsonl"))?;
    let mut page = Page::new(&experiment.about.name, &experiment.about.paper);
    if let Some(last) = steps.last() {
        let mut tiles = vec![
            ("updates", last.step.to_string()),
            ("loss", format!("{:.4}", last.loss)),
            ("images/s", format!("{:.1}", last.images_per_s)),
            ("hours", format!("{:.2}", last.seconds / 3600.0)),
            ("waiting for data", percent(waiting_share(&steps))),
        ];
        if let Some(bytes) = peak_memory(out)? {
            tiles.push(("peak memory", runs::gib(bytes)));
        }
        tiles.push(("data", data.to_owned()));
        page.tiles(&tiles);
        page.section("Training");
        for (title, value) in [
            ("Loss", (|s| s.loss) as fn(&StepStats) -> f64),
            ("Learning rate", |s| s.lr),
            ("Gradient norm", |s| s.grad_norm),
            ("Images per second", |s| s.images_per_s),
            ("Share of time spent waiting for data", |s| {
                s.data_wait_share
            }),
        ] {
            let points = steps.iter().map(|s| (s.step as f64, value(s))).collect();
            page.chart(&Chart {
                title: title.to_owned(),
                x_label: "update".to_owned(),
                series: vec![Series {
                    name: title.to_lowercase(),
                    points,
                }],
            })?;
        }
    }
    learning_curves(&mut page, &evaluations::read(out)?)?;
    if let Some(newest) = pictures::newest(out)? {
        let picture =
            image::open(&newest).with_context(|| format!("cannot read {}", newest.display()))?;
        page.section("Reconstructions");
        page.picture(
            "The newest reconstructions; visible patches are pasted in",
            &picture.to_rgb8(),
        )?;
    }
    page.section("Experiment");
    let mut rows = vec![vec!["fingerprint".to_owned(), experiment.fingerprint()]];
    flatten("", &serde_json::to_value(experiment)?, &mut rows);
    page.folded_table(
        "Every value that decides this run",
        &Table {
            caption: "config.json".to_owned(),
            columns: vec!["key".to_owned(), "value".to_owned()],
            rows,
        },
    )?;
    runs::replace(&out.join("report.html"), page.render().as_bytes())
}

/// One chart per task: its main measure over the epochs, of the weights and of their moving average.
fn learning_curves(page: &mut Page, scores: &[Score]) -> Result<()> {
    if scores.is_empty() {
        return Ok(());
    }
    page.section("Evaluation during training");
    for task in benchmarks::VIDEO.map(|benchmark| benchmark.name()) {
        let of_task = || scores.iter().filter(|score| score.task == task);
        let Some(first) = of_task().next() else {
            continue;
        };
        let series = ["weights", "ema"]
            .map(|weights| Series {
                name: weights.to_owned(),
                points: of_task()
                    .filter(|score| score.weights == weights)
                    .filter_map(|score| Some((score.epoch as f64, score.value?)))
                    .collect(),
            })
            .into_iter()
            .filter(|series| !series.points.is_empty())
            .collect();
        page.chart(&Chart {
            title: format!("{task} {}", first.measure),
            x_label: "epoch".to_owned(),
            series,
        })?;
    }
    Ok(())
}

/// Share of the whole run's time that was spent waiting for data.
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

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The largest peak of all sessions that recorded one, in bytes.
fn peak_memory(out: &Path) -> Result<Option<u64>> {
    let sessions = cropmae_train::sessions(out)?;
    let ends = sessions.into_iter().filter_map(|session| session.end);
    Ok(ends.filter_map(|end| end.peak_rss_bytes).max())
}

fn read_steps(path: &Path) -> Result<Vec<StepStats>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .map(|line| {
            serde_json::from_str(line)
                .with_context(|| format!("{}: not a step: {line}", path.display()))
        })
        .collect()
}

/// A row per leaf of `value`, keys dotted.
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
