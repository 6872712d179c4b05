//! Evaluates an encoder with many settings of the protocol. Features are computed once.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cropmae_config::Protocol;
use cropmae_eval::{Measure, TaskReport};

use crate::contestant::Contestant;
use crate::error::RunError;
use crate::planned::PlannedEvaluation;
use crate::suite::{Suite, label};
use crate::watch::Watch;

/// A key of the protocol and its values in a sweep, written `KEY=V1,V2,..`.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The key.
    pub key: AxisKey,
    /// The values, in the given order.
    pub values: Vec<f64>,
}

/// A key of the protocol that features do not depend on, so they are computed once for all of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AxisKey {
    /// [`Protocol::top_k`]
    TopK,
    /// [`Protocol::radius`]
    Radius,
    /// [`Protocol::temperature`]
    Temperature,
    /// [`Protocol::context_frames`]
    ContextFrames,
}

impl AxisKey {
    const ALL: [Self; 4] = [
        Self::TopK,
        Self::Radius,
        Self::Temperature,
        Self::ContextFrames,
    ];

    /// Returns the name of the key in a protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TopK => "top_k",
            Self::Radius => "radius",
            Self::Temperature => "temperature",
            Self::ContextFrames => "context_frames",
        }
    }

    fn counts(self) -> bool {
        matches!(self, Self::TopK | Self::ContextFrames)
    }

    /// Sets the key of `protocol` to a value.
    pub fn set(self, protocol: &mut Protocol, value: f64) {
        match self {
            Self::TopK => protocol.top_k = value as usize,
            Self::Radius => protocol.radius = value,
            Self::Temperature => protocol.temperature = value,
            Self::ContextFrames => protocol.context_frames = value as usize,
        }
    }
}

impl FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = AxisKey::ALL.map(AxisKey::name).join(", ");
        let (key, values) = text
            .split_once('=')
            .ok_or_else(|| format!("expected KEY=V1,V2,.. with KEY one of {known}"))?;
        let key = AxisKey::ALL
            .into_iter()
            .find(|known| known.name() == key.trim())
            .ok_or_else(|| format!("unknown key {key:?}: expected one of {known}"))?;
        let value = |text: &str| match text.trim().parse::<f64>() {
            Ok(value) if key.counts() && (value < 0.0 || value.fract() != 0.0) => {
                Err(format!("{text:?}: {} is a count", key.name()))
            }
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(format!("{text:?}: expected a number")),
        };
        let values = values.split(',').map(value).collect::<Result<_, _>>()?;
        Ok(Self { key, values })
    }
}

/// The results of a sweep of one encoder on one benchmark.
#[derive(Debug)]
pub struct Sweep {
    /// The names of the benchmark and the encoder.
    pub label: String,
    /// The folder of `sweep.csv` and `sweep.json`.
    pub folder: PathBuf,
    /// One report for each combination of values. The last axis varies fastest.
    pub reports: Vec<TaskReport>,
    axes: Vec<Axis>,
}

/// Evaluates every contestant on every benchmark of `suite` with every combination of the values of `axes`.
///
/// For each contestant and benchmark, writes `sweep.csv` and `sweep.json` and calls `done` with the sweep.
///
/// # Errors
/// Returns [`RunError::Eval`] if a data set cannot be used, and [`RunError::Io`] if a table cannot be written.
pub fn sweep(
    suite: &Suite,
    contestants: &[Contestant],
    axes: &[Axis],
    watch: &mut dyn Watch,
    done: &mut dyn FnMut(&Sweep),
) -> Result<(), RunError> {
    for planned in &suite.evaluations {
        for contestant in contestants {
            let sweep = one(suite, planned, contestant, axes, watch)?;
            sweep.write()?;
            done(&sweep);
        }
    }
    Ok(())
}

