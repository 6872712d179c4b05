//! The same measurement by our program and by a PyTorch program, in turn, so that a machine whose speed
//! drifts slows both. Each turn is a process of its own: peak memory is the whole process's.

use std::{
    ffi::OsString,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use super::median;
use crate::{
    args::{DeviceArg, PeerArgs, ShapeArgs},
    console::Console,
};

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
        let threads = shape
            .device
            .threads
            .map_or_else(rayon::current_num_threads, NonZeroUsize::get);
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
            ("--dtype", shape.dtype().to_owned()),
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

/// The PyTorch program to run, if a comparison was asked for; `default` is its name in the shared folder.
pub fn script(args: &PeerArgs, default: &str) -> Result<Option<PathBuf>> {
    let Some(given) = &args.peer else {
        return Ok(None);
    };
    let script = given.clone().unwrap_or_else(|| {
        let shared = std::env::var_os("CROPMAE_SHARED").unwrap_or_else(|| "../shared".into());
        Path::new(&shared).join("peers").join(default)
    });
    ensure!(
        script.is_file(),
        "{}: no such file; say where the PyTorch program is with --peer SCRIPT",
        script.display()
    );
    Ok(Some(script))
}

/// Runs both in turn and prints medians and ratios of steps.
pub fn compare(script: &Path, args: &PeerArgs, flags: &Flags, console: &Console) -> Result<()> {
    let (ours, theirs) = alternate(script, args, flags, console)?;
    console.say(table(&ours, &theirs));
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

fn table(ours: &[Turn], theirs: &[Turn]) -> String {
    let of = |turns: &[Turn], value: fn(&Turn) -> f64| median(turns.iter().map(value).collect());
    let mut text = format!("{:24}{:>12}{:>12}{:>16}\n", "", "ours", "PyTorch", "ratio");
    let mut row = |name: &str, value: fn(&Turn) -> f64, better: &str, inverse: bool| {
        let (a, b) = (of(ours, value), of(theirs, value));
        let ratio = if inverse { b / a } else { a / b };
        text += &format!("{name:24}{a:>12.3}{b:>12.3}{ratio:>10.2} {better}\n");
    };
    row(
        "step, s (median)",
        |turn| turn.median_step_s,
        "times faster",
        true,
    );
    row("images/s", |turn| turn.images_per_s, "times as many", false);
    row(
        "peak memory, MiB",
        |turn| turn.peak_rss_mb.unwrap_or(f64::NAN),
        "of PyTorch's",
        false,
    );
    let list = |turns: &[Turn]| {
        let each: Vec<String> = turns
            .iter()
            .map(|t| format!("{:.3}", t.median_step_s))
            .collect();
        each.join(", ")
    };
    text + &format!("turns, s: ours {}; PyTorch {}", list(ours), list(theirs))
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
        let text = table(&ours, &theirs);
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
