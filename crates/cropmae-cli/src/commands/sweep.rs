//! `eval --sweep`: one encoder under many settings of the protocol, its features computed once.

use std::{fmt::Write, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use cropmae_config::Protocol;
use cropmae_eval::{TaskReport, sweep};

use super::{eval::Contestant, eval::Suite, overlays::Overlays, runs};
use crate::{args::Axis, console::Console};

/// Runs every combination of the axes on every task, and writes `OUT/ENCODER/TASK/sweep.{csv,json}`.
pub fn run(
    suite: &Suite,
    contestants: &[Contestant],
    axes: &[Axis],
    console: &Console,
) -> Result<ExitCode> {
    let mut complete = true;
    for planned in &suite.tasks {
        let settings = combinations(&planned.protocol, axes);
        for contestant in contestants {
            let label = format!("{} {}", planned.benchmark.name(), contestant.name);
            let mut observer = Overlays::new(&label, None, console);
            let reports = sweep(
                planned.benchmark,
                &planned.data,
                contestant.encoder.as_ref(),
                &settings,
                &suite.options(contestant),
                &mut observer,
            );
            observer.finish()?;
            let reports = reports?;
            console.say(format!(
                "\n{label}\n{}",
                table(axes, &reports, Style::Aligned)
            ));
            for failure in &reports[0].failures {
                complete = false;
                console.say(format!(
                    "not scored: {}: {}",
                    failure.sequence, failure.message
                ));
            }
            let out = suite
                .out
                .join(&contestant.name)
                .join(planned.benchmark.name());
            write(&out, axes, &reports)?;
            console.say(format!("written: {}/sweep.csv, sweep.json", out.display()));
        }
    }
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The protocol under every combination of values, the last axis fastest.
fn combinations(protocol: &Protocol, axes: &[Axis]) -> Vec<Protocol> {
    axes.iter().fold(vec![protocol.clone()], |settings, axis| {
        let with = |setting: &Protocol, value: f64| {
            let mut setting = setting.clone();
            axis.key.set(&mut setting, value);
            setting
        };
        settings
            .iter()
            .flat_map(|setting| axis.values.iter().map(move |&value| with(setting, value)))
            .collect()
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Aligned,
    Csv,
}

/// A row a setting: the swept keys, then the scores.
fn table(axes: &[Axis], reports: &[TaskReport], style: Style) -> String {
    let headline = reports[0].scores.headline();
    let scores = headline.iter().map(|measure| measure.name.clone());
    let header = axes
        .iter()
        .map(|axis| axis.key.name().to_owned())
        .chain(scores)
        .collect();
    let mut rows: Vec<Vec<String>> = vec![header];
    let mut settings = vec![vec![]];
    for axis in axes {
        settings = settings
            .iter()
            .flat_map(|row: &Vec<f64>| axis.values.iter().map(|&v| [&row[..], &[v]].concat()))
            .collect();
    }
    for (setting, report) in settings.iter().zip(reports) {
        let keys = setting.iter().map(ToString::to_string);
        let scores = report.scores.headline().into_iter();
        let scores = scores.map(|measure| match style {
            Style::Csv => format!("{:.4}", measure.value),
            Style::Aligned => format!("{:.1}", measure.in_percent()),
        });
        rows.push(keys.chain(scores).collect());
    }
    let mut text = String::new();
    for row in rows {
        match style {
            Style::Csv => text.push_str(&row.join(",")),
            // Writing into a String cannot fail.
            Style::Aligned => row.iter().for_each(|cell| {
                let _ = write!(text, "{cell:>12}  ");
            }),
        }
        text.push('\n');
    }
    text
}

fn write(out: &Path, axes: &[Axis], reports: &[TaskReport]) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let files = [
        ("sweep.csv", table(axes, reports, Style::Csv).into_bytes()),
        ("sweep.json", serde_json::to_vec_pretty(reports)?),
    ];
    for (name, bytes) in files {
        runs::replace(&out.join(name), &bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_comes_once() {
        let axes = ["top_k=3,5", "radius=2,4,6"].map(|text| text.parse().unwrap());
        let found = combinations(&Protocol::davis(), &axes);
        let pairs: Vec<(usize, f64)> = found.iter().map(|p| (p.top_k, p.radius)).collect();
        let expected = [(3, 2.0), (3, 4.0), (3, 6.0), (5, 2.0), (5, 4.0), (5, 6.0)];
        assert_eq!(pairs, expected);
    }
}
