//! The results of checking one sequence.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::EvalError;
use crate::files::{stem, unpaired};
use crate::frames::read_frame;
use crate::labels::{Mask, Storage};
use crate::sequence::SequenceFiles;
use crate::size::Size;

/// The results of checking one sequence.
#[derive(Debug, Default)]
pub struct Findings {
    pub(crate) frames: usize,
    pub(crate) annotations: usize,
    /// The size of the first frame that can be read.
    pub(crate) size: Option<Size>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) problems: Vec<String>,
    pub(crate) remarks: Vec<String>,
}

impl Findings {
    /// Decodes all frames.
    pub(crate) fn of_frames(files: &SequenceFiles) -> Self {
        let mut found = Self {
            frames: files.frames.len(),
            annotations: files.annotations.len(),
            ..Self::default()
        };
        let decode = |path: &PathBuf| read_frame(path).map(|frame| Size::of(&frame));
        let sizes: Vec<_> = files.frames.par_iter().map(decode).collect();
        for (path, size) in files.frames.iter().zip(sizes) {
            match size {
                Ok(size) => {
                    let expected = *found.size.get_or_insert(size);
                    found.require_size(path, size, expected, &files.frames[0]);
                }
                Err(error) => found.problem(error),
            }
        }
        found
    }

    /// Creates the findings of a sequence whose files cannot be listed.
    pub(crate) fn unreadable(error: &EvalError) -> Self {
        Self {
            problems: vec![error.to_string()],
            ..Self::default()
        }
    }

    /// Adds a problem that must be fixed.
    ///
    /// An evaluation would leave the sequence out, or its score would not be comparable with others.
    pub fn problem(&mut self, what: impl ToString) {
        self.problems.push(what.to_string());
    }

    /// Adds a harmless observation.
    pub fn remark(&mut self, what: impl ToString) {
        self.remarks.push(what.to_string());
    }

    /// Checks that frames are numbered from `first` without a gap.
    pub fn require_numbers(&mut self, files: &SequenceFiles, first: usize) {
        let folder = files.folder.display();
        let number = |path: &PathBuf| stem(path).parse::<usize>().ok();
        let numbers: Option<BTreeSet<_>> = files.frames.iter().map(number).collect();
        let Some(numbers) = numbers else {
            self.remark(format!(
                "{folder}: frames are not named by their number: they are taken in the order of their names"
            ));
            return;
        };
        let last = numbers.last().copied().unwrap_or(first);
        let missing: Vec<String> = (first..last)
            .filter(|number| !numbers.contains(number))
            .map(|number| number.to_string())
            .collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            self.problem(format!("{folder}: missing frame(s) number {missing}"));
        }
    }

    /// Checks that every frame has a mask of the right size. Returns the masks if all of them can be read.
    pub fn require_masks(
        &mut self,
        files: &SequenceFiles,
        read: fn(&Path) -> Result<Mask, EvalError>,
    ) -> Option<Vec<Mask>> {
        let missing = unpaired(&files.frames, &files.annotations);
        missing.iter().for_each(|error| self.problem(error));
        let masks: Vec<_> = files
            .annotations
            .par_iter()
            .map(|path| read(path))
            .collect();
        let mut readable = Vec::with_capacity(masks.len());
        for (path, mask) in files.annotations.iter().zip(masks) {
            match mask {
                Ok(mask) => {
                    self.storages.push(mask.storage);
                    if let Some(expected) = self.size {
                        self.require_size(path, mask.map.size, expected, &files.frames[0]);
                    }
                    readable.push(mask);
                }
                Err(error) => self.problem(error),
            }
        }
        (readable.len() == files.annotations.len()).then_some(readable)
    }

    fn require_size(&mut self, path: &Path, found: Size, expected: Size, reference: &Path) {
        if found != expected {
            self.problem(EvalError::Size {
                path: path.into(),
                found,
                expected,
                reference: reference.into(),
            });
        }
    }
}
