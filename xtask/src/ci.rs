//! `cargo xtask ci`: the checks that a change must pass, starting with the cheapest.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo::{self, cargo, must_succeed},
    features, say, test,
};

/// Runs the checks up to the first failure.
pub fn run() -> Result<ExitCode> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    if succeeds(Command::new("typos").arg("--version")) {
        step("spelling", Command::new("typos").current_dir(cargo::root()))?;
    } else {
        say("skipped the spelling: it needs the program typos");
    }
    step(
        "lints",
        cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]),
    )?;
    say("==> tests");
    let tested = test::run(&[])?;
    if tested != ExitCode::SUCCESS {
        return Ok(tested);
    }
    step(
        "docs",
        cargo()
            .args(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )?;
    features::check()?;
    smoke()
}

/// Whether the program can be started and ends without an error.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Runs a check under its name.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    say(&format!("==> {name}"));
    must_succeed(command)
}

/// Runs the commands of the README with tiny settings in a temporary folder.
///
/// These are a run, a resumed run, an evaluation, a preview, a measurement, and a wrong path that must fail.
fn smoke() -> Result<ExitCode> {
    say("==> smoke run of the README's commands");
    // The program that the tests have built: another build of it would take minutes.
    must_succeed(cargo().args(["test", "--workspace", "--no-run"]))?;
    let name = format!("cropmae{}", std::env::consts::EXE_SUFFIX);
    let program = cargo::target().join("debug").join(name);
    let folder = std::env::temp_dir().join(format!("cropmae-smoke-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context("cannot make a folder for the smoke run")?;
    let cropmae = |args: &str| {
        let mut command = Command::new(&program);
        command
            .args(args.split_whitespace())
            .env("CROPMAE_RUNS", &folder);
        command
    };
    let run = folder.join("run");
    let (run, data) = (
        run.display(),
        folder.join("scenes-32x128px-1x4frames-seed0"),
    );
    let tiny = "--set data.scenes.images=32 --set data.scenes.videos=1 --set data.scenes.video_frames=4 \
                --set train.batch_size=8 --set model.depth=1";
    must_succeed(&mut cropmae(&format!(
        "pretrain {tiny} --out {run} --dry-run"
    )))?;
    must_succeed(&mut cropmae(&format!(
        "pretrain {tiny} --out {run} --set train.max_steps=4"
    )))?;
    must_succeed(&mut cropmae(&format!(
        "pretrain {tiny} --out {run} --set train.max_steps=6"
    )))?;
    must_succeed(&mut cropmae(&format!(
        "eval --task all --checkpoint {run}/last.safetensors --pixels --data {} --out {run}/eval",
        data.display()
    )))?;
    must_succeed(&mut cropmae(&format!(
        "data preview {} --out {run}/preview.png",
        data.join("train").display()
    )))?;
    must_succeed(&mut cropmae("bench ops --batch 1 --steps 1 --warmup 0"))?;
    let wrong = cropmae("pretrain --data no/such/folder")
        .output()
        .context("cannot start cropmae")?;
    let message = String::from_utf8_lossy(&wrong.stderr);
    ensure!(
        !wrong.status.success() && message.contains("no/such/folder"),
        "expected cropmae to fail and to name the wrong path no/such/folder, found {}: {message}",
        wrong.status
    );
    std::fs::remove_dir_all(&folder).context("cannot remove the smoke run's folder")?;
    say("all checks passed");
    Ok(ExitCode::SUCCESS)
}
