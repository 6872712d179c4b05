//! The same measurement by our program and by a PyTorch program, in turn, so that a machine whose speed
//! drifts slows both. Each turn is a process of its own: peak memory is the whole process's.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    num::NonZeroUsize,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    args::{PeerArgs, ShapeArgs},
    median,
};
use crate::{console::Console, device::DeviceArg};

/// Arguments of both programs for one measurement.
#[derive(Debug)]
pub struct Flags {
    /// Of our program, from the name of the measurement on.
    pub own: Vec<OsString>,
    /// Of the PyTorch program.
    pub theirs: Vec<OsString>,
}

/// What both programs print about a step.
#[derive(Debug, Deserialize)]
struct Turn {
    median_step_s: f64,
    images_per_s: f64,
    peak_rss_mb: Option<f64>,
}

impl Flags {
    /// The flags of `own` and `theirs` that differ, and those that both understand.
    pub fn new(
        own: impl IntoIterator<Item = OsString>,
        theirs: impl IntoIterator<Item = OsString>,
        batch: NonZeroUsize,
        shape: &ShapeArgs,
    ) -> Self {
        let threads = shape.device.threads();
        let device = match shape.device.device {
            DeviceArg::Cuda => "cuda",
            _ => "cpu",
        };
        let mut shared: Vec<OsString> = Vec::new();
        for (flag, value) in [
            ("--batch", batch.to_string()),
            ("--steps", shape.steps.to_string()),
            ("--warmup", shape.warmup.to_string()),
            ("--threads", threads.to_string()),
            ("--device", device.to_owned()),
            ("--dtype", shape.dtype.name_on(&Device::Cpu).to_owned()),
        ] {
            shared.extend([flag.into(), value.into()]);
        }
        let arch = |name: &str| [OsString::from("--arch"), OsString::from(name)];
        // The PyTorch program's patches are 16 pixels wide, which its names leave out.
        let short = shape.arch.strip_suffix("16").unwrap_or(&shape.arch);
        let own = own
            .into_iter()
            .chain(arch(&shape.arch))
            .chain(["--json".into()]);
        let theirs = theirs.into_iter().chain(arch(short));
        Self {
            own: own.chain(shared.clone()).collect(),
            theirs: theirs.chain(shared).collect(),
        }
    }
}

/// Runs both in turn and prints medians and ratios of steps.
pub fn compare(script: &Path, args: &PeerArgs, flags: &Flags, console: &Console) -> Result<()> {
    let (ours, theirs) = alternate(script, args, flags, console)?;
    console.say(table(&ours, &theirs, &STEP));
    Ok(())
}

/// What each turn of ours and of theirs printed.
pub fn alternate<T: DeserializeOwned>(
    script: &Path,
    args: &PeerArgs,
    flags: &Flags,
    console: &Console,
) -> Result<(Vec<T>, Vec<T>)> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let bar = console.bar(2 * args.alternations.get() as u64, "turns");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..args.alternations.get() {
        bar.set_message("ours");
        ours.push(turn(Command::new(&program).arg("bench").args(&flags.own))?);
        bar.inc(1);
        bar.set_message("PyTorch");
        theirs.push(turn(
            Command::new(&args.python).arg(script).args(&flags.theirs),
        )?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((ours, theirs))
}

/// Runs one process and reads the last line that it prints.
fn turn<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let reason = message.lines().last().unwrap_or("no message");
        bail!("{shown} failed ({}): {reason}", output.status);
    }
    serde_json::from_str(last)
        .with_context(|| format!("{shown} printed {last:?}, expected a JSON object"))
}

/// A measured quantity of a turn `T`.
pub struct Row<T> {
    name: &'static str,
    better: Better,
    value: fn(&T) -> f64,
}

/// How two values of a quantity are compared.
#[derive(Clone, Copy)]
pub enum Better {
    /// Times faster: theirs over ours.
    Less,
    /// Times as many: ours over theirs.
    More,
    /// Share of theirs: ours over theirs.
    Share,
}

