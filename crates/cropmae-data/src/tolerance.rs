//! The number of unusable files that a run tolerates.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{BadFile, DataError};

/// The number of files from which one unusable file never ends a run (it is 5 % of the smallest such set).
///
/// In smaller sets, a single file is too large a part of the data to continue without asking.
const FILES_TO_SPARE_ONE: usize = 20;
/// The number of unusable files that an error names.
const NAMED_FILES: usize = 3;

/// The unusable files found so far, each once, with reasons.
pub(crate) type Known = BTreeMap<PathBuf, String>;

/// The limit `data.max_bad_fraction`, applied to a number of files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tolerance {
    max_fraction: f64,
    /// The number of all files.
    total: usize,
    /// The number of unusable files that are tolerated.
    pub(crate) allowed: usize,
}

impl Tolerance {
    pub(crate) fn new(max_fraction: f64, total: usize) -> Self {
        let share = (max_fraction * total as f64) as usize;
        let allowed = if max_fraction > 0.0 && total >= FILES_TO_SPARE_ONE {
            share.max(1)
        } else {
            share
        };
        Self {
            max_fraction,
            total,
            allowed,
        }
    }

    /// Adds `found` to the known unusable files and decides whether the run may continue.
    ///
    /// # Errors
    /// Returns [`DataError::TooManyBadFiles`] if it may not.
    pub(crate) fn tolerate(
        &self,
        known: &mut Known,
        found: impl IntoIterator<Item = BadFile>,
    ) -> Result<(), DataError> {
        for BadFile { path, reason } in found {
            known.entry(path).or_insert_with_key(|path| {
                tracing::warn!(path = %path.display(), reason, "found an unusable file");
                reason
            });
        }
        if known.len() <= self.allowed {
            Ok(())
        } else {
            Err(self.refusal(known))
        }
    }

    /// Returns the error that ends a run.
    pub(crate) fn refusal(&self, known: &Known) -> DataError {
        let name = |(path, reason): (&PathBuf, &String)| format!("{} ({reason})", path.display());
        let first: Vec<String> = known.iter().take(NAMED_FILES).map(name).collect();
        DataError::TooManyBadFiles {
            count: known.len(),
            total: self.total,
            max_fraction: self.max_fraction,
            allowed: self.allowed,
            first: first.join("; "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_spared_in_sets_that_can_spare_it() {
        let allowed = |fraction, total| Tolerance::new(fraction, total).allowed;
        assert_eq!(allowed(0.01, 1_000_000), 10_000);
        assert_eq!(allowed(0.01, 150), 1);
        assert_eq!(allowed(0.01, 20), 1);
        assert_eq!(allowed(0.01, 19), 0);
        assert_eq!(allowed(0.0, 1_000_000), 0, "0 means none");
        assert_eq!(allowed(0.2, 10), 2);
    }

    #[test]
    fn a_file_counts_once() {
        let tolerance = Tolerance::new(0.01, 100);
        let bad = |name: &str| BadFile {
            path: name.into(),
            reason: "empty file".to_owned(),
        };
        let mut known = Known::new();
        tolerance
            .tolerate(&mut known, [bad("a"), bad("a")])
            .unwrap();
        tolerance.tolerate(&mut known, [bad("a")]).unwrap();
        let error = tolerance
            .tolerate(&mut known, [bad("b")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("2 of 100 files") && error.contains("a (empty file); b"),
            "{error}"
        );
    }
}
