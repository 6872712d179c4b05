//! `cargo xtask ci`: the checks that a change must pass, starting with the cheapest.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo::{cargo, must_succeed},
    program, say, test,
};

/// Runs the checks up to the first failure.
pub fn run() -> Result<ExitCode> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
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
    optional_features()?;
    smoke()
}

/// Lints and tests the optional cargo features.
///
/// Features that need system libraries are skipped if these are not installed.
fn optional_features() -> Result<()> {
    with_feature("hub,zstd", "sources")?;
    let video = ["libavcodec", "libavformat", "libavutil", "libswscale"];
    if succeeds(Command::new("pkg-config").arg("--exists").args(video)) {
        with_feature("video", "sources::videos")?;
    } else {
        let needs = video.join(", ");
        say(&format!(
            "skipped the feature video: it needs the libraries {needs}"
        ));
    }
    Ok(())
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Lints the data crate with `feature`, and runs those of its tests whose names contain `tests`.
fn with_feature(feature: &str, tests: &str) -> Result<()> {
    let data = ["--package", "cropmae-data", "--features", feature];
    let lints = ["--all-targets", "--", "--deny", "warnings"];
    step(
        &format!("lints with {feature}"),
        cargo().arg("clippy").args(data).args(lints),
    )?;
    step(
        &format!("tests with {feature}"),
        cargo().arg("test").args(data).args(["--lib", tests]),
    )
}

fn step(name: &str, command: &mut Command) -> Result<()> {
    say(&format!("==> {name}"));
    must_succeed(command)
}

/// Runs the commands of the README with tiny settings in a temporary folder.
///
/// These are a run, a resumed run, an evaluation, a preview, a measurement, and a wrong path that must fail.
fn smoke() -> Result<ExitCode> {
    say("==> smoke run of the README's commands");
    let program = program::build(&[], &[])?;
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
