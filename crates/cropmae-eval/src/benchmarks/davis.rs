//! DAVIS-2017, semi-supervised (Pont-Tuset et al., arXiv 1704.00675).
//!
//! The official 480p download contains `ImageSets/2017/val.txt`, `JPEGImages/480p/<sequence>/00000.jpg` and
//! `Annotations/480p/<sequence>/00000.png`. Frames can have any width and are resized in memory.
//!
//! As in davis2017-evaluation, the objects are numbered from 1 to the highest id in frame 0, the first and the last
//! frame are not scored, and 255 (void) is background. Masks without a palette that contain only 0 and 255 come from
//! DAVIS-2016, where 255 is the only object.

mod official;
mod scores;

use std::collections::BTreeSet;
use std::path::Path;

use cropmae_config::Protocol;
use rayon::prelude::*;

use super::masks::{MaskLayout, Masks};
use crate::benchmark::{Benchmark, Official, SequenceList};
use crate::error::EvalError;
use crate::findings::Findings;
use crate::labels::{LabelMap, Mask, Storage};
use crate::metrics::{BitMask, Statistics, boundary_measure, jaccard};
use crate::observer::Prediction;
use crate::palette::Palette;
use crate::report::Scores;
use crate::run::{Run, Sizes, SoftLabels, Truth, Video};
use crate::sequence::SequenceFiles;

pub use scores::{DavisObject, DavisScores, DavisSequence};

/// The semi-supervised task of DAVIS-2017 val: object masks, scored by J&F.
#[derive(Debug, Clone, Copy)]
pub struct Davis;

/// The layout of the official 480p download.
pub const LAYOUT: MaskLayout = MaskLayout {
    list: "ImageSets/2017/val.txt",
    frames: "JPEGImages/480p",
    masks: "Annotations/480p",
    digits: 5,
    first: 0,
    called: [
        "DAVIS-2017's list of val sequences, one per line",
        "DAVIS-2017's annotations, a folder of palette PNGs for each sequence",
        "the palette PNGs of the sequence",
    ],
};

/// The id of pixels that belong to no object and not to the background.
const VOID: u8 = 255;

impl Benchmark for Davis {
    fn name(&self) -> &'static str {
        "davis"
    }

    fn about(&self) -> &'static str {
        "DAVIS-2017, semi-supervised: J&F"
    }

    fn protocol(&self) -> Protocol {
        Protocol::davis()
    }

    fn list(&self, root: &Path) -> Result<SequenceList, EvalError> {
        LAYOUT.list(root)
    }

    fn files(&self, root: &Path, sequence: &str) -> Result<SequenceFiles, EvalError> {
        LAYOUT.files(root, sequence)
    }

    fn score(&self, run: &mut Run<'_>) -> Result<Vec<Box<dyn Scores>>, EvalError> {
        let finish = |sequences: Vec<SequenceScore>| {
            sequences.into_iter().map(SequenceScore::finish).collect()
        };
        run.score::<DavisTruth, _>(|sequences| DavisScores::of(finish(sequences)))
    }

    fn check(&self, files: &SequenceFiles, found: &mut Findings) {
        found.require_numbers(files, LAYOUT.first);
        if let Some(masks) = found.require_masks(files, read_mask) {
            check_objects(files, &masks, found);
        }
    }

    fn official(&self) -> Official {
        Official {
            part: "DAVIS-2017 val",
            sequences: official::VAL.len(),
            source: "",
            frames: &official::VAL,
        }
    }
}

/// Reads a mask of DAVIS-2017. The object of a DAVIS-2016 mask becomes object 1.
fn read_mask(path: &Path) -> Result<Mask, EvalError> {
    let mut mask = Mask::read(path)?;
    let binary = mask.map.ids.iter().all(|&id| id == 0 || id == VOID);
    if mask.storage != Storage::Palette && binary {
        for id in &mut mask.map.ids {
            *id = u8::from(*id == VOID);
        }
        mask.palette = Palette::davis();
    }
    Ok(mask)
}

/// Returns the number of objects, which is the highest id in the mask of frame 0.
fn objects(first: &LabelMap) -> usize {
    let highest = first.ids.iter().filter(|&&id| id != VOID).max();
    usize::from(highest.copied().unwrap_or(0))
}

/// Checks the objects of frame 0, void pixels and palettes.
fn check_objects(files: &SequenceFiles, masks: &[Mask], found: &mut Findings) {
    let objects = objects(&masks[0].map);
    if objects == 0 {
        found.problem(format!("{}: no object", files.annotations[0].display()));
    }
    let ids = masks.iter().flat_map(|mask| mask.map.ids.iter().copied());
    let late: BTreeSet<u8> = ids
        .filter(|&id| usize::from(id) > objects && id != VOID)
        .collect();
    if !late.is_empty() {
        found.remark(format!(
            "ids {late:?} are not in frame 0: they are neither predicted nor scored"
        ));
    }
    if masks.iter().any(|mask| mask.map.ids.contains(&VOID)) {
        found.remark("void pixels (255): they are scored as background");
    }
    let davis = Palette::davis();
    let own = |mask: &Mask| mask.palette.0[..=objects] != davis.0[..=objects];
    if masks.iter().any(own) {
        found.remark("masks with another palette than DAVIS's");
    }
}

