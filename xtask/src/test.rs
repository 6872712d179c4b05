//! `cargo xtask test`: runs the tests, and ends with a line that counts what they skipped.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context, Result};

use crate::{
    cargo::{self, cargo},
    program::exit_code,
    say,
};

/// Runs the tests of the workspace, or those that `args` name, and returns the exit code of cargo.
///
/// Tests run under `cargo nextest` if it is installed. It does not support doc tests, so these run after it if `args`
/// is empty.
pub fn run(args: &[OsString]) -> Result<ExitCode> {
    let skips = Skips::clear(cargo::target().join("skipped"))?;
    let mut status = skips.record(&mut main_tests(args))?;
    if status.success() && args.is_empty() && cargo::has_nextest() {
        status = skips.record(cargo().args(["test", "--workspace", "--doc"]))?;
    }
    say(&skips.summary()?);
    Ok(exit_code(status))
}

fn main_tests(args: &[OsString]) -> Command {
    let mut command = cargo();
    if cargo::has_nextest() {
        command.args(["nextest", "run"]);
    } else {
        command.arg("test");
    }
    if args.is_empty() {
        command.arg("--workspace");
    }
    command.args(args);
    command
}

/// The records that `cropmae_fixtures::skip` writes.
///
/// Each is a file whose lines are the reason, the test, and the place in the code that skipped.
struct Skips {
    folder: PathBuf,
}

impl Skips {
    /// Removes the records of earlier tests from `folder`.
    fn clear(folder: PathBuf) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        Ok(Self { folder })
    }

    /// Runs `command` in the workspace root and records what it skips.
    fn record(&self, command: &mut Command) -> Result<ExitStatus> {
        command
            .current_dir(cargo::root())
            .env("CROPMAE_SKIPS", &self.folder)
            .status()
            .with_context(|| format!("cannot start {command:?}"))
    }

    /// Describes how many tests skipped a part of their work, and for which reasons.
    fn summary(&self) -> Result<String> {
        let mut by_reason: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in files(&self.folder)? {
            let record = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let mut lines = record.lines().map(str::to_owned);
            let reason = lines.next().unwrap_or_default();
            by_reason
                .entry(reason)
                .or_default()
                .insert(lines.next().unwrap_or_default());
        }
        let tests: BTreeSet<&String> = by_reason.values().flatten().collect();
        if tests.is_empty() {
            return Ok("no test skipped anything".to_owned());
        }
        let reasons: Vec<String> = by_reason
            .iter()
            .map(|(reason, tests)| format!("{}: {reason}", tests.len()))
            .collect();
        let noun = if tests.len() == 1 { "test" } else { "tests" };
        Ok(format!(
            "{} {noun} skipped a part ({}); each record is a file in {}",
            tests.len(),
            reasons.join("; "),
            self.folder.display()
        ))
    }
}

/// Returns the files in `folder`, or no files if it does not exist.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_counts_once_for_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let skips = Skips {
            folder: folder.path().to_owned(),
        };
        assert_eq!(skips.summary().unwrap(), "no test skipped anything");
        for (name, record) in [
            ("1", "no file\na::one\na.rs:1:1\nx\n"),
            ("2", "no file\na::one\na.rs:9:1\ny\n"),
            ("3", "no file\na::two\na.rs:1:1\nx\n"),
            ("4", "no AVX-512\na::two\na.rs:2:1\n\n"),
        ] {
            std::fs::write(folder.path().join(name), record).unwrap();
        }
        let summary = skips.summary().unwrap();
        assert!(
            summary.starts_with("2 tests skipped a part (1: no AVX-512; 2: no file)"),
            "{summary}"
        );
    }

    #[test]
    fn a_missing_folder_holds_no_records() {
        let folder = tempfile::tempdir().unwrap();
        let skips = Skips::clear(folder.path().join("skipped")).unwrap();
        assert_eq!(skips.summary().unwrap(), "no test skipped anything");
    }
}
