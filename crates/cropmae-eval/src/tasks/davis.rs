//! DAVIS-2017, semi-supervised (Pont-Tuset et al., arXiv 1704.00675).
//!
//! Layout of the official 480p download: `ImageSets/2017/val.txt`, `JPEGImages/480p/<sequence>/00000.jpg`,
//! `Annotations/480p/<sequence>/00000.png`. Frames may have any width; they are resized in memory.
//!
//! As in davis2017-evaluation: the objects are 1 up to the highest id of frame 0, the first and the last
//! frame are not scored, 255 (void) is background.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{EvalError, Size};
use crate::evaluate::{each_sequence, read_list, select};
use crate::frames::{list_files, require_pairs};
use crate::labels::{LabelMap, LabelSet, Mask};
use crate::metrics::{BitMask, Statistics, boundary_measure, jaccard};
use crate::observer::{FrameDone, Observer, Prediction};
use crate::output;
use crate::palette::Palette;
use crate::protocol::{Run, require_frames};
use crate::report::Failure;
use crate::scores::{DavisObject, DavisScores, DavisSequence, Scores};

const VOID: u8 = 255;

pub(crate) fn evaluate(
    run: &Run<'_>,
    data_dir: &Path,
    observer: &mut dyn Observer,
) -> Result<(Scores, Vec<Failure>), EvalError> {
    let list = data_dir.join("ImageSets/2017/val.txt");
    let listed = read_list(&list, "DAVIS-2017's list of val sequences, one a line")?;
    let annotations = data_dir.join("Annotations/480p");
    if !annotations.is_dir() {
        return Err(EvalError::Layout {
            path: annotations,
            expected: "DAVIS-2017's annotations, one folder of palette PNGs a sequence".into(),
        });
    }
    let names = select(listed, &list, run.options.sequences.as_deref())?;
    let (sequences, failures) = each_sequence(&names, observer, |name, observer| {
        evaluate_sequence(run, data_dir, name, observer)
    })?;
    Ok((Scores::Davis(DavisScores::of(sequences)), failures))
}

fn evaluate_sequence(
    run: &Run<'_>,
    data_dir: &Path,
    name: &str,
    observer: &mut dyn Observer,
) -> Result<DavisSequence, EvalError> {
    let folder = data_dir.join("JPEGImages/480p").join(name);
    let frames = list_files(
        &folder,
        &["jpg", "jpeg", "png"],
        "the frames of the sequence",
    )?;
    let annotations = list_files(
        &data_dir.join("Annotations/480p").join(name),
        &["png"],
        "the palette PNGs of the sequence",
    )?;
    require_pairs(&frames, &annotations)?;
    require_frames(
        &folder,
        &frames,
        3,
        "the first and the last one are not scored",
    )?;
    let video = run.video(frames)?;
    let read_mask = |path: &PathBuf| -> Result<Mask, EvalError> {
        let mask = Mask::read(path)?;
        if mask.map.size == video.original {
            return Ok(mask);
        }
        Err(EvalError::Size {
            path: path.clone(),
            found: mask.map.size,
            expected: video.original,
            reference: video.frames[0].clone(),
        })
    };
    let first = read_mask(&annotations[0])?;
    let mut score = SequenceScore::new(&first.map);
    if score.objects.is_empty() {
        return Err(EvalError::Image {
            path: annotations[0].clone(),
            message:
                "no object: expected ids from 1 (255 is void; DAVIS-2016 uses it as foreground)"
                    .into(),
        });
    }
    let (classes, pixels) = LabelSet::of(&first.map.resize_opencv(video.input), &first.palette);
    let labels = classes.soft_labels(&pixels, video.input, video.grid);
    let frames = video.frames.len();
    let palette = Palette::davis();
    run.propagate(&video, labels, classes.ids.len(), |index, soft| {
        let prediction = classes
            .hard_labels(soft, video.grid, video.input)
            .resize_opencv(video.original);
        if let Some(out) = &run.options.out {
            let file = annotations[index].file_name().unwrap_or_default();
            let path = out.join("masks").join(name).join(file);
            output::write_palette_png(&path, &prediction, &palette)?;
        }
        observer.frame_done(&FrameDone {
            sequence: name,
            index,
            frames,
            path: &video.frames[index],
            prediction: Prediction::Labels(&prediction),
        });
        if (1..frames - 1).contains(&index) {
            score.add(&read_mask(&annotations[index])?.map, &prediction);
        }
        Ok(())
    })?;
    Ok(score.finish(name, frames))
}

/// J and F of every object of a sequence, frame by frame.
pub(crate) struct SequenceScore {
    /// Per object: J and F per frame.
    objects: Vec<(Vec<f64>, Vec<f64>)>,
}

impl SequenceScore {
    /// As many objects as the highest id of frame 0's annotation says.
    pub fn new(first: &LabelMap) -> Self {
        let highest = first.ids.iter().filter(|&&id| id != VOID).max();
        Self {
            objects: vec![Default::default(); usize::from(highest.copied().unwrap_or(0))],
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
