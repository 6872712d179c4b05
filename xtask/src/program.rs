//! Builds the program `cropmae` with the right features and runs one of its commands.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context, Result, bail};

use crate::{
    cargo::{self, cargo},
    toolkit,
};

/// Builds `cropmae` in release mode, runs it with `args`, and returns its exit code.
pub fn run(args: &[OsString]) -> Result<ExitCode> {
    let (features, args) = split_features(args);
    let program = build(&args, &features)?;
    if args
        .iter()
        .any(|arg| arg == "--help" || arg == "-h" || arg == "help")
    {
        tell("to run these commands from the repository, type `cargo xtask` for `cropmae`");
    }
    let status = Command::new(&program)
        .args(&args)
        .env("CROPMAE_REVISION", revision())
        .env("CROPMAE_STARTED_AS", "cargo xtask")
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    // The loader of programs has named the library on the line above.
    if status.code() == Some(127) && device_feature(&args) == Some("cuda") {
        tell(
            "a library of CUDA is missing: libcuda comes with the NVIDIA driver, libcublas, libcurand and libnvrtc with \
             the CUDA toolkit, whose folder lib64 must be in LD_LIBRARY_PATH; --device cpu needs none of them",
        );
    }
    Ok(exit_code(status))
}

/// Returns the exit code of a program, or 130, as shells do for an interrupt, if a signal ended it.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(130))
}

/// Builds the program with `features` and those that `args` need, and returns its path.
pub fn build(args: &[OsString], features: &[OsString]) -> Result<PathBuf> {
    let name = format!("cropmae{}", std::env::consts::EXE_SUFFIX);
    let program = cargo::target().join("release").join(name);
    if !program.exists() {
        tell("building cropmae in release mode, which takes minutes the first time");
    }
    let mut build = cargo();
    build.args(["build", "--release", "--package", "cropmae-cli"]);
    build
        .arg("--manifest-path")
        .arg(cargo::root().join("Cargo.toml"));
    if let Some(feature) = device_feature(args) {
        toolkit::check(feature)?;
        build.args(["--features", feature]);
    }
    for feature in features {
        build.arg("--features").arg(feature);
    }
    let status = build.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("cannot build cropmae: cargo ended with {status}");
    }
    Ok(program)
}

#[expect(
    clippy::print_stderr,
    reason = "the task runner prints to the terminal"
)]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// Splits `args` into the values of `--features`, which are for the build, and the other arguments.
fn split_features(args: &[OsString]) -> (Vec<OsString>, Vec<OsString>) {
    let (mut features, mut rest) = (Vec::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.to_str().and_then(|arg| arg.strip_prefix("--features")) {
            Some("") => features.extend(args.next().cloned()),
            Some(value) if value.starts_with('=') => features.push(value[1..].into()),
            _ => rest.push(arg.clone()),
        }
    }
    (features, rest)
}

/// Returns the cargo feature that the device in `--device` needs.
fn device_feature(args: &[OsString]) -> Option<&'static str> {
    let device = requested_device(args)?;
    let (kind, _number) = device.split_once(':').unwrap_or((device, ""));
    ["cuda", "metal", "emulated"]
        .into_iter()
        .find(|feature| *feature == kind)
}

/// Returns the value of `--device X` or `--device=X`.
fn requested_device(args: &[OsString]) -> Option<&str> {
    let mut args = args
        .iter()
        .map(OsString::as_os_str)
        .filter_map(OsStr::to_str);
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--device") {
            Some("") => return args.next(),
            Some(rest) if rest.starts_with('=') => return Some(&rest[1..]),
            _ => {}
        }
    }
    None
}

/// Returns the git revision of the checkout, for the record of a run, or `unknown`.
fn revision() -> String {
    Command::new("git")
        .args(["describe", "--always", "--dirty=-modified", "--abbrev=12"])
        .current_dir(cargo::root())
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map_or_else(
            || "unknown".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_found_in_both_spellings() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            requested_device(&args(&["--data", "x", "--device", "cuda"])),
            Some("cuda")
        );
        assert_eq!(requested_device(&args(&["--device=cpu"])), Some("cpu"));
        assert_eq!(requested_device(&args(&["--data", "device"])), None);
        assert_eq!(device_feature(&args(&["--device", "cuda"])), Some("cuda"));
        assert_eq!(device_feature(&args(&["--device=cuda:1"])), Some("cuda"));
        assert_eq!(device_feature(&args(&["--device=cpu"])), None);
    }

    #[test]
    fn features_are_for_the_build() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        let split = split_features(&args(&["--data", "x", "--features", "video", "--dry-run"]));
        assert_eq!(
            split,
            (args(&["video"]), args(&["--data", "x", "--dry-run"]))
        );
        let split = split_features(&args(&["--features=video,hub"]));
        assert_eq!(split, (args(&["video,hub"]), args(&[])));
    }
}