impl<T> Row<T> {
    /// A quantity with its unit.
    pub fn new(name: &'static str, better: Better, value: fn(&T) -> f64) -> Self {
        Self {
            name,
            better,
            value,
        }
    }

    fn median(&self, turns: &[T]) -> f64 {
        median(turns.iter().map(self.value).collect())
    }

    fn ratio(&self, ours: &[T], theirs: &[T]) -> f64 {
        let ratio = self.median(ours) / self.median(theirs);
        match self.better {
            Better::Less => ratio.recip(),
            Better::More | Better::Share => ratio,
        }
    }
}

/// What is compared of a step.
const STEP: [Row<Turn>; 3] = [
    Row {
        name: "step, s (median)",
        better: Better::Less,
        value: |turn| turn.median_step_s,
    },
    Row {
        name: "images/s",
        better: Better::More,
        value: |turn| turn.images_per_s,
    },
    Row {
        name: "peak memory, MiB",
        better: Better::Share,
        value: |turn| turn.peak_rss_mb.unwrap_or(f64::NAN),
    },
];

/// Medians of both, their ratio, and every turn's value.
pub fn table<T>(ours: &[T], theirs: &[T], rows: &[Row<T>]) -> String {
    let head = ["ours", "PyTorch", "ratio"];
    let mut text = format!("{:24}{:>12}{:>12}{:>16}", "", head[0], head[1], head[2]);
    for row in rows {
        let (a, b) = (row.median(ours), row.median(theirs));
        let better = match row.better {
            Better::Less => "times faster",
            Better::More => "times as many",
            Better::Share => "of PyTorch's",
        };
        let ratio = row.ratio(ours, theirs);
        text += &format!("\n{:24}{a:>12.3}{b:>12.3}{ratio:>10.2} {better}", row.name);
    }
    let list = |turns: &[T], row: &Row<T>| {
        let each = turns.iter().map(|turn| format!("{:.3}", (row.value)(turn)));
        each.collect::<Vec<_>>().join(", ")
    };
    for row in rows.iter().filter(|row| matches!(row.better, Better::Less)) {
        text += &format!(
            "\nturns, {}: ours {}; PyTorch {}",
            row.name,
            list(ours, row),
            list(theirs, row)
        );
    }
    text
}

/// The same as one JSON object: every turn of both, and the ratios of medians by name.
pub fn json<T: Serialize>(ours: &[T], theirs: &[T], rows: &[Row<T>]) -> Result<String> {
    let ratios: BTreeMap<&str, f64> = rows
        .iter()
        .map(|row| (row.name, row.ratio(ours, theirs)))
        .collect();
    let both = serde_json::json!({ "ours": ours, "pytorch": theirs, "ratios": ratios });
    Ok(both.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(median_step_s: f64, peak_rss_mb: f64) -> Turn {
        Turn {
            median_step_s,
            images_per_s: 16.0 / median_step_s,
            peak_rss_mb: Some(peak_rss_mb),
        }
    }

    #[test]
    fn ratios_are_of_medians() {
        let ours = [turn(1.0, 100.0), turn(9.0, 100.0), turn(2.0, 100.0)];
        let theirs = [turn(5.0, 400.0), turn(4.0, 400.0), turn(0.1, 400.0)];
        let text = table(&ours, &theirs, &STEP);
        assert!(text.contains("2.00 times faster"), "{text}");
        assert!(text.contains("0.25 of PyTorch's"), "{text}");
    }

    #[test]
    fn a_failing_program_is_named_with_its_last_words() {
        let error = super::turn::<Turn>(
            Command::new("sh").args(["-c", "echo one >&2; echo two >&2; exit 3"]),
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("sh failed") && error.ends_with("two"),
            "{error}"
        );
        let error =
            super::turn::<Turn>(Command::new("sh").args(["-c", "echo no JSON"])).unwrap_err();
        assert!(format!("{error:#}").contains("\"no JSON\""), "{error:#}");
    }
}
