//! The PyTorch programs for comparisons: embedded copies of those in `peers/`, or one that the user names.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use super::args::PeerArgs;

/// The PyTorch program for `step` and `infer`.
pub const STEP: &str = include_str!("../../../../../peers/torch_step.py");
/// The PyTorch program for `loader`.
pub const LOADER: &str = include_str!("../../../../../peers/torch_loader.py");
/// The PyTorch program for `propagate`.
pub const PROPAGATE: &str = include_str!("../../../../../peers/torch_propagate.py");

/// A Python program in a file.
pub enum Script {
    /// A program that the user names.
    Given(PathBuf),
    /// An embedded program, in a temporary file that is removed when this value is dropped.
    Embedded(NamedTempFile),
}

impl Script {
    /// Returns the file that `args` name, or else `embedded`, or `None` if no comparison is requested.
    pub fn of(args: &PeerArgs, embedded: &str) -> Result<Option<Self>> {
        let Some(given) = &args.peer else {
            return Ok(None);
        };
        if let Some(path) = given {
            ensure!(
                path.is_file(),
                "--peer {}: no such file; give --peer without a file to run the embedded PyTorch program",
                path.display()
            );
            return Ok(Some(Self::Given(path.clone())));
        }
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix("cropmae-peer-").suffix(".py").tempfile();
        let mut file = file.context("cannot create a temporary file for the PyTorch program")?;
        file.write_all(embedded.as_bytes())
            .with_context(|| format!("cannot write {}", file.path().display()))?;
        Ok(Some(Self::Embedded(file)))
    }

    /// Returns the path of the program.
    pub fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Embedded(file) => file.path(),
        }
    }
}
