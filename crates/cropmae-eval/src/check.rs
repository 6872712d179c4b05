//! Verifies a download: every file is there, can be read and is what its task expects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::benchmarks::{davis, jhmdb};
use crate::catalogue::{Catalogue, SequenceFiles};
use crate::error::EvalError;
use crate::evaluate::{EvalOptions, Task};
use crate::files::{stem, unpaired};
use crate::frames::read_frame;
use crate::labels::{Mask, Storage};
use crate::metrics::VIP_CLASSES;
use crate::official::{DAVIS_VAL, JHMDB_TEST, VIP_VAL};
use crate::palette::Palette;
use crate::report::Failure;
use crate::size::Size;

/// What a check of a data set found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataCheck {
    /// The task.
    pub task: Task,
    /// What lists the sequences.
    pub list: PathBuf,
    /// Sequences listed.
    pub sequences: usize,
    /// Frames found.
    pub frames: usize,
    /// Masks, or files of joints, found.
    pub annotations: usize,
    /// Sequences by the height and width of their frames.
    pub sizes: BTreeMap<String, usize>,
    /// Masks by how they are stored.
    pub masks: BTreeMap<String, usize>,
    /// [`TaskReport::data_fingerprint`](crate::TaskReport::data_fingerprint) of an evaluation of this data.
    pub fingerprint: String,
    /// What must be mended, by sequence. An evaluation would leave these sequences out, or compare with
    /// nobody's numbers.
    pub problems: Vec<Failure>,
    /// What is worth knowing and harmless, by sequence.
    pub remarks: Vec<Failure>,
}

/// What a check of one sequence found.
#[derive(Default)]
struct Found {
    frames: usize,
    annotations: usize,
    size: Option<Size>,
    storages: Vec<Storage>,
    problems: Vec<String>,
    remarks: Vec<String>,
}

