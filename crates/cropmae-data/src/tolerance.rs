//! How many unusable files a run tolerates.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{BadFile, DataError};

/// From this many files on, one unusable file never ends a run (5 % of the smallest such set); below it
/// a single file is too large a part of the data to go on without asking.
const FILES_TO_SPARE_ONE: usize = 20;
/// Unusable files named in an error.
const NAMED_FILES: usize = 3;

/// Unusable files met so far, each once, with reasons.
pub(crate) type Known = BTreeMap<PathBuf, String>;

/// `data.max_bad_fraction` applied to a number of files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tolerance {
    max_fraction: f64,
    /// All files.
    total: usize,
    /// Unusable files that are tolerated.
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
    /// [`DataError::TooManyBadFiles`] when it may not.
    pub(crate) fn tolerate(
        &self,
        known: &mut Known,
        found: impl IntoIterator<Item = BadFile>,
    ) -> Result<(), DataError> {
        for BadFile { path, reason } in found {
            known.entry(path).or_insert_with_key(|path| {
                tracing::warn!(path = %path.display(), reason, "unusable file, left out");
                reason
            });
        }
        if known.len() <= self.allowed {
            Ok(())
        } else {
            Err(self.refusal(known))
        }
    }

    /// The error that ends a run.
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
