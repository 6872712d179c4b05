//! The optional cargo features in `cargo xtask ci`.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{
    cargo::{self, cargo},
    ci::{step, succeeds},
    say,
};

/// Lints and tests the optional features.
///
/// Features that need other tools are skipped where these are not installed.
pub fn check() -> Result<()> {
    Feature::new("cropmae-data", "hub,zstd").check(&["--lib", "sources"])?;
    let video = ["libavcodec", "libavformat", "libavutil", "libswscale"];
    if succeeds(Command::new("pkg-config").arg("--exists").args(video)) {
        Feature::new("cropmae-data", "video").check(&["--lib", "sources::videos"])?;
    } else {
        let needs = video.join(", ");
        say(&format!(
            "skipped the feature video: it needs the libraries {needs}"
        ));
    }
    if succeeds(Command::new("c++").arg("--version")) {
        emulated()?;
    } else {
        say("skipped the feature emulated: it needs a C++ compiler with the name c++");
    }
    cuda_types()?;
    kernel_text()
}

/// Lints the emulator, and runs the tests of kernels, models, training and evaluation in it.
fn emulated() -> Result<()> {
    let packages = [
        "cropmae-kernels",
        "cropmae-model",
        "cropmae-train",
        "cropmae-eval",
    ];
    let features = packages.map(|package| format!("{package}/emulated"));
    // The workspace as a whole, so that its dependencies are those of the other tests.
    let with = [
        "--workspace".to_owned(),
        "--features".to_owned(),
        features.join(","),
    ];
    step(
        "lints with the emulator",
        cargo()
            .arg("clippy")
            .args(&with)
            .args(["--all-targets", "--", "--deny", "warnings"]),
    )?;
    step(
        "tests in the emulator",
        cargo()
            .arg("test")
            .args(&with)
            .args(["--lib", "--test", "emulated", "emulated"]),
    )
}

/// Features of a package.
struct Feature {
    package: &'static str,
    features: &'static str,
}

impl Feature {
    fn new(package: &'static str, features: &'static str) -> Self {
        Self { package, features }
    }

    /// Lints the package with the features and runs the tests that `tests` selects.
    fn check(&self, tests: &[&str]) -> Result<()> {
        let Self { package, features } = self;
        let with = ["--package", package, "--features", features];
        let lints = ["--all-targets", "--", "--deny", "warnings"];
        step(
            &format!("lints of {package} with {features}"),
            cargo().arg("clippy").args(with).args(lints),
        )?;
        step(
            &format!("tests of {package} with {features}"),
            cargo().arg("test").args(with).args(tests),
        )
    }
}

/// Lints the code for CUDA, with a stand-in for CUDA's compiler.
///
/// What is built that way cannot run, so it is kept in a folder of its own.
fn cuda_types() -> Result<()> {
    let check = cargo::root().join("crates/cropmae-kernels/check");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(check.clone()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path).context("cannot put a folder before PATH")?;
    step(
        "lints of cropmae-cli with cuda",
        cargo()
            .args(["clippy", "--package", "cropmae-cli", "--features", "cuda"])
            .args(["--", "--deny", "warnings"])
            .env("PATH", path)
            .env("NVCC", check.join("nvcc"))
            .env("CUDA_HOME", &check)
            .env("CUDARC_CUDA_VERSION", "13000")
            .env("CUDA_COMPUTE_CAP", "80")
            .env("CARGO_TARGET_DIR", cargo::target().join("cuda")),
    )
}

/// Compiles the text of the kernels for CUDA and checks it for Metal, which needs no device.
///
/// `CROPMAE_CUDA_WHEELS` names a folder with NVRTC and ptxas, such as the wheels of PyPI install them.
fn kernel_text() -> Result<()> {
    let check = cargo::root().join("crates/cropmae-kernels/check");
    let Some(wheels) = std::env::var_os("CROPMAE_CUDA_WHEELS") else {
        say(
            "skipped the text of the kernels: CROPMAE_CUDA_WHEELS names no folder with NVRTC and ptxas",
        );
        return Ok(());
    };
    step(
        "matrix fragments",
        Command::new("python3").arg(check.join("fragments.py")),
    )?;
    step(
        "text of the kernels",
        Command::new("python3")
            .arg(check.join("compile.py"))
            .arg("--cuda-home")
            .arg(wheels)
            .args(["--clang", "clang"]),
    )
}