/// Checks the sequences that an evaluation with these `options` would evaluate; every file is decoded.
/// `progress(done, total)` counts sequences.
///
/// # Errors
/// [`EvalError::Layout`] if the data set is not there; [`EvalError::UnknownSequence`].
pub fn check(
    task: Task,
    data_dir: &Path,
    options: &EvalOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<DataCheck, EvalError> {
    let catalogue = Catalogue::open(task, data_dir, options)?;
    let (done, total) = (AtomicUsize::new(0), catalogue.names.len());
    let found: Vec<Found> = catalogue
        .names
        .par_iter()
        .map(|name| {
            let found = match catalogue.files(name) {
                Ok(files) => check_files(task, &files),
                Err(error) => Found {
                    problems: vec![error.to_string()],
                    ..Found::default()
                },
            };
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            found
        })
        .collect();
    let mut check = DataCheck {
        task,
        list: catalogue.list.clone(),
        sequences: total,
        frames: found.iter().map(|found| found.frames).sum(),
        annotations: found.iter().map(|found| found.annotations).sum(),
        sizes: tally(found.iter().filter_map(|found| found.size)),
        masks: tally(
            found
                .iter()
                .flat_map(|found| found.storages.iter().copied()),
        ),
        fingerprint: catalogue.fingerprint(),
        problems: Vec::new(),
        remarks: Vec::new(),
    };
    let say = |sequence: &str, message: String| Failure {
        sequence: sequence.into(),
        message,
    };
    for (name, found) in catalogue.names.iter().zip(found) {
        if let Some(message) = shorter_than_official(&catalogue, name, found.frames) {
            check.problems.push(say(name, message));
        }
        let problems = found.problems.into_iter();
        check
            .problems
            .extend(problems.map(|message| say(name, message)));
        let remarks = found.remarks.into_iter();
        check
            .remarks
            .extend(remarks.map(|message| say(name, message)));
    }
    if let Some(message) = incomplete_list(&catalogue) {
        check.remarks.push(say("", message));
    }
    Ok(check)
}

fn tally<T: std::fmt::Display>(items: impl Iterator<Item = T>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for item in items {
        *tally.entry(item.to_string()).or_default() += 1;
    }
    tally
}

/// A DAVIS sequence whose frames and masks are both cut off looks whole by itself.
fn shorter_than_official(catalogue: &Catalogue, name: &str, frames: usize) -> Option<String> {
    let known = (catalogue.task == Task::Davis).then_some(DAVIS_VAL)?;
    let (_, official) = known.into_iter().find(|(known, _)| *known == name)?;
    // No frame at all is told by the missing folder.
    (frames > 0 && frames != official)
        .then(|| format!("{frames} frames, expected {official} as in the official download"))
}

fn incomplete_list(catalogue: &Catalogue) -> Option<String> {
    let (what, official, source) = match catalogue.task {
        Task::Davis => ("DAVIS-2017 val", DAVIS_VAL.len(), ""),
        Task::Vip => ("VIP val", VIP_VAL, " (as its page says)"),
        Task::Jhmdb => (
            "JHMDB's test split 1",
            JHMDB_TEST,
            " (not compared with the download)",
        ),
    };
    let found = catalogue.names.len();
    (!catalogue.official || found != official).then(|| {
        format!(
            "{found} sequences, {what} has {official}{source}: scores compare with published ones only over all"
        )
    })
}

fn check_files(task: Task, files: &SequenceFiles) -> Found {
    let mut found = Found {
        frames: files.frames.len(),
        annotations: files.annotations.len(),
        ..Found::default()
    };
    let decode = |path| {
        read_frame(path).map(|frame| Size {
            height: frame.height() as usize,
            width: frame.width() as usize,
        })
    };
    let sizes: Vec<_> = files.frames.par_iter().map(|path| decode(path)).collect();
    for (path, size) in files.frames.iter().zip(sizes) {
        match size {
            Ok(size) => {
                let expected = *found.size.get_or_insert(size);
                found.require_size(path, size, expected, &files.frames[0]);
            }
            Err(error) => found.problems.push(error.to_string()),
        }
    }
    match task {
        Task::Davis => {
            found.require_numbers(files, 0);
            found.check_masks(files, davis::read_mask, |found, masks| {
                found.check_objects(files, masks);
            });
        }
        Task::Vip => found.check_masks(files, Mask::read, |found, masks| {
            found.check_parts(files, masks);
        }),
        Task::Jhmdb => {
            found.require_numbers(files, 1);
            if let Err(error) = jhmdb::clip_joints(files) {
                found.problems.push(error.to_string());
            }
        }
    }
    found
}

impl Found {
    fn require_size(&mut self, path: &Path, found: Size, expected: Size, reference: &Path) {
        if found != expected {
            let error = EvalError::Size {
                path: path.into(),
                found,
                expected,
                reference: reference.into(),
            };
            self.problems.push(error.to_string());
        }
    }

    /// Frames are numbered without a gap.
    fn require_numbers(&mut self, files: &SequenceFiles, first: usize) {
        let number = |path: &PathBuf| stem(path).parse::<usize>().ok();
        let Some(numbers) = files
            .frames
            .iter()
            .map(number)
            .collect::<Option<BTreeSet<_>>>()
        else {
            self.remarks.push(format!(
                "{}: frames are not named by their number: they are taken in the order of their names",
                files.folder.display()
            ));
            return;
        };
        let last = numbers.last().copied().unwrap_or(first);
        let missing: Vec<String> = (first..last)
            .filter(|number| !numbers.contains(number))
            .map(|number| number.to_string())
            .collect();
        if !missing.is_empty() {
            self.problems.push(format!(
                "{}: missing frame(s) number {}",
                files.folder.display(),
                missing.join(", ")
            ));
        }
    }

    fn check_masks(
        &mut self,
        files: &SequenceFiles,
        read: fn(&Path) -> Result<Mask, EvalError>,
        meaning: impl FnOnce(&mut Self, &[Mask]),
    ) {
        let missing = unpaired(&files.frames, &files.annotations);
        self.problems
            .extend(missing.iter().map(ToString::to_string));
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
                Err(error) => self.problems.push(error.to_string()),
            }
        }
        if readable.len() == files.annotations.len() {
            meaning(self, &readable);
        }
    }

    /// DAVIS: objects of frame 0, void, palettes.
    fn check_objects(&mut self, files: &SequenceFiles, masks: &[Mask]) {
        let objects = davis::objects(&masks[0].map);
        if objects == 0 {
            self.problems
                .push(format!("{}: no object", files.annotations[0].display()));
        }
        let late: BTreeSet<u8> = masks
            .iter()
            .flat_map(|mask| mask.map.ids.iter().copied())
            .filter(|&id| usize::from(id) > objects && id != davis::VOID)
            .collect();
        if !late.is_empty() {
            self.remarks.push(format!(
                "ids {late:?} are not in frame 0: they are neither predicted nor scored"
            ));
        }
        if masks.iter().any(|mask| mask.map.ids.contains(&davis::VOID)) {
            self.remarks
                .push("void pixels (255): they are scored as background".into());
        }
        let davis = Palette::davis();
        let own = |mask: &Mask| mask.palette.0[..=objects] != davis.0[..=objects];
        if masks.iter().any(own) {
            self.remarks
                .push("masks with another palette than DAVIS's".into());
        }
    }

    /// VIP: part ids.
    fn check_parts(&mut self, files: &SequenceFiles, masks: &[Mask]) {
        let part = |id: u8| usize::from(id) < VIP_CLASSES;
        if let Some(id) = masks[0].map.ids.iter().find(|&&id| !part(id)) {
            self.problems.push(format!(
                "{}: id {id}: expected part ids 0 to 19 in frame 0",
                files.annotations[0].display()
            ));
        }
        let odd: BTreeSet<u8> = masks
            .iter()
            .flat_map(|mask| mask.map.ids.iter().copied())
            .filter(|&id| !part(id) && id != 255)
            .collect();
        if !odd.is_empty() {
            self.remarks
                .push(format!("ids {odd:?} are no parts: they are not scored"));
        }
    }
}