/// Sweeps one contestant on one benchmark.
fn one(
    suite: &Suite,
    planned: &PlannedEvaluation,
    contestant: &Contestant,
    axes: &[Axis],
    watch: &mut dyn Watch,
) -> Result<Sweep, RunError> {
    let label = label(planned, &contestant.name);
    watch.evaluation_started(&label);
    let reports = cropmae_eval::sweep(
        planned.benchmark,
        &planned.data,
        contestant.encoder.as_ref(),
        &protocols(&planned.protocol, axes),
        &suite.options(contestant),
        watch,
    );
    watch.evaluation_finished();
    Ok(Sweep {
        label,
        folder: suite.folder(planned, contestant),
        reports: reports?,
        axes: axes.to_vec(),
    })
}

impl Sweep {
    /// Returns the text of a table with a row for each combination: its values, and then the scores in percent.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for row in self.rows(|measure| format!("{:.1}", measure.in_percent())) {
            for cell in row {
                // Writing into a string cannot fail.
                let _ = write!(text, "{cell:>12}  ");
            }
            text.push('\n');
        }
        text
    }

    /// Returns the same table as CSV, with the scores in their own units.
    fn csv(&self) -> String {
        let rows = self.rows(|measure| format!("{:.4}", measure.value));
        rows.into_iter().map(|row| row.join(",") + "\n").collect()
    }

    /// Returns a header and a row for each combination.
    fn rows(&self, score: impl Fn(&Measure) -> String) -> Vec<Vec<String>> {
        let keys = self.axes.iter().map(|axis| axis.key.name().to_owned());
        let headline = self.reports.first().map(|report| report.scores.headline());
        let names = headline.into_iter().flatten().map(|measure| measure.name);
        let mut rows = vec![keys.chain(names).collect()];
        for (values, report) in combinations(&self.axes).iter().zip(&self.reports) {
            let values = values.iter().map(ToString::to_string);
            let headline = report.scores.headline();
            rows.push(values.chain(headline.iter().map(&score)).collect());
        }
        rows
    }

    fn write(&self) -> Result<(), RunError> {
        let folder = &self.folder;
        std::fs::create_dir_all(folder).map_err(RunError::io("make", folder))?;
        let json =
            serde_json::to_vec_pretty(&self.reports).map_err(RunError::json("the reports"))?;
        for (name, bytes) in [("sweep.csv", self.csv().into_bytes()), ("sweep.json", json)] {
            let path: &Path = &folder.join(name);
            cropmae_files::write(path, &bytes).map_err(RunError::io("write", path))?;
        }
        Ok(())
    }
}

/// Returns every combination of the values of `axes`. The last axis varies fastest.
fn combinations(axes: &[Axis]) -> Vec<Vec<f64>> {
    axes.iter().fold(vec![Vec::new()], |rows, axis| {
        rows.iter()
            .flat_map(|row| {
                axis.values
                    .iter()
                    .map(|&value| [&row[..], &[value]].concat())
            })
            .collect()
    })
}

/// Returns `protocol` with every combination of values.
fn protocols(protocol: &Protocol, axes: &[Axis]) -> Vec<Protocol> {
    let with = |values: &Vec<f64>| {
        let mut protocol = protocol.clone();
        for (axis, &value) in axes.iter().zip(values) {
            axis.key.set(&mut protocol, value);
        }
        protocol
    };
    combinations(axes).iter().map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_read_and_wrong_ones_named() {
        let axis: Axis = "radius=12, 20.5".parse().unwrap();
        assert_eq!((axis.key, axis.values), (AxisKey::Radius, vec![12.0, 20.5]));
        for (text, expected) in [
            ("radius", "expected KEY=V1"),
            ("size=3", "unknown key \"size\""),
            ("top_k=1.5", "is a count"),
            ("temperature=", "expected a number"),
        ] {
            let error = text.parse::<Axis>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn every_combination_comes_once() {
        let axes = ["top_k=3,5", "radius=2,4,6"].map(|text| text.parse().unwrap());
        let found = protocols(&Protocol::davis(), &axes);
        let pairs: Vec<(usize, f64)> = found.iter().map(|p| (p.top_k, p.radius)).collect();
        let expected = [(3, 2.0), (3, 4.0), (3, 6.0), (5, 2.0), (5, 4.0), (5, 6.0)];
        assert_eq!(pairs, expected);
    }
}
