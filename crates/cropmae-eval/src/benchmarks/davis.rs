//! DAVIS-2017, semi-supervised (Pont-Tuset et al., arXiv 1704.00675).
//!
//! Layout of the official 480p download: `ImageSets/2017/val.txt`, `JPEGImages/480p/<sequence>/00000.jpg`,
//! `Annotations/480p/<sequence>/00000.png`. Frames may have any width; they are resized in memory.
//!
//! As in davis2017-evaluation: the objects are 1 up to the highest id of frame 0, the first and the last
//! frame are not scored, 255 (void) is background. Masks without a palette that hold nothing but 0 and 255
//! are DAVIS-2016's, where 255 is the one object.

use std::path::Path;

use rayon::prelude::*;

use crate::benchmarks::masks::{MaskLayout, MaskVideo};
use crate::catalogue::SequenceFiles;
use crate::error::EvalError;
use crate::labels::{LabelMap, Mask, Storage};
use crate::metrics::{BitMask, Statistics, boundary_measure, jaccard};
use crate::observer::Observer;
use crate::palette::Palette;
use crate::protocol::Run;
use crate::scores::{DavisObject, DavisSequence};
use crate::size::Size;

/// Pixels that belong to nothing.
pub(crate) const VOID: u8 = 255;

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

/// Reads a mask of DAVIS-2017, or of DAVIS-2016 as object 1.
pub(crate) fn read_mask(path: &Path) -> Result<Mask, EvalError> {
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

/// As many as the highest id of frame 0's mask says.
pub(crate) fn objects(first: &LabelMap) -> usize {
    let highest = first.ids.iter().filter(|&&id| id != VOID).max();
    usize::from(highest.copied().unwrap_or(0))
}

/// The sequence's scores under each setting.
pub(crate) fn evaluate(
    run: &Run<'_>,
    files: SequenceFiles,
    name: &str,
    observer: &mut dyn Observer,
) -> Result<Vec<DavisSequence>, EvalError> {
    let needed = (3, "the first and the last one are not scored");
    let video = MaskVideo::open(run, name, files, needed, read_mask)?;
    let new = SequenceScore::new(&video.first.map);
    if new.objects.is_empty() {
        return Err(EvalError::Image {
            path: video.files.annotations[0].clone(),
            message: "no object: expected ids from 1 (255 in a palette PNG is void)".into(),
        });
    }
    let mut scores = vec![new; run.settings.len()];
    let frames = video.files.frames.len();
    let palette = Palette::davis();
    let restore = |hard: LabelMap, size| {
        let mut prediction = hard.resize_opencv(size);
        // Void may be propagated, but the toolkit refuses ids that are no object's.
        for id in &mut prediction.ids {
            *id = if *id == VOID { 0 } else { *id };
        }
        prediction
    };
    let mut gt = None;
    video.follow(run, observer, restore, |index, setting, prediction| {
        if let Some(out) = run.predictions() {
            let file = video.files.annotations[index]
                .file_name()
                .unwrap_or_default();
            let path = out.join("masks").join(name).join(file);
            prediction.write_palette(&path, &palette)?;
        }
        if (1..frames - 1).contains(&index) {
            if setting == 0 {
                gt = Some(video.mask(index)?);
            }
            if let Some(gt) = &gt {
                scores[setting].add(gt, prediction);
            }
        }
        Ok(())
    })?;
    let scores = scores.into_iter();
    Ok(scores.map(|score| score.finish(name, frames)).collect())
}

/// J and F of every object of a sequence, frame by frame.
#[derive(Clone)]
pub(crate) struct SequenceScore {
    /// Per object: J and F per frame.
    objects: Vec<(Vec<f64>, Vec<f64>)>,
}

impl SequenceScore {
    /// Nothing scored yet.
    pub fn new(first: &LabelMap) -> Self {
        Self {
            objects: vec![Default::default(); objects(first)],
        }
    }

    /// Scores one frame.
    pub fn add(&mut self, gt: &LabelMap, pred: &LabelMap) {
        let size: Size = gt.size;
        self.objects
            .par_iter_mut()
            .enumerate()
            .for_each(|(index, (j, f))| {
                let id = index as u8 + 1;
                let gt = BitMask::of_id(&gt.ids, size, id);
                let pred = BitMask::of_id(&pred.ids, size, id);
                j.push(jaccard(&gt, &pred, None));
                f.push(boundary_measure(&gt, &pred, None));
            });
    }

    /// The sequence's entry in the report.
    pub fn finish(self, name: &str, frames: usize) -> DavisSequence {
        let objects = self.objects.into_iter().zip(1..);
        DavisSequence {
            name: name.into(),
            frames,
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
