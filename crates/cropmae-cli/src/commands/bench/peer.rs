//! Comparison of this program with a PyTorch program.
//!
//! The programs run alternately, so that a change in the speed of the machine affects both. Each turn is a new process,
//! because peak memory can only be read for a whole process.

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
use crate::{console::Console, device::DeviceArg, dtype::dtype_name};

/// The arguments of both programs for one measurement.
#[derive(Debug)]
pub struct Flags {
    /// The arguments of this program after `bench`.
    pub own: Vec<OsString>,
    /// The arguments of the PyTorch program after its script.
    pub theirs: Vec<OsString>,
}

/// The fields that both programs print about a step.
#[derive(Debug, Deserialize)]
struct Turn {
    median_step_s: f64,
    images_per_s: f64,
    peak_rss_mb: Option<f64>,
    /// The peak memory on an NVIDIA GPU.
    peak_cuda_mb: Option<f64>,
}

impl Flags {
    /// Joins the arguments in which the programs differ, `own` and `theirs`, with those that both accept.
    pub fn new(
        own: impl IntoIterator<Item = OsString>,
        theirs: impl IntoIterator<Item = OsString>,
        batch: NonZeroUsize,
        (shape, peer): (&ShapeArgs, &PeerArgs),
    ) -> Result<Self> {
        let threads = shape.device.threads();
        let device = shape.device.device;
        let Some(torch_device) = device.torch_name() else {
            bail!("--device {device} --peer: PyTorch has no such device");
        };
        let dtype = match device {
            DeviceArg::Auto | DeviceArg::Cpu => shape.dtype.name_on(&Device::Cpu),
            _ => dtype_name(shape.dtype.compute()),
        };
        let mut shared: Vec<OsString> = Vec::new();
        for (flag, value) in [
            ("--batch", batch.to_string()),
            ("--steps", shape.steps.to_string()),
            ("--warmup", shape.warmup.to_string()),
            ("--threads", threads.to_string()),
            ("--dtype", dtype.to_owned()),
        ] {
            shared.extend([flag.into(), value.into()]);
        }
        let arch = |name: &str| [OsString::from("--arch"), OsString::from(name)];
        // The PyTorch program always uses patches of 16 pixels, so its names leave the size out.
        let short = shape.arch.strip_suffix("16").unwrap_or(&shape.arch);
        let own = own.into_iter().chain(arch(&shape.arch)).chain([
            "--json".into(),
            "--device".into(),
            device.to_string().into(),
        ]);
        let theirs = theirs
            .into_iter()
            .chain(arch(short))
            .chain(["--device".into(), torch_device.into()]);
        let compile = peer.compile.then(|| "--compile".into());
        Ok(Self {
            own: own.chain(shared.clone()).collect(),
            theirs: theirs.chain(shared).chain(compile).collect(),
        })
    }
}

/// Runs both programs alternately and prints the medians and ratios of steps.
pub fn compare(script: &Path, args: &PeerArgs, flags: &Flags, console: &Console) -> Result<()> {
    let (ours, theirs) = alternate(script, args, flags, console)?;
    console.say(table(&ours, &theirs, &STEP));
    Ok(())
}

/// Runs both programs alternately and returns what each turn printed, this program's turns first.
pub fn alternate<T: DeserializeOwned>(
    script: &Path,
    args: &PeerArgs,
    flags: &Flags,
    console: &Console,
) -> Result<(Vec<T>, Vec<T>)> {
    let program =
        std::env::current_exe().context("cannot find the executable file of this program")?;
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

/// The way in which the values of a quantity are compared.
#[derive(Clone, Copy)]
pub enum Better {
    /// Less is better. The ratio is theirs over ours, "times faster".
    Less,
    /// More is better. The ratio is ours over theirs, "times as many".
    More,
    /// The ratio is ours over theirs, as a share.
    Share,
}

impl<T> Row<T> {
    /// Makes a quantity. `name` includes its unit and is also its key in JSON.
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

/// The quantities of a step that are compared.
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
        value: |turn| turn.peak_cuda_mb.or(turn.peak_rss_mb).unwrap_or(f64::NAN),
    },
];

/// Returns a table of medians and ratios, and a list of every turn's times.
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

/// Returns one JSON object with every turn of both programs, and the ratios of medians by name.
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
            peak_cuda_mb: None,
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