/// The annotations of one sequence.
struct DavisTruth {
    masks: Masks,
    palette: Palette,
}

impl Truth for DavisTruth {
    type Prediction = LabelMap;
    type Score = SequenceScore;

    fn open(name: &str, files: SequenceFiles, sizes: &mut Sizes) -> Result<Self, EvalError> {
        let needed = (3, "the first and the last one are not scored");
        let masks = Masks::open(name, files, sizes, needed, read_mask)?;
        if objects(&masks.first.map) == 0 {
            return Err(EvalError::Image {
                path: masks.files[0].clone(),
                message: "no object: expected ids from 1 (255 in a palette PNG is void)".into(),
            });
        }
        Ok(Self {
            masks,
            palette: Palette::davis(),
        })
    }

    fn video(&self) -> &Video {
        &self.masks.video
    }

    fn first_labels(&self) -> SoftLabels {
        self.masks.first_labels()
    }

    fn new_score(&self) -> SequenceScore {
        let Video { name, frames, .. } = &self.masks.video;
        SequenceScore::new(name, frames.len(), &self.masks.first.map)
    }

    fn advance(&mut self, index: usize) -> Result<(), EvalError> {
        if is_scored(index, self.masks.files.len()) {
            self.masks.load(index)?;
        }
        Ok(())
    }

    fn predict(&self, soft: &[f32]) -> LabelMap {
        let hard = self.masks.hard_labels(soft);
        let mut prediction = hard.resize_opencv(self.masks.video.original);
        // Void may be propagated, but the toolkit rejects ids that belong to no object.
        for id in &mut prediction.ids {
            *id = if *id == VOID { 0 } else { *id };
        }
        prediction
    }

    fn score(
        &self,
        index: usize,
        prediction: &LabelMap,
        score: &mut SequenceScore,
    ) -> Result<(), EvalError> {
        if let Some(truth) = &self.masks.loaded
            && is_scored(index, self.masks.files.len())
        {
            score.add(truth, prediction);
        }
        Ok(())
    }

    fn write(&self, out: &Path, index: usize, prediction: &LabelMap) -> Result<(), EvalError> {
        let file = self.masks.files[index].file_name().unwrap_or_default();
        let folder = out.join("masks").join(&self.masks.video.name);
        prediction.write_palette(&folder.join(file), &self.palette)
    }

    fn show<'a>(&'a self, _: usize, prediction: &'a LabelMap) -> Prediction<'a> {
        Prediction::Labels(prediction)
    }
}

/// Returns `true` if a frame is scored, which excludes the first and the last one.
fn is_scored(index: usize, frames: usize) -> bool {
    (1..frames - 1).contains(&index)
}

/// The scores J and F of every object and frame of a sequence.
pub(crate) struct SequenceScore {
    name: String,
    /// The number of frames, including those that are not scored.
    frames: usize,
    /// The scores J and F per scored frame, for each object.
    objects: Vec<(Vec<f64>, Vec<f64>)>,
}

impl SequenceScore {
    /// Creates the scores before the first scored frame. `first` is the mask of frame 0.
    pub fn new(name: &str, frames: usize, first: &LabelMap) -> Self {
        Self {
            name: name.to_owned(),
            frames,
            objects: vec![Default::default(); objects(first)],
        }
    }

    /// Scores one frame.
    pub fn add(&mut self, truth: &LabelMap, prediction: &LabelMap) {
        let size = truth.size;
        let objects = self.objects.par_iter_mut().enumerate();
        objects.for_each(|(index, (j, f))| {
            let id = index as u8 + 1;
            let truth = BitMask::of_id(&truth.ids, size, id);
            let prediction = BitMask::of_id(&prediction.ids, size, id);
            j.push(jaccard(&truth, &prediction, None));
            f.push(boundary_measure(&truth, &prediction, None));
        });
    }

    /// Returns the entry of the sequence in the report.
    pub fn finish(self) -> DavisSequence {
        let objects = self.objects.into_iter().zip(1..);
        DavisSequence {
            name: self.name,
            frames: self.frames,
            objects: objects
                .map(|((j_per_frame, f_per_frame), id)| DavisObject {
                    id,
                    j: Statistics::of(&j_per_frame),
                    f: Statistics::of(&f_per_frame),
                    j_per_frame,
                    f_per_frame,
                })
                .collect(),
        }
    }
}
