//! Decides whether a folder of scenes can be reused.

use std::path::Path;
use std::{fs, io};

use cropmae_config::{ScenesConfig, Seed};
use serde::{Deserialize, Serialize};

use crate::error::ScenesError;
use crate::layouts;

/// Changes whenever the same seed gives other pictures: a folder of another version is not reused.
const FORMAT: u32 = 1;

/// The file that says what a folder of scenes holds.
const MARKER: &str = "scenes.json";

/// What decides the contents of a folder of scenes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    format: u32,
    seed: Seed,
    scenes: ScenesConfig,
}

impl Marker {
    /// What a folder made now would hold.
    pub fn new(config: &ScenesConfig, seed: Seed) -> Self {
        Self {
            format: FORMAT,
            seed,
            scenes: config.clone(),
        }
    }

    /// Whether `dir` holds what the marker describes; a folder that is absent or empty holds nothing.
    ///
    /// # Errors
    /// [`ScenesError::Differ`] when it holds anything else.
    pub fn describes(&self, dir: &Path) -> Result<bool, ScenesError> {
        let differs = |found: String| ScenesError::Differ {
            path: dir.to_owned(),
            found,
        };
        let mut entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(differs(error.to_string())),
        };
        if entries.next().is_none() {
            return Ok(false);
        }
        let Ok(text) = fs::read(dir.join(MARKER)) else {
            return Err(differs(format!("files, but no {MARKER}")));
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(found) if found == *self => Ok(true),
            Ok(found) => Err(differs(format!(
                "scenes of format {}, seed {}, {:?}",
                found.format, found.seed.0, found.scenes
            ))),
            Err(error) => Err(differs(format!("a {MARKER} that cannot be read ({error})"))),
        }
    }

    /// Writes the marker into `dir`.
    pub fn write(&self, dir: &Path) -> Result<(), ScenesError> {
        let path = dir.join(MARKER);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| ScenesError::write(&path, error.into()))?;
        layouts::write(&path, &text)
    }
}
