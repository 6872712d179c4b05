//! The PyTorch programs that measurements are compared with: those of `peers/`, embedded, or one that the user names.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use super::args::PeerArgs;

/// PyTorch's side of `step` and `infer`.
pub const STEP: &str = include_str!("../../../../../peers/torch_step.py");
/// PyTorch's side of `loader`.
pub const LOADER: &str = include_str!("../../../../../peers/torch_loader.py");
/// PyTorch's side of `propagate`.
pub const PROPAGATE: &str = include_str!("../../../../../peers/torch_propagate.py");

/// A Python program in a file.
pub enum Script {
    /// The user's.
    Given(PathBuf),
    /// An embedded one, in a file that is removed with this value.
    Embedded(NamedTempFile),
}

impl Script {
    /// The program to compare with, where `args` ask for a comparison: the file that they name, or `embedded`.
    pub fn of(args: &PeerArgs, embedded: &str) -> Result<Option<Self>> {
        let Some(given) = &args.peer else {
            return Ok(None);
        };
        if let Some(path) = given {
            ensure!(
                path.is_file(),
                "{}: no such file; leave it out to compare with the PyTorch program of this repository",
                path.display()
            );
            return Ok(Some(Self::Given(path.clone())));
        }
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix("cropmae-peer-").suffix(".py").tempfile();
        let mut file = file.context("cannot make a file for the PyTorch program")?;
        file.write_all(embedded.as_bytes())
            .with_context(|| format!("cannot write {}", file.path().display()))?;
        Ok(Some(Self::Embedded(file)))
    }

    /// Where the program lies.
    pub fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Embedded(file) => file.path(),
        }
    }
}
